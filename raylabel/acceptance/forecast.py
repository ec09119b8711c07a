"""What an audit will probably certify, before anyone is asked: simulated on what is assumed or known of a model.

Knows confidences and chances of being right; knows nothing of campaigns. It is for people, never part of a proof.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import scipy  # its parts come when they are first used: few processes wait for them
from numpy.typing import NDArray
from scipy.special import expit

from raylabel.acceptance.audit import num_needed, smallest_audit, worth_in_pool
from raylabel.acceptance.bounds import CountArray
from raylabel.acceptance.certificate import Certificate
from raylabel.acceptance.certify import find_certificate
from raylabel.acceptance.checks import BoolArray, ConfidenceArray, check_confidence, check_flags, check_open_unit
from raylabel.acceptance.curve import fit_error_curve
from raylabel.acceptance.histogram import EDGES, ConfidenceHistogram
from raylabel.acceptance.targeted import plan_second_draw

SPREAD = 2.0
"""Standard deviation of the logit of confidence where nothing is known. With it, and the same share of right labels, a
model accepts 56 % of a pool at 5 % wrong; the classifier of ImageNet that certificates are benchmarked on 59 %."""
POINTS = 2000
DRAWS = 100
SHARES = np.linspace(0.05, 1.0, 20)
"""Parts of the pool, the most confident first, at which errors are told."""


@dataclass(frozen=True, eq=False)
class Expected:
    """What is expected of a model's labels over the pool; rows are kinds of items.

    Args:
        confidence: (n,) float32 in [0, 1], falling.
        chance: (n,) float64, how often a label of this confidence is right.
        share: (n,) float64, the part of the pool that is of this kind; they sum to 1.

    Raises:
        ValueError: lengths differ, a value outside [0, 1], confidences that rise, or shares that do not sum to 1.
    """

    confidence: NDArray[np.float32]
    chance: NDArray[np.float64]
    share: NDArray[np.float64]

    def __post_init__(self) -> None:
        """Check the arrays."""
        check_confidence("confidence", self.confidence, dtypes=("float32",))
        for name in ("chance", "share"):
            values: NDArray[np.float64] = getattr(self, name)
            check_confidence(name, values, dtypes=("float64",))
            if values.shape != self.confidence.shape:
                raise ValueError(f"{name}: got {len(values)} values, expected {len(self.confidence)}")
        if (np.diff(self.confidence) > 0).any():
            raise ValueError("confidence: got values that rise, expected the highest first")
        if not math.isclose(float(self.share.sum()), 1.0, rel_tol=1e-6):
            raise ValueError(f"share: got values that sum to {self.share.sum():g}, expected 1")

    @property
    def accuracy(self) -> float:
        """How many of all labels are right."""
        return float(self.chance @ self.share)

    def errors(self, shares: NDArray[np.float64] = SHARES) -> NDArray[np.float64]:
        """How many are wrong among the most confident parts of the pool: one error rate for each of `shares`."""
        covered = np.concatenate([[0.0], np.cumsum(self.share)])
        wrong = np.concatenate([[0.0], np.cumsum(self.share * (1 - self.chance))])
        found: NDArray[np.float64] = np.interp(shares, covered, wrong) / shares
        return found

    def attainable(self, max_error: float, *, promise: str) -> float:
        """The largest part of the pool that keeps a promise: what no audit can exceed, however large it is."""
        covered = np.cumsum(self.share)
        wrong = np.cumsum(self.share * (1 - self.chance))
        kept = np.flatnonzero(wrong <= max_error * (covered if promise == "auto" else 1.0) + 1e-12)
        return float(covered[kept[-1]]) if kept.size else 0.0


def assumed(accuracy: float) -> Expected:
    """What to expect where nothing is known: confidences that are right as often as they say.

    Args:
        accuracy: how many of all labels are right, between 0 and 1.

    Returns:
        Confidences whose logits are normal with standard deviation `SPREAD`, in equal parts.
    """
    check_open_unit("accuracy", accuracy)
    normal = scipy.stats.norm.isf((np.arange(POINTS) + 0.5) / POINTS)
    centre = scipy.optimize.brentq(lambda at: float(expit(at + SPREAD * normal).mean()) - accuracy, -60.0, 60.0)
    chance = expit(centre + SPREAD * normal)
    return Expected(chance.astype(np.float32), chance, np.full(POINTS, 1 / POINTS))


def learned(confidence: ConfidenceArray, correct: BoolArray, *, counts: CountArray) -> Expected:
    """What to expect after a round: the pool's own confidences, and how often such were right on held-out answers.

    Strategies ask about items that are harder than the pool. Of two items of one confidence the asked one is taken to
    be as hard as the other; that, and the curve of `fit_error_curve`, are the assumptions.

    Args:
        confidence: (n,) of training answers by heads that had not learned from them (cross-fitted), n at least 1.
        correct: (n,) bool, the label was the people's.
        counts: (len(EDGES),) int64, the pool's items by confidence, as `ConfidenceHistogram.counts`.

    Raises:
        ValueError: confidences or flags that are none, no held-out answer, or a pool of no items.
    """
    check_confidence("confidence", confidence)
    check_flags("correct", correct, num=len(confidence))
    if len(confidence) == 0 or not counts.any():
        raise ValueError(f"got {len(confidence)} held-out answers and {counts.sum()} items, expected some of each")
    there = np.flatnonzero(counts)[::-1]
    known = EDGES[there]
    return Expected(known, 1 - fit_error_curve(confidence, correct)(known), counts[there] / counts.sum())


@dataclass(frozen=True)
class Forecast:
    """What an audit of one size will probably come to.

    Args:
        max_error: the error rate to promise.
        num_audit: audit answers.
        chance: how often such an audit certifies anything.
        coverage: part of the pool that gets a machine label, on average, draws without a certificate included.
        low: the same in one of ten draws, or less.
        high: the same in one of ten draws, or more.
        attainable: what no audit can exceed, however large.
        num_needed: answers of a uniform audit that certify something in eight of ten draws, a targeted one takes fewer;
            None where none would.
    """

    max_error: float
    num_audit: int
    chance: float
    coverage: float
    low: float
    high: float
    attainable: float
    num_needed: int | None

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON types."""
        return asdict(self)


