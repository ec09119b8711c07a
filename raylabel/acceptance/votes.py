"""Votes: who gave which item which label, as indices, checked once for everything that reads them.

Knows indices; knows nothing of what the labels mean.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

IntArray = NDArray[np.integer]


@dataclass(frozen=True, eq=False)
class Votes:
    """Who gave which item which label: one entry for each answer.

    Args:
        item_index: (v,) integers in 0..num_items-1.
        annotator_index: (v,) integers in 0..num_annotators-1.
        label_index: (v,) integers in 0..num_classes-1.
        num_items: n; an item may be without answers.
        num_annotators: A.
        num_classes: K, at least 1.

    Raises:
        ValueError: another shape or dtype, an index out of its range, or an annotator with two answers for an item.
    """

    item_index: IntArray
    annotator_index: IntArray
    label_index: IntArray
    num_items: int
    num_annotators: int
    num_classes: int

    def __post_init__(self) -> None:
        """Check shapes and ranges, and that nobody answers an item twice."""
        if self.num_classes < 1:
            raise ValueError(f"num_classes: got {self.num_classes}, expected at least 1")
        ends = {"item_index": self.num_items, "annotator_index": self.num_annotators, "label_index": self.num_classes}
        for name, end in ends.items():
            _check_index(name, getattr(self, name), shape=np.shape(self.item_index), end=end)
        pairs = self.item_index.astype(np.int64) * self.num_annotators + self.annotator_index
        values, counts = np.unique(pairs, return_counts=True)
        if (counts > 1).any():
            item, annotator = divmod(int(values[counts > 1][0]), self.num_annotators)
            raise ValueError(f"votes: annotator {annotator} answers item {item} more than once; keep one of them")

    def counts(self) -> NDArray[np.float64]:
        """(n, K) float64: how often each item was given each label."""
        cells = self.item_index.astype(np.int64) * self.num_classes + self.label_index
        found = np.bincount(cells, minlength=self.num_items * self.num_classes)
        return found.reshape(self.num_items, self.num_classes).astype(np.float64)


def _check_index(name: str, array: object, *, shape: tuple[int, ...], end: int) -> None:
    if not isinstance(array, np.ndarray) or array.ndim != 1 or array.shape != shape:
        got = f"shape {array.shape}" if isinstance(array, np.ndarray) else type(array).__name__
        raise ValueError(f"{name}: got {got}, expected a NumPy array of shape (v,), one entry for each answer")
    if not np.issubdtype(array.dtype, np.integer):
        raise ValueError(f"{name}: got dtype {array.dtype.name}, expected integers")
    if len(array) and (array.min() < 0 or array.max() >= end):
        raise ValueError(f"{name}: got {array.min()}..{array.max()}, expected indices in 0..{end - 1}")
