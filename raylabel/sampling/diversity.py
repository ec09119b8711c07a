"""Spread over the pool whatever a model thinks of it: greedy k-center, also known as core-set.

Knows arrays; knows nothing of models or storage. Distances are Euclidean on the embeddings as they come:
whoever wants cosine distance normalises them first.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from raylabel.sampling.arrays import FloatArray, IndexArray
from raylabel.sampling.checks import FLOAT32, check_array, check_size
from raylabel.sampling.distances import nearest_squared_distances, squared_distances


class CenterPicks(NamedTuple):
    """Picks of greedy k-center and how far each lay from all before it.

    Args:
        positions: (size,) int64 positions in the pool, in pick order, without repeats.
        distances: (size,) float32 Euclidean distance of each pick to the nearest covered or earlier picked
            point. A first pick with nothing covered has none: it carries the distance from it to the
            pool's farthest point, which is the radius it leaves. Never ascending.
    """

    positions: IndexArray
    distances: FloatArray


def k_center_greedy(pool: FloatArray, *, covered: FloatArray, size: int, rng: np.random.Generator) -> IndexArray:
    """Pick points so that every pool point lies near a picked or covered one.

    Each pick is the point farthest from all picked and covered ones; ties break by lowest position.
    The largest remaining distance is at most twice that of the best choice of `size` points.

    Args:
        pool: (N, D) float32 embeddings.
        covered: (M, D) float32 embeddings that count as picked already; M may be 0.
        size: how many to pick, at most N.
        rng: draws the first pick where nothing is covered; not used otherwise.

    Returns:
        (size,) int64 positions in `pool`, in pick order, without repeats.

    Raises:
        ValueError: `size` is below 1 or exceeds N, the dimensions differ, or a value is not finite.

    Cost: O(N * (M + size) * D) time, O(N) memory beside a copy of arrays that are not contiguous.
    Source: Sener and Savarese 2018, Algorithm 1.
    """
    return farthest_first(pool, covered=covered, size=size, rng=rng).positions


def farthest_first(pool: FloatArray, *, covered: FloatArray, size: int, rng: np.random.Generator) -> CenterPicks:
    """Pick as `k_center_greedy` does, and say how far each pick lay from what was covered before it.

    Arguments, errors and cost are those of `k_center_greedy`.
    """
    check_array("pool", pool, shape=("N", "D"), dtypes=FLOAT32)
    check_array("covered", covered, shape=("M", pool.shape[1]), dtypes=FLOAT32)
    check_size(size, available=len(pool))
    pool = np.ascontiguousarray(pool)
    nearest = nearest_squared_distances(pool, np.ascontiguousarray(covered))
    positions = np.empty(size, dtype=np.int64)
    squared = np.empty(size, dtype=np.float32)
    for step in range(size):
        drawn = step == 0 and len(covered) == 0
        # argmax takes the first of equals, which is the tie-break.
        position = int(rng.integers(len(pool))) if drawn else int(np.argmax(nearest))
        squared[step] = nearest[position]
        np.minimum(nearest, squared_distances(pool[position], pool), out=nearest)
        # Below every distance, so that a pool of equal points still yields each of them once.
        nearest[position] = -1.0
        positions[step] = position
        if drawn:
            squared[step] = max(float(nearest.max()), 0.0)
    return CenterPicks(positions, np.sqrt(squared))
