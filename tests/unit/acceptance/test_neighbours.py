import numpy as np
import pytest

from raylabel.acceptance import NeighbourVote


def obvious(bank, labels, row, num_classes, concentration):
    """The same of one row, one labeled item at a time."""
    centre = bank.astype(np.float64).mean(axis=0)
    away = row.astype(np.float64) - centre
    sums = [0.0] * num_classes
    for item, label in zip(bank.astype(np.float64) - centre, labels, strict=True):
        cosine = away @ item / (np.linalg.norm(away) * np.linalg.norm(item))
        sums[label] += np.exp(concentration * (cosine - 1))
    return np.log(sums)


def test_votes_by_hand():
    """Around the mean (1, 1) the labeled items lie at right angles; the item lies upon one of class 2."""
    bank = np.array([[2, 1], [0, 1], [1, 2], [1, 0]], np.float16)
    vote = NeighbourVote.of(bank, np.array([0, 2, 2, 0]), num_classes=4)
    found = vote.log_votes(np.array([[1, 5]], np.float16), concentration=3.0)[0]
    # Class 2: itself (cosine 1) and one at a right angle; class 0: one at a right angle, one opposite.
    assert found[2] == pytest.approx(np.log(1 + np.exp(-3)))
    assert found[0] == pytest.approx(np.log(np.exp(-3) + np.exp(-6)))
    assert found[[1, 3]].tolist() == [-np.inf] * 2


@pytest.mark.parametrize("concentration", [0.5, 20.0, 80.0])
def test_votes_are_those_of_the_obvious_way(concentration):
    rng = np.random.default_rng(0)
    bank, labels = (rng.random((37, 9)) + 2).astype(np.float16), rng.choice([0, 1, 3], 37)
    rows = (rng.random((300, 9)) + 2).astype(np.float16)
    found = NeighbourVote.of(bank, labels, num_classes=4).log_votes(rows, concentration=concentration)
    with np.errstate(divide="ignore"):
        expected = np.array([obvious(bank, labels, row, 4, concentration) for row in rows])
    assert np.array_equal(np.isinf(found), np.isinf(expected))
    seen = [0, 1, 3]
    assert found[:, seen] == pytest.approx(expected[:, seen], abs=1e-4)


def test_a_row_does_not_depend_on_its_neighbours():
    """Bit by bit: alone, behind others, in another order."""
    rng = np.random.default_rng(1)
    bank, labels = rng.normal(size=(61, 33)).astype(np.float16), rng.integers(0, 5, 61)
    vote = NeighbourVote.of(bank, labels, num_classes=5)
    rows = rng.normal(size=(700, 33)).astype(np.float16)
    whole = vote.log_votes(rows, concentration=20.0)
    for row in (0, 1, 255, 256, 511, 699):
        assert np.array_equal(vote.log_votes(rows[row : row + 1], concentration=20.0)[0], whole[row])
    order = rng.permutation(700)
    assert np.array_equal(vote.log_votes(rows[order], concentration=20.0), whole[order])
    assert vote.log_votes(rows[:0], concentration=20.0).shape == (0, 5)


def test_an_item_at_the_mean_is_like_none():
    """It has no direction: every labeled item votes as one at a right angle."""
    bank = np.array([[1, 0], [-1, 0], [0, 1], [0, -1]], np.float16)
    vote = NeighbourVote.of(bank, np.array([0, 0, 0, 1]), num_classes=2)
    found = vote.log_votes(np.zeros((1, 2), np.float16), concentration=2.0)[0]
    assert found == pytest.approx([np.log(3) - 2, -2.0])


def test_bad_input_is_refused():
    bank, labels = np.ones((3, 2), np.float16), np.array([0, 1, 1])
    for embeddings, classes, message in (
        (bank, labels[:2], r"got shapes \(3, 2\) and \(2,\)"),
        (bank[:0], labels[:0], "L at least 1"),
        (bank, np.array([0, 1, 2]), r"a value outside 0\.\.1"),
        (bank * np.nan, labels, "embeddings: got NaN"),
    ):
        with pytest.raises(ValueError, match=message):
            NeighbourVote.of(embeddings, classes, num_classes=2)
    vote = NeighbourVote.of(bank, labels, num_classes=2)
    with pytest.raises(ValueError, match=r"got shape \(3, 3\), expected \(n, 2\)"):
        vote.log_votes(np.ones((3, 3), np.float16), concentration=1.0)
    with pytest.raises(ValueError, match="embeddings: got NaN"):
        vote.log_votes(bank * np.inf, concentration=1.0)
    for concentration in (0.0, 81.0, float("nan")):
        with pytest.raises(ValueError, match="concentration: got"):
            vote.log_votes(bank, concentration=concentration)
