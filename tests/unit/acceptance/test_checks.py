import re

import numpy as np
import pytest

from raylabel.acceptance.checks import check_confidence, check_flags, check_open_unit, check_promise
from raylabel.errors import UnknownName


def test_confidences_at_both_ends_pass():
    check_confidence("confidence", np.array([0.0, 0.25, 1.0], np.float32))
    check_confidence("confidence", np.zeros(0))


@pytest.mark.parametrize(
    ("array", "message"),
    [
        ([0.5], "c: got list, expected a NumPy array of shape (n,)"),
        (np.zeros((2, 1), np.float32), "c: got shape (2, 1), expected a NumPy array of shape (n,)"),
        (np.zeros(2, np.float16), "c: got dtype float16, expected float32 or float64"),
        (np.array([1, 0]), "c: got dtype int64, expected float32 or float64"),
        (np.array([0.5, np.nan], np.float32), "c: got nan at [1], expected values in [0, 1]"),
        (np.array([1.5, 0.5]), "c: got 1.5 at [0], expected values in [0, 1]"),
        (np.array([0.5, 0.5, -0.25]), "c: got -0.25 at [2], expected values in [0, 1]"),
    ],
)
def test_confidences_that_will_not_do_are_refused(array, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        check_confidence("c", array)


def test_float64_is_refused_where_only_float32_will_do():
    with pytest.raises(ValueError, match=r"got dtype float64, expected float32$"):
        check_confidence("c", np.zeros(1), dtypes=("float32",))


@pytest.mark.parametrize(
    ("array", "message"),
    [
        ([True, False], "f: got list, expected a NumPy array of shape (2,)"),
        (np.ones((1, 2), bool), "f: got shape (1, 2), expected a NumPy array of shape (2,)"),
        (np.array([0, 1]), "f: got dtype int64, expected bool"),
        (np.array([True]), "f: got 1 values, expected 2, one per confidence"),
    ],
)
def test_flags_that_will_not_do_are_refused(array, message):
    check_flags("f", np.array([True, False]), num=2)
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        check_flags("f", array, num=2)


@pytest.mark.parametrize("value", [0, 1, -0.1, 1.5, float("nan")])
def test_a_share_is_strictly_between_0_and_1(value):
    check_open_unit("alpha", 0.05)
    with pytest.raises(ValueError, match=f"^alpha: got {value}, expected a number above 0 and below 1$"):
        check_open_unit("alpha", value)


def test_an_unknown_promise_is_told_the_nearest():
    check_promise("auto")
    check_promise("whole")
    with pytest.raises(UnknownName, match="unknown promise 'hole': did you mean whole"):
        check_promise("hole")
