"""The label model: votes of labeling functions become probabilistic labels, weighed by how right each function is.

Knows votes as label indices; knows nothing of what the functions look at. What it says is for training alone: no
certificate may count it as an answer.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
import scipy  # its parts come when they are first used: few processes wait for them
from numpy.typing import NDArray

ABSTAIN = -1
"""The vote of a function that has nothing to say of an item."""

ASSUMED_VOTES, ASSUMED_ODDS = 10.0, 3.0
"""A function is assumed to name a class so many times as readily for items of that class as for others; the assumption
weighs as much as so many items of each class."""

STEPS = (1, 2, 4, 8, 200)
"""How many steps of expectation maximization answers of people choose from; without answers it is the second."""
STRENGTHS = (0.02, 3.0)
"""Between which the power lies that the probabilities are taken to."""
TOLERANCE = 1e-5

IntArray = NDArray[np.integer]
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class VoteCounts:
    """How often each combination of votes occurs in a pool; parts of the pool merge.

    Args:
        patterns: (P, F) int32 distinct rows in rising order, one vote for each function, `ABSTAIN` where it has none.
        counts: (P,) int64 of at least 1.

    Cost: O(P * F) memory; P is at most the number of items, and far less for a dozen functions.
    """

    patterns: NDArray[np.int32]
    counts: NDArray[np.int64]

    @classmethod
    def of(cls, votes: IntArray) -> Self:
        """Count one batch of (n, F) votes.

        Raises:
            ValueError: another shape, no integers, or a vote below `ABSTAIN`.
        """
        if votes.ndim != 2 or votes.shape[1] == 0 or not np.issubdtype(votes.dtype, np.integer):
            got = f"{votes.dtype.name} of shape {votes.shape}"
            raise ValueError(f"votes: got {got}, expected integers of shape (n, F) with at least 1 function")
        if votes.size and votes.min() < ABSTAIN:
            raise ValueError(f"votes: got {votes.min()}, expected label indices or {ABSTAIN}")
        patterns, counts = np.unique(votes.astype(np.int32), axis=0, return_counts=True)
        return cls(patterns, counts.astype(np.int64))

    def merge(self, other: VoteCounts) -> VoteCounts:
        """Return the counts of both parts; the order of merging makes no difference.

        Raises:
            ValueError: the parts have different functions.
        """
        if self.patterns.shape[1] != other.patterns.shape[1]:
            raise ValueError(f"other: got {other.patterns.shape[1]} functions, expected {self.patterns.shape[1]}")
        both = np.concatenate([self.patterns, other.patterns])
        patterns, place = np.unique(both, axis=0, return_inverse=True)
        counts = np.zeros(len(patterns), dtype=np.int64)
        np.add.at(counts, place.ravel(), np.concatenate([self.counts, other.counts]))
        return VoteCounts(patterns, counts)


@dataclass(frozen=True, eq=False)
class LabelModel:
    """How each function votes, and what its votes therefore say.

    Args:
        response: (F, K, K + 1) float64: how likely a function gives an item of class [row] the vote [column]; the last
            column is abstaining.
        balance: (K,) float64: the classes' frequencies, summing to 1.
        accuracy: (F,) float64: the share of each function's votes that are expected to be right; NaN for one that
            never votes.
        coverage: (F,) float64: the share of items that each function votes for.
        strength: the power to which probabilities are taken: below 1 where functions err alike.
    """

    response: Floats
    balance: Floats
    accuracy: Floats
    coverage: Floats
    strength: float

    def probabilities(self, votes: IntArray) -> Floats:
        """Label items.

        Args:
            votes: (n, F) label indices, `ABSTAIN` where a function has none.

        Returns:
            (n, K) float64 rows that sum to 1. An item for which all functions abstain has probabilities too, as their
            silence says something; who wants items that a function speaks of leaves it out.

        Raises:
            ValueError: another number of functions, or a vote for no class.
        """
        num, classes = self.response.shape[:2]
        if votes.ndim != 2 or votes.shape[1] != num:
            raise ValueError(f"votes: got shape {votes.shape}, expected (n, {num}), a column for each function")
        _check_classes(votes, classes)
        return _posterior(votes, self.response, self.balance, self.strength)


def fit_label_model(
    counts: VoteCounts, *, num_classes: int, known: tuple[IntArray, IntArray] | None = None
) -> LabelModel:
    """Learn how each function votes for items of each class, from how functions agree with each other.

    Abstaining is a vote like any other: a function that only ever says "cat" is known by where it stays silent. The
    majority of the functions is where expectation maximization starts, each weighed by the log-odds of being right that
    people's answers give it, if that makes these clearly likelier. Where functions err apart from each other it should
    go on to its end, where they err alike it leads away from the truth: people's answers choose how far it goes, and
    how sure the model may be.

    Args:
        counts: of the pool's votes.
        num_classes: K, at least 2.
        known: (m, F) votes for items that people have labeled, and their (m,) label indices: training answers, never
            those of the audit. Without them all functions weigh the same, two steps are gone, and the functions' word
            is taken as it is.

    Returns:
        The model.

    Raises:
        ValueError: no vote at all, a vote or a known label that is no class, or shapes that do not fit.

    Cost: up to 400 steps of O(P * F * K) for P combinations of votes.
    Source: the data programming of Ratner et al. 2016, with Dawid and Skene's 1979 response matrices over functions;
        the strength is the temperature of Guo et al. 2017.
    """
    if num_classes < 2:
        raise ValueError(f"num_classes: got {num_classes}, expected at least 2")
    patterns, weight = counts.patterns, counts.counts.astype(np.float64)
    _check_classes(patterns, num_classes)
    if not (patterns != ABSTAIN).any():
        raise ValueError("counts: got no vote, every function abstains everywhere; expected one at least")
    if known is None or len(known[1]) == 0:
        response, balance = _learned(patterns, weight, np.ones(patterns.shape[1]), num_classes)[STEPS[1]]
        return _model(patterns, weight, response, balance, 1.0)
    _check_known(known, patterns.shape[1], num_classes)
    alike, weighed = (
        _judged(_learned(patterns, weight, trust, num_classes), known)
        for trust in (np.ones(patterns.shape[1]), _trust(known, num_classes))
    )
    gains = alike.losses - weighed.losses
    clear = len(gains) > 1 and gains.mean() > gains.std(ddof=1) / math.sqrt(len(gains))
    best = weighed if clear else alike
    return _model(patterns, weight, best.response, best.balance, best.strength)


class _Judged(NamedTuple):
    """What people's answers say of a model: their log losses at the strength at which they are least."""

    losses: Floats
    strength: float
    response: Floats
    balance: Floats


