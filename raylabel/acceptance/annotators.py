"""What annotators' answers are worth: confusion matrices learned from how annotators agree with each other.

Knows votes; knows no truth. Everything is learned by expectation maximization, from the votes alone.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from raylabel.acceptance.votes import Votes

Floats = NDArray[np.float64]

TYPICAL_ANSWERS = 10.0
"""What is assumed of all annotators together counts as much as so many answers for each class ..."""
TYPICAL_ACCURACY = 0.9
"""... so many of them right."""
SHARED_ANSWERS = 100.0
"""An annotator's skill together with everybody's confusions counts as much as so many own answers for each class."""
SKILL_VARIANCE = 1.0
"""Of the annotators' skills, in log-odds of a right answer, around what is typical of the class."""

MOST_STEPS, NEWTON_STEPS = 200, 25
TOLERANCE = 1e-4


def learn(votes: Votes) -> tuple[Floats, Floats]:
    """Learn annotators' errors and items' classes together.

    Each annotator has a confusion matrix: that of all annotators together, moved by the annotator's own skill, moved
    further by the annotator's own answers as far as there are many of them. Items with one answer say nothing of
    anybody's errors.

    Returns:
        (n, K) float64 probabilities of each item's classes, and (A, K, K) float64: how likely each annotator gives an
        item of class [row] the label [column].

    Cost: up to 200 steps of O(v * K + A * K^2).
    Source: Dawid and Skene 1979, with a hierarchy over annotators as in Paun et al. 2018 (Comparing Bayesian Models of
        Annotation), fitted by expectation maximization.
    """
    counts = votes.counts()
    num_answers = counts.sum(axis=1)
    shared = (num_answers > 1)[votes.item_index]
    probabilities = (counts + 1 / votes.num_classes) / (num_answers + 1)[:, np.newaxis]
    for _ in range(MOST_STEPS):
        confusion = _shrunk(confusion_counts(votes, probabilities, among=shared))
        before, probabilities = probabilities, _posterior(votes, confusion, probabilities)
        if np.abs(probabilities - before).max(initial=0) < TOLERANCE:
            break
    return probabilities, confusion


def confusion_counts(votes: Votes, probabilities: Floats, *, among: NDArray[np.bool_]) -> Floats:
    """How often each annotator gave each label to items of each class, in expectation.

    Args:
        votes: v of them.
        probabilities: (n, K) of the items' classes.
        among: (v,) which votes to count.

    Returns:
        (A, K, K) float64; rows are classes, columns labels.
    """
    num, classes = votes.num_annotators, votes.num_classes
    cells = (votes.annotator_index.astype(np.int64) * classes + votes.label_index)[among]
    weights = probabilities[votes.item_index[among]]
    found = np.empty((num, classes, classes))
    for true in range(classes):
        counted = np.bincount(cells, weights=weights[:, true], minlength=num * classes)
        found[:, true] = counted.reshape(num, classes)
    return found


def typical(counts: Floats) -> Floats:
    """(K, K) rates: how all annotators together answer items of each class, by their (A, K, K) counts."""
    classes = counts.shape[1]
    if classes == 1:
        return np.ones((1, 1))
    assumed = np.full((classes, classes), (1 - TYPICAL_ACCURACY) / (classes - 1))
    np.fill_diagonal(assumed, TYPICAL_ACCURACY)
    total = counts.sum(axis=0) + TYPICAL_ANSWERS * assumed
    rates: Floats = total / total.sum(axis=1, keepdims=True)
    return rates


def _shrunk(counts: Floats) -> Floats:
    """(A, K, K) confusion matrices, each as far the annotator's own as its answers carry."""
    usual = typical(counts)
    if len(usual) == 1:
        return np.ones_like(counts)
    answers, right, centre = counts.sum(axis=2), np.einsum("akk->a", counts), logit(np.diag(usual))
    skill = np.zeros(len(counts))
    for _ in range(NEWTON_STEPS):
        # The log-posterior of a skill is concave: Newton's steps, held to 1 each, find its maximum.
        accuracy = expit(centre + skill[:, np.newaxis])
        slope = right - (answers * accuracy).sum(axis=1) - skill / SKILL_VARIANCE
        bend = (answers * accuracy * (1 - accuracy)).sum(axis=1) + 1 / SKILL_VARIANCE
        skill += np.clip(slope / bend, -1, 1)
    accuracy = expit(centre + skill[:, np.newaxis])[:, :, np.newaxis]
    eye = np.eye(len(usual))
    errors = usual * (1 - eye) / (1 - np.diag(usual))[:, np.newaxis]
    own = counts + SHARED_ANSWERS * (accuracy * eye + (1 - accuracy) * errors)
    rates: Floats = own / own.sum(axis=2, keepdims=True)
    return rates


def _posterior(votes: Votes, confusion: Floats, probabilities: Floats) -> Floats:
    """(n, K): how likely each item is of each class, by its answers and the classes' frequencies."""
    answered = np.zeros(votes.num_items, dtype=bool)
    answered[votes.item_index] = True
    frequency = probabilities[answered].sum(axis=0) + 1
    likelihood = np.tile(np.log(frequency / frequency.sum()), (votes.num_items, 1))
    logs = np.log(confusion)
    for true in range(votes.num_classes):
        said = logs[votes.annotator_index, true, votes.label_index]
        likelihood[:, true] += np.bincount(votes.item_index, weights=said, minlength=votes.num_items)
    found = np.exp(likelihood - likelihood.max(axis=1, keepdims=True))
    normalized: Floats = found / found.sum(axis=1, keepdims=True)
    return normalized
