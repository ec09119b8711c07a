"""Share a shortlist out over the predicted classes, so that classes with few answers get more of it.

Knows arrays and counts; knows nothing of models or storage.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from raylabel.sampling.arrays import Candidates, IndexArray, Labeled, Picks
from raylabel.sampling.checks import INT64, check_array, check_size


def level(counts: IndexArray, available: IndexArray, *, size: int) -> IndexArray:
    """Hand out picks so that every class ends as near to the same number of answers as can be.

    Water is poured onto the counts: the lowest class gets the next pick as long as it has candidates left.

    Args:
        counts: (K,) int64 answers each class has.
        available: (K,) int64 candidates that are predicted to be of each class.
        size: how many to hand out, at most the sum of `available`.

    Returns:
        (K,) int64 picks of each class, at most `available`, summing to `size`. Picks that even classes leave over go to
        the lower class index.

    Raises:
        ValueError: `size` is out of range, lengths differ, or a count is negative.

    Cost: O(K log K) time and a few bytes a class, whatever `size` is.
    Source: the counts of the optimum of Bengar et al. 2022, arXiv 2110.04543, equation 3, for hard predictions.
    """
    check_array("counts", counts, shape=("K",), dtypes=INT64)
    check_array("available", available, shape=(len(counts),), dtypes=INT64)
    for name, values in (("counts", counts), ("available", available)):
        if values.min(initial=0) < 0:
            raise ValueError(f"{name}: got {values.min()}, expected at least 0")
    check_size(size, available=int(available.sum()))
    low, high = 0, int(counts.max(initial=0)) + size
    while low < high:  # the highest level that asks for no more than `size`
        middle = (low + high + 1) // 2
        low, high = (middle, high) if _below(counts, available, middle).sum() <= size else (low, middle - 1)
    quotas = _below(counts, available, low)
    # One more for the classes that stand at the level, as far as there are picks and candidates left.
    able = np.flatnonzero((counts + quotas <= low) & (quotas < available))[: size - int(quotas.sum())]
    quotas[able] += 1
    return quotas


def _below(counts: IndexArray, available: IndexArray, level_at: int) -> NDArray[np.int64]:
    """Picks that raise every class to a level, as far as its candidates reach."""
    found: NDArray[np.int64] = np.clip(level_at - counts, 0, available)
    return found


def pick_level(
    pick: Callable[[Candidates, Labeled, int, np.random.Generator], Picks],
    candidates: Candidates,
    labeled: Labeled,
    *,
    size: int,
    rng: np.random.Generator,
) -> Picks:
    """Run a strategy within each predicted class, for as many picks as bring the classes' answers level.

    Args:
        pick: the strategy.
        candidates: with probabilities; their likeliest class counts.
        labeled: whose answers are counted.
        size: how many to pick, at most N.
        rng: handed to the strategy, class by class.

    Returns:
        The picks, class by class.
    """
    assert candidates.probabilities is not None, "classes are predicted by a model"
    predicted = candidates.probabilities.argmax(axis=1)
    num_classes = candidates.probabilities.shape[1]
    counts = np.bincount(labeled.label_index, minlength=num_classes).astype(np.int64)
    available = np.bincount(predicted, minlength=num_classes).astype(np.int64)
    quotas = level(counts, available, size=size)
    found: list[Picks] = []
    for index in np.flatnonzero(quotas):
        positions = np.flatnonzero(predicted == index)
        picks = pick(candidates.take(positions), labeled, int(quotas[index]), rng)
        before = f"predicted class {index}, {counts[index]} answers so far"
        reasons = tuple(f"{before}; {told}" for told in picks.reasons)
        found.append(Picks(positions[picks.positions], picks.scores, reasons))
    return Picks(
        np.concatenate([picks.positions for picks in found]),
        np.concatenate([picks.scores for picks in found]),
        tuple(told for picks in found for told in picks.reasons),
    )
