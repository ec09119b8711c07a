"""How unsure a model is of each item: least confidence, margin, entropy, and how much an ensemble disagrees.

Each maps (N, K) class probabilities to (N,) scores, higher = more worth asking, and each score depends on
its own row alone, so that the scores of a pool do not depend on how it was cut into batches.
Knows arrays; knows nothing of what made the probabilities, nor whether they are calibrated.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import entr

from raylabel.sampling.arrays import FloatArray, ProbabilityArray
from raylabel.sampling.checks import check_probabilities


def least_confidence(probabilities: ProbabilityArray) -> FloatArray:
    """Score each item by how far its likeliest class is from certain.

    Args:
        probabilities: (N, K) class probabilities.

    Returns:
        (N,) float32, 1 - p1 with p1 the greatest probability; within 0 to 1 - 1/K.

    Raises:
        ValueError: rows are not distributions over at least two classes.

    Cost: O(N * K) time.
    Source: Lewis and Gale 1994; Settles 2009, section 3.1.
    """
    check_probabilities("probabilities", probabilities, shape=("N", "K"))
    greatest: NDArray[np.float64] = probabilities.max(axis=1).astype(np.float64)
    return (1.0 - greatest).astype(np.float32)


def margin(probabilities: ProbabilityArray) -> FloatArray:
    """Score each item by how close its two likeliest classes are.

    The score is 1 minus what the predictions table calls margin, so that higher = more worth asking.

    Args:
        probabilities: (N, K) class probabilities.

    Returns:
        (N,) float32, 1 - (p1 - p2) with p1 and p2 the two greatest probabilities; within 0 to 1.

    Raises:
        ValueError: rows are not distributions over at least two classes.

    Cost: O(N * K) time, one copy of `probabilities` in memory.
    Source: Scheffer, Decomain and Wrobel 2001.
    """
    check_probabilities("probabilities", probabilities, shape=("N", "K"))
    top_two = np.partition(probabilities, probabilities.shape[1] - 2, axis=1)[:, -2:].astype(np.float64)
    return (1.0 - (top_two[:, 1] - top_two[:, 0])).astype(np.float32)


def entropy(probabilities: ProbabilityArray) -> FloatArray:
    """Score each item by the entropy of its class probabilities.

    Args:
        probabilities: (N, K) class probabilities; zeros add nothing.

    Returns:
        (N,) float32 entropy in nats; within 0 to ln K.

    Raises:
        ValueError: rows are not distributions over at least two classes.

    Cost: O(N * K) time, one copy of `probabilities` in memory.
    Source: Shannon 1948; Settles 2009, section 3.1.
    """
    check_probabilities("probabilities", probabilities, shape=("N", "K"))
    # Summed in float64: rounding to float32 then hides the order of the terms, which NumPy does not promise.
    scores: FloatArray = entr(probabilities).sum(axis=1, dtype=np.float64).astype(np.float32)
    return scores


def bald(members: ProbabilityArray) -> FloatArray:
    """Score each item by what its label would tell about which member of an ensemble is right.

    Args:
        members: (M, N, K) class probabilities of M members.

    Returns:
        (N,) float32 mutual information in nats, H(mean of the members) - mean of H(member); within 0 to ln K. 0 where
        all members say the same, however unsure they are.

    Raises:
        ValueError: rows are not distributions over at least two classes.

    Cost: O(M * N * K) time, one copy of `members` in memory.
    Source: Houlsby et al. 2011, arXiv 1112.5745, equation 2; Gal, Islam and Ghahramani 2017, arXiv 1703.02910.
    """
    check_probabilities("members", members, shape=("M", "N", "K"))
    mean = members.mean(axis=0, dtype=np.float64)
    disagreement = entr(mean).sum(axis=1) - entr(members.astype(np.float64)).sum(axis=2).mean(axis=0)
    # Rounding may leave a little less than nothing.
    scores: FloatArray = np.maximum(disagreement, 0.0).astype(np.float32)
    return scores
