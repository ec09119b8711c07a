"""Find more of a class of which few are known: most likely positives among the neighbours of those few.

Knows arrays; knows nothing of models or storage. Whoever has a pool of millions passes the neighbours of what is
labeled as candidates, which an index finds without a pass over the pool.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from raylabel.sampling.arrays import FloatArray
from raylabel.sampling.herding import to_unit

BLOCK_ROWS = 4_096


def rarest(label_index: NDArray[np.int32]) -> int:
    """The class with the fewest answers of all that have one; the lower index of equals.

    Raises:
        ValueError: nothing is labeled.
    """
    if len(label_index) == 0:
        raise ValueError("rare-class search: got 0 labeled items, expected at least one of the class to look for")
    classes, counts = np.unique(label_index, return_counts=True)
    return int(classes[np.argmin(counts)])


def wanted(strategy: str, label_index: NDArray[np.int32]) -> int:
    """The class that a rare-class search looks for: the one that its name ends with, as "rare:3"; else the rarest.

    Args:
        strategy: "rare", or "rare:" and the index of a class.
        label_index: (L,) the classes of the training answers so far.

    Raises:
        ValueError: nothing is labeled, or nothing of that class.
    """
    named = strategy.partition(":")[2]
    if not named:
        return rarest(label_index)
    if not (label_index == int(named)).any():
        raise ValueError(f"rare-class search: got 0 labeled items of class {named}, expected at least one")
    return int(named)


def likeness(embeddings: FloatArray, known: FloatArray) -> FloatArray:
    """The cosine of each row to the nearest known one.

    Args:
        embeddings: (N, D) float32.
        known: (M, D) float32, M at least 1.

    Returns:
        (N,) float32 within -1 to 1; 0 for a zero vector.

    Cost: O(N * M * D) time, 16 kB * M of memory.
    """
    to = to_unit(known).T
    blocks = [
        (to_unit(embeddings[start : start + BLOCK_ROWS]) @ to).max(axis=1)
        for start in range(0, len(embeddings), BLOCK_ROWS)
    ]
    return np.concatenate(blocks).astype(np.float32)
