"""How many audit answers would probably do, judged by an audit that did not.

Knows confidences and rights and wrongs of one audit; an estimate for people, never part of a proof.
"""

from __future__ import annotations

import numpy as np
import scipy  # its parts come when they are first used: few processes wait for them
from numpy.typing import NDArray

from raylabel.acceptance.audit import MOST_ANSWERS, smallest_audit, smallest_passing, widened_for_pool
from raylabel.acceptance.bounds import CountArray, most_wrong
from raylabel.acceptance.checks import BoolArray, ConfidenceArray
from raylabel.acceptance.curve import fit_error_curve
from raylabel.acceptance.thresholds import start_size

POWER = 0.8
# The smoothing curve counts as much as so many audited items.
CURVE_WORTH = 100


def estimate_needed(
    confidence: ConfidenceArray,
    correct: BoolArray,
    *,
    max_error: float,
    alpha: float,
    promise: str,
    num_pool: int | None = None,
) -> int | None:
    """Return the audit size at which the first threshold would pass with 80 % power.

    How often labels are wrong at the first threshold is smoothed by a logistic curve through the audit: counts
    above a high threshold are too few to be believed. Replayed on ImageNet predictions, from audits of 200: new audits
    of the size given here certified in six of ten draws, in eight to all of ten on easier pools made from them (8 and
    3 % wrong), in one of five where the most confident third is left out.

    Args:
        confidence: (n,) of the audit; n may be 0, then a quarter of `max_error` is taken for the error rate.
        correct: (n,) bool.
        max_error: the error rate to promise.
        alpha: the chance that the promise may be broken.
        promise: "auto" or "whole".
        num_pool: items of the pool; None for an infinite population.

    Returns:
        Audit answers in all, more than n; None where no number would do: even the most confident labels are wrong
        too often, or the pool is too small.
    """
    num_audit = len(confidence)
    error_rates = _error_rates(confidence, correct, max_error=max_error)
    most = MOST_ANSWERS if num_pool is None else min(num_pool - 1, MOST_ANSWERS)
    sizes = np.unique(np.geomspace(num_audit + 1, max(most, num_audit + 1), 250).astype(np.int64))
    if promise == "auto":
        trials, allowed = _first_threshold(sizes, max_error=max_error, alpha=alpha)
        coverage = trials / sizes
    else:  # all trials count
        trials, allowed = sizes, most_wrong(sizes, max_error=max_error, alpha=alpha)
        coverage = np.full(len(sizes), min(1, 2 * max_error))
    rates = error_rates[np.maximum(np.round(coverage * num_audit).astype(np.int64), 1) - 1]
    chances = scipy.stats.binom.cdf(allowed, trials, rates if promise == "auto" else rates * coverage)
    enough = np.flatnonzero(chances >= POWER)
    if not enough.size:
        return None
    size = int(sizes[enough[0]])
    needed = size if num_pool is None else widened_for_pool(size, num_pool=num_pool, alpha=alpha)
    return None if needed is None or needed > most else needed


def _first_threshold(sizes: CountArray, *, max_error: float, alpha: float) -> tuple[CountArray, CountArray]:
    """How many audited items pass the first threshold of audits of some sizes, and how many of them may be wrong."""
    start = np.ceil(start_size(sizes, smallest_audit(max_error, alpha))).astype(np.int64)
    allowed = np.maximum(most_wrong(start, max_error=max_error, alpha=alpha), 0)
    allowed += smallest_passing(allowed, max_error=max_error, alpha=alpha) < start
    trials = smallest_passing(allowed, max_error=max_error, alpha=alpha)
    too_few = trials > sizes
    return (
        np.where(too_few, sizes, trials),
        np.where(too_few, most_wrong(sizes, max_error=max_error, alpha=alpha), allowed),
    )


def _error_rates(confidence: ConfidenceArray, correct: BoolArray, *, max_error: float) -> NDArray[np.float64]:
    """Estimate the error rate among the r most confident audited items, for r = 1, ..., n; at least one entry."""
    num_audit = len(confidence)
    if correct.all() or not correct.any():
        seen = min(0.5 / (num_audit + 1), max_error / 4) if correct.all() else 1.0
        return np.full(max(num_audit, 1), seen)
    curve = fit_error_curve(confidence, correct)
    order = np.argsort(-confidence, kind="stable")
    ranks = np.arange(1, num_audit + 1)
    expected = np.cumsum(curve(confidence[order])) / ranks
    rates: NDArray[np.float64] = (np.cumsum(~correct[order]) + CURVE_WORTH * expected) / (ranks + CURVE_WORTH)
    return rates
