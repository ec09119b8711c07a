"""Labeled items with their images, shard by shard; and the names that files get from ids.

Knows labels in the workspace and the pool; knows nothing of formats.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image

from raylabel.campaign import Campaign
from raylabel.errors import PoolError
from raylabel.file_names import safe_path
from raylabel.pool import Plan, Shard, ShardUnreadable
from raylabel.pool.read import read_shard
from raylabel.workspace import Part, read_part

BATCH_ROWS = 256


_SUFFIXES = {"JPEG": (".jpg", ".jpeg", ".jfif"), "MPO": (".jpg", ".jpeg"), "TIFF": (".tif", ".tiff")}


@dataclass(frozen=True)
class Labeled:
    """An item that has a label.

    Args:
        row: of the pool.
        image: its encoded bytes, as the pool holds them.
        facts: its row of schema.LABELS.
    """

    row: int
    image: bytes
    facts: dict[str, Any]
    _seen: list[Image.Image] = field(default_factory=list, compare=False, repr=False)

    @property
    def header(self) -> Image.Image:
        """The image, of which only the header is read."""
        if not self._seen:
            self._seen.append(Image.open(io.BytesIO(self.image)))
        return self._seen[0]

    @property
    def suffix(self) -> str:
        """By what the bytes are: ".jpg", ".png", ..."""
        return _suffixes_of(str(self.header.format))[0]

    @property
    def file_name(self) -> str:
        """The id as a relative path that no file system trips over, ending as images of its kind do.

        An id that does not end so gets its row before the ending: "a" and "a.jpg" are two files.
        """
        name = safe_path(self.facts["id"])
        fits = name.lower().endswith(_suffixes_of(str(self.header.format)))
        return name if fits else f"{name}.row{self.row}{self.suffix}"


def _suffixes_of(kind: str) -> tuple[str, ...]:
    return _SUFFIXES.get(kind, (f".{kind.lower()}",))


@dataclass(frozen=True)
class Paired:
    """Parts whose rows are the same in the same order.

    Args:
        predictions: with the rows.
        labels: with the labels.
        span: first and last row.
    """

    predictions: Part
    labels: Part
    span: tuple[int, int]


def labeled_items(campaign: Campaign, plan: Plan, shard: Shard, parts: tuple[Paired, ...]) -> Iterator[Labeled]:
    """The labeled items of a shard with their images, in row order; those without a label are left out.

    Args:
        campaign: whose labels.
        plan: of the pool; its list of shards is not needed.
        shard: of the pool.
        parts: those that hold its rows.

    Raises:
        PoolError: the shard, or an image of it, can no longer be read.
    """
    labels = {}
    for part in parts:
        rows = read_part(campaign.store, part.predictions, columns=["row"]).column("row").to_numpy()
        inside = np.flatnonzero((rows >= shard.first_row) & (rows < shard.first_row + shard.rows))
        for row, facts in zip(
            rows[inside].tolist(), read_part(campaign.store, part.labels).take(inside).to_pylist(), strict=True
        ):
            if facts["label"] is not None:
                labels[row] = facts
    if not labels:
        return
    where = f"{plan.root}/{shard.name}"
    try:
        for batch in read_shard(plan, shard, pool=campaign.config.pool, store=campaign.store, batch_rows=BATCH_ROWS):
            for item in batch.items:
                if item.row not in labels:
                    continue
                if item.image is None:
                    raise PoolError(f"{where}: {item.id} can no longer be read ({item.error}); restore it")
                yield Labeled(item.row, item.image, labels[item.row])
    except ShardUnreadable as error:
        raise PoolError(
            f"{where}: can no longer be read ({error.code}: {error.message}); restore the pool as it was planned"
        ) from error
