"""A shard as a stream of decoded batches, and what could not be decoded. Runs on the workers.

Knows pools and pixels; knows nothing of models or of Ray.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from raylabel.campaign import Campaign
from raylabel.pool import Item, Plan, Shard, read_shard

if TYPE_CHECKING:
    from raylabel.pool.whole import Undecodable

READ_ROWS = 256


class Decoder(Protocol):
    """Bytes to pixels."""

    def decode_all(self, images: Sequence[bytes | None]) -> list[NDArray[np.uint8] | Undecodable]:
        """(S, S, 3) uint8 of each image, or the reason that there is none."""


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


def decode_shard(campaign: Campaign, plan: Plan, shard: Shard, decoder: Decoder) -> Iterator[DecodedBatch]:
    """Read and decode one shard.

    Batches hold as many decodable items as the backbone takes, the last one of the shard what is left: they never
    straddle shards, so that an embedding never depends on how work was cut.

    Args:
        campaign: its config says how images are brought to size.
        plan: of the pool.
        shard: what to read.
        decoder: bytes to pixels.

    Raises:
        ShardUnreadable: the shard is gone, was changed or is broken; batches given so far do not count.
        StorageError: the store failed.

    Memory: one batch, and `READ_ROWS` encoded images.
    """
    config, size = campaign.config, campaign.profile.arithmetic.batch_size
    side = config.backbone.image_size
    batch = DecodedBatch(np.zeros((size, side, side, 3), dtype=np.uint8))
    source = read_shard(plan, shard, pool=config.pool, store=campaign.store, batch_rows=READ_ROWS)
    while True:
        began = time.perf_counter()
        found = next(source, None)
        batch.read_s += time.perf_counter() - began
        if found is None:
            break
        items = list(found.items)
        while items:
            room = size - len(batch.rows)
            _decode_into(batch, items[:room], decoder)
            items = items[room:]
            if len(batch.rows) == size:
                yield batch
                batch = DecodedBatch(np.zeros_like(batch.pixels))
    if batch.num_items:
        yield batch


def _decode_into(batch: DecodedBatch, items: list[Item], decoder: Decoder) -> None:
    """Decode items, no more than the batch has room for."""
    began = time.perf_counter()
    batch.failed += [Failure(item.row, item.id, *item.error) for item in items if item.error is not None]
    whole = [item for item in items if item.error is None]
    for item, pixels in zip(whole, decoder.decode_all([item.image for item in whole]), strict=True):
        if isinstance(pixels, np.ndarray):
            batch.pixels[len(batch.rows)] = pixels
            batch.rows.append(item.row)
            batch.ids.append(item.id)
        else:
            batch.failed.append(Failure(item.row, item.id, pixels.code, pixels.message))
    batch.decode_s += time.perf_counter() - began
