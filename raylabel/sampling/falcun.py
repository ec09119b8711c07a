"""Uncertain and unlike each other in what the model says of them: FALCUN.

Knows arrays; knows nothing of what made the probabilities, nor of embeddings.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from raylabel.sampling.arrays import FloatArray, IndexArray, ProbabilityArray
from raylabel.sampling.checks import check_probabilities, check_size
from raylabel.sampling.uncertainty import margin

GAMMA = 10.0


class SpreadPicks(NamedTuple):
    """Picks and how relevant each was.

    Args:
        positions: (size,) int64 positions in the candidates, in pick order, without repeats.
        relevance: (size,) float32 uncertainty plus distance when it was picked, within 0 to 2.
    """

    positions: IndexArray
    relevance: FloatArray


def falcun(
    probabilities: ProbabilityArray, *, size: int, rng: np.random.Generator, gamma: float = GAMMA
) -> SpreadPicks:
    """Draw items whose classes are close, and whose class probabilities are unlike those drawn before.

    An item's uncertainty u is its margin score; its distance d starts as u, and after each pick becomes the least of
    what it was and the L1 distance between its probabilities and the pick's, brought to 0 to 1 over all candidates.
    The next pick is drawn with a probability proportional to (u + d)**gamma.

    Args:
        probabilities: (N, K) class probabilities.
        size: how many to pick, at most N.
        rng: draws one number a pick.
        gamma: how strongly relevance decides, at least 0; 0 draws at random.

    Returns:
        The picks.

    Raises:
        ValueError: `size` is out of range, `gamma` is negative, or rows are no distributions.

    Cost: O(N * K) time a pick, 24 * N * K bytes.
    Source: Gilhuber et al. 2024, FALCUN, equations 1 to 6 (gamma = 10).
    """
    check_probabilities("probabilities", probabilities, shape=("N", "K"))
    check_size(size, available=len(probabilities))
    if not gamma >= 0:
        raise ValueError(f"gamma: got {gamma}, expected at least 0")
    # Classes by rows: differences of one class after another run along memory.
    columns = np.ascontiguousarray(probabilities.T, dtype=np.float64)
    unsure = margin(probabilities).astype(np.float64)
    far = unsure.copy()
    open_ = np.ones(len(unsure))
    positions = np.empty(size, dtype=np.int64)
    relevance = np.empty(size, dtype=np.float32)
    for step in range(size):
        if step:
            np.minimum(far, np.abs(columns - columns[:, positions[step - 1], None]).sum(axis=0), out=far)
            far -= far.min()
            far /= far.max() or 1.0
        weights = (unsure + far) ** gamma * open_
        reach = np.cumsum(weights if weights.sum() > 0 else open_)
        position = int(np.searchsorted(reach, rng.random() * reach[-1], side="right"))
        positions[step], relevance[step] = position, unsure[position] + far[position]
        open_[position] = 0.0
    return SpreadPicks(positions, relevance)
