import numpy as np
import pytest

from raylabel.sampling.badge import badge


def plain(embeddings, probabilities, size, rng):
    """Every gradient written down, and k-means++ on them as its authors have it: begin at the longest."""
    gradients = []
    for x, p in zip(embeddings.astype(float), probabilities.astype(float), strict=True):
        label = np.eye(len(p))[p.argmax()]
        gradients.append(np.outer(p - label, x).ravel())
    picked, distances = [int(np.argmax([g @ g for g in gradients]))], []
    distances.append(float(np.linalg.norm(gradients[picked[0]])))
    while len(picked) < size:
        squared = np.array([min(float((g - gradients[i]) @ (g - gradients[i])) for i in picked) for g in gradients])
        squared[picked] = 0.0
        chosen = int(np.searchsorted(np.cumsum(squared), rng.random() * squared.sum(), side="right"))
        picked.append(chosen)
        distances.append(float(np.sqrt(squared[chosen])))
    return picked, distances


@pytest.mark.parametrize("seed", range(6))
def test_matches_gradients_written_down(seed):
    rng = np.random.default_rng(seed)
    embeddings = rng.normal(size=(60, 7)).astype(np.float32)
    probabilities = rng.dirichlet(np.full(4, 0.5), size=60)
    picks = badge(embeddings, probabilities, size=12, rng=np.random.default_rng(seed))
    positions, distances = plain(embeddings, probabilities, 12, np.random.default_rng(seed))
    assert picks.positions.tolist() == positions
    np.testing.assert_allclose(picks.distances, distances, rtol=1e-5)
    assert picks.positions.dtype == np.int64 and picks.distances.dtype == np.float32


def test_by_hand():
    # Likeliest class first: a = (-.4, .4), (-.1, .1), (-.4, .4); x = 1, 10, 1. Gradients (-.4, .4), (-1, 1), (-.4, .4).
    embeddings = np.array([[1], [10], [1]], np.float32)
    probabilities = np.array([[0.6, 0.4], [0.9, 0.1], [0.6, 0.4]])
    picks = badge(embeddings, probabilities, size=2, rng=np.random.default_rng(0))
    assert picks.positions[0] == 1  # the longest
    assert picks.positions[1] in (0, 2)
    np.testing.assert_allclose(picks.distances, [np.sqrt(2), 0.6 * np.sqrt(2)], rtol=1e-6)


def test_copies_are_each_picked_once():
    """All gradients but one are the same, or 0 because the head is certain: nothing is picked twice."""
    embeddings = np.ones((6, 2), np.float32)
    probabilities = np.array([[1.0, 0.0]] * 3 + [[0.5, 0.5]] * 3)
    picks = badge(embeddings, probabilities, size=6, rng=np.random.default_rng(0))
    assert sorted(picks.positions.tolist()) == list(range(6))
    assert picks.positions[0] == 3
    assert picks.positions[1] in (0, 1, 2)
    assert picks.distances[2:].tolist() == [0.0] * 4


def test_refusals():
    embeddings, probabilities = np.zeros((3, 2), np.float32), np.full((3, 2), 0.5)
    with pytest.raises(ValueError, match=r"size: 4 requested / 3 available"):
        badge(embeddings, probabilities, size=4, rng=np.random.default_rng(0))
    with pytest.raises(ValueError, match=r"probabilities: got shape \(2, 2\), expected \(3, K\)"):
        badge(embeddings, probabilities[:2], size=1, rng=np.random.default_rng(0))
