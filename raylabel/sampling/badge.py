"""Uncertain and unlike each other in the head's gradients: BADGE, without ever writing a gradient down.

Knows arrays; knows nothing of what made the probabilities.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from raylabel.sampling.arrays import FloatArray, IndexArray, ProbabilityArray
from raylabel.sampling.checks import FLOAT32, check_array, check_probabilities, check_size


class GradientPicks(NamedTuple):
    """Picks and how far the gradient of each lay from those before it.

    Args:
        positions: (size,) int64 positions in the candidates, in pick order, without repeats.
        distances: (size,) float32 distance of each pick's gradient to the nearest earlier one's; the first pick
            carries the length of its gradient.
    """

    positions: IndexArray
    distances: FloatArray


def badge(
    embeddings: FloatArray, probabilities: ProbabilityArray, *, size: int, rng: np.random.Generator
) -> GradientPicks:
    """Pick by k-means++ on the gradients that the last layer would get if the likeliest class were true.

    The gradient of an item is the outer product of a = p - onehot(argmax p) and its embedding x, K * D numbers. Inner
    products of outer products are products of inner products, <a x, b y> = <a, b> <x, y>, so distances come from the
    factors alone. The first pick is the longest gradient; each further one is drawn with a probability proportional
    to its squared distance to the nearest one picked.

    Args:
        embeddings: (N, D) float32.
        probabilities: (N, K) class probabilities.
        size: how many to pick, at most N.
        rng: draws one number a pick, but for the first.

    Returns:
        The picks. Once all gradients left are copies of picked ones, the lowest positions follow.

    Raises:
        ValueError: `size` is out of range, lengths differ, or rows of `probabilities` are no distributions.

    Cost: O(N * (D + K)) time a pick, 8 * N * (D + K) bytes of memory.
    Source: Ash et al. 2020, arXiv 1906.03671, Algorithm 1; the k-means++ of its authors' code begins at the longest.
    """
    check_array("embeddings", embeddings, shape=("N", "D"), dtypes=FLOAT32)
    check_probabilities("probabilities", probabilities, shape=(len(embeddings), "K"))
    check_size(size, available=len(embeddings))
    x = embeddings.astype(np.float64)
    a = probabilities.astype(np.float64)
    a[np.arange(len(a)), a.argmax(axis=1)] -= 1.0
    norms = (a * a).sum(axis=1) * (x * x).sum(axis=1)
    nearest = np.full(len(x), np.inf)
    taken = np.zeros(len(x), dtype=bool)
    positions = np.empty(size, dtype=np.int64)
    distances = np.empty(size, dtype=np.float32)
    for step in range(size):
        total = nearest.sum()
        if step == 0:
            position = int(np.argmax(norms))
        else:
            position = int(rng.choice(len(x), p=nearest / total) if total > 0 else np.argmin(taken))
        positions[step] = position
        distances[step] = np.sqrt(norms[position] if step == 0 else nearest[position])
        taken[position] = True
        squared = norms + norms[position] - 2.0 * (a @ a[position]) * (x @ x[position])
        np.minimum(nearest, np.maximum(squared, 0.0), out=nearest)
        nearest[position] = 0.0
    return GradientPicks(positions, distances)
