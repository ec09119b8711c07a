"""Clusters of embeddings, and the items that stand for them: k-means, typical items, uncertain items.

Knows arrays; knows nothing of models or storage. Distances are Euclidean on the embeddings as they come.
"""

from __future__ import annotations

from typing import NamedTuple

import faiss
import numpy as np
from numpy.typing import NDArray

from raylabel.sampling.arrays import FloatArray, IndexArray
from raylabel.sampling.checks import FLOAT32, check_array, check_size

ITERATIONS = 25
POINTS_PER_CLUSTER = 256
"""A cluster's centre is found from so many points at most, drawn at random; all points are then assigned to it."""

UNCERTAIN_PER_PICK = 10
MAX_CLUSTERS = 500
NEIGHBOURS = 20
LEAST_MEMBERS = 5


class Clusters(NamedTuple):
    """A partition.

    Args:
        centers: (k, D) float32 means.
        labels: (N,) int64 cluster of each row.
        squared: (N,) float32 squared distance of each row to its center.
    """

    centers: FloatArray
    labels: IndexArray
    squared: FloatArray


class ClusterPicks(NamedTuple):
    """Items that stand for clusters.

    Args:
        positions: (size,) int64 positions in the candidates, in pick order, without repeats.
        scores: (size,) float32; what they are, the function says.
        cluster_sizes: (size,) int64 members of the cluster of each pick, itself included.
    """

    positions: IndexArray
    scores: FloatArray
    cluster_sizes: IndexArray


def k_means(
    rows: FloatArray, num_clusters: int, *, rng: np.random.Generator, weights: FloatArray | None = None
) -> Clusters:
    """Lloyd's k-means from a k-means++ start, by FAISS.

    Args:
        rows: (N, D) float32.
        num_clusters: k, at most N.
        rng: draws the seed of start and subsample, one integer.
        weights: (N,) float32 of each row in its center's mean, above 0; all equal where None.

    Raises:
        ValueError: k is out of range, or a value is not finite.

    Cost: O(min(N, 256 k) * k * D) time an iteration, 25 of them; O(N + k * D) memory.
    Source: Lloyd 1982; Arthur and Vassilvitskii 2007.
    """
    check_array("rows", rows, shape=("N", "D"), dtypes=FLOAT32)
    check_size(num_clusters, available=len(rows))
    rows = np.ascontiguousarray(rows)
    settings = faiss.ClusteringParameters()
    settings.niter = ITERATIONS
    settings.seed = int(rng.integers(2**31 - 1))
    settings.init_method = faiss.ClusteringInitMethod_KMEANS_PLUS_PLUS
    settings.min_points_per_centroid = 1  # it would print a warning, and nothing else
    # A subsample would lose its weights' rows: with weights, everything counts.
    settings.max_points_per_centroid = POINTS_PER_CLUSTER if weights is None else len(rows)
    clustering = faiss.Clustering(rows.shape[1], num_clusters, settings)
    index = faiss.IndexFlatL2(rows.shape[1])
    clustering.train(rows, index, weights)
    squared, labels = index.search(rows, 1)
    centers = faiss.vector_to_array(clustering.centroids).reshape(num_clusters, rows.shape[1])
    return Clusters(centers, labels[:, 0].astype(np.int64), np.maximum(squared[:, 0], 0.0))


def nearest_to_centers(embeddings: FloatArray, *, size: int, rng: np.random.Generator) -> ClusterPicks:
    """Pick the candidate nearest to each of `size` centers of k-means.

    Larger clusters come first. Where copies of an item leave a cluster empty, it gives none and the next nearest
    candidates of the largest clusters take its place.

    Args:
        embeddings: (N, D) float32.
        size: how many to pick, at most N.
        rng: as in `k_means`.

    Returns:
        The picks; a score is minus the distance to the center.

    Raises:
        ValueError: `size` is out of range, or a value is not finite.

    Cost: that of `k_means` with `size` clusters.
    Source: Pourahmadi, Nooralinejad and Pirsiavash 2021, arXiv 2110.12033 (k-means).
    """
    return _round_robin(k_means(embeddings, size, rng=rng), size=size)


def weighted_k_means(
    embeddings: FloatArray, margin_scores: FloatArray, *, size: int, rng: np.random.Generator
) -> ClusterPicks:
    """Pick the candidates nearest to the centers of the uncertain ones, which the more uncertain pull harder.

    The 10 * size candidates of smallest margin are clustered, each with its margin score as its weight.

    Args:
        embeddings: (N, D) float32.
        margin_scores: (N,) float32 as `uncertainty.margin` gives them: higher = smaller margin.
        size: how many to pick, at most N.
        rng: as in `k_means`.

    Returns:
        The picks; a score is minus the distance to the center.

    Raises:
        ValueError: `size` is out of range, lengths differ, or a value is not finite.

    Cost: that of `k_means` on 10 * size rows, all of which count; O(N log N) to find them.
    Source: Zhdanov 2019, arXiv 1901.05954, section 3 (beta = 10).
    """
    check_array("embeddings", embeddings, shape=("N", "D"), dtypes=FLOAT32)
    check_array("margin_scores", margin_scores, shape=(len(embeddings),), dtypes=FLOAT32)
    check_size(size, available=len(embeddings))
    uncertain = np.sort(np.argsort(-margin_scores, kind="stable")[: UNCERTAIN_PER_PICK * size]).astype(np.int64)
    # A weight of 0 would leave a center without a mean.
    weights = np.maximum(margin_scores[uncertain], 1e-6)
    picks = _round_robin(k_means(embeddings[uncertain], size, rng=rng, weights=weights), size=size)
    return picks._replace(positions=uncertain[picks.positions])


