import numpy as np
import pytest

from raylabel.acceptance import agreement


def test_by_hand():
    one, other = np.array([0, 0, 0, 0, 1, 1, 1, 2, 2, 2]), np.array([0, 0, 0, 1, 1, 1, 0, 2, 2, 1])
    found = agreement(one, other, num_classes=4)
    assert found.counts.tolist() == [[3, 1, 0, 0], [1, 2, 0, 0], [0, 1, 2, 0], [0, 0, 0, 0]]
    assert found.share == 0.7
    chance = (4 * 4 + 3 * 4 + 3 * 2) / 100
    assert found.kappa == pytest.approx((0.7 - chance) / (1 - chance))
    # Class 2: both say so of 2, neither of 7, in 10.
    chance = (3 * 2 + 7 * 8) / 100
    assert found.class_kappa[2] == pytest.approx((0.9 - chance) / (1 - chance))
    assert np.isnan(found.class_kappa[3])


def test_chance_is_no_agreement():
    one, other = np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1])
    assert agreement(one, other, num_classes=2).kappa == 0


def test_one_class_throughout_leaves_nothing_to_tell_apart():
    found = agreement(np.array([1, 1]), np.array([1, 1]), num_classes=2)
    assert found.share == 1
    assert np.isnan(found.kappa)
    assert np.isnan(found.class_kappa).all()


@pytest.mark.parametrize(
    ("one", "other", "match"),
    [
        ([], [], "n at least 1"),
        ([0], [0, 1], r"got shapes \(1,\) and \(2,\)"),
        ([0, 2], [0, 1], r"one: got a label outside 0\.\.1"),
        ([0, 1], [0, -1], r"other: got a label outside 0\.\.1"),
    ],
)
def test_bad_input(one, other, match):
    with pytest.raises(ValueError, match=match):
        agreement(np.array(one, dtype=int), np.array(other, dtype=int), num_classes=2)
