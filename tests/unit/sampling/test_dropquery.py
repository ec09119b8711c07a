import numpy as np
import pytest

from raylabel.sampling.clusters import nearest_to_centers
from raylabel.sampling.dropquery import drop_query, instability


def first_value(embeddings):
    """Class 1 for whatever has a first value above 0."""
    positive = (embeddings[:, 0] > 0).astype(np.float64)
    return np.stack([1 - positive, positive], axis=1)


def test_instability_is_the_share_of_dropouts_that_change_the_class():
    """The class hangs on one value: it changes exactly where that value was dropped."""
    embeddings = np.array([[1.0, 5.0], [-1.0, 5.0]] * 20, np.float32)
    share = instability(embeddings, first_value, rng=np.random.default_rng(3))
    rng = np.random.default_rng(3)
    dropped = [rng.random(embeddings.shape, dtype=np.float32)[:, 0] < 0.75 for _ in range(3)]
    expected = np.where(embeddings[:, 0] > 0, np.mean(dropped, axis=0), 0.0)
    np.testing.assert_allclose(share, expected, rtol=1e-6)
    assert share.dtype == np.float32
    assert set(share[::2].tolist()) > {1.0} and set(share[1::2].tolist()) == {0.0}


def test_what_is_kept_is_scaled_as_in_training():
    seen = []

    def head(embeddings):
        seen.append(embeddings)
        return first_value(embeddings)

    instability(np.ones((4, 6), np.float32), head, rng=np.random.default_rng(0))
    assert len(seen) == 4
    assert {float(value) for partly in seen[1:] for value in partly.ravel()} == {0.0, 4.0}


def test_picks_stand_for_clusters_of_what_is_unstable():
    rng = np.random.default_rng(0)
    embeddings = rng.normal(size=(200, 3)).astype(np.float32)
    picks = drop_query(embeddings, first_value, size=9, rng=np.random.default_rng(5))
    plain = np.random.default_rng(5)
    share = instability(embeddings, first_value, rng=plain)
    unstable = np.flatnonzero(share > 0.5)
    assert len(unstable) > 9
    expected = unstable[nearest_to_centers(embeddings[unstable], size=9, rng=plain).positions]
    assert picks.positions.tolist() == expected.tolist()
    assert picks.share.tolist() == share[expected].tolist()


def test_the_next_stable_ones_fill_up():
    embeddings = np.concatenate([np.full((3, 1), 2.0), np.full((5, 1), -2.0)]).astype(np.float32)
    picks = drop_query(embeddings, first_value, size=8, rng=np.random.default_rng(0))
    assert sorted(picks.positions.tolist()) == list(range(8))
    assert set(picks.positions[:3].tolist()) == {0, 1, 2} and picks.share[:3].min() > 0
    assert picks.share[-5:].tolist() == [0.0] * 5


def test_refusals():
    with pytest.raises(ValueError, match="size: 0 requested / 3 available"):
        drop_query(np.zeros((3, 1), np.float32), first_value, size=0, rng=np.random.default_rng(0))
