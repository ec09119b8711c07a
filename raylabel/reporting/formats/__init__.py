"""Labels with their images, in the formats that other tools read."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from raylabel import runtime
from raylabel.campaign import Campaign
from raylabel.errors import ConfigError
from raylabel.pool import Plan, Shard
from raylabel.reporting.committed import Committed
from raylabel.reporting.formats import coco, fiftyone, hugging_face, image_folder, webdataset
from raylabel.reporting.formats.items import Labeled, Paired, labeled_items
from raylabel.reporting.report import REPORT
from raylabel.workspace import Record, Store

Writing = Callable[[Store, int, Iterator[Labeled], tuple[str, ...]], int]
"""Writes the labeled items of one shard of the pool; returns how many there were."""
Finishing = Callable[[Store, Sequence[int], tuple[str, ...]], None]
"""Writes what is said of all shards together, by their numbers."""

FORMATS: dict[str, tuple[Writing, Finishing | None]] = {
    "imagefolder": (image_folder.write_shard, None),
    "webdataset": (webdataset.write_shard, None),
    "huggingface": (hugging_face.write_shard, None),
    "coco": (coco.write_shard, coco.finish),
    "fiftyone": (fiftyone.write_shard, fiftyone.finish),
}


def export_images(
    campaign: Campaign, plan: Plan, labels: Record, parts: Sequence[Paired], *, to: str, named: str
) -> int:
    """Write every labeled image of the pool with its label; undecided ones are left out.

    Args:
        campaign: whose result.
        plan: of the pool that the labels cover.
        labels: the record of the labels.
        parts: of the labels, with the predictions that hold their rows.
        to: a folder or s3:// prefix in which nothing lies yet.
        named: a name of `FORMATS`.

    Returns:
        How many images were written.

    Raises:
        ConfigError: something lies there.
        PoolError: an image can no longer be read.

    Cost: one read of the pool, shard by shard in tasks; a task holds a batch of images.
    """
    place = Store(to)
    if place.walk():
        raise ConfigError(f"{to}: is not empty; choose another folder, or empty it")
    write, finish = FORMATS[named]
    classes = campaign.config.classes
    work = [(shard, overlapping(parts, shard)) for shard in plan.shards]
    bare = replace(plan, shards=(), unreadable=())
    counts = list(runtime.map_tasks(_WriteShard(campaign, bare, place, write), work))
    if finish:
        finish(place, [shard.index for shard in plan.shards], classes)
    place.write("README.md", _readme(campaign, labels, sum(counts), named).encode())
    return sum(counts)


def paired(found: Committed, labels: Record) -> list[Paired]:
    """The parts of a result beside the predictions of its round, which hold the rows.

    Args:
        found: the round that labeled, as far as the plan of the labels.
        labels: their record.
    """
    pieces = found.predictions
    return [Paired(*each) for each in zip(pieces.parts, labels.parts["labels"], pieces.spans, strict=True)]


def overlapping(parts: Sequence[Paired], shard: Shard) -> tuple[Paired, ...]:
    """The parts that hold rows of a shard."""
    first, last = shard.first_row, shard.first_row + shard.rows - 1
    return tuple(part for part in parts if part.span[0] <= last and part.span[1] >= first)


@dataclass(frozen=True)
class _WriteShard:
    """Write the labeled items of one shard, in a task."""

    campaign: Campaign
    plan: Plan
    place: Store
    write: Writing

    def __call__(self, work: tuple[Shard, tuple[Paired, ...]]) -> int:
        shard, parts = work
        items = labeled_items(self.campaign, self.plan, shard, parts)
        return self.write(self.place, shard.index, items, self.campaign.config.classes)


def _readme(campaign: Campaign, labels: Record, num_written: int, named: str) -> str:
    """What the folder holds, for whoever finds it: the certificate in words, counts, and what the columns say."""
    verdict = json.loads(campaign.store.read(REPORT))["labels"]["sentence"]
    facts = labels.facts
    return (
        "# Labeled images\n\n"
        f"{num_written:,} images labeled by raylabel, as {named}: {facts['num_human']:,} by people, "
        f"{facts['num_auto']:,} by machine. {facts['num_undecided']:,} undecided ones are left out.\n\n"
        f"{verdict}\n\n"
        "Where a format has room for it each label tells its `source` (human or auto), a calibrated `confidence`, and "
        "the `certificate` that covers it. Ids are those of the pool.\n"
    )
