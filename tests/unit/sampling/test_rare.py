import numpy as np
import pytest

from raylabel.sampling import rare
from raylabel.sampling.rare import likeness, rarest, wanted


@pytest.mark.parametrize(
    ("label_index", "expected"),
    [
        ([4], 4),
        ([0, 0, 2, 2, 1], 1),
        ([3, 3, 1, 1], 1),  # of equals the lower index
        ([7, 7, 7, 5, 5, 9, 9, 9], 5),  # classes without an answer are none to look for
    ],
)
def test_rarest_by_hand(label_index, expected):
    assert rarest(np.array(label_index, np.int32)) == expected


def test_nothing_is_labeled():
    with pytest.raises(ValueError, match="rare-class search: got 0 labeled items, expected at least one of the class"):
        rarest(np.zeros(0, np.int32))


def test_likeness_by_hand(monkeypatch):
    """Known are the axes: (3, 4) is 0.8 from the second, (5, 0) is the first, (-1, -1) is 135 degrees from both."""
    rows = np.array([[3, 4], [5, 0], [-1, -1], [0, 0]], np.float32)
    known = np.array([[2, 0], [0, 0.1]], np.float32)
    for block in (4096, 1, 3):
        monkeypatch.setattr(rare, "BLOCK_ROWS", block)
        found = likeness(rows, known)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, [0.8, 1.0, -np.sqrt(0.5), 0.0], rtol=1e-6)
    np.testing.assert_allclose(likeness(rows, known[:1]), [0.6, 1.0, -np.sqrt(0.5), 0.0], rtol=1e-6)


def test_wanted():
    answers = np.array([0, 0, 1, 2, 2], np.int32)
    assert wanted("rare", answers) == 1
    assert wanted("rare:2", answers) == 2
    with pytest.raises(ValueError, match="0 labeled items of class 3"):
        wanted("rare:3", answers)