def typical(embeddings: FloatArray, *, covered: FloatArray, size: int, rng: np.random.Generator) -> ClusterPicks:
    """Pick the most typical candidate of each of the largest clusters in which nothing is labeled.

    Candidates and labeled items together are cut into as many clusters as there will be labeled items, at most 500.
    Clusters are visited from those with the fewest labeled items, larger ones first, and once more from the start
    when all were. Typicality is the inverse of the mean distance to the 20 nearest members of the cluster.

    Deviation from the paper's code: clusters of fewer than 5 members are visited last, not never, so that there are
    always `size` picks.

    Args:
        embeddings: (N, D) float32.
        covered: (L, D) float32 embeddings of what is labeled; L may be 0.
        size: how many to pick, at most N.
        rng: as in `k_means`.

    Returns:
        The picks; a score is the typicality.

    Raises:
        ValueError: `size` is out of range, the dimensions differ, or a value is not finite.

    Cost: that of `k_means`, and O(n² * D) time in each visited cluster of n members.
    Source: Hacohen, Dekel and Weinshall 2022, arXiv 2202.02794, Algorithm 1 and equation 4.
    """
    check_array("embeddings", embeddings, shape=("N", "D"), dtypes=FLOAT32)
    check_array("covered", covered, shape=("L", embeddings.shape[1]), dtypes=FLOAT32)
    check_size(size, available=len(embeddings))
    rows = np.concatenate([embeddings, covered])
    labels = k_means(rows, min(len(covered) + size, MAX_CLUSTERS, len(rows)), rng=rng).labels
    num_covered = np.bincount(labels[len(embeddings) :], minlength=int(labels.max()) + 1)
    clusters = _members(labels[: len(embeddings)])
    clusters.sort(
        key=lambda members: (
            len(members) < LEAST_MEMBERS,
            num_covered[labels[members[0]]],
            -len(members),
            members[0],
        )
    )
    # No more than these are visited: each of them has a member to give.
    ranked = []
    for members in clusters[:size]:
        scores = typicality(embeddings[members])
        order = np.argsort(-scores, kind="stable")
        ranked.append((members[order], scores[order]))
    return _visit(ranked, size)


def typicality(members: FloatArray) -> FloatArray:
    """The inverse of each row's mean distance to its 20 nearest other rows, or to as many as there are.

    Args:
        members: (n, D) float32.

    Returns:
        (n,) float32; 0 for a row that is alone. Of copies, 1e5.

    Cost: O(n² * D) time, O(n) memory.
    """
    count = min(NEIGHBOURS, len(members) - 1)
    if count < 1:
        return np.zeros(len(members), dtype=np.float32)
    members = np.ascontiguousarray(members)
    index = faiss.IndexFlatL2(members.shape[1])
    index.add(members)
    squared, _ = index.search(members, count + 1)
    # A row's own distance of 0 is among them; of copies it need not come first, but it is one of the zeros.
    mean = np.sqrt(np.maximum(squared, 0.0)).sum(axis=1, dtype=np.float64) / count
    found: FloatArray = (1.0 / (mean + 1e-5)).astype(np.float32)
    return found


def _members(labels: IndexArray) -> list[IndexArray]:
    """Positions of each cluster that is not empty, ascending."""
    order = np.argsort(labels, kind="stable").astype(np.int64)
    ends = np.flatnonzero(np.diff(labels[order])) + 1
    return [members for members in np.split(order, ends) if len(members)]


def _round_robin(found: Clusters, *, size: int) -> ClusterPicks:
    clusters = _members(found.labels)
    clusters.sort(key=lambda members: (-len(members), members[0]))
    ranked = []
    for members in clusters:
        order = np.argsort(found.squared[members], kind="stable")
        ranked.append((members[order], -np.sqrt(found.squared[members][order])))
    return _visit(ranked, size)


def _visit(clusters: list[tuple[IndexArray, NDArray[np.float32]]], size: int) -> ClusterPicks:
    """Take the first member of each cluster in turn, then the second of each, until there are `size`."""
    positions: list[int] = []
    scores: list[float] = []
    sizes: list[int] = []
    turn = 0
    while len(positions) < size:
        for members, of_members in clusters:
            if turn < len(members) and len(positions) < size:
                positions.append(int(members[turn]))
                scores.append(float(of_members[turn]))
                sizes.append(len(members))
        turn += 1
    return ClusterPicks(np.array(positions, np.int64), np.array(scores, np.float32), np.array(sizes, np.int64))
