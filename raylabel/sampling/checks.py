"""What an array must be before a strategy may read it; every refusal says what came and what was expected.

Knows arrays; knows nothing of strategies. Bad input always raises: a NaN that slips through a
strategy comes out as a shortlist that looks like any other.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# Softmax of float16 logits over a thousand classes is off by less than this; logits are off by far more.
SUM_TOLERANCE = 1e-3

FLOAT32 = ("float32",)
INT32 = ("int32",)
INT64 = ("int64",)
REAL = ("float32", "float64")


def check_array(name: str, array: object, *, shape: tuple[int | str, ...], dtypes: tuple[str, ...]) -> None:
    """Refuse anything but a finite array of the shape and one of the dtypes asked for.

    Args:
        name: what the array is called in the message.
        array: the value to check.
        shape: one entry per axis: a length that must match, or a letter for any length.
        dtypes: the NumPy dtype names that will do.

    Raises:
        ValueError: it is no array, or its shape, dtype or values will not do.

    Cost: one pass over a float array, one byte of memory per value.
    """
    if not isinstance(array, np.ndarray):
        raise ValueError(f"{name}: got {type(array).__name__}, expected a NumPy array")
    fits = array.ndim == len(shape) and all(
        isinstance(want, str) or got == want for got, want in zip(array.shape, shape, strict=True)
    )
    if not fits:
        raise ValueError(f"{name}: got shape {_written(array.shape)}, expected {_written(shape)}")
    if array.dtype.name not in dtypes:
        raise ValueError(f"{name}: got dtype {array.dtype.name}, expected {' or '.join(dtypes)}")
    if np.issubdtype(array.dtype, np.floating):
        _check_finite(name, array)


def check_probabilities(name: str, array: object, *, shape: tuple[int | str, ...]) -> None:
    """Refuse anything but class probabilities along the last axis.

    Args:
        name: what the array is called in the message.
        array: the value to check, (..., K) float32 or float64.
        shape: as in `check_array`; the last axis is K, the classes.

    Raises:
        ValueError: not such an array, fewer than two classes, or rows that are no distribution
            (negative, or a sum off 1 by more than `SUM_TOLERANCE`), as with logits or a top-k cut.
    """
    check_array(name, array, shape=shape, dtypes=REAL)
    assert isinstance(array, np.ndarray)
    if array.shape[-1] < 2:
        raise ValueError(f"{name}: got {array.shape[-1]} classes, expected at least 2")
    if array.size == 0:
        return
    lowest = float(array.min())
    if lowest < 0:
        raise ValueError(f"{name}: got the value {lowest:g}, expected probabilities of at least 0")
    sums = array.sum(axis=-1, dtype=np.float64).ravel()
    worst = float(sums[np.argmax(np.abs(sums - 1.0))])
    if abs(worst - 1.0) > SUM_TOLERANCE:
        raise ValueError(f"{name}: got a row that sums to {worst:g}, expected rows that sum to 1")


def check_size(size: int, *, available: int) -> None:
    """Refuse a request for no items, or for more than there are.

    Raises:
        ValueError: `size` is not within 1 to `available`.
    """
    if not 1 <= size <= available:
        raise ValueError(f"size: {size} requested / {available} available, expected 1 to {available}")


def _check_finite(name: str, array: NDArray[np.floating]) -> None:
    finite = np.isfinite(array)
    if finite.all():
        return
    where = tuple(int(i) for i in np.unravel_index(int(np.argmin(finite)), array.shape))
    raise ValueError(f"{name}: got {float(array[where])} at {list(where)}, expected finite values")


def _written(shape: tuple[int | str, ...]) -> str:
    return f"({', '.join(str(length) for length in shape)}{',' if len(shape) == 1 else ''})"
