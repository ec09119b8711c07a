"""K-center over pools that do not fit in memory: farthest-first in each cell of an index, down to a common radius.

The centers of all cells together are a bounded set that leaves no point of the pool farther than that radius; exact
greedy k-center on it then makes the picks. Each cell is a small problem of its own, for a task of its own, and what
cells give is merged in any order. Knows the cells of an index and rows of the pool; knows nothing of files or Ray.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from raylabel.sampling.arrays import FloatArray, IndexArray
from raylabel.sampling.cells import Cells, holds
from raylabel.sampling.distances import Rows
from raylabel.sampling.narrow import TopItems, random_priority

SAMPLE_ROWS = 20_000
"""Rows of the sampled cells, together, from which the radius is told; one cell may have more."""

SLACK = 1.2
"""Centers that the radius is to leave, over those wanted: the sample errs, and a center too few is one lost."""

FIRST = float(np.finfo(np.float32).max)
"""Priority of a cell's first center where nothing in it is covered: above all squared distances."""

OVERSAMPLE, CENTERS_PER_CELL = 15, 4
"""Centers wanted for each pick, and for each cell, as far as candidates are not bounded otherwise."""


class Search(NamedTuple):
    """What all cells have in common.

    Args:
        limit: centers wanted of all cells together.
        barred: (b,) int64 rows that may not be picked, ascending.
        covered: (c,) int64 rows that count as picked already, ascending, all of them barred.
    """

    limit: int
    barred: IndexArray
    covered: IndexArray


def num_centers(size: int, *, num_cells: int, most: int) -> int:
    """How many centers to want of all cells together for `size` picks, at most `most`."""
    return min(most, max(OVERSAMPLE * size, CENTERS_PER_CELL * num_cells))


def common_radius(cells: Cells, search: Search) -> float:
    """Tell the radius at which all cells together have somewhat more than `search.limit` centers.

    Greedy's distances in a cell never ascend, so the centers that it has at a radius are those picked from farther
    away, and the radius that leaves a share of the rows is one of the distances in a sample of cells. The sample is a
    random one that depends on the number of cells alone.

    Returns:
        A squared distance, at least 0; -1.0 where every row has to be a center.

    Cost: O(SAMPLE_ROWS * c * D) time with c centers a cell.
    """
    sizes = cells.sizes()
    filled = np.flatnonzero(sizes).astype(np.int64)
    order = filled[np.argsort(-random_priority(filled, seed=0, round_number=0), kind="stable")]
    chosen = order[: 1 + int(np.searchsorted(np.cumsum(sizes[order]), SAMPLE_ROWS))]
    share = min(1.0, SLACK * search.limit / max(int(sizes.sum()), 1))
    distances = [np.empty(0, dtype=np.float32)]
    for cell in chosen.tolist():
        # Cells differ in how many centers they want: far from all of it is enough to tell the radius.
        most = 8 + int(4 * share * sizes[cell])
        distances.append(_greedy(cells, cell, search, radius=-1.0, most=most)[1])
    sampled = np.sort(np.concatenate(distances))[::-1]
    wanted = int(share * int(sizes[chosen].sum()))
    return float(sampled[wanted]) if wanted < len(sampled) else -1.0


def centers(cells: Cells, which: Iterable[int], search: Search, *, radius: float) -> TopItems:
    """Pick centers in some cells until no row of a cell is farther than `radius` from a center or a covered row.

    Args:
        cells: of the index.
        which: the cells to search.
        search: what all cells have in common.
        radius: squared distance, from `common_radius`; below 0 every row becomes a center.

    Returns:
        At most `search.limit` rows; the priority of each is its squared distance to what was picked or covered before
        it in its cell. `merge` those of all cells: what stays has, up to ties, a common radius in all of them, that
        of the priority it ends with. Where nothing in a cell is covered, its first center comes before all others, or,
        with more cells than the limit, has the priority of the distance that it leaves.

    Cost: O(n * c * D) time in the n rows and c centers of each cell; the memory of the largest cell.
    """
    found = TopItems.of(np.empty(0, dtype=np.int64), np.empty(0), limit=search.limit)
    rows: list[IndexArray] = []
    priorities: list[FloatArray] = []
    waiting = 0
    for cell in which:
        some, squared = _greedy(cells, cell, search, radius=radius, most=search.limit)
        rows.append(some)
        priorities.append(squared)
        waiting += len(some)
        if waiting >= search.limit:
            found = _merge(found, rows, priorities)
            rows, priorities, waiting = [], [], 0
    return _merge(found, rows, priorities)


def _merge(found: TopItems, rows: list[IndexArray], priorities: list[FloatArray]) -> TopItems:
    if not rows:
        return found
    return found.merge(TopItems.of(np.concatenate(rows), np.concatenate(priorities), limit=found.limit))


def _greedy(cells: Cells, cell: int, search: Search, *, radius: float, most: int) -> tuple[IndexArray, FloatArray]:
    """Farthest-first in one cell: rows in pick order, and their squared distances to all before; ties by lowest row."""
    rows, vectors = cells.vectors(cell)
    known, free = holds(search.covered, rows), ~holds(search.barred, rows)
    rows, covered, vectors = rows[free], vectors[known], vectors[free]
    picked: list[int] = []
    far: list[float] = []
    nearest, measured = np.full(len(rows), np.inf, dtype=np.float32), Rows(vectors)
    for point in covered:
        np.minimum(nearest, measured.from_point(point), out=nearest)
    if len(rows) and not len(covered):
        # Nothing to be far from: the row nearest to the cell's mean leaves the least to the others.
        mean = vectors.mean(axis=0, dtype=np.float64).astype(np.float32)
        _pick(int(measured.from_point(mean).argmin()), nearest, measured, picked)
        far.append(FIRST if len(cells) <= search.limit else max(float(nearest.max()), 0.0))
    most = min(most, len(rows))
    # Picked rows are below every distance, so that copies still yield each of them once.
    while len(picked) < most and nearest[place := int(nearest.argmax())] > radius:
        far.append(float(nearest[place]))
        _pick(place, nearest, measured, picked)
    return rows[np.array(picked, dtype=np.int64)], np.array(far, dtype=np.float32)


def _pick(place: int, nearest: FloatArray, measured: Rows, picked: list[int]) -> None:
    np.minimum(nearest, measured.from_point(measured.rows[place]), out=nearest)
    nearest[place] = -1.0
    picked.append(place)
