import math

import numpy as np
import pytest

from raylabel.sampling.clusters import k_means
from raylabel.sampling.cover import prob_cover, pure_radius


def plain(embeddings, covered, size, radius):
    """Algorithm 1 with sets; whole numbers, so that distances are exact."""
    balls = [{j for j, b in enumerate(embeddings) if math.dist(a, b) <= radius} for a in embeddings]
    open_ = set(range(len(embeddings)))
    for center in covered:
        open_ -= {j for j, b in enumerate(embeddings) if math.dist(center, b) <= radius}
    picked, gains = [], []
    while len(picked) < size:
        left = [i for i in range(len(embeddings)) if i not in picked]
        gain = {i: len(balls[i] & open_) for i in left}
        if max(gain.values()) == 0:
            gain = {i: len(balls[i]) for i in left}
        best = min(left, key=lambda i: (-gain[i], i))
        picked.append(best)
        gains.append(len(balls[best] & open_))
        open_ -= balls[best]
    return picked, gains


@pytest.mark.parametrize("seed", range(8))
def test_matches_sets(seed):
    rng = np.random.default_rng(seed)
    embeddings = rng.integers(0, 9, size=(50, 2)).astype(np.float32)  # copies among them
    covered = rng.integers(0, 9, size=(seed % 4, 2)).astype(np.float32)
    radius = [0.0, 1.0, 2.0, 2.5][seed % 4]
    picks = prob_cover(embeddings, covered=covered, size=20, radius=radius)
    assert (picks.positions.tolist(), picks.num_covered.tolist()) == plain(embeddings, covered, 20, radius)


def test_by_hand():
    # Places 0 1 2 and 10 11; a ball of radius 1 around 1 holds three, one around 10 two; 0 .. 2 are covered by 1 then.
    line = np.array([0, 1, 2, 10, 11], np.float32)[:, None]
    nothing = np.zeros((0, 1), np.float32)
    picks = prob_cover(line, covered=nothing, size=3, radius=1.0)
    assert picks.positions.tolist() == [1, 3, 0]  # all is covered then; the balls of 0, 2 and 4 hold two each
    assert picks.num_covered.tolist() == [3, 2, 0]
    labeled = np.array([[1.0]], np.float32)
    assert prob_cover(line, covered=labeled, size=1, radius=1.0).positions.tolist() == [3]


def test_radius_is_the_largest_whose_balls_are_pure():
    rng = np.random.default_rng(0)
    embeddings = np.concatenate([rng.normal(size=(100, 3)), rng.normal(size=(100, 3)) + 9]).astype(np.float32)
    radius = pure_radius(embeddings, num_clusters=2, rng=np.random.default_rng(1))
    labels = k_means(embeddings, 2, rng=np.random.default_rng(1)).labels
    to_others = [
        min(math.dist(a, b) for b, other in zip(embeddings, labels, strict=True) if other != mine)
        for a, mine in zip(embeddings, labels, strict=True)
    ]
    assert radius == pytest.approx(np.quantile(to_others, 0.05), rel=1e-5)
    assert np.mean(np.array(to_others) > radius) == 0.95


def test_one_cluster_has_no_radius():
    assert pure_radius(np.ones((5, 2), np.float32), num_clusters=1, rng=np.random.default_rng(0)) == 0.0


def test_refusals():
    embeddings = np.zeros((3, 2), np.float32)
    with pytest.raises(ValueError, match="radius: got -1, expected at least 0"):
        prob_cover(embeddings, covered=embeddings, size=1, radius=-1)
    with pytest.raises(ValueError, match=r"covered: got shape \(3, 1\), expected \(L, 2\)"):
        prob_cover(embeddings, covered=embeddings[:, :1], size=1, radius=1)