def _judged(steps: Mapping[int, tuple[Floats, Floats]], known: tuple[IntArray, IntArray]) -> _Judged:
    """The best of some steps."""
    tried = [_Judged(*_strength(known, *step), *step) for step in steps.values()]
    return min(tried, key=lambda each: float(each.losses.mean()))


def _trust(known: tuple[IntArray, IntArray], num_classes: int) -> Floats:
    """(F,) log-odds of a function's votes being right, by people's answers, over those of a guess; at least 0.

    Before any answer each is assumed to be right as often as `ASSUMED_ODDS` makes it.
    """
    votes, label_index = known
    right = (votes == label_index[:, np.newaxis]).sum(axis=0)
    assumed = ASSUMED_ODDS / (ASSUMED_ODDS + num_classes - 1)
    share = (right + ASSUMED_VOTES * assumed) / ((votes != ABSTAIN).sum(axis=0) + ASSUMED_VOTES)
    odds: Floats = np.maximum(np.log(share / (1 - share) * (num_classes - 1)), 0.0)
    return odds


def _learned(patterns: IntArray, weight: Floats, trust: Floats, num_classes: int) -> dict[int, tuple[Floats, Floats]]:
    """Responses and balance after so many steps from the majority of the functions, each weighed by its trust."""
    named = np.stack([(patterns == label) @ trust for label in range(num_classes)], axis=1)
    believed = (named + 1 / num_classes) / (named.sum(axis=1, keepdims=True) + 1)
    found, settled = {}, False
    for step in range(1, STEPS[-1] + 1):
        if not settled:
            balance = weight @ believed + 1
            balance /= balance.sum()
            response = _responses(_responded(patterns, weight[:, np.newaxis] * believed))
            before, believed = believed, _posterior(patterns, response, balance, 1.0)
            settled = bool(np.abs(believed - before).max() < TOLERANCE)
        if step in STEPS:
            found[step] = response, balance
    return found


