"""What confidences, verdicts and settings must be before a statistic may read them.

Knows arrays and numbers; knows nothing of tests or certificates. Every refusal says what came and what was
expected: a NaN or a count of the wrong items would come out as a certificate that looks like any other.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from raylabel.errors import UnknownName

PROMISES = ("auto", "whole")

ConfidenceArray = NDArray[np.floating[Any]]
BoolArray = NDArray[np.bool_]


def check_confidence(name: str, array: object, *, dtypes: tuple[str, ...] = ("float32", "float64")) -> None:
    """Refuse anything but one confidence in [0, 1] per item.

    Raises:
        ValueError: no array, not one axis, another dtype than `dtypes`, NaN, or a value outside [0, 1].
    """
    if not isinstance(array, np.ndarray) or array.ndim != 1:
        raise ValueError(f"{name}: got {_described(array)}, expected a NumPy array of shape (n,)")
    if array.dtype.name not in dtypes:
        raise ValueError(f"{name}: got dtype {array.dtype.name}, expected {' or '.join(dtypes)}")
    outside = ~((array >= 0) & (array <= 1))
    if outside.any():
        position = int(np.argmax(outside))
        raise ValueError(f"{name}: got {array[position]:g} at [{position}], expected values in [0, 1]")


def check_flags(name: str, array: object, *, num: int) -> None:
    """Refuse anything but `num` bools.

    Raises:
        ValueError: no array, another dtype or another length.
    """
    if not isinstance(array, np.ndarray) or array.ndim != 1:
        raise ValueError(f"{name}: got {_described(array)}, expected a NumPy array of shape ({num},)")
    if array.dtype != np.bool_:
        raise ValueError(f"{name}: got dtype {array.dtype.name}, expected bool")
    if len(array) != num:
        raise ValueError(f"{name}: got {len(array)} values, expected {num}, one per confidence")


def check_open_unit(name: str, value: float) -> None:
    """Refuse anything but a number strictly between 0 and 1.

    Raises:
        ValueError: `value` is 0 or less, 1 or more, or NaN.
    """
    if not 0 < value < 1:
        raise ValueError(f"{name}: got {value}, expected a number above 0 and below 1")


def check_promise(promise: str) -> None:
    """Refuse a promise other than "auto" and "whole".

    Raises:
        UnknownName: `promise` is neither.
    """
    if promise not in PROMISES:
        raise UnknownName("promise", promise, PROMISES)


def _described(value: object) -> str:
    return f"shape {value.shape}" if isinstance(value, np.ndarray) else type(value).__name__
