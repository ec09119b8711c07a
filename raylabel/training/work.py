"""What a fine-tune needs, the same for every worker. Plain data: importing it brings no engine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from raylabel.campaign import Campaign, EncoderRef
from raylabel.pool import Plan, Shard


@dataclass(frozen=True)
class Work:
    """What a fine-tune needs; the same for every worker.

    Args:
        campaign: settings and workspace.
        plan: the pool's plan without its list of shards.
        shards: shards that hold training items, with their rows.
        labels: class index of each row.
        ref: the backbone to start from.
        seed: of the head's first weights and the order of the images.
    """

    campaign: Campaign
    plan: Plan
    shards: tuple[tuple[Shard, NDArray[np.int64]], ...]
    labels: Mapping[int, int]
    ref: EncoderRef
    seed: int