def _strength(known: tuple[IntArray, IntArray], response: Floats, balance: Floats) -> tuple[Floats, float]:
    """The log losses of people's answers, and the strength at which their mean is least."""
    votes, label_index = known

    def losses(log_strength: float) -> Floats:
        said = _posterior(votes, response, balance, math.exp(log_strength))
        found: Floats = -np.log(np.maximum(said[np.arange(len(votes)), label_index], 1e-12))
        return found

    low, high = (math.log(each) for each in STRENGTHS)
    options = {"xatol": 1e-3}
    found = scipy.optimize.minimize_scalar(
        lambda x: float(losses(x).mean()), bounds=(low, high), method="bounded", options=options
    )
    return losses(found.x), math.exp(found.x)


def _model(patterns: IntArray, weight: Floats, response: Floats, balance: Floats, strength: float) -> LabelModel:
    believed, voted = _posterior(patterns, response, balance, strength), patterns != ABSTAIN
    own = np.where(voted, believed[np.arange(len(patterns))[:, np.newaxis], patterns], 0.0)
    num_votes = weight @ voted
    accuracy = np.full(patterns.shape[1], np.nan)
    np.divide(weight @ own, num_votes, out=accuracy, where=num_votes > 0)
    return LabelModel(response, balance, accuracy, num_votes / weight.sum(), strength)


def _responded(votes: IntArray, weights: Floats) -> Floats:
    """(F, K, K + 1) how often each function gave each vote to items of each class, by their (n, K) weights."""
    classes = weights.shape[1]
    found = np.empty((votes.shape[1], classes, classes + 1))
    for function in range(votes.shape[1]):
        column = votes[:, function] % (classes + 1)  # abstaining comes last
        for true in range(classes):
            found[function, true] = np.bincount(column, weights=weights[:, true], minlength=classes + 1)
    return found


def _responses(counts: Floats) -> Floats:
    """The same as rates, smoothed towards a function that names a class somewhat more readily where it is right."""
    classes = counts.shape[1]
    overall = counts.sum(axis=1) + 1e-6
    overall /= overall.sum(axis=1, keepdims=True)
    assumed = np.repeat(overall[:, np.newaxis], classes, axis=1)
    assumed[:, np.arange(classes), np.arange(classes)] *= ASSUMED_ODDS
    spoken = overall[:, :classes].sum(axis=1)[:, np.newaxis, np.newaxis]
    assumed[:, :, :classes] *= spoken / assumed[:, :, :classes].sum(axis=2, keepdims=True)
    smoothed = counts + ASSUMED_VOTES * assumed
    rates: Floats = smoothed / smoothed.sum(axis=2, keepdims=True)
    return rates


def _posterior(votes: IntArray, response: Floats, balance: Floats, strength: float) -> Floats:
    logs = np.zeros((len(votes), len(balance)))
    for function, said in enumerate(np.log(response)):
        logs += said[:, votes[:, function] % said.shape[1]].T
    logs = strength * (logs + np.log(balance))
    found = np.exp(logs - logs.max(axis=1, keepdims=True, initial=-np.inf))
    normalized: Floats = found / found.sum(axis=1, keepdims=True)
    return normalized


def _check_known(known: tuple[IntArray, IntArray], num_functions: int, num_classes: int) -> None:
    votes, label_index = known
    if votes.ndim != 2 or votes.shape[1] != num_functions or label_index.shape != (len(votes),):
        got = f"{votes.shape} and {label_index.shape}"
        raise ValueError(f"known: got shapes {got}, expected (m, {num_functions}) and (m,)")
    _check_classes(votes, num_classes)
    if label_index.min() < 0 or label_index.max() >= num_classes:
        raise ValueError(f"known: got a label outside 0..{num_classes - 1}, expected one of the classes")


def _check_classes(votes: IntArray, num_classes: int) -> None:
    if votes.size and (votes.min() < ABSTAIN or votes.max() >= num_classes):
        raise ValueError(
            f"votes: got {votes.min()}..{votes.max()}, expected label indices in 0..{num_classes - 1} or {ABSTAIN}"
        )
