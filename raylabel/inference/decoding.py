"""A shard as a stream of decoded batches, and what could not be decoded. Runs on the workers.

Knows pools and pixels; knows nothing of models or of Ray.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from raylabel.campaign import Campaign
from raylabel.pool import Plan, Shard, read_shard

READ_ROWS = 256


class Decoder(Protocol):
    """Bytes to pixels."""

    def __call__(self, data: bytes | None) -> NDArray[np.uint8]:
        """Decode one image to (S, S, 3) uint8.

        Raises:
            Undecodable: with a code.
        """

    def pause(self) -> None:
        """Nothing is decoded until the next call."""


@dataclass(frozen=True)
class Failure:
    """An item that gives no embedding, and why."""

    row: int
    id: str
    error_code: str
    message: str


@dataclass
class DecodedBatch:
    """What the backbone sees at once: decoded items of one shard, in row order.

    Args:
        rows: of the decoded items.
        ids: of the decoded items.
        pixels: (batch size, S, S, 3) uint8; the first len(rows) count.
        failed: items met on the way that could not be decoded.
        read_s: seconds that reading took, waits for the store included.
        decode_s: seconds that decoding took.
    """

    pixels: NDArray[np.uint8]
    rows: list[int] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    failed: list[Failure] = field(default_factory=list)
    read_s: float = 0.0
    decode_s: float = 0.0

    @property
    def num_items(self) -> int:
        """Items that this batch answers for."""
        return len(self.rows) + len(self.failed)


def decode_shard(campaign: Campaign, plan: Plan, shard: Shard, decode: Decoder) -> Iterator[DecodedBatch]:
    """Read and decode one shard.

    Batches hold as many decodable items as the backbone takes, the last one of the shard what is left: they never
    straddle shards, so that an embedding never depends on how work was cut.

    Args:
        campaign: its config says how images are brought to size.
        plan: of the pool.
        shard: what to read.
        decode: bytes to pixels.

    Raises:
        ShardUnreadable: the shard is gone, was changed or is broken; batches given so far do not count.
        StorageError: the store failed.

    Memory: one batch, and `READ_ROWS` encoded images.
    """
    from raylabel.pool.decode import Undecodable  # torch is imported on the workers, not in the driver

    config, size = campaign.config, campaign.profile.arithmetic.batch_size
    side = config.backbone.image_size
    batch = DecodedBatch(np.zeros((size, side, side, 3), dtype=np.uint8))
    source = read_shard(plan, shard, pool=config.pool, store=campaign.store, batch_rows=READ_ROWS)
    while True:
        decode.pause()
        began = time.perf_counter()
        found = next(source, None)
        batch.read_s += time.perf_counter() - began
        if found is None:
            break
        for item in found.items:
            began = time.perf_counter()
            if item.error is not None:
                batch.failed.append(Failure(item.row, item.id, *item.error))
                continue
            try:
                batch.pixels[len(batch.rows)] = decode(item.image)
            except Undecodable as error:
                batch.failed.append(Failure(item.row, item.id, error.code, error.message))
            else:
                batch.rows.append(item.row)
                batch.ids.append(item.id)
            batch.decode_s += time.perf_counter() - began
            if len(batch.rows) == size:
                decode.pause()
                yield batch
                batch = DecodedBatch(np.zeros_like(batch.pixels))
    if batch.num_items:
        yield batch
