"""Certify: from an audit to the lowest threshold above which a promise about the labels can be kept.

Knows confidences, rights and wrongs, and how many items of the pool pass; knows nothing of tables or models.
The tests, and why they can be run one after another without paying for each, are in `sequence`; which thresholds
they are run at, in `thresholds`; the tests of unequal weights in `weighted`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from raylabel.acceptance.certificate import Certificate, Withheld
from raylabel.acceptance.checks import (
    BoolArray,
    ConfidenceArray,
    check_confidence,
    check_flags,
    check_open_unit,
    check_promise,
)
from raylabel.acceptance.histogram import EDGES, ConfidenceHistogram, count_bins, count_passing
from raylabel.acceptance.needed import estimate_needed
from raylabel.acceptance.sequence import Asked, PoolTests, SampleTests, last_passing
from raylabel.acceptance.thresholds import (
    NUM_SHARED_STEPS,
    NUM_STEPS,
    CountTests,
    choose,
    pool_candidates,
    sample_candidates,
)
from raylabel.acceptance.weighted import NUM_WEIGHTED_STEPS, WeightedTests

# By how much the weights may miss the number of items that they stand for: items drawn that could not be read.
SLACK = 1.5


def certify(
    confidence: ConfidenceArray,
    correct: BoolArray,
    *,
    max_error: float,
    alpha: float,
    promise: str,
    weights: NDArray[np.float64] | None = None,
    pool: ConfidenceHistogram | None = None,
) -> Certificate | Withheld:
    """Find the lowest threshold above which labels can be accepted with a promise, by a random audit.

    With `pool`, the promise is about this pool and exact at every threshold; see `sequence`. Without it, it is about
    whatever the audit was drawn from, independently. Each test is exact by itself, given its threshold, which comes
    from the ranks of the audit's own confidences; the sequence is exact where the error rate, as the threshold falls,
    crosses `max_error` once. "whole" needs no such condition.

    Args:
        confidence: (n,) float32 of the audited items that can be read (float64 is taken as it stands). Nothing of
            them may have been fitted on audit answers.
        correct: (n,) bool, the label is the audit's consensus; unresolved items are False: dropping them breaks
            the promise.
        max_error: the error rate to promise (eps), between 0 and 1.
        alpha: the chance that the promise may be broken, between 0 and 1.
        promise: "auto": of the auto-labels at most `max_error` are wrong; "whole": of the whole result, where
            people answer what is not accepted.
        weights: (n,) one divided by the probability with which each audited item was drawn; None for a uniform draw.
            With `pool`, equal ones may be those of a uniform draw from its most confident items alone (`targeted`):
            tested exactly, and only as far down as the audit reaches. Unequal ones are tested by the weaker betting
            bound: draws of fixed sizes within strata, the largest weight among them, or independent draws.
        pool: the whole pool as `ConfidenceHistogram`, of the same confidences, with `human` set for every audited item.

    Returns:
        A `Certificate`: items with `confidence >= threshold` may be accepted; or a `Withheld` with the reason.

    Raises:
        ValueError: lengths differ, NaN, `max_error` or `alpha` outside (0, 1), weights that are no weights of this
            pool, or an audit that is not part of the pool.
        UnknownName: no such promise.

    Cost: 5 to 20 ms, a quarter of a second where it is withheld; O(n) memory.
    """
    found = find_certificate(
        confidence, correct, max_error=max_error, alpha=alpha, promise=promise, weights=weights, pool=pool
    )
    if isinstance(found, Certificate):
        return found
    num_pool = None if pool is None else pool.num_items
    needed = estimate_needed(confidence, correct, max_error=max_error, alpha=alpha, promise=promise, num_pool=num_pool)
    if pool is not None and pool.num_human == num_pool:
        needed = None
    return Withheld(found, needed, max_error, alpha, promise, len(confidence))


def find_certificate(
    confidence: ConfidenceArray,
    correct: BoolArray,
    *,
    max_error: float,
    alpha: float,
    promise: str,
    weights: NDArray[np.float64] | None = None,
    pool: ConfidenceHistogram | None = None,
) -> Certificate | str:
    """Do what `certify` does, but for the estimate of how many answers would be needed, which takes most of its time.

    Returns:
        The certificate, or the reason why there is none.
    """
    check_confidence("confidence", confidence)
    check_flags("correct", correct, num=len(confidence))
    check_open_unit("max_error", max_error)
    check_open_unit("alpha", alpha)
    check_promise(promise)
    _check_weights(weights, num=len(confidence))
    num_audit, num_pool = len(confidence), None if pool is None else pool.num_items
    # See `sequence`.
    mostly_audited = num_pool is not None and 2 * num_audit > num_pool
    num_steps = NUM_SHARED_STEPS if mostly_audited else NUM_STEPS
    level = alpha / num_steps if mostly_audited else alpha
    asked = Asked(max_error, alpha, promise, level, num_steps)
    if not num_audit:
        return "there are no audit answers"
    with_rest = weights is None or _reaches_all(confidence, weights, pool)
    counts: CountTests
    if pool is None:
        counts = _count_sample(confidence, correct, asked, with_rest=with_rest)
    else:
        counts = _count_pool(confidence, correct, pool, asked, with_rest=with_rest)
    if not len(counts.thresholds):
        return "all audited items have the same confidence, and the audit does not say what lies below it"
    tests = _tests(counts, confidence, correct, weights)
    accepted = last_passing(tests.passed, tests.has_labels)
    return _reason(tests, num_audit=num_audit) if accepted is None else tests.certificate(accepted)


def _tests(
    counts: CountTests, confidence: ConfidenceArray, correct: BoolArray, weights: NDArray[np.float64] | None
) -> CountTests | WeightedTests:
    """The tests that are run: exact ones, or by the betting bound where weights differ."""
    if weights is None or (weights == weights[0]).all():
        return counts.take(choose(counts, num_audit=len(confidence), num_steps=counts.asked.num_steps))
    order = np.argsort(-confidence, kind="stable")
    num_steps = min(NUM_WEIGHTED_STEPS, counts.asked.num_steps)
    some = counts.take(choose(counts, num_audit=len(confidence), num_steps=num_steps))
    return WeightedTests(some, weights[order] / weights.max(), ~correct[order])


def _count_pool(
    confidence: ConfidenceArray, correct: BoolArray, pool: ConfidenceHistogram, asked: Asked, *, with_rest: bool
) -> PoolTests:
    audited = count_bins(confidence)
    if (audited > pool.human_counts).any():
        bin_ = int(np.argmax(audited > pool.human_counts))
        raise ValueError(
            f"pool: got {pool.human_counts[bin_]} human-answered items at confidence {EDGES[bin_]:.6g}, expected at"
            f" least the {audited[bin_]} audited there; count the whole pool with the same confidences and with"
            " human set for every audited item"
        )
    positions = pool_candidates(audited, with_rest=with_rest)
    passing = pool.num_passing()[positions]
    return PoolTests(
        asked=asked,
        thresholds=EDGES[positions].astype(np.float64),
        num_audited=count_passing(audited)[positions],
        num_wrong=count_passing(count_bins(confidence[~correct]))[positions],
        num_passing=passing,
        num_auto=passing - pool.num_human_passing()[positions],
        num_pool=pool.num_items,
    )


def _count_sample(confidence: ConfidenceArray, correct: BoolArray, asked: Asked, *, with_rest: bool) -> SampleTests:
    thresholds = sample_candidates(confidence, with_rest=with_rest)
    falling, wrong = -np.sort(-confidence), -np.sort(-confidence[~correct])
    return SampleTests(
        asked=asked,
        thresholds=thresholds,
        num_audited=np.searchsorted(-falling, -thresholds, side="right"),
        num_wrong=np.searchsorted(-wrong, -thresholds, side="right"),
        num_drawn=len(confidence),
    )


def _reaches_all(confidence: ConfidenceArray, weights: NDArray[np.float64], pool: ConfidenceHistogram | None) -> bool:
    """Whether the audit could have drawn every item, by its weights: they add up to what they stand for.

    Raises:
        ValueError: they stand for far more or fewer items than the pool has above the least confident audited one.
    """
    if pool is None:
        return True
    stood_for, audited = float(weights.sum()), count_bins(confidence)
    open_ = count_passing(pool.counts - pool.human_counts + audited)
    # Beyond the least confident audited item it is not known how far the audit could reach.
    reached = int(open_[int(np.flatnonzero(audited)[0])]) - int(audited[np.flatnonzero(audited)[0]])
    if not reached / SLACK <= stood_for <= open_[0] * SLACK:
        raise ValueError(
            f"weights: got a sum of {stood_for:,.0f}, expected about the number of items that the audit was drawn from,"
            f" {reached:,} to {open_[0]:,}: each is one divided by the probability with which its item was drawn"
        )
    return bool((weights == weights[0]).all()) and stood_for >= open_[0] - 0.5


def _reason(tests: CountTests | WeightedTests, *, num_audit: int) -> str:
    if not tests.has_labels.any():
        return "people have answered every item, so no auto-label is left to promise anything about"
    if not (tests.passable & tests.has_labels).any():
        return f"{num_audit:,} audit answers are too few: with none of them wrong they would not prove it"
    first = int(np.argmax(tests.has_labels))
    return (
        f"of the {tests.num_audited[first]:,} audited items at confidence {tests.thresholds[first]:.6g} and above,"
        f" {tests.num_wrong[first]:,} are wrong, which proves an error rate of at most"
        f" {100 * tests.bound(first):.3g} %, not {100 * tests.asked.max_error:.3g} %"
    )


def _check_weights(weights: NDArray[np.float64] | None, *, num: int) -> None:
    if weights is None:
        return
    if weights.shape != (num,):
        raise ValueError(f"weights: got shape {weights.shape}, expected ({num},), one per confidence")
    if not (np.isfinite(weights) & (weights > 0)).all():
        raise ValueError("weights: got a value that is NaN, infinite, 0 or negative, expected positive numbers")