def forecast(
    expected: Expected,
    *,
    num_pool: int,
    num_train: int,
    num_audit: int,
    asked: tuple[float, float, str],
    num_second: int = 0,
    num_draws: int = DRAWS,
) -> Forecast:
    """Simulate audits of a pool and certify each of them.

    Each is certified as a sample of any population, which takes a hundredth of the time, with as many answers as do
    there what `num_audit` do in this pool (as `widened_for_pool` has it): a large part of a small pool proves less
    about its rest. Of 60,000 items, 85 % right, 1,000 answers certify 48 % at 5 % wrong that way, 53 % as the pool.

    Args:
        expected: what the model's labels are like.
        num_pool: items of the pool, at least `num_train + num_audit`.
        num_train: training answers; they get no machine label, and are taken to be like the rest.
        num_audit: audit answers, both draws together.
        asked: max_error, alpha of one look, promise.
        num_second: how many of them are drawn a second time, where the threshold will fall (`plan_second_draw`); 0 for
            a uniform audit.
        num_draws: audits to simulate, each with a seed of its own: the same every time.

    Raises:
        ValueError: more answers than items, or what `certify` refuses.

    Cost: that of `num_draws` times `certify` without its estimate, some 0.5 ms each.
    """
    max_error, alpha, promise = asked
    rest = num_pool - num_train - num_audit
    if rest < 0:
        raise ValueError(f"num_pool: got {num_pool}, expected at least {num_train} + {num_audit} answers")
    needed = least_audit(expected, max_error=max_error, alpha=alpha, promise=promise)
    coverages = np.zeros(num_draws)
    for number in range(num_draws if rest else 0):
        sizes = (num_audit - num_second, num_second)
        threshold = _certified(expected, sizes, num_pool=num_pool, asked=asked, seed=number)
        coverages[number] = expected.share[expected.confidence >= threshold].sum() * rest / num_pool
    low, high = np.quantile(coverages, [0.1, 0.9])
    return Forecast(
        max_error=max_error,
        num_audit=num_audit,
        chance=float((coverages > 0).mean()),
        coverage=float(coverages.mean()),
        low=float(low),
        high=float(high),
        attainable=expected.attainable(max_error, promise=promise),
        num_needed=needed,
    )


