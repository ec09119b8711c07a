"""What learning curves of the same seeds say of each other: areas, answers to an accuracy, paired tests."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import ttest_rel

Array = NDArray[np.float64]


def area(budgets: Sequence[int], values: Array) -> Array:
    """The mean height of curves over the logarithm of answers: every doubling counts the same.

    Args:
        budgets: (B,) answers, ascending.
        values: (S, B), a curve each.

    Returns:
        (S,).
    """
    x = np.log(np.asarray(budgets, dtype=float))
    found: Array = np.trapezoid(values, x, axis=1) / (x[-1] - x[0])
    return found


def reached(budgets: Sequence[int], mean: Array, target: float) -> float:
    """Answers at which a mean curve first comes up to a target, straight lines between budgets; infinite if never."""
    above = np.flatnonzero(mean >= target)
    if len(above) == 0:
        return float("inf")
    at = int(above[0])
    if at == 0:
        return float(budgets[0])
    low, high = mean[at - 1], mean[at]
    return float(budgets[at - 1] + (budgets[at] - budgets[at - 1]) * (target - low) / (high - low))


def p_below(ours: Array, theirs: Array) -> float:
    """One-sided p of a paired t-test that ours is below theirs, seed by seed; 1 where they never differ."""
    if np.ptp(ours - theirs) == 0:
        return 1.0 if ours[0] >= theirs[0] else 0.0
    return float(ttest_rel(ours, theirs, alternative="less").pvalue)


def holm(p: Sequence[float]) -> Array:
    """Holm's adjusted p values: below alpha means significant, over all of them together.

    Source: Holm 1979.
    """
    values = np.asarray(p, dtype=float)
    order = np.argsort(values, kind="stable")
    steps = np.maximum.accumulate(values[order] * (len(values) - np.arange(len(values))))
    adjusted = np.empty(len(values))
    adjusted[order] = np.minimum(steps, 1.0)
    return adjusted


def standard_error(values: Array) -> float:
    """Of the mean over seeds."""
    return float(np.std(values, ddof=1) / len(values) ** 0.5)
