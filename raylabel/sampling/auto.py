"""The default: which strategy a round should take, decided from what is labeled and how the last rounds went.

Knows counts and accuracies of training answers; knows nothing of the audit, of models or storage.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from raylabel.sampling.arrays import ProbabilityArray, Round

SKEWED, BACKGROUND = 2.0, 0.5
"""Classes are out of balance where the largest has more than twice its even share of the predictions; where it has more
than half of them it is a background, and what is worth asking lies between it and the others."""

COVER_PER_CLASS = 5
"""Answers per class below which a head's doubts say little: cover the pool."""

HERD_PER_CLASS = 20
"""Answers per class below which doubts are best spread over the pool; from here on small margins are asked about."""


class Choice(NamedTuple):
    """What `auto` does in a round.

    Args:
        strategy: its name in the registry.
        why: in words, for the shortlist's reason.
    """

    strategy: str
    why: str


def choose(
    label_index: NDArray[np.int32], *, num_classes: int | None, history: tuple[Round, ...] = (), has_model: bool
) -> Choice:
    """Choose the strategy of a round.

    Few answers want items that stand for many others, many answers want items that the head is unsure of, and in
    between the two are one objective: coverage weighted by uncertainty. Where a head is no better than naming the most
    frequent class, its doubts are noise, whatever the number of answers.

    Args:
        label_index: (L,) the classes of the training answers so far.
        num_classes: K, as far as it is known.
        history: the rounds so far, oldest first: what cross-fitted heads said of training answers.
        has_model: whether there is a head to ask at all.

    Returns:
        "herding", "uherding" or "falcun", and why.

    Cost: O(L).
    Source: the order of the phases follows Hacohen, Dekel and Weinshall 2022, arXiv 2202.02794 (low budgets want
        typical items, high ones uncertain ones), and Bae, Oliveira and Sutherland 2025, arXiv 2412.20644; their limits
        were set on CIFAR-10, a long-tailed cut of it and magnetic tiles (benchmarks/efficiency.py).
    """
    count, seen = len(label_index), np.unique(label_index)
    if not has_model or len(seen) < 2:
        return Choice("herding", f"auto: {count} answers and no model yet, so cover the pool")
    classes = num_classes or len(seen)
    each = f"{count} answers for {classes} classes"
    if count < COVER_PER_CLASS * classes:
        return Choice("herding", f"auto: {each} are few, so cover the pool")
    majority = float(np.bincount(label_index).max() / count)
    last = next((entry.accuracy for entry in reversed(history) if entry.accuracy is not None), None)
    if last is not None and last <= majority:
        told = f"{last:.0%} right where one class is {majority:.0%}"
        return Choice("herding", f"auto: the last model knew little ({told}), so cover the pool")
    if count < HERD_PER_CLASS * classes:
        return Choice("uherding", f"auto: {each} are some, so cover what the model is unsure of")
    return Choice("falcun", f"auto: {each} are many, so ask where the model is undecided")


def balance(choice: Choice, probabilities: ProbabilityArray) -> Choice:
    """Share picks out over predicted classes where these are out of balance, so that rare ones get their answers.

    Args:
        choice: "falcun".
        probabilities: (N, K) of the candidates.
    """
    num_classes = probabilities.shape[1]
    share = float(np.bincount(probabilities.argmax(axis=1), minlength=num_classes).max() / len(probabilities))
    if not SKEWED / num_classes < share <= BACKGROUND:
        return choice
    return Choice("balanced:falcun", f"{choice.why}, as much in each class: the largest is {share:.0%} of them")
