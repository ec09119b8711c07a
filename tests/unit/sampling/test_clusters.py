import math

import faiss
import numpy as np
import pytest

from raylabel.sampling.clusters import k_means, nearest_to_centers, typical, typicality, weighted_k_means


def blobs(*sizes, seed=0, dimensions=3, spread=0.3):
    """Clouds far from each other, the n-th around (20 n, 0, 0)."""
    rng = np.random.default_rng(seed)
    parts = [rng.normal(scale=spread, size=(size, dimensions)) for size in sizes]
    for number, part in enumerate(parts):
        part[:, 0] += 20 * number
    return np.concatenate(parts).astype(np.float32), np.repeat(np.arange(len(sizes)), sizes)


NOTHING = np.zeros((0, 3), np.float32)


def test_k_means_is_at_rest():
    """What Lloyd's steps end at: a center is the mean of its rows, and each row is with its nearest center."""
    rows = np.random.default_rng(0).normal(size=(300, 4)).astype(np.float32)
    found = k_means(rows, 3, rng=np.random.default_rng(1))
    to_centers = np.array([[math.dist(row, center) for center in found.centers] for row in rows])
    assert found.labels.tolist() == to_centers.argmin(axis=1).tolist()
    np.testing.assert_allclose(found.squared, to_centers.min(axis=1) ** 2, rtol=1e-4, atol=1e-5)
    means = np.stack([rows[found.labels == label].mean(axis=0) for label in range(3)])
    assert np.abs(means - found.centers).max() < 0.1  # 25 steps
    inertia = sum(((rows[found.labels == k] - means[k]) ** 2).sum() for k in range(3))
    assert inertia < 0.9 * ((rows - rows.mean(axis=0)) ** 2).sum()


def test_k_means_finds_clouds_from_any_seed():
    rows, truth = blobs(40, 10, 25)
    for seed in range(5):
        labels = k_means(rows, 3, rng=np.random.default_rng(seed)).labels
        assert len(set(zip(labels.tolist(), truth.tolist(), strict=True))) == 3


def test_weights_pull_a_center():
    rows = np.array([[0.0], [1.0], [100.0]], np.float32)
    found = k_means(rows, 2, rng=np.random.default_rng(0), weights=np.array([3, 1, 1], np.float32))
    assert sorted(found.centers.ravel().tolist()) == [0.25, 100.0]


def test_k_means_does_not_depend_on_threads():
    rows = np.random.default_rng(0).normal(size=(3000, 16)).astype(np.float32)
    before, found = faiss.omp_get_max_threads(), []
    try:
        for threads in (1, 2, 3):
            faiss.omp_set_num_threads(threads)
            found.append(k_means(rows, 20, rng=np.random.default_rng(0)).labels.tolist())
    finally:
        faiss.omp_set_num_threads(before)
    assert found[0] == found[1] == found[2]


def test_one_pick_from_each_cloud_nearest_to_its_center_larger_clouds_first():
    rows, truth = blobs(40, 10, 25)
    picks = nearest_to_centers(rows, size=3, rng=np.random.default_rng(0))
    assert truth[picks.positions].tolist() == [0, 2, 1]
    assert picks.cluster_sizes.tolist() == [40, 25, 10]
    for position, score in zip(picks.positions, picks.scores, strict=True):
        mine = truth == truth[position]
        distances = np.linalg.norm(rows[mine] - rows[mine].mean(axis=0), axis=1)
        assert np.flatnonzero(mine)[distances.argmin()] == position
        assert -score == pytest.approx(distances.min(), abs=1e-3)


def test_copies_leave_no_pick_out():
    rows = np.repeat(np.array([[0.0, 0, 0], [9, 0, 0]], np.float32), 4, axis=0)
    picks = nearest_to_centers(rows, size=8, rng=np.random.default_rng(0))
    assert sorted(picks.positions.tolist()) == list(range(8))


