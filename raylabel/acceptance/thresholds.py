"""Which thresholds are tested, in which order: decided before a single right or wrong is looked at.

Knows confidences and what each test would take to pass; knows nothing of correctness, which is what makes the tests
exact.

**Candidates** lie just above the confidence of an audited item, which itself is left out: given that confidence,
those above it are a plain random sample of all that is above it. So each test may have as many audited items as it
wants.

**"auto": where one more wrong answer is allowed.** At 5 % and 5 % an exact test needs 59 items to allow none wrong, 93
to allow one, 124 two. Between those sizes more items are at risk for the same allowance, and every test that can fail
can end the sequence; so only the candidates at which the allowance rises are tested, and the last one. On ImageNet
predictions, eps = alpha = 5 %, 500 answers, this reaches 0.63 of the oracle's coverage where 100 equal steps reach
0.55; to test everything in between as well costs what it finds.

**"auto": where the sequence starts.** The first threshold must pass or nothing is certified, so it wants few errors (a
high threshold) and many audited items (a low one). Let c be the size at which none wrong is allowed. The sequence
starts at the first candidate of at least 0.6 * sqrt(c * n) of the n audited items, so that the number of wrong ones
that the first test allows grows with the audit: two at 500 answers, three at 1,000. The factor was chosen on made-up
pools (error rates that rise as a power of coverage; of all labels half to eight times eps wrong; eps of 1 to 10 %, 100
to 5,000 answers): 0.6 loses least where it loses most, and nothing on average.

**"whole"** starts at a coverage of twice `max_error` and goes down in equal steps: the number of wrong labels only
grows as the threshold falls, so no early test is a risk.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from raylabel.acceptance.bounds import CountArray
from raylabel.acceptance.checks import BoolArray, ConfidenceArray
from raylabel.acceptance.sequence import PoolTests, SampleTests

NUM_STEPS = 100
# Where the tests share alpha, a finer search costs more than it finds.
NUM_SHARED_STEPS = 10
START = 0.6

Positions = NDArray[np.int64]
CountTests = PoolTests | SampleTests


def pool_candidates(audited: CountArray, *, with_rest: bool) -> Positions:
    """Return where the tests of a finite pool may lie.

    Args:
        audited: (len(EDGES),) int64 audited items by bin, at least 1 in all.
        with_rest: whether the audit could have drawn every item, so that the whole pool may be accepted.

    Returns:
        (L,) int64 positions into `histogram.EDGES`, thresholds falling, each the edge above a bin that holds audited
        items; at each more audited items pass than at the one before, at least one at the first. With the rest, the
        last is 0, which everything passes.
    """
    bins = np.flatnonzero(audited)[::-1]
    above = bins[1:] + 1 if len(bins) > 1 else np.zeros(0, np.int64)
    return np.append(above, 0) if with_rest else above


def sample_candidates(confidence: ConfidenceArray, *, with_rest: bool) -> NDArray[np.float64]:
    """Return where the tests of an infinite population may lie.

    Args:
        confidence: (n,) float32 or float64, n at least 1.
        with_rest: as in `pool_candidates`.

    Returns:
        (L,) float64 thresholds, falling, each just above the confidence of an audited item; the last is 0.
    """
    borders = np.unique(confidence)[-2::-1]
    above = np.nextafter(borders, np.array(np.inf, borders.dtype)).astype(np.float64)
    return np.append(above, 0.0) if with_rest else above


def choose(tests: CountTests, *, num_audit: int, num_steps: int) -> Positions:
    """Choose the candidates that are tested.

    Args:
        tests: at every candidate; their number of wrong items is not looked at.
        num_audit: audit answers.
        num_steps: how many to choose at most, at least 2.

    Returns:
        (L,) int64 indices into the candidates, in the order of testing; the last candidate is the last of them.
    """
    sizes = tests.num_audited
    last = len(sizes) - 1
    if tests.asked.promise == "whole":
        first = int(np.argmax(tests.coverage >= min(2 * tests.asked.max_error, tests.coverage[-1])))
        wanted = np.linspace(sizes[first], sizes[-1], num_steps)
        return np.unique(np.searchsorted(sizes, wanted))
    clean = _first_allowing(tests, np.zeros(1, np.int64))[0]
    if clean > last:
        return np.array([last])
    start = int(np.searchsorted(sizes, start_size(np.array([num_audit]), int(sizes[clean]))[0]))
    # The first threshold allows one more than the last candidate before the start.
    before, most = _allowed(tests, np.array([max(start, 1) - 1, last]))
    fewest = 0 if start == 0 else int(before) + 1
    wrong = np.unique(np.linspace(fewest, max(int(most), fewest), num_steps - 1).astype(np.int64))
    rises = _first_allowing(tests, wrong)
    return np.unique(np.append(rises[rises < last], last))


def start_size(num_audit: CountArray, num_clean: int) -> NDArray[np.float64]:
    """Return how many audited items are wanted above the first threshold of "auto", at most all of them.

    Args:
        num_audit: (L,) int64 audit answers, at least 1.
        num_clean: audited items above a threshold that certify if none of them is wrong.
    """
    size: NDArray[np.float64] = np.minimum(np.maximum(num_clean, START * np.sqrt(num_clean * num_audit)), num_audit)
    return size


def _first_allowing(tests: CountTests, num_wrong: CountArray) -> Positions:
    """The first candidate whose test passes with so many wrong, for each number; beyond the last where none does."""

    def passes(at: Positions) -> BoolArray:
        some = tests.take(at)
        # Without an auto-label a test passes, and proves nothing.
        return some.passes(np.minimum(num_wrong, some.num_audited)) & some.has_labels & (some.num_audited >= num_wrong)

    low, high = np.zeros_like(num_wrong), np.full_like(num_wrong, len(tests.num_audited))
    while (low < high).any():
        middle = np.minimum((low + high) // 2, len(tests.num_audited) - 1)
        passed = passes(middle)
        low, high = np.where(passed | (low >= high), low, middle + 1), np.where(passed, middle, high)
    return low


def _allowed(tests: CountTests, at: Positions) -> CountArray:
    """How many wrong ones the tests of some candidates allow; -1 where not even none."""
    some = tests.take(at)
    low, high = np.full_like(at, -1), some.num_audited
    while (low < high).any():
        middle = (low + high + 1) // 2
        passed = some.passes(middle) & some.has_labels
        low, high = np.where(passed, middle, low), np.where(passed, high, middle - 1)
    return low
