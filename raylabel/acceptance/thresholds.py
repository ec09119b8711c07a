"""Which thresholds are tested, in which order: decided before a single right or wrong is looked at.

Knows confidences and how many items pass; knows nothing of correctness, which is what makes the tests exact.

**Where the sequence starts.** The first threshold must pass or nothing is certified, so it wants few errors
(a high threshold) and many audited items (a low one). Let c be the number of audited items above the threshold
that would certify if none were wrong (59 at 5 % and 5 %). The sequence starts where 0.85 * sqrt(c * n) of the n
audited items are expected above it, so that the number of wrong ones which the first test allows grows with the
audit: none at 100 answers, 2 at 500, 4 at 1,000, 15 at 5,000. Studied on ImageNet predictions and on harder and
easier pools made from them (2.7 % to 53 % wrong, 75 to 5,000 answers, eps of 2 % and 5 %). A fixed number allowed
loses on small audits (8: certified in 8 % of draws at 500 answers) or on large ones (none: in half of them at 5,000);
this start loses at most 0.02 of ImageNet's coverage to the best start for each size from 300 answers on. The floor,
c + 1.5 standard deviations, keeps the luck of how many audited items land above it from deciding.

**Steps.** 100 equal steps of coverage from there to the whole pool. At ImageNet and 5,000 answers coverage is 0.536
with 20 steps, 0.546 with 40 and 0.553 with 100; smaller steps cost nothing in any of the pools.

**"whole"** starts at a coverage of twice `max_error`: the number of wrong labels only grows as the threshold falls,
so no early test is a risk.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.stats import hypergeom

from raylabel.acceptance.audit import smallest_audit
from raylabel.acceptance.checks import ConfidenceArray
from raylabel.acceptance.histogram import ConfidenceHistogram

NUM_STEPS = 100
# Where the tests share alpha, a finer search costs more than it finds.
NUM_SHARED_STEPS = 10


def pool_positions(
    pool: ConfidenceHistogram, *, num_audit: int, max_error: float, alpha: float, promise: str, num_steps: int
) -> NDArray[np.int64]:
    """Choose the thresholds of a finite pool from its histogram alone.

    Args:
        pool: the whole pool.
        num_audit: how many readable items of it are audited, at least 1; never which.
        max_error: the error rate to promise.
        alpha: the level of each test.
        promise: "auto" or "whole".
        num_steps: how many thresholds to choose; fewer where items share their confidence.

    Returns:
        (L,) int64 positions into `histogram.EDGES`, thresholds falling, every one passing more items than
        the one before and the last passing all; 1 <= L <= `num_steps`.
    """
    passing = pool.num_passing()
    clean = _clean_in_pool(pool, num_audit=num_audit, max_error=max_error, alpha=alpha)
    start = start_coverage(num_audit, num_clean=clean, max_error=max_error, promise=promise)
    wanted = np.linspace(start, 1.0, num_steps) * passing[0]
    # The highest edge that at least the wanted number of items passes.
    from_top = np.searchsorted(passing[::-1], wanted, side="left")
    positions: NDArray[np.int64] = np.unique(len(passing) - 1 - from_top)[::-1]
    return positions


def ranked_thresholds(
    confidence: ConfidenceArray, *, max_error: float, alpha: float, promise: str
) -> NDArray[np.float64]:
    """Choose the thresholds of an infinite population from the ranks of the audit's own confidences.

    A threshold lies just above the confidence of an audited item, which itself is left out: given that
    confidence, those above it are a plain random sample of all items above it.

    Args:
        confidence: (n,) float32 or float64, n at least 1.
        max_error: the error rate to promise.
        alpha: the level of each test.
        promise: "auto" or "whole".

    Returns:
        (L,) float64 thresholds, falling; the last is 0 and passes everything; 1 <= L <= `NUM_STEPS`.
    """
    num_audit = len(confidence)
    clean = float(smallest_audit(max_error, alpha))
    start = start_coverage(num_audit, num_clean=clean, max_error=max_error, promise=promise)
    ranks = np.ceil(np.linspace(start, 1.0, NUM_STEPS) * num_audit).astype(np.int64)
    from_top = np.sort(confidence)[::-1]
    inner = from_top[ranks[ranks < num_audit]]
    above = np.nextafter(inner, np.array(np.inf, inner.dtype)).astype(np.float64)
    # Ties at 1 leave nothing above them.
    return np.unique(np.append(above[above <= 1], 0.0))[::-1]


def start_coverage(num_audit: int, *, num_clean: float, max_error: float, promise: str) -> float:
    """Return the fraction of the pool that passes the first threshold.

    Args:
        num_audit: audit answers, at least 1.
        num_clean: audited items above the threshold that would certify if none of them were wrong.
        max_error: the error rate to promise.
        promise: "auto" or "whole".
    """
    if promise == "whole":
        return min(1.0, 2 * max_error)
    if num_clean >= num_audit:
        return 1.0
    spread = math.sqrt(num_clean * (1 - num_clean / num_audit))
    wanted = max(num_clean + 1.5 * spread, 0.85 * math.sqrt(num_clean * num_audit))
    return min(1.0, wanted / num_audit)


def _clean_in_pool(pool: ConfidenceHistogram, *, num_audit: int, max_error: float, alpha: float) -> float:
    """Return how many audited items must pass to certify if none is wrong; `num_audit` where none suffice.

    Which items people answered is not looked at, only how many: it would tell where the audit lies.
    """
    num_pool = pool.num_items
    passing = np.unique(np.geomspace(1, num_pool, 2000).astype(np.int64))
    audited = np.round(passing * (num_audit / num_pool)).astype(np.int64)
    auto = passing * ((num_pool - pool.num_human) / num_pool)
    allowed = np.floor(max_error * auto).astype(np.int64)
    clean = hypergeom.logpmf(0, passing, np.minimum(allowed + 1, passing), audited) <= math.log(alpha)
    return float(passing[np.argmax(clean)] * (num_audit / num_pool)) if clean.any() else float(num_audit)
