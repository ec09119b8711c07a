import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raylabel.sampling.balance import level


def one_by_one(counts, available, size):
    """The next pick goes to the class with the fewest answers that has a candidate left; of equals to the first."""
    counts, available, handed = list(counts), list(available), [0] * len(counts)
    for _ in range(size):
        able = [index for index in range(len(counts)) if available[index]]
        chosen = min(able, key=lambda index: counts[index])
        counts[chosen] += 1
        available[chosen] -= 1
        handed[chosen] += 1
    return handed


@pytest.mark.parametrize(
    ("counts", "available", "size", "expected"),
    [
        ([0, 0, 0], [9, 9, 9], 6, [2, 2, 2]),  # even classes get even shares
        ([0, 0, 0], [9, 9, 9], 7, [3, 2, 2]),  # what is left over goes to the lower index
        ([5, 1, 3], [9, 9, 9], 6, [0, 4, 2]),  # up to the level of 5
        ([5, 1, 3], [9, 9, 9], 7, [1, 4, 2]),
        ([5, 1, 3], [9, 2, 9], 6, [1, 2, 3]),  # 1 has two candidates: 6, 3, 6
        ([50, 0], [9, 9], 9, [0, 9]),  # so many answers that nothing more is asked
        ([50, 0], [9, 9], 12, [3, 9]),  # the others are used up
        ([0, 7], [0, 4], 4, [0, 4]),  # no candidate is predicted to be of the class that lacks answers
        ([2, 2, 2, 2], [1, 0, 5, 5], 6, [1, 0, 3, 2]),
        ([1], [5], 5, [5]),
    ],
)
def test_by_hand(counts, available, size, expected):
    assert level(np.array(counts), np.array(available), size=size).tolist() == expected
    assert one_by_one(counts, available, size) == expected


@given(st.data())
def test_one_by_one(data):
    num_classes = data.draw(st.integers(1, 6))
    counts = data.draw(st.lists(st.integers(0, 12), min_size=num_classes, max_size=num_classes))
    available = data.draw(
        st.lists(st.integers(0, 12), min_size=num_classes, max_size=num_classes).filter(lambda found: sum(found))
    )
    size = data.draw(st.integers(1, sum(available)))
    assert level(np.array(counts), np.array(available), size=size).tolist() == one_by_one(counts, available, size)


def test_inputs_stay_as_they_are():
    counts, available = np.array([0, 3]), np.array([4, 4])
    level(counts, available, size=5)
    assert (counts.tolist(), available.tolist()) == ([0, 3], [4, 4])


@pytest.mark.parametrize(
    ("counts", "available", "size", "message"),
    [
        ([0, 0], [1, 1], 3, "size: 3 requested / 2 available, expected 1 to 2"),
        ([0, 0], [1, 1], 0, "size: 0 requested / 2 available, expected 1 to 2"),
        ([0, 0], [1], 1, "available: got shape (1,), expected (2,)"),
        ([0, -2], [1, 1], 1, "counts: got -2, expected at least 0"),
        ([0, 2], [1, -1], 1, "available: got -1, expected at least 0"),
        ([0.5, 2], [1, 1], 1, "counts: got dtype float64, expected int64"),
    ],
)
def test_what_does_not_fit_is_refused(counts, available, size, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        level(np.array(counts), np.array(available), size=size)
