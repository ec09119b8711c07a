"""Uncertain and unlike each other: Cluster-Margin, made for batches of thousands.

Knows arrays; knows nothing of models or storage. Distances are Euclidean on the embeddings as they come.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, linkage

from raylabel.sampling.arrays import FloatArray, IndexArray
from raylabel.sampling.checks import FLOAT32, check_array, check_size
from raylabel.sampling.distances import condensed_distances

# The paper's k_m = 10 k_t; and a bound, as clustering takes time and memory that grow with its square.
UNCERTAIN_PER_PICK = 10
MAX_UNCERTAIN = 8000


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
        k_m is 10 * size as in the paper, but at most `MAX_UNCERTAIN` and N, and at least `size`; from
        `size` = `MAX_UNCERTAIN` on it is therefore the `size` smallest margins, clustered or not.
        The paper leaves the distance threshold to the user. Here, unless given, it is the smallest that
        leaves at most `size` clusters: it needs no scale, so it fits every backbone; where no distances
        tie it leaves exactly `size`, each pick from a cluster of its own; and copies of one image never
        fall apart into several clusters, as they would if at least `size` were asked for.

    Args:
        embeddings: (N, D) float32.
        margin_scores: (N,) float32 as `uncertainty.margin` gives them: higher = smaller margin.
        size: how many to pick, at most N.
        rng: draws the member at each visit, one integer per pick.
        threshold: average distance up to which clusters are merged, the paper's epsilon, at least 0; None
            for the rule above.

    Returns:
        The picks, as positions in `embeddings`, and their clusters' sizes. Margins of equal size, and
        clusters of equal size (by their lowest member), are taken by lowest position.

    Raises:
        ValueError: `size` is below 1 or exceeds N, lengths differ, a value is not finite, or `threshold`
            is negative.

    Cost: O(k_m² * D) time and about 8 * k_m² bytes of memory (0.5 GB at 8,000); O(N log N) to find the k_m.
    Source: Citovsky et al. 2021, arXiv 2107.14263, Algorithms 1 and 2.
    """
    check_array("embeddings", embeddings, shape=("N", "D"), dtypes=FLOAT32)
    check_array("margin_scores", margin_scores, shape=(len(embeddings),), dtypes=FLOAT32)
    check_size(size, available=len(embeddings))
    if threshold is not None and not threshold >= 0:
        raise ValueError(f"threshold: got {threshold}, expected at least 0")
    num_uncertain = max(size, min(len(embeddings), UNCERTAIN_PER_PICK * size, MAX_UNCERTAIN))
    # Ascending positions, so that the lowest member of a cluster is its first.
    uncertain = np.sort(np.argsort(-margin_scores, kind="stable")[:num_uncertain]).astype(np.int64)
    labels = _cluster(embeddings[uncertain], max_clusters=size, threshold=threshold)
    by_label = np.argsort(labels, kind="stable")
    ends = np.flatnonzero(np.diff(labels[by_label])) + 1
    clusters = [members.tolist() for members in np.split(uncertain[by_label], ends)]
    clusters.sort(key=lambda members: (len(members), members[0]))
    return _round_robin(clusters, size=size, rng=rng)


def _cluster(embeddings: FloatArray, *, max_clusters: int, threshold: float | None) -> NDArray[np.int32] | IndexArray:
    """Label each of (n, D) embeddings with its cluster, by average-linkage HAC (Algorithm 1)."""
    num_items = len(embeddings)
    if num_items == 1 or (threshold is None and num_items <= max_clusters):
        return np.arange(num_items)
    tree = linkage(condensed_distances(np.ascontiguousarray(embeddings)), method="average")
    # n - c merges leave c clusters, and the tree lists its merges by ascending distance.
    cut = tree[num_items - max_clusters - 1, 2] if threshold is None else threshold
    labels: NDArray[np.int32] = fcluster(tree, cut, criterion="distance")
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
