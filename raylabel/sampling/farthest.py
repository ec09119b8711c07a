"""Greedy k-center on large sets: the picks of `diversity.farthest_first`, found with matrix products.

A matrix product, inexact and added up in another order on another number of threads, only rules out the pairs that
cannot matter, by a bound on its rounding error. Every distance that is kept is taken difference by difference, so the
picks are those of the plain greedy, on any number of threads. Knows arrays; knows nothing of cells or storage.
"""

from __future__ import annotations

import faiss
import numpy as np

from raylabel.sampling.arrays import FloatArray, IndexArray
from raylabel.sampling.checks import FLOAT32, check_array, check_size
from raylabel.sampling.distances import squared_distances
from raylabel.sampling.diversity import CenterPicks

WINDOWS = (16, 1024)
"""The farthest points among which picks are looked for before all others are brought up to date: fewest and most."""

POINTS = 512
PRODUCTS = 1 << 20
"""Points in a matrix product, and entries of it, so that it stays in a core's caches."""


def farthest_first_by_blocks(
    pool: FloatArray, *, covered: FloatArray, size: int, rng: np.random.Generator
) -> CenterPicks:
    """Pick as `diversity.farthest_first` does, several times as fast on large sets.

    Distances to a pick only ever shrink. So the next picks lie among the farthest points of now, as long as one of
    those is farther than the farthest of all others was: a window of them is searched by itself, and all points
    are then held against its picks at once.

    Args:
        pool: (N, D) float32 embeddings.
        covered: (M, D) float32 embeddings that count as picked already; M may be 0.
        size: how many to pick, at most N.
        rng: draws the first pick where nothing is covered; not used otherwise.

    Returns:
        The picks; ties break by lowest position.

    Raises:
        ValueError: `size` is below 1 or exceeds N, the dimensions differ, or a value is not finite.

    Cost: O(N * (M + size) * D) time, as matrix products; O(N) memory beside a copy of arrays that are not contiguous.
    Source: Sener and Savarese 2018, Algorithm 1.
    """
    check_array("pool", pool, shape=("N", "D"), dtypes=FLOAT32)
    check_array("covered", covered, shape=("M", pool.shape[1]), dtypes=FLOAT32)
    check_size(size, available=len(pool))
    pool = np.ascontiguousarray(pool)
    nearest, lengths = np.full(len(pool), np.inf, dtype=np.float32), squared_lengths(pool)
    approach(nearest, pool, np.ascontiguousarray(covered), lengths=lengths)
    positions, squared = np.empty(size, dtype=np.int64), np.empty(size, dtype=np.float32)
    done, window = 0, WINDOWS[0]
    if len(covered) == 0:
        positions[0] = rng.integers(len(pool))
        nearest = squared_distances(pool[positions[0]], pool)
        nearest[positions[0]] = -1.0
        squared[0] = max(float(nearest.max()), 0.0)
        done = 1
    while done < size:
        found, far = _search(nearest, pool, window=window, size=size - done)
        positions[done : done + len(found)], squared[done : done + len(found)] = found, far
        done += len(found)
        if done < size:
            approach(nearest, pool, pool[found], lengths=lengths)
            # Below every distance, so that a pool of equal points still yields each of them once.
            nearest[found] = -1.0
        if 2 * len(found) > window or 8 * len(found) < window:
            window = min(max(window * 2 if 2 * len(found) > window else window // 2, WINDOWS[0]), WINDOWS[1])
    return CenterPicks(positions, np.sqrt(squared))


def _search(nearest: FloatArray, pool: FloatArray, *, window: int, size: int) -> tuple[IndexArray, FloatArray]:
    """Take the next picks, at least one, from the `window` farthest points; with their squared distances."""
    first, beyond = int(np.argmax(nearest)), -1.0
    inside = np.arange(len(nearest))
    if window < len(nearest):
        order = np.argpartition(nearest, len(nearest) - window - 1)
        beyond = float(nearest[order[-window - 1]])
        inside = np.sort(order[-window:])
    if nearest[first] <= beyond:
        # As many are as far as the farthest: which of them comes first is a matter of all positions.
        inside, beyond = np.array([first]), -1.0
    rows, left = pool[inside], nearest[inside]
    found: list[int] = []
    far: list[float] = []
    # argmax takes the first of equals, which is the tie-break; beyond this window one may be equal and come first.
    while len(found) < size and left[place := int(np.argmax(left))] > beyond:
        found.append(int(inside[place]))
        far.append(float(left[place]))
        np.minimum(left, squared_distances(rows[place], rows), out=left)
        left[place] = -1.0
    return np.array(found, dtype=np.int64), np.array(far, dtype=np.float32)


def squared_lengths(rows: FloatArray) -> FloatArray:
    """(N,) float32 squared lengths of (N, D) rows."""
    lengths: FloatArray = np.einsum("nd,nd->n", rows, rows)
    return lengths


def approach(nearest: FloatArray, rows: FloatArray, points: FloatArray, *, lengths: FloatArray) -> None:
    """Lower each row's squared distance to the nearest point, in place, where one of `points` is nearer.

    Args:
        nearest: (N,) float32 squared distances so far, changed in place; infinite where there is none.
        rows: (N, D) float32, C-contiguous.
        points: (M, D) float32, C-contiguous; M may be 0.
        lengths: (N,) float32 `squared_lengths` of the rows.

    Cost: O(N * M * D) time, as matrix products.
    """
    for start in range(0, len(points), POINTS):
        some = points[start : start + POINTS]
        step = max(1, PRODUCTS // len(some))
        their_lengths = squared_lengths(some)
        doubled = np.ascontiguousarray(-2.0 * some.T)
        # Bounds, added up: the product's error and the kept distance's own, each (D + 8) / 2**24 at most.
        slack = np.float32(4 * (rows.shape[1] + 8) * 2.0**-24) * (lengths + their_lengths.max())
        for begin in range(0, len(rows), step):
            part = slice(begin, begin + step)
            product = rows[part] @ doubled
            product += their_lengths
            best = product.min(axis=1)
            near = np.flatnonzero(best <= nearest[part] - lengths[part] + slack[part])
            if len(near):
                _keep(nearest, rows, some, near + begin, product[near] <= (best[near] + 2 * slack[part][near])[:, None])


def _keep(nearest: FloatArray, rows: FloatArray, points: FloatArray, near: IndexArray, pairs: np.ndarray) -> None:
    """Measure the pairs (row near[i], point j) that are set in `pairs` (len(near), M), at least one for each row."""
    which, points_of = (np.ascontiguousarray(found) for found in np.nonzero(pairs))
    rows_of = near[which]
    squared = np.empty(len(which), dtype=np.float32)
    faiss.pairwise_indexed_L2sqr(  # type: ignore[attr-defined]  # as in distances.py
        rows.shape[1], len(which), *(faiss.swig_ptr(array) for array in (rows, rows_of, points, points_of, squared))
    )
    # Pairs come row by row.
    starts = np.flatnonzero(np.diff(which, prepend=-1))
    nearest[near] = np.minimum(nearest[near], np.minimum.reduceat(squared, starts))
