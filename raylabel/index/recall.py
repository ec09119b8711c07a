"""Measure recall: neighbours that an index finds against exact ones, which are counted part by part and merged."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from raylabel import runtime
from raylabel.campaign import Campaign
from raylabel.index.add import Run
from raylabel.index.bulk import neighbours
from raylabel.index.device import inverted_file, threads
from raylabel.index.pool import others
from raylabel.workspace import Part, read_part
from raylabel.workspace.indexes import open_index
from raylabel.workspace.vectors import embeddings_of

NEAREST = 10
ENOUGH = 0.95
GAIN = 0.01
"""Twice the probes that bring less than this, below `ENOUGH`, are not worth it: the codes are what limits recall."""


@dataclass(frozen=True, eq=False)
class Nearest:
    """The nearest items of each query among those seen so far; ties keep the lowest row.

    Args:
        distances: (Q, k) float32, squared, ascending; infinite where fewer were seen.
        rows: (Q, k) int64 pool rows; -1 where fewer were seen.
    """

    distances: NDArray[np.float32]
    rows: NDArray[np.int64]

    def merge(self, other: Nearest) -> Nearest:
        """The nearest of two parts of a pool that share no row; associative and commutative."""
        distances = np.concatenate([self.distances, other.distances], axis=1)
        rows = np.concatenate([self.rows, other.rows], axis=1)
        order = np.lexsort((rows, distances), axis=1)[:, : self.rows.shape[1]]
        return Nearest(np.take_along_axis(distances, order, axis=1), np.take_along_axis(rows, order, axis=1))


@dataclass(frozen=True)
class FindNearest:
    """The exact neighbours of the queries in one run of parts, without the queries themselves.

    Args:
        campaign: in whose workspace.
        queries: the part that holds them.
    """

    campaign: Campaign
    queries: Part

    def __call__(self, run: Run) -> Nearest:
        """Cost: 2 * queries * dim operations an item. Memory: one part, and 4 bytes for each query and item of it."""
        table = read_part(self.campaign.store, self.queries)
        own, vectors = table.column("row").to_numpy(), embeddings_of(table).astype(np.float32)
        shape = (len(own), NEAREST)
        found = Nearest(np.full(shape, np.inf, dtype=np.float32), np.full(shape, -1, dtype=np.int64))
        with threads(1):
            for part in run.parts:
                found = found.merge(_nearest(self.campaign, part, vectors, own))
        return found


def _nearest(campaign: Campaign, part: Part, vectors: NDArray[np.float32], own: NDArray[np.int64]) -> Nearest:
    table = read_part(campaign.store, part, columns=["row", "embedding"])
    rows = table.column("row").to_numpy()
    distances, positions = faiss.knn(vectors, embeddings_of(table).astype(np.float32), NEAREST + 1)
    named = np.where(positions >= 0, rows[positions], -1)
    distances = np.where((named == own[:, None]) | (named < 0), np.float32(np.inf), distances)
    named = np.where(np.isinf(distances), -1, named)
    order = np.lexsort((named, distances), axis=1)[:, :NEAREST]
    return Nearest(np.take_along_axis(distances, order, axis=1), np.take_along_axis(named, order, axis=1))


def exact(campaign: Campaign, queries: Part, runs: Iterable[Run]) -> Nearest | None:
    """Exact neighbours over the whole pool: one pass, folded; None where there are no parts."""
    return runtime.fold(FindNearest(campaign, queries), runs, Nearest.merge)


@dataclass(frozen=True)
class Measure:
    """Raise the probes of an index until recall is reached.

    Args:
        campaign: in whose workspace.
        facts: of the index; nprobe is where to begin.
        queries: the part that holds them.
        truth: their exact neighbours.
    """

    campaign: Campaign
    facts: Mapping[str, Any]
    queries: Part
    truth: Nearest

    def __call__(self) -> tuple[int, float]:
        """Returns probes, at most all cells, and recall at 10 with them."""
        table = read_part(self.campaign.store, self.queries)
        own, vectors = table.column("row").to_numpy(), embeddings_of(table).astype(np.float32)
        index = open_index(self.campaign.store, self.facts)
        cells, before = inverted_file(index), 0.0
        with threads():
            while True:
                _, found = neighbours(index, vectors, size=NEAREST + 1)
                recall = recall_of(np.take_along_axis(found, others(found, own), axis=1), self.truth)
                if recall >= ENOUGH or cells.nprobe >= cells.nlist or recall - before < GAIN:
                    return cells.nprobe, recall
                before, cells.nprobe = recall, min(2 * cells.nprobe, cells.nlist)


def recall_of(found: NDArray[np.int64], truth: Nearest) -> float:
    """The share of the true neighbours that were found.

    Queries whose tenth neighbour is at distance 0 are left out: of that many copies any ten are right. 1.0 where no
    query is left.
    """
    says = truth.distances[:, -1] > 0
    wanted, found = truth.rows[says], found[says]
    hits = (wanted[:, :, None] == found[:, None, :]) & (wanted[:, :, None] >= 0)
    return float(hits.sum() / max(1, (wanted >= 0).sum())) if says.any() else 1.0
