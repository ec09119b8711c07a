import re

import numpy as np
import pytest

from raylabel.sampling.checks import check_array, check_probabilities, check_size


def test_array_that_fits_passes():
    check_array("vectors", np.zeros((3, 2), np.float32), shape=("N", 2), dtypes=("float32",))


@pytest.mark.parametrize(
    ("array", "message"),
    [
        ([[1.0]], "vectors: got list, expected a NumPy array"),
        (np.zeros(3, np.float32), "vectors: got shape (3,), expected (N, 2)"),
        (np.zeros((3, 4), np.float32), "vectors: got shape (3, 4), expected (N, 2)"),
        (np.zeros((3, 2), np.float16), "vectors: got dtype float16, expected float32 or float64"),
        (np.array([[0, 1], [2, np.nan]], np.float32), "vectors: got nan at [1, 1], expected finite values"),
        (np.array([[0, -np.inf], [2, 3]], np.float32), "vectors: got -inf at [0, 1], expected finite values"),
    ],
)
def test_array_that_does_not_fit_is_refused(array, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        check_array("vectors", array, shape=("N", 2), dtypes=("float32", "float64"))


def test_probabilities_within_the_tolerance_pass():
    check_probabilities("p", np.array([[0.5, 0.5005], [1.0, 0.0]], np.float32), shape=("N", "K"))
    check_probabilities("p", np.zeros((0, 2), np.float32), shape=("N", "K"))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([[1.0], [1.0]], "p: got 1 classes, expected at least 2"),
        ([[0.5, 0.5], [1.25, -0.25]], "p: got the value -0.25, expected probabilities of at least 0"),
        ([[0.5, 0.5], [2.0, 1.0]], "p: got a row that sums to 3, expected rows that sum to 1"),
        ([[0.5, 0.25], [0.5, 0.5]], "p: got a row that sums to 0.75, expected rows that sum to 1"),
        ([[np.nan, 1.0], [0.5, 0.5]], "p: got nan at [0, 0], expected finite values"),
    ],
)
def test_rows_that_are_no_distribution_are_refused(rows, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        check_probabilities("p", np.array(rows, np.float32), shape=(2, "K"))


def test_size_says_requested_and_available():
    check_size(1, available=1)
    for size in (0, 4):
        message = f"size: {size} requested / 3 available, expected 1 to 3"
        with pytest.raises(ValueError, match=f"^{message}$"):
            check_size(size, available=3)
