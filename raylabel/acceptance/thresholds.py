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

In a pool, c is worked out at every threshold from the auto-labels left there: more than 59 where the audit is a
large part of the pool or where people answered much of what passes, as it does where a model was trained on it.

**Steps.** 100 equal steps of coverage from there to the whole pool. At ImageNet and 5,000 answers coverage is 0.536
with 20 steps, 0.546 with 40 and 0.553 with 100; smaller steps cost nothing in any of the pools.

**"whole"** starts at a coverage of twice `max_error`: the number of wrong labels only grows as the threshold falls,
so no early test is a risk.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from raylabel.acceptance.audit import smallest_audit
from raylabel.acceptance.bounds import CountArray
from raylabel.acceptance.checks import ConfidenceArray
from raylabel.acceptance.histogram import ConfidenceHistogram, count_passing

NUM_STEPS = 100
# Where the tests share alpha, a finer search costs more than it finds.
NUM_SHARED_STEPS = 10


def pool_positions(
    pool: ConfidenceHistogram, audited: CountArray, *, max_error: float, alpha: float, promise: str, num_steps: int
) -> NDArray[np.int64]:
    """Choose the thresholds of a finite pool from its histogram alone.

    Of the audit only its size counts, not where it lies: thresholds that moved with the number of audited items
    above them would favour lucky draws. Items that people answered beside the audit are looked at: where they
    crowd above a threshold, as those do that a model was trained on, few auto-labels are left to promise about.

    Args:
        pool: the whole pool.
        audited: (len(EDGES),) int64 audited items by bin, at least 1 in all and a part of `pool.human_counts`.
        max_error: the error rate to promise.
        alpha: the level of each test.
        promise: "auto" or "whole".
        num_steps: how many thresholds to choose; fewer where items share their confidence.

    Returns:
        (L,) int64 positions into `histogram.EDGES`, thresholds falling; every one passes more items that nobody
        answered beside the audit than the one before, the last all of them; 1 <= L <= `num_steps`.
    """
    # Passing, and of those the ones that the audit could have drawn.
    passing, open_ = pool.num_passing(), count_passing(pool.counts - pool.human_counts + audited)
    num_audit, num_open = int(audited.sum()), int(open_[0])
    if promise == "whole":
        start = min(2 * max_error * pool.num_items, num_open)
    else:
        expected = open_ * (num_audit / num_open)
        allowed = np.floor(max_error * (open_ - expected))
        # None wrong among m of M is likelier than alpha until m reaches this: (1 - m / M) ** (allowed + 1) = alpha.
        clean = passing * (1 - alpha ** (1 / (allowed + 1)))
        enough = (open_ > 0) & (expected >= start_size(num_audit, clean))
        start = int(open_[enough].min()) if enough.any() else num_open
    wanted = np.linspace(start, num_open, num_steps)
    # The highest edge that at least the wanted number passes.
    from_top = np.searchsorted(open_[::-1], wanted, side="left")
    positions: NDArray[np.int64] = np.unique(len(open_) - 1 - from_top)[::-1]
    return positions


def ranked_thresholds(
    confidence: ConfidenceArray, *, max_error: float, alpha: float, promise: str
) -> NDArray[np.float64]:
    """Choose the thresholds of an infinite population from the ranks of the audit's own confidences.

    A threshold lies just above the confidence of an audited item, which itself is left out: given that
    confidence, those above it are a plain random sample of all items above it. At least the wanted rank passes,
    more where items share their confidence.

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
    start = 2 * max_error * num_audit if promise == "whole" else float(start_size(num_audit, np.array(clean)))
    ranks = np.ceil(np.linspace(min(start, num_audit), num_audit, NUM_STEPS)).astype(np.int64)
    falling = -np.sort(-confidence)
    # The first item below the one of the rank, past its ties.
    below = np.searchsorted(-falling, -falling[ranks - 1], side="right")
    borders = falling[below[below < num_audit]]
    above = np.nextafter(borders, np.array(np.inf, borders.dtype)).astype(np.float64)
    return np.unique(np.append(above, 0.0))[::-1]


def start_size(num_audit: int, num_clean: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how many audited items to expect above the first threshold of "auto", at most all of them.

    Args:
        num_audit: audit answers, at least 1.
        num_clean: audited items above the threshold that would certify if none of them were wrong.
    """
    clean = np.minimum(num_clean, num_audit)
    spread = np.sqrt(clean * (1 - clean / num_audit))
    size: NDArray[np.float64] = np.maximum(clean + 1.5 * spread, 0.85 * np.sqrt(clean * num_audit))
    return np.minimum(size, num_audit)
