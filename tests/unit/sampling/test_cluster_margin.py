import itertools
import math

import numpy as np
import pytest

from raylabel.sampling import cluster_margin as module
from raylabel.sampling.cluster_margin import cluster_margin


def average_linkage(points, stop):
    """Algorithm 1: merge the two closest clusters until `stop(number of clusters, their distance)`."""
    clusters = [[i] for i in range(len(points))]
    while len(clusters) > 1:
        distances = {
            (a, b): float(np.mean([math.dist(points[i], points[j]) for i in clusters[a] for j in clusters[b]]))
            for a, b in itertools.combinations(range(len(clusters)), 2)
        }
        (a, b), distance = min(distances.items(), key=lambda entry: entry[1])
        if stop(len(clusters), distance):
            break
        clusters[a] = sorted(clusters[a] + clusters.pop(b))
    return clusters


def reference(points, scores, size, rng, threshold=None):
    """Algorithm 2 on the most uncertain points, written as the paper does; picks and their clusters."""
    by_margin = sorted(range(len(points)), key=lambda i: (-scores[i], i))
    uncertain = sorted(by_margin[: min(len(points), 10 * size)])
    if threshold is None:
        groups = average_linkage(points[uncertain], lambda number, _: number <= size)
    else:
        groups = average_linkage(points[uncertain], lambda _, distance: distance > threshold)
    clusters = sorted(([uncertain[i] for i in group] for group in groups), key=lambda c: (len(c), c[0]))
    left = [list(cluster) for cluster in clusters]
    picks, sizes, j = [], [], 0
    while len(picks) < size:
        member = left[j][rng.integers(len(left[j]))]
        left[j].remove(member)
        picks.append(member)
        sizes.append(len(clusters[j]))
        unsaturated = [k for k in range(len(left)) if left[k]]
        # The next cluster that has members left; past the largest, the smallest that has.
        j = next((k for k in unsaturated if k > j), unsaturated[0] if unsaturated else -1)
    return picks, sizes


def blobs(seed, num_points, dimensions=3):
    rng = np.random.default_rng(seed)
    centers = rng.normal(scale=6, size=(7, dimensions))
    points = centers[rng.integers(7, size=num_points)] + rng.normal(size=(num_points, dimensions))
    return points.astype(np.float32), rng.random(num_points, dtype=np.float32)


@pytest.mark.parametrize(("seed", "size"), [(0, 1), (1, 3), (2, 5), (3, 8), (4, 40)])
def test_matches_the_paper_written_plainly(seed, size):
    points, scores = blobs(seed, 40)
    got = cluster_margin(points, scores, size=size, rng=np.random.default_rng(seed))
    picks, sizes = reference(points, scores, size, np.random.default_rng(seed))
    assert got.positions.tolist() == picks
    assert got.cluster_sizes.tolist() == sizes
    assert got.positions.dtype == np.int64


@pytest.mark.parametrize("threshold", [0.0, 1.5, 4.0, 1e6])
def test_matches_the_paper_for_a_given_threshold(threshold):
    points, scores = blobs(7, 40)
    got = cluster_margin(points, scores, size=12, rng=np.random.default_rng(3), threshold=threshold)
    picks, sizes = reference(points, scores, 12, np.random.default_rng(3), threshold)
    assert got.positions.tolist() == picks
    assert got.cluster_sizes.tolist() == sizes


def line(*places):
    return np.array(places, np.float32)[:, None]


def test_round_robin_by_hand():
    # Clusters by place: 100 alone, 50 twice, 0 four times. One of each, smallest first, then again.
    places = (0, 50, 0, 100, 0, 50, 0)
    scores = np.full(7, 0.5, np.float32)
    for seed in range(10):
        picks = cluster_margin(line(*places), scores, size=6, rng=np.random.default_rng(seed), threshold=10)
        assert [places[position] for position in picks.positions] == [100, 50, 0, 50, 0, 0]
        assert picks.cluster_sizes.tolist() == [1, 2, 4, 2, 4, 4]


def test_copies_stay_together_without_a_threshold():
    # No threshold leaves 4 clusters of these 9, as copies are at distance 0: three groups share the picks.
    places = (0, 0, 0, 5, 5, 5, 9, 9, 9)
    picks = cluster_margin(line(*places), np.full(9, 0.5, np.float32), size=4, rng=np.random.default_rng(0))
    assert [places[position] for position in picks.positions] == [0, 5, 9, 0]
    assert picks.cluster_sizes.tolist() == [3, 3, 3, 3]


def test_picks_come_from_the_smallest_margins_alone():
    scores = np.linspace(0, 1, 100, dtype=np.float32)
    points = np.random.default_rng(0).standard_normal((100, 4)).astype(np.float32)
    picked = [
        int(position)
        for seed in range(30)
        for position in cluster_margin(points, scores, size=2, rng=np.random.default_rng(seed)).positions
    ]
    assert min(picked) >= 80
    # Not the two smallest margins alone: the member is drawn, as in the paper.
    assert len(set(picked)) > 2


def test_equal_margins_are_taken_by_lowest_position():
    # 1,000 items of two margins in random order: enough for a sort that is not stable to show itself.
    uncertain = np.random.default_rng(1).random(1000) < 0.5
    points = np.random.default_rng(0).standard_normal((1000, 4)).astype(np.float32)
    lowest_ten = set(np.flatnonzero(uncertain)[:10].tolist())
    for seed in range(20):
        picks = cluster_margin(
            points, np.where(uncertain, 0.9, 0.2).astype(np.float32), size=1, rng=np.random.default_rng(seed)
        )
        assert int(picks.positions[0]) in lowest_ten
        assert picks.cluster_sizes.tolist() == [10]


