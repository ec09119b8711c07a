"""Tests of an audit whose items were drawn with unequal probabilities, by the betting bound.

Knows weights, wrongs and how many items pass; `sequence` says how the tests are run one after another, `betting` what
each of them rests on.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from raylabel.acceptance.betting import FloatArray, betting_proves, betting_upper
from raylabel.acceptance.bounds import CountArray
from raylabel.acceptance.certificate import Certificate
from raylabel.acceptance.checks import BoolArray
from raylabel.acceptance.sequence import Asked, PoolTests, SampleTests

# Every test that can fail can end the sequence, and this bound has no steps at which it would rather be tested.
NUM_WEIGHTED_STEPS = 20


@dataclass(frozen=True, eq=False)
class WeightedTests:
    """The tests of `counts`, each by the betting bound instead of an exact one.

    Args:
        counts: the same tests of the same audit if it were a uniform one: thresholds and counts.
        shares: (n,) weights of all audited items divided by the largest, most confident item first.
        wrong: (n,) bool, in the same order.
    """

    counts: PoolTests | SampleTests
    shares: FloatArray
    wrong: BoolArray

    @property
    def asked(self) -> Asked:
        """What is to be promised."""
        return self.counts.asked

    @property
    def thresholds(self) -> NDArray[np.float64]:
        """The thresholds, falling."""
        return self.counts.thresholds

    @property
    def num_audited(self) -> CountArray:
        """Audited items that pass."""
        return self.counts.num_audited

    @property
    def num_wrong(self) -> CountArray:
        """Those of them that are wrong."""
        return self.counts.num_wrong

    @property
    def has_labels(self) -> BoolArray:
        """Where there are auto-labels."""
        return self.counts.has_labels

    @property
    def passed(self) -> BoolArray:
        """Whether each test passes."""
        return np.array([self._proves(at, self.wrong) for at in range(len(self.thresholds))])

    @property
    def passable(self) -> BoolArray:
        """Whether each test would pass if none of the audited items were wrong."""
        none = np.zeros_like(self.wrong)
        return np.array([self._proves(at, none) for at in range(len(self.thresholds))])

    def _proves(self, at: int, wrong: BoolArray) -> bool:
        shares, wrong = self._trials(at, wrong)
        level = self.asked.level
        if isinstance(self.counts, SampleTests):
            return betting_proves(shares, wrong, error_rate=self.asked.max_error, alpha=level)
        # As in `PoolTests`: one wrong item more than is allowed among all that pass must be refuted.
        num_wrong = int(wrong.sum())
        too_many = int(self.counts.allowed[at]) + num_wrong + 1
        passing, right = int(self.counts.num_passing[at]), len(wrong) - num_wrong
        if too_many > passing - right or self.counts.num_auto[at] <= self.counts.allowed[at]:
            return True
        return betting_proves(shares, wrong, error_rate=too_many / passing, alpha=level)

    def _trials(self, at: int, wrong: BoolArray) -> tuple[FloatArray, BoolArray]:
        """The items that a test counts, and which of them are wrong and accepted."""
        num = int(self.num_audited[at])
        if isinstance(self.counts, PoolTests) or self.asked.promise == "auto":
            return self.shares[:num], wrong[:num]
        return self.shares, wrong & (np.arange(len(wrong)) < num)

    def bound(self, at: int) -> float:
        """Return the upper bound on the error rate that the test at one threshold proves."""
        shares, wrong = self._trials(at, self.wrong)
        level, num_wrong = self.asked.level, int(wrong.sum())
        if isinstance(self.counts, SampleTests):
            upper = betting_upper(shares, wrong, alpha=level)
            # The search ends a little above the bound.
            proven = betting_proves(shares, wrong, error_rate=self.asked.max_error, alpha=level)
            return min(upper, self.asked.max_error) if proven else upper
        passing = int(self.counts.num_passing[at])
        low, high = num_wrong, passing - len(wrong) + num_wrong
        while low < high:
            middle = (low + high + 1) // 2
            if betting_proves(shares, wrong, error_rate=middle / passing, alpha=level):
                high = middle - 1
            else:
                low = middle
        return float(min(low - num_wrong, self.counts.num_auto[at]) / self.counts.of[at])

    def certificate(self, at: int) -> Certificate:
        """Return the certificate for one threshold."""
        return self.counts.stated(at, bound=self.bound(at), test="betting test of a weighted audit")
