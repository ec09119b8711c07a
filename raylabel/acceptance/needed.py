"""How many audit answers would probably do, judged by an audit that did not.

Knows confidences and rights and wrongs of one audit; an estimate for people, never part of a proof.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import logit
from scipy.stats import binom
from sklearn.linear_model import LogisticRegression

from raylabel.acceptance.audit import MOST_ANSWERS, smallest_audit, widened_for_pool
from raylabel.acceptance.bounds import most_wrong
from raylabel.acceptance.checks import BoolArray, ConfidenceArray
from raylabel.acceptance.thresholds import start_size

POWER = 0.8
# The smoothing curve counts as much as so many audited items.
CURVE_WORTH = 100
CHANCES = np.arange(0.05, 1, 0.1)


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
    above a high threshold are too few to be believed. Replayed on ImageNet predictions and easier and harder pools
    made from them, new audits of the size given here certified in six of ten draws on ImageNet, in one of three where
    half of all labels are wrong, and in eight of ten where 3 to 8 % are.

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
    clean = np.array(float(smallest_audit(max_error, alpha)))
    for size in sizes.tolist():
        coverage = min(1, 2 * max_error) if promise == "whole" else float(start_size(size, clean)) / size
        rate = float(error_rates[max(round(coverage * num_audit), 1) - 1])
        # Where the first threshold passes as many as it may happen to; of "whole" all trials count.
        trials = binom.ppf(CHANCES, size, coverage) if promise == "auto" else np.array([size])
        rate = rate if promise == "auto" else rate * coverage
        allowed = most_wrong(trials, max_error=max_error, alpha=alpha)
        if binom.cdf(allowed, trials, rate).mean() < POWER:
            continue
        needed = size if num_pool is None else widened_for_pool(size, num_pool=num_pool, alpha=alpha)
        return None if needed is None or needed > most else needed
    return None


def _error_rates(confidence: ConfidenceArray, correct: BoolArray, *, max_error: float) -> NDArray[np.float64]:
    """Estimate the error rate among the r most confident audited items, for r = 1, ..., n; at least one entry."""
    num_audit = len(confidence)
    if correct.all() or not correct.any():
        seen = min(0.5 / (num_audit + 1), max_error / 4) if correct.all() else 1.0
        return np.full(max(num_audit, 1), seen)
    spread = np.finfo(np.float32).eps
    scores = logit(np.clip(confidence.astype(np.float64), spread, 1 - spread))[:, np.newaxis]
    curve = LogisticRegression().fit(scores, ~correct)
    order = np.argsort(-confidence, kind="stable")
    ranks = np.arange(1, num_audit + 1)
    expected = np.cumsum(curve.predict_proba(scores[order])[:, 1]) / ranks
    rates: NDArray[np.float64] = (np.cumsum(~correct[order]) + CURVE_WORTH * expected) / (ranks + CURVE_WORTH)
    return rates
