"""The rules that others accept labels by, from one audit: written anew after their authors' own code."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Confidences = NDArray[np.float32]
Flags = NDArray[np.bool_]

TBAL_MARGIN, TBAL_LEAST = 0.25, 10
"""C and the number of passing answers that a threshold must have more of, in TBAL's code."""

PAC_CAP = 0.75
"""The largest part of its wealth that PAC labels' bet may lose."""


def empirical(confidence: Confidences, wrong: Flags, *, promise: str, max_error: float) -> float | None:
    """The lowest audited confidence from which on few enough of the audit are wrong."""
    falling, num_wrong = _sorted(confidence, wrong)
    of = np.arange(1, len(wrong) + 1) if promise == "auto" else len(wrong)
    return _lowest(falling, num_wrong / of <= max_error)


def tbal(confidence: Confidences, wrong: Flags, *, max_error: float) -> float | None:
    """The same with a margin of C / sqrt(passing) (Vishwakarma et al. 2023, `hoeffding`, one threshold for all)."""
    falling, num_wrong = _sorted(confidence, wrong)
    passing = np.arange(1, len(wrong) + 1)
    kept = (num_wrong / passing + TBAL_MARGIN / np.sqrt(passing) <= max_error) & (passing > TBAL_LEAST)
    return _lowest(falling, kept)


def pac_labels(confidence: Confidences, wrong: Flags, *, max_error: float, alpha: float) -> float | None:
    """The lowest threshold at which a betting bound on the wrong and accepted stays below (Candès et al. 2025).

    Searched by halving, as there; a threshold lies just above the next audited confidence.
    """
    falling = -np.sort(-confidence)
    low, high = 0, len(wrong)
    while low < high:
        middle = (low + high + 1) // 2
        if _bet(wrong & (confidence >= falling[middle - 1]), max_error=max_error, alpha=alpha):
            low = middle
        else:
            high = middle - 1
    if low == 0:
        return None
    return 0.0 if low == len(wrong) else float(np.nextafter(falling[low], np.float32(2)))


def _bet(losses: Flags, *, max_error: float, alpha: float) -> bool:
    """Whether wealth against a mean of `max_error` ever reaches 1 / alpha, in the order of drawing."""
    values, num = losses.astype(np.float64), len(losses)
    seen = np.arange(1, num + 1)
    means = (0.5 + np.cumsum(values)) / (1 + seen)
    spreads = (0.25 + np.cumsum((values - means) ** 2)) / (1 + seen)
    bets = np.sqrt(2 * np.log(2 / alpha) / (num * np.append(0.25, spreads[:-1])))
    bets = np.minimum(bets, PAC_CAP / (1 - max_error))
    wealth = np.cumsum(np.log1p(-bets * (values - max_error)))
    return bool(wealth.max() >= -np.log(alpha))


def _sorted(confidence: Confidences, wrong: Flags) -> tuple[Confidences, NDArray[np.int64]]:
    order = np.argsort(-confidence, kind="stable")
    return confidence[order], np.cumsum(wrong[order])


def _lowest(falling: Confidences, kept: Flags) -> float | None:
    return float(falling[np.flatnonzero(kept)[-1]]) if kept.any() else None
