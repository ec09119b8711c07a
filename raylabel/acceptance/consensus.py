"""Consensus: several annotators' answers for an item become one label, and each annotator gets an error rate.

Knows votes as indices; knows nothing of models, embeddings or where answers are kept. It reads what people said and
nothing else, so that a consensus of audit answers may stand in a certificate.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from raylabel.acceptance.annotators import learn
from raylabel.acceptance.votes import Votes


@dataclass(frozen=True, eq=False)
class Consensus:
    """What annotators say together, and how far each is to be trusted.

    Args:
        label_index: (n,) int32: the label of each item, -1 where nobody could tell.
        probabilities: (n, K) float64: of each label to be the item's.
        confusion: (A, K, K) float64: how likely each annotator gives an item of class [row] the label [column]; None of
            the majority, which does not look at it.
        error_rate: (A,) float64: the share of an annotator's answers that are expected to be wrong, judged where others
            answered too; NaN for who answered nothing together with others.
        num_shared: (A,) int64: how many answers that is.
    """

    label_index: NDArray[np.int32]
    probabilities: NDArray[np.float64]
    confusion: NDArray[np.float64] | None
    error_rate: NDArray[np.float64]
    num_shared: NDArray[np.int64]


def majority(votes: Votes) -> Consensus:
    """Take the label that most annotators name; a tie is -1: nobody could tell.

    Returns:
        The consensus; an item's probabilities are its labels' shares, all the same where it has no answer.

    Cost: O(v + n * K).
    """
    counts = votes.counts()
    num_answers = counts.sum(axis=1, keepdims=True)
    shares = np.full_like(counts, 1 / votes.num_classes)
    np.divide(counts, num_answers, out=shares, where=num_answers > 0)
    winners = counts == counts.max(axis=1, keepdims=True)
    clear = winners.sum(axis=1) == 1
    return _judged(votes, np.where(clear, counts.argmax(axis=1), -1), shares, None)


def dawid_skene(votes: Votes) -> Consensus:
    """Weigh annotators by their errors, which are learned from how they agree with each other.

    A label stands where it is more likely than all others together; where all answers of an item agree theirs stands,
    so that one answer is taken as it is.

    Returns:
        The consensus; an item without answers has the classes' frequencies as its probabilities.

    Cost: up to 200 steps of O(v * K + A * K^2): half a minute for 150,000 answers of 750 annotators in 10 classes.
    Source: see `annotators.learn`. With confusion matrices of their own alone (Dawid and Skene 1979), annotators of few
        answers make the consensus worse than the majority: benchmarks/people.py.
    """
    counts = votes.counts()
    probabilities, confusion = learn(votes)
    likeliest, agreed = probabilities.argmax(axis=1), (counts > 0).sum(axis=1) == 1
    label_index = np.where(agreed, counts.argmax(axis=1), np.where(probabilities.max(axis=1) > 0.5, likeliest, -1))
    return _judged(votes, np.where(counts.sum(axis=1) > 0, label_index, -1), probabilities, confusion)


def _judged(
    votes: Votes,
    label_index: NDArray[np.integer],
    probabilities: NDArray[np.float64],
    confusion: NDArray[np.float64] | None,
) -> Consensus:
    shared = _shared(votes)
    items, people, labels = votes.item_index[shared], votes.annotator_index[shared], votes.label_index[shared]
    wrong = np.bincount(people, weights=1 - probabilities[items, labels], minlength=votes.num_annotators)
    num_shared = np.bincount(people, minlength=votes.num_annotators).astype(np.int64)
    error_rate = np.full(votes.num_annotators, np.nan)
    np.divide(wrong, num_shared, out=error_rate, where=num_shared > 0)
    return Consensus(label_index.astype(np.int32), probabilities, confusion, error_rate, num_shared)


def _shared(votes: Votes) -> NDArray[np.bool_]:
    """(v,) whether an answer's item has others beside it."""
    num_answers = np.bincount(votes.item_index, minlength=votes.num_items)
    return np.asarray(num_answers[votes.item_index] > 1, dtype=bool)
