"""Quality figures as statistics that merge: precision, recall, F1, calibration error, coverage, intervals.

Pure: NumPy and SciPy. Knows label indices and confidences; knows nothing of which sample they come from: who
reports a figure names it. Figures from an audit carry the interval that `binomial_interval` gives them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import scipy  # its parts come when they are first used: few processes wait for them
from numpy.typing import NDArray

LabelArray = NDArray[np.integer[Any]]

NUM_BINS = 15
# Confidences are summed as whole numbers of 2 ** -30, so that the order of merging changes no digit.
CONFIDENCE_UNIT = 2**30


@dataclass(frozen=True)
class Quality:
    """How good labels are against the truth; tuples are (K,), one value per class.

    A ratio without a denominator is 0: precision of a class that is never predicted, recall of one that
    never occurs. Macro averages are over the classes that occur in the truth or the predictions. Micro averages pool
    all items; as every item has one true and one predicted class, all three of them equal the accuracy.
    """

    precision: tuple[float, ...]
    recall: tuple[float, ...]
    f1: tuple[float, ...]
    support: tuple[int, ...]
    macro_precision: float
    macro_recall: float
    macro_f1: float
    micro_precision: float
    micro_recall: float
    micro_f1: float
    accuracy: float


@dataclass(frozen=True, eq=False)
class Confusion:
    """How often each true class was given each label.

    Args:
        counts: (K, K) int64; row: true class, column: predicted class. 8 MB at 1,000 classes.

    Raises:
        ValueError: not square, another dtype, or a negative count.
    """

    counts: NDArray[np.int64]

    def __post_init__(self) -> None:
        """Check that this is a table of counts."""
        if self.counts.ndim != 2 or self.counts.shape[0] != self.counts.shape[1] or self.counts.shape[0] == 0:
            raise ValueError(f"counts: got shape {self.counts.shape}, expected (K, K) with at least 1 class")
        if self.counts.dtype != np.int64 or (self.counts < 0).any():
            raise ValueError(f"counts: got {self.counts.dtype.name} values, expected int64 of at least 0")

    @classmethod
    def of(cls, true: LabelArray, predicted: LabelArray, *, num_classes: int) -> Self:
        """Count one batch.

        Args:
            true: (n,) integers in 0..num_classes-1.
            predicted: (n,) integers in 0..num_classes-1; undecided items have no place here.
            num_classes: K, at least 1.

        Raises:
            ValueError: lengths differ, no integers, or a label that is no class.
        """
        if num_classes < 1:
            raise ValueError(f"num_classes: got {num_classes}, expected at least 1")
        for name, labels in (("true", true), ("predicted", predicted)):
            if labels.shape != (len(true),) or not np.issubdtype(labels.dtype, np.integer):
                got = f"{labels.dtype.name} of shape {labels.shape}"
                raise ValueError(f"{name}: got {got}, expected integers of shape ({len(true)},)")
            if len(labels) and (labels.min() < 0 or labels.max() >= num_classes):
                raise ValueError(f"{name}: got a label outside 0..{num_classes - 1}, expected one of the classes")
        cells = true.astype(np.int64) * num_classes + predicted.astype(np.int64)
        counts = np.bincount(cells, minlength=num_classes**2).astype(np.int64)
        return cls(counts.reshape(num_classes, num_classes))

    def merge(self, other: Confusion) -> Confusion:
        """Return the table of both parts; the order of merging makes no difference.

        Raises:
            ValueError: the parts have different classes.
        """
        if self.counts.shape != other.counts.shape:
            raise ValueError(f"other: got {len(other.counts)} classes, expected {len(self.counts)}")
        return Confusion(self.counts + other.counts)

    def finish(self) -> Quality:
        """Work out the figures.

        Raises:
            ValueError: there are no items.
        """
        hits, support, given = np.diag(self.counts), self.counts.sum(axis=1), self.counts.sum(axis=0)
        num_items = int(support.sum())
        if num_items == 0:
            raise ValueError("counts: got 0 items, expected at least 1")
        precision, recall = _ratio(hits, given), _ratio(hits, support)
        f1 = _ratio(2 * hits, given + support)
        occurs = given + support > 0
        accuracy = int(hits.sum()) / num_items
        return Quality(
            precision=tuple(precision.tolist()),
            recall=tuple(recall.tolist()),
            f1=tuple(f1.tolist()),
            support=tuple(support.tolist()),
            macro_precision=float(precision[occurs].mean()),
            macro_recall=float(recall[occurs].mean()),
            macro_f1=float(f1[occurs].mean()),
            micro_precision=accuracy,
            micro_recall=accuracy,
            micro_f1=accuracy,
            accuracy=accuracy,
        )


@dataclass(frozen=True, eq=False)
class Reliability:
    """Confidence against correctness in 15 bins of equal width.

    Bin i holds i / 15 <= confidence < (i + 1) / 15; the last also holds 1.

    Args:
        num_items: (15,) int64 items per bin.
        num_correct: (15,) int64, those that are right.
        confidence_sum: (15,) int64, the sum of their confidences in units of 2 ** -30.

    Raises:
        ValueError: another shape or dtype, or more right items than items.
    """

    num_items: NDArray[np.int64]
    num_correct: NDArray[np.int64]
    confidence_sum: NDArray[np.int64]

    def __post_init__(self) -> None:
        """Check shapes, dtypes and that the right items are among the items."""
        for array in (self.num_items, self.num_correct, self.confidence_sum):
            if array.shape != (NUM_BINS,) or array.dtype != np.int64:
                raise ValueError(f"bins: got {array.dtype.name} of shape {array.shape}, expected int64, ({NUM_BINS},)")
        if (self.num_correct < 0).any() or (self.num_correct > self.num_items).any():
            raise ValueError("num_correct: got a bin outside 0..num_items, expected a part of the items")

    @classmethod
    def of(cls, confidence: NDArray[np.floating[Any]], correct: NDArray[np.bool_]) -> Self:
        """Count one batch.

        Args:
            confidence: (n,) float32 or float64 in [0, 1].
            correct: (n,) bool.

        Raises:
            ValueError: lengths differ, another dtype, NaN, or a value outside [0, 1].
        """
        if confidence.ndim != 1 or correct.shape != confidence.shape or correct.dtype != np.bool_:
            got = f"{correct.dtype.name} of shape {correct.shape}"
            raise ValueError(f"correct: got {got}, expected bool of shape ({len(confidence)},)")
        if not ((confidence >= 0) & (confidence <= 1)).all():
            raise ValueError("confidence: got NaN or a value outside [0, 1], expected values in [0, 1]")
        exact = confidence.astype(np.float64)
        bins = np.minimum((exact * NUM_BINS).astype(np.int64), NUM_BINS - 1)
        sums = np.zeros(NUM_BINS, np.int64)
        np.add.at(sums, bins, np.rint(exact * CONFIDENCE_UNIT).astype(np.int64))
        return cls(
            num_items=np.bincount(bins, minlength=NUM_BINS).astype(np.int64),
            num_correct=np.bincount(bins[correct], minlength=NUM_BINS).astype(np.int64),
            confidence_sum=sums,
        )

    def merge(self, other: Reliability) -> Reliability:
        """Return the bins of both parts; the order of merging makes no difference."""
        return Reliability(
            self.num_items + other.num_items,
            self.num_correct + other.num_correct,
            self.confidence_sum + other.confidence_sum,
        )

    def finish(self) -> float:
        """Return the expected calibration error: the mean gap, weighted by items, of confidence and accuracy.

        Raises:
            ValueError: there are no items.

        Source: Naeini et al. 2015; Guo et al. 2017.
        """
        total = int(self.num_items.sum())
        if total == 0:
            raise ValueError("num_items: got 0 items, expected at least 1")
        gaps = self.confidence_sum / CONFIDENCE_UNIT - self.num_correct
        return float(np.abs(gaps).sum() / total)


def coverage(num_auto: int, num_pool: int) -> float:
    """Return the fraction of the pool that gets its label from the machine.

    Raises:
        ValueError: not 0 <= num_auto <= num_pool, or an empty pool.
    """
    if not 0 <= num_auto <= num_pool or num_pool == 0:
        raise ValueError(f"num_auto: got {num_auto} of {num_pool}, expected a part of a pool that is not empty")
    return num_auto / num_pool


def binomial_interval(num_wrong: int, num: int, *, alpha: float) -> tuple[float, float]:
    """Return the exact (Clopper-Pearson) interval of a rate that was counted in a random sample.

    Args:
        num_wrong: how many of the sample are wrong (or right, or whatever is counted).
        num: the sample's size, at least 1.
        alpha: the chance, at most, that the interval misses the rate; half of it on either side.

    Returns:
        Lower and upper end, in [0, 1].

    Raises:
        ValueError: not 0 <= num_wrong <= num, an empty sample, or `alpha` outside (0, 1).
    """
    if not 0 <= num_wrong <= num or num == 0:
        raise ValueError(f"num_wrong: got {num_wrong} of {num}, expected a part of a sample that is not empty")
    if not 0 < alpha < 1:
        raise ValueError(f"alpha: got {alpha}, expected a number above 0 and below 1")
    interval = scipy.stats.binomtest(num_wrong, num).proportion_ci(confidence_level=1 - alpha, method="exact")
    return float(interval.low), float(interval.high)


def _ratio(part: NDArray[np.int64], whole: NDArray[np.int64]) -> NDArray[np.float64]:
    return part / np.maximum(whole, 1)
