"""Certify: from an audit to the lowest threshold above which a promise about the labels can be kept.

Knows confidences, rights and wrongs, and how many items of the pool pass; knows nothing of tables or models.
The tests, and why they can be run one after another without paying for each, are in `sequence`; which thresholds
they are run at, in `thresholds`.
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
from raylabel.acceptance.thresholds import NUM_SHARED_STEPS, NUM_STEPS, pool_positions, ranked_thresholds


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
    """Find the lowest threshold above which labels can be accepted with a promise, by a uniform audit.

    With `pool`, the promise is about this pool and exact at every threshold; see `sequence`.
    Without it, it is about whatever the audit was drawn from, independently: thresholds then come from the ranks of the
    audit's own confidences. Each test is exact by itself (binomial, given the threshold); the sequence is exact where
    the error rate, as the threshold falls, crosses `max_error` once and confidences have no large ties, and otherwise
    as near as the ranks are to their thresholds. "whole" without a pool needs no such condition.

    Args:
        confidence: (n,) float32 of the audited items that can be read (float64 is taken as it stands). Nothing of
            them may have been fitted on audit answers.
        correct: (n,) bool, the label is the audit's consensus; unresolved items are False: dropping them breaks
            the promise.
        max_error: the error rate to promise (eps), between 0 and 1.
        alpha: the chance that the promise may be broken, between 0 and 1.
        promise: "auto": of the auto-labels at most `max_error` are wrong; "whole": of the whole result, where
            people answer what is not accepted.
        weights: (n,) sampling weights; only equal ones will do.
        pool: the whole pool as `ConfidenceHistogram`, of the same confidences, with `human` set for every audited item.

    Returns:
        A `Certificate`: items with `confidence >= threshold` may be accepted; or a `Withheld` with the reason.

    Raises:
        ValueError: lengths differ, NaN, `max_error` or `alpha` outside (0, 1), unequal weights, or an audit that
            is not part of the pool.
        UnknownName: no such promise.

    Cost: about 20 ms, a quarter of a second where it is withheld; O(n) memory.
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
    tests: PoolTests | SampleTests
    tests = _test_sample(confidence, correct, asked) if pool is None else _test_pool(confidence, correct, pool, asked)
    accepted = last_passing(tests)
    return _reason(tests, num_audit=num_audit) if accepted is None else tests.certificate(accepted)


def _test_pool(confidence: ConfidenceArray, correct: BoolArray, pool: ConfidenceHistogram, asked: Asked) -> PoolTests:
    audited = count_bins(confidence)
    if (audited > pool.human_counts).any():
        bin_ = int(np.argmax(audited > pool.human_counts))
        raise ValueError(
            f"pool: got {pool.human_counts[bin_]} human-answered items at confidence {EDGES[bin_]:.6g}, expected at"
            f" least the {audited[bin_]} audited there; count the whole pool with the same confidences and with"
            " human set for every audited item"
        )
    positions = pool_positions(
        pool,
        audited,
        max_error=asked.max_error,
        alpha=asked.level,
        promise=asked.promise,
        num_steps=asked.num_steps,
    )
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


def _test_sample(confidence: ConfidenceArray, correct: BoolArray, asked: Asked) -> SampleTests:
    thresholds = ranked_thresholds(confidence, max_error=asked.max_error, alpha=asked.level, promise=asked.promise)
    passes = confidence >= thresholds[:, np.newaxis]
    return SampleTests(
        asked=asked,
        thresholds=thresholds,
        num_audited=passes.sum(axis=1, dtype=np.int64),
        num_wrong=(passes & ~correct).sum(axis=1, dtype=np.int64),
        num_drawn=len(confidence),
    )


def _reason(tests: PoolTests | SampleTests, *, num_audit: int) -> str:
    if not tests.has_labels.any():
        return "people have answered every item, so no auto-label is left to promise anything about"
    if not (tests.passes(np.zeros_like(tests.num_wrong)) & tests.has_labels).any():
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
    if num and (weights != weights[0]).any():
        raise ValueError(
            f"weights: got values from {weights.min():g} to {weights.max():g}, expected equal ones: the exact test is"
            " for uniform draws; certify on the uniform audit sample alone"
        )
