"""Whether one more round of answers pays: errors forecast by a power law, in answers that people need not give.

Knows error rates and counts, which must come from training answers alone; knows nothing of rounds' records.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import scipy  # its parts come when they are first used: few processes wait for them
from numpy.typing import NDArray

from raylabel.acceptance.forecast import SHARES

LOWEST_ERROR = 1e-4
"""Stands for an error rate of 0, whose logarithm nobody can fit."""


@dataclass(frozen=True)
class PowerLaw:
    """Error rate = scale * answers ** -exponent * exp(-decay * answers), at most 1.

    Source: Qiu et al. 2023, MCAL: Minimum Cost Human-Machine Active Labeling, equation 2 (truncated power law).
    """

    scale: float
    exponent: float
    decay: float

    @classmethod
    def fit(cls, num_answers: NDArray[np.int64], errors: NDArray[np.float64]) -> PowerLaw:
        """Fit to error rates after so many answers, by least squares of their logarithms.

        More answers never make a law's error rise: exponent and decay are at least 0. Two rounds fit the exponent
        alone; the decay wants three.

        Args:
            num_answers: (R,) int64, at least two different ones.
            errors: (R,) float64 in [0, 1]; below `LOWEST_ERROR` they count as that.

        Raises:
            ValueError: lengths differ, or fewer than two different numbers of answers.
        """
        if num_answers.shape != errors.shape or len(np.unique(num_answers)) < 2:
            raise ValueError(f"num_answers: got {num_answers.tolist()} for {errors.tolist()}, expected two at least")
        logs, counts = np.log(np.maximum(errors, LOWEST_ERROR)), num_answers.astype(np.float64)
        columns = [np.ones(len(logs)), -np.log(counts)]
        # In thousands, so that the two slopes are of one size.
        columns += [-counts / 1000] if len(np.unique(num_answers)) > 2 else []
        bounds = ([-np.inf] + [0.0] * (len(columns) - 1), [np.inf] * len(columns))
        found = scipy.optimize.lsq_linear(np.column_stack(columns), logs, bounds=bounds, method="bvls").x
        return cls(float(np.exp(found[0])), float(found[1]), float(found[2] / 1000) if len(found) > 2 else 0.0)

    def of(self, num_answers: float) -> float:
        """The error rate after so many answers."""
        return min(1.0, float(self.scale * num_answers**-self.exponent * np.exp(-self.decay * num_answers)))


@dataclass(frozen=True)
class AnotherRound:
    """What one more round would probably come to.

    Args:
        num_more: answers that it would ask for.
        coverage: part of the unanswered pool that could be labeled by machine now.
        coverage_next: the same after it.
        people_now: answers in all if the loop ended here and people answered what the machine leaves.
        people_next: the same if it ended after one more round.
    """

    num_more: int
    coverage: float
    coverage_next: float
    people_now: int
    people_next: int

    @property
    def pays(self) -> bool:
        """Whether it saves people more answers than it asks for."""
        return self.people_next < self.people_now

    def sentence(self) -> str:
        """Say it in plain English."""
        saved = self.people_now - self.people_next
        said = "pays" if self.pays else "does not pay"
        balance = f"saves about {saved:,}" if saved > 0 else f"costs about {-saved:,} more than it saves"
        return (
            f"One more round of {self.num_more:,} answers probably {said}: it {balance}"
            f" (machine labels {self.coverage:.1%} of what is open now, {self.coverage_next:.1%} after it)."
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the fields, what they come to and the sentence as JSON types."""
        return {**asdict(self), "pays": self.pays, "sentence": self.sentence()}


def another_round(
    num_answers: NDArray[np.int64],
    errors: NDArray[np.float64],
    *,
    num_more: int,
    num_answered: int,
    num_pool: int,
    asked: tuple[float, str],
) -> AnotherRound | None:
    """Forecast whether one more round pays, from how errors fell over the rounds so far.

    An answer costs the same whether a model learns from it or it stands in the result; machine labels cost nothing.
    What the machine may label is what would keep the promise if errors were known exactly: how large the audit is
    makes no difference, as it is the same for both sides.

    Args:
        num_answers: (R,) int64 training answers of each round, rising.
        errors: (R, len(SHARES)) error rates among the most confident parts of the pool, of training answers alone.
        num_more: answers of the next round.
        num_answered: items that people have answered so far, the audit's included.
        num_pool: readable items of the pool.
        asked: max_error and promise.

    Returns:
        The forecast; None after one round, which shows no trend.

    Source: Qiu et al. 2023 (MCAL), with one price for all answers and none for training.
    """
    if len(np.unique(num_answers)) < 2:
        return None
    laws = [PowerLaw.fit(num_answers, column) for column in errors.T]
    now = float(num_answers[-1])
    more = min(num_more, num_pool - num_answered)
    coverages, people = [], []
    for extra in (0, more):
        left = num_pool - num_answered - extra
        # A larger part is never less wrong; fitted apart, laws of two parts may cross.
        rates = np.maximum.accumulate([law.of(now + extra) for law in laws])
        coverage = _covered(rates, asked=asked, part=left / num_pool)
        coverages.append(coverage)
        people.append(num_answered + extra + round((1 - coverage) * left))
    return AnotherRound(more, coverages[0], coverages[1], people[0], people[1])


def _covered(rates: NDArray[np.float64], *, asked: tuple[float, str], part: float) -> float:
    """The largest part of the open items whose labels keep the promise, between the shares by a straight line."""
    max_error, promise = asked
    wrong = rates if promise == "auto" else rates * SHARES * part
    kept = np.flatnonzero(wrong <= max_error)
    if not kept.size:
        return 0.0
    last = int(kept[-1])
    if last == len(SHARES) - 1:
        return 1.0
    step = (max_error - wrong[last]) / (wrong[last + 1] - wrong[last])
    return float(SHARES[last] + step * (SHARES[last + 1] - SHARES[last]))
