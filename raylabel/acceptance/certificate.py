"""What acceptance ends with: a `Certificate` that states a promise, or a `Withheld` that says why there is none.

Knows numbers and words; knows nothing of how they were worked out (certify) or where they are kept.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

from raylabel.acceptance.checks import check_open_unit, check_promise

POPULATIONS = ("finite", "infinite")


@dataclass(frozen=True)
class Certificate:
    """The promise that at most `max_error` of the labels are wrong, with confidence 1 - `alpha`.

    Wrong means: differs from the consensus of the audit protocol; a certificate never claims truth.
    What is promised at 1 - `alpha`, over the whole search for the threshold, is `max_error`. `bound` is what
    the test at the final threshold proves taken by itself; it is never above `max_error`, but it is not
    corrected for the choice of that threshold and so is evidence, not a second promise.

    Args:
        threshold: items with `confidence >= threshold` are accepted.
        bound: upper bound on the error rate from the test at `threshold` alone, at most `max_error`.
        max_error: the error rate that is promised (eps).
        alpha: the chance that the promise is broken, over the draw of the audit.
        promise: "auto": of the auto-labels; "whole": of the whole result, people answering the rest.
        method: the test, in words.
        num_passing: items of the pool that pass the threshold; None in an infinite population.
        num_audited: audited items that pass it.
        num_wrong: those of them that are wrong.
        num_auto: items that pass it and that no person answered; None in an infinite population.
        num_pool: readable items of the pool; None in an infinite population.
        population: "finite": this pool; "infinite": whatever the audit was drawn from.

    Raises:
        ValueError: the numbers contradict each other.
        UnknownName: no such promise.
    """

    threshold: float
    bound: float
    max_error: float
    alpha: float
    promise: str
    method: str
    num_passing: int | None
    num_audited: int
    num_wrong: int
    num_auto: int | None
    num_pool: int | None
    population: str

    def __post_init__(self) -> None:
        """Check that the numbers fit each other and carry the promise."""
        check_open_unit("max_error", self.max_error)
        check_open_unit("alpha", self.alpha)
        check_promise(self.promise)
        if not 0 <= self.threshold <= 1:
            raise ValueError(f"threshold: got {self.threshold}, expected a number in [0, 1]")
        if not 0 <= self.bound <= self.max_error:
            raise ValueError(f"bound: got {self.bound}, expected at least 0, at most {self.max_error}")
        if not 0 <= self.num_wrong <= self.num_audited:
            raise ValueError(f"num_wrong: got {self.num_wrong}, expected at most {self.num_audited} audited")
        counts = (self.num_passing, self.num_auto, self.num_pool)
        if self.population not in POPULATIONS:
            raise ValueError(f"population: got {self.population!r}, expected finite or infinite")
        if self.population == "infinite" and counts != (None, None, None):
            raise ValueError(f"num_passing, num_auto, num_pool: got {counts}, expected None of an infinite one")
        if self.population == "finite":
            self._check_finite()

    def _check_finite(self) -> None:
        passing, auto, pool = self.num_passing, self.num_auto, self.num_pool
        if passing is None or auto is None or pool is None:
            raise ValueError(f"num_passing, num_auto, num_pool: got {(passing, auto, pool)}, expected numbers")
        if not 0 < auto <= passing - self.num_audited:
            raise ValueError(f"num_auto: got {auto}, expected 1 to {passing} passing - {self.num_audited} audited")
        if passing > pool:
            raise ValueError(f"num_passing: got {passing}, expected at most {pool} in the pool")

    @property
    def auto_bound(self) -> float | None:
        """The promise restated for the auto-labels alone, at the same `alpha`; None where it cannot be.

        For "whole" the wrong labels of the result are all auto-labels, so that `max_error` of the pool is
        `max_error * num_pool / num_auto` of them. An infinite population does not say how many there are.
        """
        if self.promise == "auto":
            return self.max_error
        if self.num_pool is None or self.num_auto is None:
            return None
        return min(1.0, self.max_error * self.num_pool / self.num_auto)

    def sentence(self, *, num_looks: int = 1) -> str:
        """Say the certificate in plain English.

        Args:
            num_looks: how many certificates may be tried for in all, each at this `alpha`; with several the sentence
                also says the confidence that all of them have together.
        """
        if self.promise == "auto":
            which = "labels" if self.num_auto is None else f"{self.num_auto:,} labels"
            claim = f"at most {percent(self.max_error)} of the {which} accepted at confidence"
            claim += f" {self.threshold:.6g} and above are wrong"
        else:
            which = "result" if self.num_pool is None else f"result for {self.num_pool:,} items"
            claim = f"at most {percent(self.max_error)} of the whole {which} is wrong when labels are accepted"
            claim += f" at confidence {self.threshold:.6g} and above and people answer the rest"
            if self.auto_bound is not None:
                rounded_up = math.ceil(self.auto_bound * 10_000) / 10_000
                claim += f", and so at most {percent(rounded_up)} of its {self.num_auto:,} auto-labels"
        return (
            f"With confidence {confidence_in_words(self.alpha, num_looks)}, {claim}. Evidence: {self.num_wrong:,} wrong"
            f" among the {self.num_audited:,} audited items that pass ({self.method}). Wrong means: differs from the"
            " consensus of the audit."
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON types."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read what `to_dict` wrote.

        Raises:
            ValueError: a field is missing or unknown, or the numbers contradict each other.
        """
        _check_names(cls, values)
        return cls(**values)


