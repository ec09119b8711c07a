"""Uncertain and unlike each other: Cluster-Margin, made for batches of thousands.

Knows arrays; knows nothing of models or storage. Distances are Euclidean on the embeddings as they come.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage

from raylabel.sampling.arrays import FloatArray, IndexArray
from raylabel.sampling.checks import FLOAT32, check_array, check_size
from raylabel.sampling.clusters import k_means
from raylabel.sampling.distances import condensed_distances

UNCERTAIN_PER_PICK = 10
"""The paper's k_m = 10 k_t."""

MAX_EXACT = 8000
"""Candidates that are clustered all together; time and memory of that grow with its square."""

CELL_ROWS, MAX_CELL = 500, 2000
"""Above, they are clustered cell by cell: members of a cell on average, and at most."""


class ClusterPicks(NamedTuple):
    """Picks of Cluster-Margin and how many alike each stands for.

    Args:
        positions: (size,) int64 positions in the candidates, in pick order, without repeats.
        cluster_sizes: (size,) int64 uncertain candidates in the cluster of each pick, itself included.
    """

    positions: IndexArray
    cluster_sizes: IndexArray


def cluster_margin(
    embeddings: FloatArray,
    margin_scores: FloatArray,
    *,
    size: int,
    rng: np.random.Generator,
    threshold: float | None = None,
) -> ClusterPicks:
    """Pick among the most uncertain candidates, spread over clusters of alike ones.

    The k_m candidates of smallest margin are clustered by average linkage; clusters are visited from the
    smallest to the largest, one random member at each visit, then again from the smallest with members left.
    Small clusters come first because they lie where uncertain items are sparse, and so differ most.

    Deviations from the paper:
        It clusters the whole pool once and looks the k_m up in those clusters; here the k_m alone are
        clustered, each round anew, so a cluster's size counts uncertain candidates only. Exact average
        linkage over a pool of millions is out of reach, and a round's embeddings may be new ones.
        k_m is 10 * size as in the paper, or N where that is less.
        Above `MAX_EXACT` of them, k-means first cuts them into cells of some `CELL_ROWS`, a cell of more
        than `MAX_CELL` by position. Average linkage then runs in each cell, and all trees are cut at one
        distance. Clusters are those of exact linkage as long as none would reach beyond its cell.
        The paper leaves the distance threshold to the user. Here, unless given, it is the smallest that
        leaves at most `size` clusters: it needs no scale, so it fits every backbone; where no distances
        tie it leaves exactly `size`, each pick from a cluster of its own; and copies of one image never
        fall apart into several clusters, as they would if at least `size` were asked for.

    Args:
        embeddings: (N, D) float32.
        margin_scores: (N,) float32 as `uncertainty.margin` gives them: higher = smaller margin.
        size: how many to pick, at most N.
        rng: draws the seed of the cells where there are any, then the member at each visit: one integer each.
        threshold: average distance up to which clusters are merged, the paper's epsilon, at least 0; None
            for the rule above.

    Returns:
        The picks, as positions in `embeddings`, and their clusters' sizes. Margins of equal size, and
        clusters of equal size (by their lowest member), are taken by lowest position.

    Raises:
        ValueError: `size` is below 1 or exceeds N, lengths differ, a value is not finite, or `threshold`
            is negative.

    Cost: O(N log N) to find the k_m. Up to `MAX_EXACT` of them O(k_m² * D) time and about 8 * k_m² bytes of
        memory (0.5 GB at 8,000); above, O(k_m * (k_m / CELL_ROWS + MAX_CELL) * D) time and O(k_m * D) memory.
    Source: Citovsky et al. 2021, arXiv 2107.14263, Algorithms 1 and 2.
    """
    check_array("embeddings", embeddings, shape=("N", "D"), dtypes=FLOAT32)
    check_array("margin_scores", margin_scores, shape=(len(embeddings),), dtypes=FLOAT32)
    check_size(size, available=len(embeddings))
    if threshold is not None and not threshold >= 0:
        raise ValueError(f"threshold: got {threshold}, expected at least 0")
    # Ascending positions, so that the lowest member of a cluster is its first.
    uncertain = np.sort(np.argsort(-margin_scores, kind="stable")[: UNCERTAIN_PER_PICK * size]).astype(np.int64)
    cells = _cells(embeddings[uncertain], rng=rng)
    labels = _cluster(embeddings[uncertain], cells, max_clusters=size, threshold=threshold)
    by_label = np.argsort(labels, kind="stable")
    ends = np.flatnonzero(np.diff(labels[by_label])) + 1
    clusters = [members.tolist() for members in np.split(uncertain[by_label], ends)]
    clusters.sort(key=lambda members: (len(members), members[0]))
    return _round_robin(clusters, size=size, rng=rng)


def _cells(embeddings: FloatArray, *, rng: np.random.Generator) -> list[IndexArray]:
    """Cut (n, D) embeddings into cells that can be clustered: ascending positions of each; one cell if it is small."""
    if len(embeddings) <= MAX_EXACT:
        return [np.arange(len(embeddings))]
    labels = k_means(embeddings, -(-len(embeddings) // CELL_ROWS), rng=rng).labels
    order = np.argsort(labels, kind="stable")
    cells = np.split(order, np.flatnonzero(np.diff(labels[order])) + 1)
    return [cell[start : start + MAX_CELL] for cell in cells for start in range(0, len(cell), MAX_CELL)]


def _cluster(
    embeddings: FloatArray, cells: list[IndexArray], *, max_clusters: int, threshold: float | None
) -> IndexArray:
    """Label each of (n, D) embeddings with its cluster, by average-linkage HAC in each cell (Algorithm 1)."""
    labels = np.arange(len(embeddings))
    if threshold is None and len(embeddings) <= max_clusters:
        return labels
    several = [cell for cell in cells if len(cell) > 1]
    trees = [linkage(condensed_distances(np.ascontiguousarray(embeddings[cell])), method="average") for cell in several]
    if threshold is None and trees:
        # n - c merges leave c clusters, and a cut undoes none that is nearer than the last of them.
        heights = np.sort(np.concatenate([tree[:, 2] for tree in trees]))
        threshold = heights[min(len(embeddings) - max_clusters, len(heights)) - 1]
    for cell, tree in zip(several, trees, strict=True):
        # A cluster goes by the position of one of its members, so that no two cells share a label.
        of_cell = fcluster(tree, threshold, criterion="distance")
        labels[cell] = cell[np.unique(of_cell, return_index=True)[1]][of_cell - 1]
    return labels


def _round_robin(clusters: list[list[int]], *, size: int, rng: np.random.Generator) -> ClusterPicks:
    """Draw one member per visit from `clusters` in turn until there are `size` (Algorithm 2, lines 7 on)."""
    sizes = [len(members) for members in clusters]
    left = [list(members) for members in clusters]
    positions: list[int] = []
    cluster_sizes: list[int] = []
    while len(positions) < size:
        for members, num_members in zip(left, sizes, strict=True):
            if members and len(positions) < size:
                positions.append(members.pop(int(rng.integers(len(members)))))
                cluster_sizes.append(num_members)
    return ClusterPicks(np.array(positions, dtype=np.int64), np.array(cluster_sizes, dtype=np.int64))