def test_only_the_uncertain_are_clustered_and_they_pull_by_their_margin():
    rows, truth = blobs(30, 30)
    scores = np.where(truth == 1, 0.9, 0.1).astype(np.float32)
    scores[35] = 1.0
    picks = weighted_k_means(rows, scores, size=2, rng=np.random.default_rng(0))
    assert set(truth[picks.positions].tolist()) == {1}  # 20 of the 30 uncertain ones are looked at, and no others
    one = weighted_k_means(rows, scores, size=1, rng=np.random.default_rng(0))
    uncertain = np.argsort(-scores, kind="stable")[:10]
    mean = np.average(rows[uncertain], axis=0, weights=scores[uncertain])
    assert one.positions[0] == uncertain[np.linalg.norm(rows[uncertain] - mean, axis=1).argmin()]


def test_typicality_by_hand():
    # Places 0 1 3: mean distances to the two others 2, 1.5, 2.5.
    line = np.array([[0.0], [1.0], [3.0]], np.float32)
    np.testing.assert_allclose(typicality(line), [1 / 2, 1 / 1.5, 1 / 2.5], rtol=1e-4)
    assert typicality(line[:1]).tolist() == [0.0]
    np.testing.assert_allclose(typicality(np.ones((3, 2), np.float32)), 1e5, rtol=1e-3)


def plainly_typical(rows, covered, size, labels):
    """Algorithm 1: clusters with the fewest labeled items, larger ones first; the most typical of each."""
    count = len(rows)
    clusters = {}
    for position in range(count):
        clusters.setdefault(labels[position], []).append(position)
    order = sorted(
        clusters.values(),
        key=lambda c: (len(c) < 5, int((labels[count:] == labels[c[0]]).sum()), -len(c), c[0]),
    )

    def score(position, cluster):
        others = sorted(math.dist(rows[position], rows[other]) for other in cluster if other != position)[:20]
        return 1 / (sum(others) / len(others) + 1e-5) if others else 0.0

    return [max(cluster, key=lambda position: (score(position, cluster), -position)) for cluster in order][:size]


@pytest.mark.parametrize("num_covered", [0, 4])
def test_typical_items_against_the_paper(num_covered):
    rng = np.random.default_rng(2)
    rows = rng.normal(size=(200, 3)).astype(np.float32)
    covered = rng.normal(size=(num_covered, 3)).astype(np.float32)
    picks = typical(rows, covered=covered, size=6, rng=np.random.default_rng(0))
    both = np.concatenate([rows, covered])
    labels = k_means(both, 6 + num_covered, rng=np.random.default_rng(0)).labels
    assert picks.positions.tolist() == plainly_typical(rows, covered, 6, labels)


def test_a_labeled_cloud_comes_last_and_a_tiny_one_after_it():
    rows, truth = blobs(40, 30, 20, 2)
    labeled = rows[:1]
    picks = typical(rows[1:], covered=labeled, size=3, rng=np.random.default_rng(0))
    assert truth[1:][picks.positions].tolist() == [1, 2, 0]
    more = typical(rows[1:], covered=NOTHING, size=4, rng=np.random.default_rng(0))
    assert truth[1:][more.positions].tolist() == [0, 1, 2, 3]


def test_more_picks_than_clusters_go_around_again(monkeypatch):
    monkeypatch.setattr("raylabel.sampling.clusters.MAX_CLUSTERS", 2)
    rows, truth = blobs(20, 10)
    picks = typical(rows, covered=NOTHING, size=30, rng=np.random.default_rng(0))
    assert sorted(picks.positions.tolist()) == list(range(30))
    assert truth[picks.positions].tolist() == [0, 1] * 10 + [0] * 10


def test_refusals():
    rows = np.zeros((3, 2), np.float32)
    with pytest.raises(ValueError, match="size: 4 requested / 3 available"):
        k_means(rows, 4, rng=np.random.default_rng(0))
    with pytest.raises(ValueError, match=r"rows: got nan at \[0, 0\]"):
        k_means(np.full((3, 2), np.nan, np.float32), 1, rng=np.random.default_rng(0))
    with pytest.raises(ValueError, match=r"covered: got shape \(1, 3\), expected \(L, 2\)"):
        typical(rows, covered=np.zeros((1, 3), np.float32), size=1, rng=np.random.default_rng(0))