def test_equal_clusters_are_taken_by_lowest_member():
    # Pairs far from each other: three clusters of two, the one that holds position 0 first.
    places = (40, 20, 0, 0, 40, 20)
    picks = cluster_margin(line(*places), np.ones(6, np.float32), size=3, rng=np.random.default_rng(0))
    assert [places[position] for position in picks.positions] == [40, 20, 0]


def small_cells(monkeypatch, *, exact=20, cell=10, most=100):
    for name, value in (("MAX_EXACT", exact), ("CELL_ROWS", cell), ("MAX_CELL", most)):
        monkeypatch.setattr(module, name, value)


def test_ten_times_the_size_at_any_size(monkeypatch):
    small_cells(monkeypatch, exact=5)
    points, _ = blobs(1, 60)
    scores = np.arange(60, dtype=np.float32) / 60
    picked = [
        int(position)
        for seed in range(40)
        for position in cluster_margin(points, scores, size=3, rng=np.random.default_rng(seed)).positions
    ]
    assert min(picked) >= 30
    assert len(set(picked)) > 20


def reference_in_cells(points, cells, size, rng):
    """Average linkage in each cell, cut where `size` clusters are left of all; then Algorithm 2."""
    heights = []
    for cell in cells:
        average_linkage(points[cell], lambda _, distance: heights.append(distance))
    for cut in sorted(heights):
        groups = [
            [int(cell[i]) for i in group]
            for cell in cells
            for group in average_linkage(points[cell], lambda _, distance, cut=cut: distance > cut + 1e-9)
        ]
        if len(groups) <= size:
            break
    clusters = sorted((sorted(group) for group in groups), key=lambda c: (len(c), c[0]))
    left, picks = [list(cluster) for cluster in clusters], []
    while len(picks) < size:
        for members in left:
            if members and len(picks) < size:
                picks.append(members.pop(int(rng.integers(len(members)))))
    return picks, clusters


@pytest.mark.parametrize(("seed", "size"), [(0, 7), (1, 12), (2, 25)])
def test_above_the_bound_each_cell_is_linked_by_itself(monkeypatch, seed, size):
    small_cells(monkeypatch)
    points, scores = blobs(seed, 60)
    got = cluster_margin(points, scores, size=size, rng=np.random.default_rng(seed))
    rng = np.random.default_rng(seed)
    cells = module._cells(points, rng=rng)
    assert len(cells) > 3
    assert sorted(np.concatenate(cells).tolist()) == list(range(60))
    picks, clusters = reference_in_cells(points, cells, size, rng)
    assert len(clusters) == size
    assert got.positions.tolist() == picks


def test_cells_that_lie_apart_change_no_cluster(monkeypatch):
    """Six tight groups far from each other: their clusters are those of exact linkage."""
    rng = np.random.default_rng(0)
    places = np.repeat(np.arange(6) * 100.0, 10) + rng.random(60)
    whole = cluster_margin(line(*places), np.ones(60, np.float32), size=6, rng=np.random.default_rng(0))
    small_cells(monkeypatch)
    celled = cluster_margin(line(*places), np.ones(60, np.float32), size=6, rng=np.random.default_rng(0))
    assert celled.cluster_sizes.tolist() == whole.cluster_sizes.tolist() == [10] * 6
    assert sorted(celled.positions // 10) == [0, 1, 2, 3, 4, 5]


def test_copies_fill_more_than_a_cell(monkeypatch):
    small_cells(monkeypatch, most=8)
    points, scores = np.zeros((50, 3), np.float32), np.ones(50, np.float32)
    picks = cluster_margin(points, scores, size=5, rng=np.random.default_rng(0))
    # Runs of 8 by position, and the two that are left.
    assert picks.cluster_sizes.tolist() == [2, 8, 8, 8, 8]
    assert [int(position) // 8 for position in picks.positions] == [6, 0, 1, 2, 3]


def test_one_candidate():
    picks = cluster_margin(line(3), np.ones(1, np.float32), size=1, rng=np.random.default_rng(0), threshold=1)
    assert (picks.positions.tolist(), picks.cluster_sizes.tolist()) == ([0], [1])


def test_same_seed_same_picks_other_seed_others():
    points, scores = blobs(5, 200)
    runs = [
        cluster_margin(points, scores, size=10, rng=np.random.default_rng(seed)).positions.tolist()
        for seed in (1, 1, 2)
    ]
    assert runs[0] == runs[1] != runs[2]


def test_errors():
    rng = np.random.default_rng(0)
    points, scores = blobs(0, 5)
    with pytest.raises(ValueError, match="size: 6 requested / 5 available"):
        cluster_margin(points, scores, size=6, rng=rng)
    with pytest.raises(ValueError, match=r"margin_scores: got shape \(4,\), expected \(5,\)"):
        cluster_margin(points, scores[:4], size=1, rng=rng)
    with pytest.raises(ValueError, match=r"margin_scores: got nan at \[0\]"):
        cluster_margin(points, np.full(5, np.nan, np.float32), size=1, rng=rng)
    with pytest.raises(ValueError, match=r"embeddings: got nan at \[0, 0\]"):
        cluster_margin(points * np.float32(np.nan), scores, size=1, rng=rng)
    for threshold in (-1.0, math.nan):
        with pytest.raises(ValueError, match=f"threshold: got {threshold}, expected at least 0"):
            cluster_margin(points, scores, size=1, rng=rng, threshold=threshold)
