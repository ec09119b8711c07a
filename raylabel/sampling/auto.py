"""The default: which strategy a round should take, decided from what is labeled and how the last rounds went.

Knows counts and accuracies of training answers; knows nothing of the audit, of models or storage.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from raylabel.sampling.arrays import ProbabilityArray, Round

COVER_PER_CLASS = 2
"""Answers per class below which a head's doubts say little: cover the pool."""

HERD_PER_CLASS = 20
"""Answers per class below which doubts are best spread over the pool; from here on small margins are asked about."""

SKEWED, BACKGROUND = 2.5, 0.5
"""Classes are out of balance where the model expects of the largest more than 2.5 times its even share; where it
expects more than half of all to be of it, that class is a background."""

REACH_PER_CLASS = 5
"""Answers per class below which a background hides the other classes: ask for what is unlike all that is known."""


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


def adapt(choice: Choice, probabilities: ProbabilityArray, *, num_answers: int) -> Choice:
    """Change a choice where the classes of the candidates are out of balance.

    Picks are then shared out over predicted classes, so that rare ones get their answers. Behind a background, which
    such a share would ask about as much as about all others, the first answers go to what is farthest from all that is
    known. Shares are means of probabilities: a head of few answers names one class far too often, but knows its doubts;
    so they are looked at even where its doubts about single items are taken for noise.

    Args:
        choice: from `choose`, where there is a model.
        probabilities: (N, K) of the candidates.
        num_answers: L.

    Returns:
        The choice itself, "balanced:" before its strategy, or "k_center".

    Cost: O(N * K).
    """
    classes = probabilities.shape[1]
    share = float(probabilities.mean(axis=0, dtype=np.float64).max())
    if share <= SKEWED / classes:
        return choice
    told = f"the largest class is some {share:.0%} of them"
    if share <= BACKGROUND:
        return Choice(f"balanced:{choice.strategy}", f"{choice.why}, as much in each class: {told}")
    if num_answers >= REACH_PER_CLASS * classes:
        return choice
    why = f"auto: {num_answers} answers for {classes} classes are few, so reach beyond the known ones: {told}"
    return Choice("k_center", why)
