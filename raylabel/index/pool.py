"""Neighbours of a whole pool, run by run: for density, propagation and groups of near-duplicates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from raylabel import runtime, schema
from raylabel.campaign import Campaign, Pieces
from raylabel.index.add import Run, runs
from raylabel.index.bulk import neighbours
from raylabel.index.device import threads
from raylabel.index.files import folder_of
from raylabel.index.search import open_index
from raylabel.workspace import Part, Record, read_parts, write_part
from raylabel.workspace.vectors import embeddings_of


def pool_neighbours(campaign: Campaign, record: Record, pieces: Pieces, *, size: int) -> Pieces:
    """The nearest other items of every item of a pool, once.

    Args:
        campaign: in whose workspace.
        record: of the index, from `build`.
        pieces: the embeddings it was built of.
        size: neighbours for each.

    Returns:
        Parts of schema.NEIGHBOURS, each of some 65,536 items, in row order.

    Cost: for each of those parts one pass over the cells that its items look into. Memory of a task: one such part.
    """
    folder = folder_of(record.facts["backbone"])

    def make() -> Record:
        task = FindNeighbours(campaign, record, size)
        cut = list(runs(pieces))
        parts = list(runtime.map_tasks(task, cut))
        return Record(
            facts={"spans": [[run.spans[0][0], run.spans[-1][1]] for run in cut]}, parts={"neighbours": parts}
        )

    found = campaign.records.once(f"{folder}/neighbours-{record.facts['version']:04d}-{size}", make)
    return Pieces(tuple(found.parts["neighbours"]), tuple((first, last) for first, last in found.facts["spans"]))


@dataclass(frozen=True)
class FindNeighbours:
    """Neighbours of one run's items, in a task.

    Args:
        campaign: in whose workspace.
        record: of the index.
        size: neighbours for each item, itself not counted.
    """

    campaign: Campaign
    record: Record
    size: int

    def __call__(self, run: Run) -> Part:
        """Returns the part it wrote."""
        facts, store = self.record.facts, self.campaign.store
        columns = schema.embeddings(dim=facts["dim"], backbone=facts["backbone"])
        table = read_parts(store, run.parts, schema=columns, columns=["row", "embedding"])
        own = table.column("row").to_numpy()
        with threads(1):
            index = open_index(self.campaign, self.record)
            distances, rows = neighbours(index, embeddings_of(table).astype(np.float32), size=self.size + 1)
        order = others(rows, own)
        arrays = [
            pa.array(own, pa.int64()),
            _lists(np.take_along_axis(rows, order, axis=1)),
            _lists(np.take_along_axis(distances, order, axis=1)),
        ]
        return write_part(
            store, f"{folder_of(facts['backbone'])}/neighbours", pa.table(arrays, schema=schema.NEIGHBOURS)
        )


def others(rows: NDArray[np.int64], own: NDArray[np.int64]) -> NDArray[np.int64]:
    """Positions of the neighbours that are not the item itself, in the order found.

    Args:
        rows: (Q, k + 1) int64 rows found.
        own: (Q,) int64 rows of the items.

    Returns:
        (Q, k) int64 positions in the second axis; the last found goes where the item itself is not among them, as
        when it has many exact copies.
    """
    order: NDArray[np.int64] = np.argsort(rows == own[:, None], axis=1, kind="stable")[:, :-1]
    return order


def _lists(values: NDArray[np.generic]) -> pa.Array:
    offsets = np.arange(0, values.size + 1, values.shape[1], dtype=np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(values.ravel()))
