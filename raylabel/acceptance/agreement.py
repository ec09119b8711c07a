"""Agreement of two who labeled the same items, as machine and people: how often, beyond chance, and class by class.

Knows pairs of label indices; knows nothing of who is right.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Agreement:
    """How far two labelings agree.

    Args:
        counts: (K, K) int64: how often the one says [row] and the other [column].
        share: of the items on which both say the same.
        kappa: Cohen's kappa, the share beyond what chance would do; NaN where both name one class throughout.
        class_kappa: (K,) float64: kappa of each class against all others; NaN for one that both name always, or never.
    """

    counts: NDArray[np.int64]
    share: float
    kappa: float
    class_kappa: NDArray[np.float64]

    def to_dict(self, classes: Sequence[str]) -> dict[str, Any]:
        """The figures by the classes' names; None where there is no kappa."""
        each = dict(zip(classes, map(_or_none, self.class_kappa.tolist()), strict=True))
        return {"num": int(self.counts.sum()), "share": self.share, "kappa": _or_none(self.kappa), "by_class": each}


def agreement(one: NDArray[np.integer], other: NDArray[np.integer], *, num_classes: int) -> Agreement:
    """Compare two labelings.

    Args:
        one: (n,) label indices, n at least 1.
        other: (n,) label indices of the same items.
        num_classes: K.

    Raises:
        ValueError: no items, shapes that differ, or a label that is no class.

    Source: Cohen 1960, as scikit-learn computes it.
    """
    if one.shape != other.shape or one.ndim != 1 or len(one) == 0:
        raise ValueError(f"one, other: got shapes {one.shape} and {other.shape}, expected the same (n,), n at least 1")
    for name, labels in (("one", one), ("other", other)):
        if labels.min() < 0 or labels.max() >= num_classes:
            raise ValueError(f"{name}: got a label outside 0..{num_classes - 1}, expected one of the classes")
    from sklearn.metrics import confusion_matrix  # as below: a second to import, and few processes compare anybody

    counts = confusion_matrix(one, other, labels=np.arange(num_classes)).astype(np.int64)
    each = np.array([_kappa(one == label, other == label) for label in range(num_classes)])
    return Agreement(counts, float(np.trace(counts) / len(one)), _kappa(one, other), each)


def _kappa(one: NDArray[np.generic], other: NDArray[np.generic]) -> float:
    """Cohen's kappa; NaN where there is nothing to tell apart, of which scikit-learn warns."""
    if len(np.union1d(one, other)) == 1:
        return float("nan")
    from sklearn.metrics import cohen_kappa_score

    return float(cohen_kappa_score(one, other))


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else value
