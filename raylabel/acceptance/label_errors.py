"""Label errors among people's answers: how likely each answer is wrong, by a model and neighbours that did not see it.

Knows probabilities, label indices and embeddings of training answers; audit answers must never get here, as answers
that a model has called wrong and people have changed would flatter that model.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NUM_NEIGHBOURS = 10
SHARPNESS = 10.0
"""A neighbour counts exp(SHARPNESS * cosine)."""
PRIOR_SHARE = 0.5
"""Every class is given so much of an average neighbour, so that none is ruled out by ten of them."""

IntArray = NDArray[np.integer]
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class LabelErrors:
    """How likely answers are wrong, and what they should rather say.

    Args:
        score: (L,) float64 in [0, 1]: the probability that an answer is wrong; higher = more worth a second look.
        suggested: (L,) int32: of an error the likeliest other class, else the answer itself.
        is_error: (L,) bool: wrong is likelier than right.
    """

    score: Floats
    suggested: NDArray[np.int32]
    is_error: NDArray[np.bool_]

    def ranked(self) -> NDArray[np.int64]:
        """Positions of the errors, the likeliest first, ties by position."""
        order = np.argsort(-self.score, kind="stable")
        return order[self.is_error[order]]


def find_label_errors(
    probabilities: Floats, label_index: IntArray, *, embeddings: NDArray[np.floating] | None = None
) -> LabelErrors:
    """Find answers that are likely wrong.

    What a model says of an item and what its ten nearest answered neighbours say are multiplied; how often people give
    an item of one class the label of another is learned by confident learning; Bayes' rule joins them to the
    probability that the answer is right.

    Args:
        probabilities: (L, K) by a model that has not seen the item's own answer (cross-fitted), K at least 2.
        label_index: (L,) the answers.
        embeddings: (L, D) of the items; without them neighbours are not asked.

    Returns:
        A score for each answer.

    Raises:
        ValueError: shapes that do not fit, rows that are no probabilities, or a label that is no class.

    Cost: O(L * (L * D + K)) with embeddings: a minute for L = 20,000, D = 448 on one core.
    Source: Northcutt et al. 2021 (1911.00068), whose confident joint estimates the noise; neighbours and Bayes' rule in
        place of the model's own probability: benchmarks/people.py compares.
    """
    _check(probabilities, label_index)
    num, classes = probabilities.shape
    believed = probabilities
    if embeddings is not None and num > 1:
        if embeddings.ndim != 2 or len(embeddings) != num:
            raise ValueError(f"embeddings: got shape {embeddings.shape}, expected ({num}, D)")
        believed = probabilities * _neighbours_say(embeddings, label_index, classes)
        believed = believed / np.maximum(believed.sum(axis=1, keepdims=True), np.finfo(float).tiny)
    noise = confident_joint(believed, label_index) + 1.0
    noise /= noise.sum(axis=1, keepdims=True)
    likely = believed * noise[:, label_index].T
    total = likely.sum(axis=1, keepdims=True)
    # Where the model rules out every class that could have been answered so, nothing is known.
    likely = np.divide(likely, total, out=np.full_like(likely, 1 / classes), where=total > 0)
    own = likely[np.arange(num), label_index]
    is_error = own < 0.5
    likely[np.arange(num), label_index] = -1.0
    suggested = np.where(is_error, likely.argmax(axis=1), label_index).astype(np.int32)
    return LabelErrors(1 - own, suggested, is_error)


def confident_joint(probabilities: Floats, label_index: IntArray) -> Floats:
    """Count answers by the class that a model is confident of.

    The model is confident of a class where its probability reaches the mean that items answered so have; of several
    such classes the likeliest counts, items without one do not count.

    Args:
        probabilities: (L, K), cross-fitted.
        label_index: (L,) the answers.

    Returns:
        (K, K) float64 counts; rows are the classes that the model is confident of, columns the answers.

    Source: Northcutt et al. 2021, equation 1.
    """
    classes = probabilities.shape[1]
    answers = np.bincount(label_index, minlength=classes)
    own = np.bincount(label_index, weights=probabilities[np.arange(len(label_index)), label_index], minlength=classes)
    # Nobody answers a class: nobody can be confident of it.
    threshold = np.divide(own, answers, out=np.full(classes, np.inf), where=answers > 0)
    reached = probabilities >= threshold
    confident = reached.any(axis=1)
    best = np.where(reached, probabilities, -1.0).argmax(axis=1)
    cells = best[confident] * classes + label_index[confident]
    return np.bincount(cells, minlength=classes**2).reshape(classes, classes).astype(np.float64)


def _neighbours_say(embeddings: NDArray[np.floating], label_index: IntArray, classes: int) -> Floats:
    """(L, K): what the nearest other items were answered, by the cosine of centred embeddings; rows sum to 1."""
    num = len(embeddings)
    count = min(NUM_NEIGHBOURS, num - 1)
    centred = embeddings.astype(np.float32)
    centred = centred - centred.mean(axis=0)
    centred /= np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), np.finfo(np.float32).tiny)
    import faiss  # as SciPy's parts: few processes look for errors

    index = faiss.IndexFlatIP(centred.shape[1])
    index.add(centred)
    # One more than asked for: the item itself is among them, or hidden behind copies of itself.
    cosines, found = index.search(centred, count + 1)
    mine = found == np.arange(num)[:, np.newaxis]
    mine[~mine.any(axis=1), -1] = True
    cosines, found = cosines[~mine].reshape(num, count), found[~mine].reshape(num, count)
    weights = np.exp(SHARPNESS * cosines.astype(np.float64))
    cells = np.arange(num)[:, np.newaxis] * classes + label_index[found]
    said = np.bincount(cells.ravel(), weights=weights.ravel(), minlength=num * classes).reshape(num, classes)
    said += PRIOR_SHARE * weights.mean(axis=1, keepdims=True)
    shares: Floats = said / said.sum(axis=1, keepdims=True)
    return shares


def _check(probabilities: Floats, label_index: IntArray) -> None:
    if probabilities.ndim != 2 or probabilities.shape[1] < 2:
        raise ValueError(f"probabilities: got shape {probabilities.shape}, expected (L, K) with at least 2 classes")
    num, classes = probabilities.shape
    if not (probabilities >= 0).all() or not np.allclose(probabilities.sum(axis=1), 1, atol=1e-4):
        raise ValueError("probabilities: got rows that are no probabilities, expected values from 0 that sum to 1")
    if label_index.shape != (num,) or not np.issubdtype(label_index.dtype, np.integer):
        got = f"{label_index.dtype.name} of shape {label_index.shape}"
        raise ValueError(f"label_index: got {got}, expected integers of shape ({num},)")
    if num and (label_index.min() < 0 or label_index.max() >= classes):
        raise ValueError(f"label_index: got a value outside 0..{classes - 1}, expected one of the classes")
