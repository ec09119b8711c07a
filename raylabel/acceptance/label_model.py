"""The label model: votes of labeling functions become probabilistic labels, weighed by how right each function is.

Knows votes as label indices; knows nothing of what the functions look at. What it says is for training alone: no
certificate may count it as an answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

ABSTAIN = -1
"""The vote of a function that has nothing to say of an item."""

ASSUMED_VOTES, ASSUMED_ODDS = 10.0, 3.0
"""A function is assumed to name a class so many times as readily for items of that class as for others; the assumption
weighs as much as so many items of each class."""

MOST_STEPS, TOLERANCE = 200, 1e-5

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
    """

    response: Floats
    balance: Floats
    accuracy: Floats
    coverage: Floats

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
        return _posterior(votes, self.response, self.balance)


def fit_label_model(
    counts: VoteCounts, *, num_classes: int, known: tuple[IntArray, IntArray] | None = None
) -> LabelModel:
    """Learn how each function votes for items of each class, from how functions agree with each other and with people.

    Abstaining is a vote like any other: a function that only ever says "cat" is known by where it stays silent.
    Functions are taken to err apart from each other: of two that are the same, leave one out.

    Args:
        counts: of the pool's votes.
        num_classes: K, at least 2.
        known: (m, F) votes for items that people have labeled, and their (m,) label indices: training answers. They
            judge the functions on these items, beside the pool.

    Returns:
        The model.

    Raises:
        ValueError: no vote at all, a vote or a known label that is no class, or shapes that do not fit.

    Cost: up to 200 steps of O(P * F * K) for P combinations of votes.
    Source: the data programming of Ratner et al. 2016, with Dawid and Skene's 1979 response matrices over functions.
    """
    patterns, weight = counts.patterns, counts.counts.astype(np.float64)
    num_functions = patterns.shape[1]
    if num_classes < 2:
        raise ValueError(f"num_classes: got {num_classes}, expected at least 2")
    _check_classes(patterns, num_classes)
    named = np.stack([(patterns == label).sum(axis=1) for label in range(num_classes)], axis=1).astype(np.float64)
    if not named.any():
        raise ValueError("counts: got no vote, every function abstains everywhere; expected one at least")
    anchors = _anchors(known, num_functions, num_classes)
    believed = (named + 1 / num_classes) / (named.sum(axis=1, keepdims=True) + 1)
    for _ in range(MOST_STEPS):
        balance = weight @ believed + 1
        balance /= balance.sum()
        response = _responses(_responded(patterns, weight[:, np.newaxis] * believed) + anchors)
        before, believed = believed, _posterior(patterns, response, balance)
        if np.abs(believed - before).max() < TOLERANCE:
            break
    voted = patterns != ABSTAIN
    rows = np.arange(len(patterns))[:, np.newaxis]
    right = (weight[:, np.newaxis] * np.where(voted, believed[rows, patterns], 0.0)).sum(axis=0)
    num_votes = weight @ voted
    accuracy = np.full(num_functions, np.nan)
    np.divide(right, num_votes, out=accuracy, where=num_votes > 0)
    return LabelModel(response, balance, accuracy, num_votes / weight.sum())


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


def _posterior(votes: IntArray, response: Floats, balance: Floats) -> Floats:
    logs = np.tile(np.log(balance), (len(votes), 1))
    for function, said in enumerate(np.log(response)):
        logs += said[:, votes[:, function] % said.shape[1]].T
    found = np.exp(logs - logs.max(axis=1, keepdims=True, initial=-np.inf))
    normalized: Floats = found / found.sum(axis=1, keepdims=True)
    return normalized


def _anchors(known: tuple[IntArray, IntArray] | None, num_functions: int, num_classes: int) -> Floats:
    """What each function said of items that people have labeled, as `_responded` counts it."""
    if known is None:
        return np.zeros((num_functions, num_classes, num_classes + 1))
    votes, label_index = known
    if votes.ndim != 2 or votes.shape[1] != num_functions or label_index.shape != (len(votes),):
        got = f"{votes.shape} and {label_index.shape}"
        raise ValueError(f"known: got shapes {got}, expected (m, {num_functions}) and (m,)")
    _check_classes(votes, num_classes)
    if len(label_index) and (label_index.min() < 0 or label_index.max() >= num_classes):
        raise ValueError(f"known: got a label outside 0..{num_classes - 1}, expected one of the classes")
    return _responded(votes, np.eye(num_classes)[label_index])


def _check_classes(votes: IntArray, num_classes: int) -> None:
    if votes.size and (votes.min() < ABSTAIN or votes.max() >= num_classes):
        raise ValueError(
            f"votes: got {votes.min()}..{votes.max()}, expected label indices in 0..{num_classes - 1} or {ABSTAIN}"
        )
