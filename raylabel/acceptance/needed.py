"""How many audit answers would probably do, judged by an audit that did not.

Knows confidences and rights and wrongs of one audit; an estimate for people, never part of a proof.
"""

from __future__ import annotations

import math

import numpy as np

from raylabel.acceptance.audit import num_needed, widened_for_pool
from raylabel.acceptance.checks import BoolArray, ConfidenceArray

# An error rate is estimated from no fewer audited items than this, where there are as many.
FEWEST_FOR_A_RATE = 30
NUM_FRACTIONS = 20


def estimate_needed(
    confidence: ConfidenceArray,
    correct: BoolArray,
    *,
    max_error: float,
    alpha: float,
    promise: str,
    num_pool: int | None = None,
) -> int | None:
    """Return the audit size that would certify something with 80 % power, at the error rates seen so far.

    For "auto" it is the size that suits the best of 20 fractions of the audit, most confident first, each
    taken alone; for "whole" that of the first threshold.

    Args:
        confidence: (n,) of the audit; n may be 0, then half of `max_error` is taken for the error rate.
        correct: (n,) bool.
        max_error: the error rate to promise.
        alpha: the chance that the promise may be broken.
        promise: "auto" or "whole".
        num_pool: items of the pool; None for an infinite population.

    Returns:
        Audit answers in all, more than n; None where no number would do: the error rate is too high at every
        fraction, or the pool is too small.
    """
    num_audit = len(confidence)
    wrong = np.cumsum(~correct[np.argsort(-confidence, kind="stable")])
    candidates = []
    for rank in _ranks(num_audit, promise=promise, max_error=max_error):
        num_wrong = int(wrong[rank - 1]) if rank else 0
        trials = rank if promise == "auto" else num_audit
        coverage = rank / num_audit if promise == "auto" and rank else 1.0
        rate = num_wrong / trials if num_wrong else min(0.5 / (trials + 1), max_error / 2)
        needed = num_needed(max_error=max_error, alpha=alpha, error_rate=rate, coverage=coverage)
        if needed is not None and num_pool is not None:
            needed = widened_for_pool(needed, num_pool=num_pool, alpha=alpha)
        if needed is not None:
            candidates.append(needed)
    if not candidates or (num_pool is not None and num_audit >= num_pool):
        return None
    return max(min(candidates), num_audit + 1)


def _ranks(num_audit: int, *, promise: str, max_error: float) -> list[int]:
    if promise == "whole":
        return [min(num_audit, math.ceil(2 * max_error * num_audit))]
    fewest = min(FEWEST_FOR_A_RATE, num_audit)
    return sorted({round(rank) for rank in np.linspace(fewest, num_audit, NUM_FRACTIONS)})
