"""How many items of the pool pass every threshold: one small statistic that Ray folds over the predictions.

Knows confidences and who answered; knows nothing of right and wrong, of tables or of storage.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from raylabel.acceptance.bounds import CountArray
from raylabel.acceptance.checks import BoolArray, ConfidenceArray, check_confidence, check_flags


def _edges() -> NDArray[np.float32]:
    inner = expit(np.linspace(-12.0, 12.0, 4096))
    edges: NDArray[np.float32] = np.unique(np.append(0.0, inner).astype(np.float32))
    edges.setflags(write=False)
    return edges


# Item is in bin i iff EDGES[i] <= confidence < EDGES[i + 1]; the last bin reaches to 1. Uniform in logit,
# because classifiers crowd their confidences against 1.
EDGES = _edges()


@dataclass(frozen=True, eq=False)
class ConfidenceHistogram:
    """Counts of the pool's readable items by confidence, over the fixed `EDGES`.

    Args:
        counts: (len(EDGES),) int64, every readable item of the pool: audited and human-answered ones
            included, quarantined ones not.
        human_counts: (len(EDGES),) int64, those of them that get no auto-label because a person
            answered or audited them.

    Raises:
        ValueError: another shape or dtype, a negative count, or more human-answered items than items.
    """

    counts: CountArray
    human_counts: CountArray

    def __post_init__(self) -> None:
        """Check shapes, dtypes and that the human-answered items are among the items."""
        for name, counts in (("counts", self.counts), ("human_counts", self.human_counts)):
            if counts.shape != EDGES.shape or counts.dtype != np.int64:
                got = f"{counts.dtype.name} of shape {counts.shape}"
                raise ValueError(f"{name}: got {got}, expected int64 of shape {EDGES.shape}")
        if (self.human_counts < 0).any() or (self.human_counts > self.counts).any():
            raise ValueError("human_counts: got a bin outside 0..counts, expected a part of the items")

    @classmethod
    def of(cls, confidence: NDArray[np.float32], *, human: BoolArray) -> Self:
        """Count one batch.

        Args:
            confidence: (n,) float32 in [0, 1].
            human: (n,) bool, True where a person answered the item or it is in the audit sample.

        Raises:
            ValueError: another dtype or length, NaN, or a value outside [0, 1].
        """
        check_confidence("confidence", confidence, dtypes=("float32",))
        check_flags("human", human, num=len(confidence))
        return cls(counts=count_bins(confidence), human_counts=count_bins(confidence[human]))

    @classmethod
    def empty(cls) -> Self:
        """Return the histogram of no items, from which a fold starts."""
        return cls(counts=np.zeros(len(EDGES), np.int64), human_counts=np.zeros(len(EDGES), np.int64))

    def merge(self, other: ConfidenceHistogram) -> ConfidenceHistogram:
        """Return the histogram of both parts; the order of merging makes no difference."""
        return ConfidenceHistogram(self.counts + other.counts, self.human_counts + other.human_counts)

    @property
    def num_items(self) -> int:
        """How many readable items the pool has."""
        return int(self.counts.sum())

    @property
    def num_human(self) -> int:
        """How many of them a person answered or audits."""
        return int(self.human_counts.sum())

    def num_passing(self) -> CountArray:
        """Return (len(EDGES),) int64: how many items have `confidence >= EDGES[i]`, exactly."""
        return count_passing(self.counts)

    def num_human_passing(self) -> CountArray:
        """Return (len(EDGES),) int64: how many human-answered items have `confidence >= EDGES[i]`."""
        return count_passing(self.human_counts)


def count_bins(confidence: ConfidenceArray) -> CountArray:
    """Count checked confidences by bin: (len(EDGES),) int64."""
    bins = np.searchsorted(EDGES, confidence, side="right") - 1
    return np.bincount(bins, minlength=len(EDGES)).astype(np.int64)


def count_passing(counts: CountArray) -> CountArray:
    """Sum (len(EDGES),) bins from the top: entry i counts `confidence >= EDGES[i]`."""
    passing: CountArray = np.cumsum(counts[::-1])[::-1]
    return passing