@dataclass(frozen=True)
class Withheld:
    """No certificate, and why.

    Args:
        reason: one sentence in plain words.
        num_needed: audit answers in all that would probably do (80 % power at the error rates seen so far);
            None where no number would.
        max_error: the error rate that was asked for.
        alpha: the chance of a broken promise that was asked for.
        promise: "auto" or "whole".
        num_audited: the audit answers there were.

    Raises:
        ValueError: no reason, or a number that cannot be.
        UnknownName: no such promise.
    """

    reason: str
    num_needed: int | None
    max_error: float
    alpha: float
    promise: str
    num_audited: int

    def __post_init__(self) -> None:
        """Check that there is a reason and that more answers are asked for than there are."""
        check_open_unit("max_error", self.max_error)
        check_open_unit("alpha", self.alpha)
        check_promise(self.promise)
        if not self.reason:
            raise ValueError("reason: got '', expected why there is no certificate")
        if self.num_audited < 0:
            raise ValueError(f"num_audited: got {self.num_audited}, expected at least 0")
        if self.num_needed is not None and self.num_needed <= self.num_audited:
            raise ValueError(f"num_needed: got {self.num_needed}, expected more than {self.num_audited}")

    def sentence(self, *, num_looks: int = 1) -> str:
        """Say in plain English what was not certified, why, and what would help.

        Args:
            num_looks: as in `Certificate.sentence`.
        """
        which = "auto-labels are" if self.promise == "auto" else "whole result is"
        asked = f"that at most {percent(self.max_error)} of the {which} wrong"
        help_ = (
            "At the error rates seen so far no number of audit answers would do."
            if self.num_needed is None
            else f"About {self.num_needed:,} audit answers in all would probably do."
        )
        return (
            f"No certificate {asked} (confidence {confidence_in_words(self.alpha, num_looks)}): {self.reason}. {help_}"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON types."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read what `to_dict` wrote.

        Raises:
            ValueError: a field is missing or unknown, or a number cannot be.
        """
        _check_names(cls, values)
        return cls(**values)


def _check_names(cls: type[Certificate] | type[Withheld], values: Mapping[str, Any]) -> None:
    expected = {field.name for field in fields(cls)}
    if set(values) != expected:
        missing, unknown = sorted(expected - set(values)), sorted(set(values) - expected)
        raise ValueError(f"{cls.__name__}: got missing {missing} and unknown {unknown}, expected every field once")


def confidence_in_words(alpha: float, num_looks: int) -> str:
    """1 - alpha, at one look and over all of them."""
    if num_looks == 1:
        return percent(1 - alpha)
    return f"{percent(1 - alpha)} at this look, {percent(1 - num_looks * alpha)} over all {num_looks} looks together"


def percent(fraction: float) -> str:
    """A fraction as it is read."""
    return f"{100 * fraction:.4g} %"
