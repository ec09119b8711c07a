"""The tests behind a certificate: thresholds in fixed sequence, highest first, until one fails.

Knows counts at thresholds; knows nothing of how the thresholds were chosen or of single items.

**Finite pool.** M items pass a threshold, m of them are audited, k of those are wrong. Given m, k is hypergeometric,
so that K_u = `hypergeometric_upper(M, m, k)` is at least the wrong among the M with confidence 1 - alpha, and at
most K_u - k of the auto-labels are wrong: the audited are no auto-labels. Items that people answered beside the audit
stay in M; whether or not the audit could have hit them, K_u is no smaller than the bound without them.

**Sequence.** Each threshold is tested at the full alpha, the last before the first failure is certified. To break the
promise the test must pass at the first threshold where it does not hold, and in at most alpha of the draws it does,
however many are tested. Which of the thresholds that is depends on the draw by how many audited items lie above the
point where the promise ceases to hold; given that number, those are a plain sample, and what lies between the point and
the threshold is wrong more often than is promised. That is exact where the error rate, as the threshold falls, crosses
what is promised once, and could not be told from it on pools built to provoke the opposite. While at most half of the
pool is audited, what the audit takes out of the pool adds nothing that could be measured, and about alpha squared at
worst (worked out in the normal approximation for independent thresholds; not a proof). Beyond half each threshold is
tested at an equal share of alpha instead, which is safe whatever depends on what.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from raylabel.acceptance.bounds import (
    CountArray,
    binomial_upper,
    hypergeometric_at_most,
    hypergeometric_upper,
)
from raylabel.acceptance.certificate import Certificate
from raylabel.acceptance.checks import BoolArray


@dataclass(frozen=True)
class Asked:
    """What is to be promised; `level` is that of each test, alpha or a share of it."""

    max_error: float
    alpha: float
    promise: str
    level: float
    num_steps: int

    @property
    def how(self) -> str:
        """How the thresholds share alpha, in words."""
        return f"each threshold at 1/{self.num_steps} of alpha" if self.level < self.alpha else "fixed sequence"


class _Counts(ABC):
    """What tests of counts have in common, whatever they are counted in."""

    num_wrong: CountArray

    @abstractmethod
    def passes(self, num_wrong: CountArray) -> BoolArray:
        """Return whether each test passes, if so many audited items are wrong."""

    @property
    def passed(self) -> BoolArray:
        """Whether each test passes."""
        return self.passes(self.num_wrong)

    @property
    def passable(self) -> BoolArray:
        """Whether each test would pass if none of the audited items were wrong."""
        return self.passes(np.zeros_like(self.num_wrong))


@dataclass(frozen=True, eq=False)
class PoolTests(_Counts):
    """The tests of a finite pool, highest threshold first; arrays are (L,)."""

    asked: Asked
    thresholds: NDArray[np.float64]
    num_audited: CountArray
    num_wrong: CountArray
    num_passing: CountArray
    num_auto: CountArray
    num_pool: int

    @property
    def of(self) -> CountArray:
        """The number of labels that the promise is about."""
        whole = np.full_like(self.num_auto, self.num_pool)
        return self.num_auto if self.asked.promise == "auto" else whole

    @property
    def has_labels(self) -> BoolArray:
        """Where there are auto-labels; without any, no promise can be broken and none is made."""
        return self.num_auto > 0

    @property
    def coverage(self) -> NDArray[np.float64]:
        """The part of the pool that passes each threshold."""
        return self.num_passing / self.num_pool

    @property
    def allowed(self) -> CountArray:
        """How many auto-labels may be wrong where the promise is kept."""
        allowed: CountArray = np.floor(self.asked.max_error * self.of).astype(np.int64)
        # Where the product was rounded up to a whole number.
        allowed -= allowed / np.maximum(self.of, 1) > self.asked.max_error
        return allowed

    def take(self, at: NDArray[np.int64]) -> Self:
        """Return the tests at some of the thresholds."""
        names = ("thresholds", "num_audited", "num_wrong", "num_passing", "num_auto")
        return replace(self, **{name: getattr(self, name)[at] for name in names})

    def passes(self, num_wrong: CountArray) -> BoolArray:
        """Return whether each test passes, if so many audited items are wrong; where no label is left it does."""
        allowed = self.allowed
        proven = hypergeometric_at_most(
            num_wrong + allowed, self.num_passing, self.num_audited, num_wrong, alpha=self.asked.level
        )
        passed: BoolArray = proven | (self.num_auto <= allowed)
        return passed

    def bound(self, at: int) -> float:
        """Return the upper bound on the error rate that the test at one threshold proves."""
        passing, audited, wrong = int(self.num_passing[at]), int(self.num_audited[at]), int(self.num_wrong[at])
        unseen = hypergeometric_upper(passing, audited, wrong, alpha=self.asked.level) - wrong
        return float(min(unseen, self.num_auto[at]) / self.of[at])

    def certificate(self, at: int) -> Certificate:
        """Return the certificate for one threshold."""
        return self.stated(at, bound=self.bound(at), test="exact hypergeometric test")

    def stated(self, at: int, *, bound: float, test: str) -> Certificate:
        """Return the certificate for one threshold by some test of these counts."""
        return Certificate(
            threshold=float(self.thresholds[at]),
            bound=bound,
            max_error=self.asked.max_error,
            alpha=self.asked.alpha,
            promise=self.asked.promise,
            method=f"{test}, {self.asked.how}",
            num_passing=int(self.num_passing[at]),
            num_audited=int(self.num_audited[at]),
            num_wrong=int(self.num_wrong[at]),
            num_auto=int(self.num_auto[at]),
            num_pool=self.num_pool,
            population="finite",
        )


@dataclass(frozen=True, eq=False)
class SampleTests(_Counts):
    """The tests of an infinite population, highest threshold first; arrays are (L,)."""

    asked: Asked
    thresholds: NDArray[np.float64]
    num_audited: CountArray
    num_wrong: CountArray
    num_drawn: int

    @property
    def has_labels(self) -> BoolArray:
        """Everywhere: an infinite population never runs out."""
        return np.ones(len(self.thresholds), np.bool_)

    @property
    def coverage(self) -> NDArray[np.float64]:
        """The part of the audit that passes each threshold."""
        return self.num_audited / self.num_drawn

    def take(self, at: NDArray[np.int64]) -> Self:
        """Return the tests at some of the thresholds."""
        names = ("thresholds", "num_audited", "num_wrong")
        return replace(self, **{name: getattr(self, name)[at] for name in names})

    @property
    def trials(self) -> CountArray:
        """The draws that count: being both wrong and accepted can happen to every one of the audit."""
        whole = np.full_like(self.num_audited, self.num_drawn)
        return self.num_audited if self.asked.promise == "auto" else whole

    def passes(self, num_wrong: CountArray) -> BoolArray:
        """Return whether each test passes, if so many audited items are wrong."""
        passed: BoolArray = binomial_upper(self.trials, num_wrong, alpha=self.asked.level) <= self.asked.max_error
        return passed

    def bound(self, at: int) -> float:
        """Return the upper bound on the error rate that the test at one threshold proves."""
        return float(binomial_upper(self.trials, self.num_wrong, alpha=self.asked.level)[at])

    def certificate(self, at: int) -> Certificate:
        """Return the certificate for one threshold."""
        return self.stated(at, bound=self.bound(at), test="exact binomial test")

    def stated(self, at: int, *, bound: float, test: str) -> Certificate:
        """Return the certificate for one threshold by some test of these counts."""
        return Certificate(
            threshold=float(self.thresholds[at]),
            bound=bound,
            max_error=self.asked.max_error,
            alpha=self.asked.alpha,
            promise=self.asked.promise,
            method=f"{test}, {self.asked.how}",
            num_passing=None,
            num_audited=int(self.num_audited[at]),
            num_wrong=int(self.num_wrong[at]),
            num_auto=None,
            num_pool=None,
            population="infinite",
        )


def last_passing(passed: BoolArray, has_labels: BoolArray) -> int | None:
    """Return the last threshold before the first failure that has labels to promise about."""
    certified = np.flatnonzero(np.logical_and.accumulate(passed) & has_labels)
    return int(certified[-1]) if certified.size else None
