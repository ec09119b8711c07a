"""Build the FAISS index of one backbone's embeddings on Ray, and let it grow; its ids are pool rows.

Train in one task, add runs of parts in tasks that commit what they made, merge on disk, measure recall.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import psutil

from raylabel import runtime
from raylabel.campaign import Campaign, EncoderRef, Pieces, of_version
from raylabel.errors import StorageError
from raylabel.index.add import RUN_ROWS, Add, Run, run_prefix, runs, version_prefix
from raylabel.index.files import folder_of, sweep
from raylabel.index.merge import AddExact, Merge
from raylabel.index.plan import IndexPlan, plan_index
from raylabel.index.recall import Measure, exact
from raylabel.index.train import Train
from raylabel.progress import counting, say
from raylabel.workspace import Record

MEMORY_SHARE = 0.5
"""Of a machine's memory, for an index."""

ROWS_PER_CELL_OF_RUN = 4
OUTGROWN = 4
"""A pool that would get more than so many times the cells is indexed anew."""


def latest(campaign: Campaign, backbone: str) -> Record | None:
    """The record of the newest index of a backbone; None where none was built."""
    found, version = campaign.records.find(of_version(f"index/{backbone}", 0)), 1
    while (newer := campaign.records.find(of_version(f"index/{backbone}", version))) is not None:
        found, version = newer, version + 1
    return found


def build(campaign: Campaign, ref: EncoderRef, pieces: Pieces) -> Record:
    """Build the index of a backbone, once; where the pool has grown since, add what is new to a copy of it.

    Args:
        campaign: in whose workspace.
        ref: the backbone.
        pieces: its embeddings; those of a grown pool begin with those of the smaller one.

    Returns:
        Its record: facts index (file name), sha256, data (file name; None where it is one file), data_sha256, factory,
        num_rows, dim, num_cells, nprobe, recall_at_10, backbone, version; num_parts and pieces, which say of what it
        was built; trained and trained_sha256, from which it grows (None where it is exact). Part queries: what recall
        was measured on.

    Raises:
        StorageError: it was built of other embeddings, or files of it are gone.

    Cost: two reads of the embeddings, a quarter of them at most for training, and 2 * num_cells * dim operations an
    item. Memory of a task: the coarse quantizer and a run of 65,536 items. Memory of the driver: the list of parts.
    """
    version, record = 0, None
    while record is None or record.facts["num_parts"] < len(pieces.parts):
        name, before = of_version(f"index/{ref.digest}", version), record
        record = campaign.records.find(name)
        if record is None:
            record = campaign.records.commit(name, _build(campaign, ref, pieces, version=version, before=before))
            _tell(record)
        _check(campaign, record, pieces)
        version += 1
    # What a build of the next version has committed before it was stopped stays: it is resumed.
    for done in range(version):
        sweep(campaign.store, folder_of(ref.digest), version_prefix(done))
    return record


def _tell(record: Record) -> None:
    facts = record.facts
    cells = f", {facts['nprobe']} of {facts['num_cells']:,} cells looked into" if facts["num_cells"] else ""
    say(
        f"index: {facts['num_rows']:,} embeddings in a {facts['factory']} index{cells}, "
        f"recall at 10: {facts['recall_at_10']:.1%}"
    )


def _check(campaign: Campaign, record: Record, pieces: Pieces) -> None:
    if record.facts["num_parts"] > len(pieces.parts) or record.facts["pieces"] != _digest(
        pieces, record.facts["num_parts"]
    ):
        raise StorageError(
            f"{campaign.store.uri(record.facts['index'])}: was built of other embeddings than those that are there; "
            f"remove {campaign.store.uri('index')} and run again"
        )


def _digest(pieces: Pieces, num_parts: int) -> str:
    """Stands for the first parts, in order."""
    return hashlib.sha256("".join(part.sha256 for part in pieces.parts[:num_parts]).encode()).hexdigest()


def _build(campaign: Campaign, ref: EncoderRef, pieces: Pieces, *, version: int, before: Record | None) -> Record:
    memory = int(psutil.virtual_memory().total * MEMORY_SHARE)
    plan = plan_index(pieces.num_rows, ref.dim, memory_bytes=memory)
    if before is not None and plan.num_cells > OUTGROWN * before.facts["num_cells"]:
        before = None
    work = _Build(campaign, ref, pieces, plan, version, before)
    made = work.cells() if plan.num_cells else work.exact()
    facts = {"backbone": ref.digest, "dim": ref.dim, "version": version}
    covers = {"num_parts": len(pieces.parts), "pieces": _digest(pieces, len(pieces.parts))}
    return Record(facts={**facts, **covers, **made.facts}, parts=made.parts)


@dataclass(frozen=True)
class _Build:
    """One build: what of, how, and which index it grows; None for a first one, or one that was outgrown."""

    campaign: Campaign
    ref: EncoderRef
    pieces: Pieces
    plan: IndexPlan
    version: int
    before: Record | None

    def exact(self) -> Record:
        """Build in one task."""
        first = self.before.facts["num_parts"] if self.before is not None else 0
        run = Run(0, self.pieces.parts[first:], self.pieces.spans[first:])
        made = runtime.call(AddExact(self.campaign, self.ref, self.plan.factory, self.before), run)
        facts = {"factory": self.plan.factory, "num_cells": 0, "nprobe": 0, "recall_at_10": 1.0}
        return Record(facts={**made.facts, **facts, "trained": None, "trained_sha256": None}, parts=made.parts)

    def cells(self) -> Record:
        """Train, or take what was trained; add what is new, merge, and measure recall."""
        campaign, ref, pieces, version = self.campaign, self.ref, self.pieces, self.version
        facts = dict((self.before or self._trained()).facts)
        trained = (facts["trained"], facts["trained_sha256"])
        rows = max(RUN_ROWS, ROWS_PER_CELL_OF_RUN * facts["num_cells"])
        first = self.before.facts["num_parts"] if self.before is not None else 0
        new = list(runs(pieces, first=first, rows=rows))
        with counting("index", total=sum(part.rows for run in new for part in run.parts)) as show:
            added = 0
            for count in runtime.map_tasks(Add(campaign, ref, trained, version, pieces.num_rows), new):
                added += count
                show(added, "")
        merge = Merge(campaign, ref, trained, version, len(new), pieces.num_rows, self.before)
        name = f"{folder_of(ref.digest)}/{run_prefix(version, pieces.num_rows)}merged"
        merged = campaign.records.once(name, lambda: runtime.call(merge))
        [queries] = merged.parts["queries"]
        truth = exact(campaign, queries, runs(pieces, rows=rows))
        assert truth is not None, "an index of cells has parts"
        facts |= merged.facts
        measure = Measure(campaign, {**facts, "dim": ref.dim}, queries, truth)
        facts["nprobe"], facts["recall_at_10"] = runtime.call(measure)
        kept = ("trained", "trained_sha256", "factory", "num_cells", "nprobe", "recall_at_10", *merged.facts)
        return Record(facts={name: facts[name] for name in kept}, parts=merged.parts)

    def _trained(self) -> Record:
        """The index that every run is added to, empty."""
        train = Train(self.campaign, self.ref, self.plan, self.pieces.num_rows, self.pieces.spans[-1][1])
        gpus = min(1.0, runtime.resources()["gpus"])
        name = f"{folder_of(self.ref.digest)}/trained-{self.version:04d}"
        return self.campaign.records.once(name, lambda: runtime.call(train, num_gpus=gpus))