def _certified(
    expected: Expected, sizes: tuple[int, int], *, num_pool: int, asked: tuple[float, float, str], seed: int
) -> float:
    """The threshold that one simulated audit of a first and a second draw certifies; infinite where none."""
    max_error, alpha, promise = asked
    num_first, num_second = sizes
    floor, worth = 0.0, worth_in_pool(num_first, num_pool=num_pool, alpha=alpha)
    if num_second:
        pilot = _sample(expected, num_first, np.random.default_rng([seed, num_first, 1]))
        bins = np.searchsorted(EDGES, expected.confidence, side="right") - 1
        counts = np.round(np.bincount(bins, expected.share * num_pool, minlength=len(EDGES))).astype(np.int64)
        pool = ConfidenceHistogram(counts, np.zeros_like(counts))
        size = min(num_second, pool.num_items)
        plan = plan_second_draw(*pilot, pool=pool, size=size, max_error=max_error, alpha=alpha, promise=promise)
        floor, worth = plan.threshold, worth_in_pool(size, num_pool=plan.num_open, alpha=alpha)
    if worth < smallest_audit(max_error, alpha):
        return math.inf
    confidence, correct = _sample(expected, worth, np.random.default_rng([seed, worth]), floor=floor)
    found = find_certificate(confidence, correct, max_error=max_error, alpha=alpha, promise=promise)
    return max(found.threshold, floor) if isinstance(found, Certificate) else math.inf


def least_audit(expected: Expected, *, max_error: float, alpha: float, promise: str) -> int | None:
    """Return how many audit answers certify something in eight of ten draws, at the part of the pool that is easiest.

    One exact binomial test at the best of `SHARES`; None where no number would do.
    """
    errors = expected.errors()
    # Of "whole" every audit item counts, wrong and accepted or not.
    rates, coverages = (errors, SHARES) if promise == "auto" else (errors * SHARES, np.ones(len(SHARES)))
    # Nearer to the promise than a tenth millions are needed: only where no part is farther from it.
    far = np.flatnonzero(rates <= 0.9 * max_error)
    nearest = np.flatnonzero(rates <= rates.min() + 1e-12)[-1:]
    found = [
        num_needed(max_error=max_error, alpha=alpha, error_rate=float(rates[at]), coverage=float(coverages[at]))
        for at in (far if far.size else nearest)
    ]
    return min((number for number in found if number is not None), default=None)


def hopeless(*, num_pool: int, num_train: int, num_audit: int, asked: tuple[float, float, str]) -> str | None:
    """Say why an audit could certify nothing even if every single one of its answers agreed with the model.

    Args:
        num_pool: as in `forecast`, and so are num_train, num_audit and asked.
        num_train: taken to be where they hurt least: below every threshold.
        num_audit: all of them right. Tried with all that is not for training in one bin, and spread evenly over all
            bins: thresholds are tested above audited items, so that one bin leaves none that keeps training items out.
        asked: max_error, alpha and promise.

    Returns:
        The reason; None where there is a chance.
    """
    max_error, alpha, promise = asked
    right, bins, rest = np.ones(num_audit, np.bool_), len(EDGES) - 1, num_pool - num_train
    together = np.zeros(bins, np.int64)
    together[-1] = rest
    # Item i of the rest lies in bin i * bins // rest.
    spread = np.diff(-(-rest * np.arange(bins + 1) // bins))
    picked = np.arange(num_audit) * rest // max(num_audit, 1)
    reasons = []
    for open_, audited in (
        (together, np.full(num_audit, bins - 1)),
        (spread, picked * bins // max(rest, 1)),
    ):
        counts = np.append(num_train, open_)
        human = np.append(num_train, np.bincount(audited, minlength=bins))
        pool, confidence = ConfidenceHistogram(counts, human), EDGES[1 + audited]
        found = find_certificate(confidence, right, max_error=max_error, alpha=alpha, promise=promise, pool=pool)
        if isinstance(found, Certificate):
            return None
        reasons.append(found)
    return reasons[0]


def _sample(
    expected: Expected, num: int, rng: np.random.Generator, *, floor: float = 0.0
) -> tuple[NDArray[np.float32], BoolArray]:
    """Confidence, and whether the label is right, of items drawn at or above a confidence."""
    share = np.where(expected.confidence >= floor, expected.share, 0.0)
    picked = rng.choice(len(share), num, p=share / share.sum())
    return expected.confidence[picked], rng.random(num) < expected.chance[picked]
