"""Cover as much of the pool as can be with balls around the picks: ProbCover.

Knows arrays; knows nothing of models or storage. Distances are Euclidean on the embeddings as they come.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import faiss
import numpy as np
from numpy.typing import NDArray

from raylabel.sampling.arrays import FloatArray, IndexArray
from raylabel.sampling.checks import FLOAT32, check_array, check_size
from raylabel.sampling.clusters import k_means

PURITY = 0.95
SAMPLE = 1_000
BLOCK_ROWS = 1_024


class CoverPicks(NamedTuple):
    """Picks and what each of them covered.

    Args:
        positions: (size,) int64 positions in the candidates, in pick order, without repeats.
        num_covered: (size,) int64 candidates that lay in the pick's ball and in no earlier one, itself included.
        radius: of the balls.
    """

    positions: IndexArray
    num_covered: IndexArray
    radius: float


def pure_radius(embeddings: FloatArray, *, num_clusters: int, rng: np.random.Generator) -> float:
    """The largest radius at which 95 % of the balls hold one cluster only.

    Clusters of k-means stand for the classes that nobody knows yet. A ball is pure as long as its radius is below the
    distance from its center to the nearest item of another cluster.

    Args:
        embeddings: (N, D) float32.
        num_clusters: how many, at most N; the number of classes, if it is known.
        rng: draws the seed of k-means, and the 1,000 items whose balls are looked at.

    Returns:
        The radius; 0 where there is one cluster only.

    Raises:
        ValueError: `num_clusters` is out of range, or a value is not finite.

    Cost: that of `k_means`, and O(1,000 * N * D) time.
    Source: Yehuda et al. 2022, arXiv 2205.11320, section 4.1.
    """
    labels = k_means(embeddings, num_clusters, rng=rng).labels
    sample = np.sort(rng.choice(len(embeddings), min(SAMPLE, len(embeddings)), replace=False))
    nearest = np.full(len(sample), np.inf, dtype=np.float32)
    for label in np.unique(labels):
        mine = labels[sample] == label
        others = np.ascontiguousarray(embeddings[labels != label])
        if mine.any() and len(others):
            index = faiss.IndexFlatL2(embeddings.shape[1])
            index.add(others)
            nearest[mine] = index.search(np.ascontiguousarray(embeddings[sample[mine]]), 1)[0][:, 0]
    if not np.isfinite(nearest).all():
        return 0.0
    return float(np.quantile(np.sqrt(np.maximum(nearest, 0.0)), 1 - PURITY))


def prob_cover(embeddings: FloatArray, *, covered: FloatArray, size: int, radius: float) -> CoverPicks:
    """Pick, one after another, the candidate whose ball holds the most candidates that no ball holds yet.

    Once everything is covered, the candidates whose balls hold the most others follow.

    Args:
        embeddings: (N, D) float32.
        covered: (L, D) float32 embeddings of what is labeled, each with a ball of its own; L may be 0.
        size: how many to pick, at most N.
        radius: of the balls, at least 0; see `pure_radius`.

    Returns:
        The picks; ties break by lowest position.

    Raises:
        ValueError: `size` is out of range, the dimensions differ, a value is not finite, or `radius` is negative.

    Cost: O(N * (N + L) * D) time; 4 bytes for each pair that lies within a radius, N² of them at worst.
    Source: Yehuda et al. 2022, arXiv 2205.11320, Algorithm 1.
    """
    check_array("embeddings", embeddings, shape=("N", "D"), dtypes=FLOAT32)
    check_array("covered", covered, shape=("L", embeddings.shape[1]), dtypes=FLOAT32)
    check_size(size, available=len(embeddings))
    if not radius >= 0:
        raise ValueError(f"radius: got {radius}, expected at least 0")
    balls = _balls(embeddings, embeddings, radius, are_rows=True)
    open_ = np.ones(len(embeddings), dtype=bool)
    for ball in _balls(covered, embeddings, radius):
        open_[ball] = False
    # A ball holds an item exactly if the item's ball holds its center: gains are kept up by going the other way.
    gains = np.array([int(open_[ball].sum()) for ball in balls], dtype=np.int64)
    left = np.array([len(ball) for ball in balls], dtype=np.int64)
    positions = np.empty(size, dtype=np.int64)
    num_covered = np.empty(size, dtype=np.int64)
    for step in range(size):
        position = int(np.argmax(gains)) if gains.max() > 0 else int(np.argmax(left))
        positions[step], num_covered[step] = position, max(int(gains[position]), 0)
        for item in balls[position][open_[balls[position]]]:
            gains[balls[item]] -= 1
        open_[balls[position]] = False
        gains[position] = left[position] = -len(embeddings) - 1
    return CoverPicks(positions, num_covered, radius)


def _balls(centers: FloatArray, rows: FloatArray, radius: float, *, are_rows: bool = False) -> list[NDArray[np.int32]]:
    """The rows within a radius of each center, ascending; where the centers are the rows, each its own among them."""
    index = faiss.IndexFlatL2(rows.shape[1])
    index.add(np.ascontiguousarray(rows))
    found: list[NDArray[np.int32]] = []
    # FAISS takes what is strictly nearer; squared distances of copies come out a little above 0.
    limit = float(np.nextafter(np.float32(radius * radius), np.float32(np.inf)))
    for start in range(0, len(centers), BLOCK_ROWS):
        block = np.ascontiguousarray(centers[start : start + BLOCK_ROWS])
        limits, _, labels = index.range_search(block, limit)
        for first, last in pairwise(limits):
            own = [len(found)] if are_rows else []
            found.append(np.union1d(labels[int(first) : int(last)], own).astype(np.int32))
    return found
