"""The second draw of an audit: answers where the threshold will fall, and none far below it.

Knows confidences, the answers of a pilot and how many items pass; knows nothing of rows. It only says where to draw;
the draw itself is uniform there, so that `certify` tests it exactly.

A uniform audit spends two of five answers on ImageNet far below any threshold that could be certified. A pilot (a
uniform audit of about a seventh of all answers) says roughly where that begins; the other answers are drawn uniformly
from the items above. **The certificate rests on the second draw alone**: the pilot chose where it reaches, so that its
answers may not count again. The pilot keeps its use for every figure about the whole pool.

Draws that also thin out what is surely right were tried and are worse: two strata, the upper one drawn less often,
tested exactly by the worst split of the wrong items between them, certify 0.40 to 0.66 of the oracle's coverage on
ImageNet at 400 answers where a uniform draw of the same items gives 0.70 to 0.74, for an error among the few drawn
from the upper stratum weighs more than the answers saved there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy  # its parts come when they are first used: few processes wait for them

from raylabel.acceptance.bounds import CountArray
from raylabel.acceptance.checks import BoolArray, ConfidenceArray, check_open_unit, check_promise
from raylabel.acceptance.curve import fit_error_curve
from raylabel.acceptance.histogram import EDGES, ConfidenceHistogram, count_passing

# How likely all of what is drawn from should be certified, if the curve is right: lower draws more widely.
REACH_POWER = 0.25


@dataclass(frozen=True)
class SecondDraw:
    """Where to draw from: uniformly, from the items without an answer at `confidence >= threshold`.

    Args:
        threshold: lowest confidence to draw from, an edge of the histogram.
        num_open: items without an answer there.
        size: how many to draw, at most `num_open`.

    Raises:
        ValueError: numbers that cannot be.
    """

    threshold: float
    num_open: int
    size: int

    def __post_init__(self) -> None:
        """Check that so many can be drawn."""
        if not 0 < self.size <= self.num_open:
            raise ValueError(f"size: got {self.size}, expected 1 to {self.num_open} items without an answer")
        if not 0 <= self.threshold <= 1:
            raise ValueError(f"threshold: got {self.threshold}, expected a number in [0, 1]")

    @property
    def inclusion_probability(self) -> float:
        """With what probability each of those items is drawn; `certify` takes one divided by it as `weights`."""
        return self.size / self.num_open


def plan_second_draw(
    confidence: ConfidenceArray,
    correct: BoolArray,
    *,
    pool: ConfidenceHistogram,
    size: int,
    max_error: float,
    alpha: float,
    promise: str,
) -> SecondDraw:
    """Plan the second draw of an audit from its pilot and the pool.

    Args:
        confidence: (n,) of the pilot, drawn uniformly over the pool; n may be 0, then the confidences are taken at
            their word.
        correct: (n,) bool.
        pool: the whole pool, with `human` set for every item of the pilot and every other that people answered.
        size: answers to draw now.
        max_error: the error rate to promise.
        alpha: the chance that the promise may be broken.
        promise: "auto" or "whole".

    Returns:
        The lowest edge at which `size` answers from above it would certify all of it with a chance of a quarter if the
        curve through the pilot is right, and in any case items enough to draw from.

    Raises:
        ValueError: lengths differ, NaN, `max_error` or `alpha` outside (0, 1), or fewer open items than `size`.
        UnknownName: no such promise.

    Cost: a millisecond.
    """
    check_open_unit("max_error", max_error)
    check_open_unit("alpha", alpha)
    check_promise(promise)
    open_ = count_passing(pool.counts - pool.human_counts)
    if not 0 < size <= open_[0]:
        raise ValueError(f"size: got {size}, expected 1 to {open_[0]:,} items without an answer")
    reached = _reach(confidence, correct, pool=pool, size=size, max_error=max_error, alpha=alpha, promise=promise)
    # Twice as many as are drawn, so that a mistaken pilot does not pin the threshold to a few items.
    at = min(reached, int(np.flatnonzero(open_ >= min(2 * size, int(open_[0])))[-1]))
    return SecondDraw(threshold=float(EDGES[at]), num_open=int(open_[at]), size=size)


def _reach(
    confidence: ConfidenceArray,
    correct: BoolArray,
    *,
    pool: ConfidenceHistogram,
    size: int,
    max_error: float,
    alpha: float,
    promise: str,
) -> int:
    """The lowest edge above which all is certified with a chance of `REACH_POWER`; the highest where none is."""
    curve = fit_error_curve(confidence, correct)
    middles = (EDGES.astype(np.float64) + np.append(EDGES[1:], 1)) / 2
    passing: CountArray = pool.num_passing()
    wrong = np.cumsum((curve(middles) * pool.counts)[::-1])[::-1]
    rates = wrong / np.maximum(passing, 1)
    promised = max_error if promise == "auto" else max_error * pool.num_items / np.maximum(passing, 1)
    spread = np.sqrt(promised * np.maximum(1 - promised, 0) / size)
    reachable = (passing > 0) & (
        rates + (scipy.stats.norm.isf(alpha) - scipy.stats.norm.isf(REACH_POWER)) * spread <= promised
    )
    return int(np.argmax(reachable)) if reachable.any() else len(EDGES) - 1
