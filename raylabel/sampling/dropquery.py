"""Items whose prediction changes when parts of their embedding are left out: DropQuery.

Knows arrays and a head that it may ask; knows nothing of what the head is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from raylabel.sampling.arrays import FloatArray, IndexArray, ProbabilityArray
from raylabel.sampling.checks import FLOAT32, check_array, check_size
from raylabel.sampling.clusters import nearest_to_centers

ROUNDS = 3
DROPPED = 0.75
BLOCK_ROWS = 8_192


class DropPicks(NamedTuple):
    """Picks and how often each changed its class.

    Args:
        positions: (size,) int64 positions in the candidates, in pick order, without repeats.
        share: (size,) float32 of the dropouts that named another class.
    """

    positions: IndexArray
    share: FloatArray


def drop_query(
    embeddings: FloatArray,
    head: Callable[[FloatArray], ProbabilityArray],
    *,
    size: int,
    rng: np.random.Generator,
) -> DropPicks:
    """Pick candidates that stand for clusters of those that most dropouts give another class.

    Args:
        embeddings: (N, D) float32.
        head: (n, D) float32 -> (n, K) class probabilities.
        size: how many to pick, at most N.
        rng: draws the dropouts and the seed of k-means.

    Returns:
        The picks. Where fewer than `size` candidates are so unstable, those that changed least often among the others
        come last: all candidates of the next lower share are clustered for what is missing.

    Raises:
        ValueError: `size` is out of range, or a value is not finite.

    Cost: 4 calls of the head for each candidate; that of k-means on the unstable ones.
    Source: Gupte et al. 2024, arXiv 2401.14555, section 4: 3 dropouts of 75 %, k-means on the candidates.
    """
    check_array("embeddings", embeddings, shape=("N", "D"), dtypes=FLOAT32)
    check_size(size, available=len(embeddings))
    share = instability(embeddings, head, rng=rng)
    positions: list[int] = []
    left = np.ones(len(embeddings), dtype=bool)
    # Unstable: more than half changed. What is missing comes from the next lower share, and so on.
    wanted = [share > 0.5, *(share == value for value in np.unique(share[share <= 0.5])[::-1])]
    for group in wanted:
        members = np.flatnonzero(group & left)
        missing = size - len(positions)
        if missing and len(members):
            picked = nearest_to_centers(embeddings[members], size=min(missing, len(members)), rng=rng)
            positions += members[picked.positions].tolist()
            left[members] = False
    chosen = np.array(positions, dtype=np.int64)
    return DropPicks(chosen, share[chosen])


def instability(
    embeddings: FloatArray, head: Callable[[FloatArray], ProbabilityArray], *, rng: np.random.Generator
) -> FloatArray:
    """The share of dropouts in which an item's likeliest class is another than without.

    What is kept is scaled by 1 / (1 - 0.75), as dropout is in training.

    Args:
        embeddings: (N, D) float32.
        head: (n, D) float32 -> (n, K) class probabilities.
        rng: draws which values are dropped, row by row.

    Returns:
        (N,) float32, multiples of 1/3.

    Cost: 4 calls of the head for each row. Memory: a few blocks of 8,192 rows.
    """
    changed = np.zeros(len(embeddings), dtype=np.int64)
    for start in range(0, len(embeddings), BLOCK_ROWS):
        block = embeddings[start : start + BLOCK_ROWS]
        whole = head(block).argmax(axis=1)
        for _ in range(ROUNDS):
            kept = rng.random(block.shape, dtype=np.float32) >= DROPPED
            partly = (block * kept / np.float32(1 - DROPPED)).astype(np.float32)
            changed[start : start + BLOCK_ROWS] += head(partly).argmax(axis=1) != whole
    return (changed / ROUNDS).astype(np.float32)
