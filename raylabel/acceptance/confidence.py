"""From logits to the confidence that acceptance ranks by: softmax with one temperature.

Knows logits and label indices of training answers; audit answers must never get here, as a confidence that saw
them breaks the certificate.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import special
from scipy.optimize import minimize_scalar

# Cold enough for a head fitted to its last digit, hot enough for one that knows nothing.
LOWEST, HIGHEST = 0.01, 100.0


def fit_temperature(logits: NDArray[np.float64], label_index: NDArray[np.integer]) -> float:
    """Find the temperature that makes held-out logits most likely.

    Args:
        logits: (n, K) float64 of training answers by a head that has not seen them (cross-fitted), n and K at
            least 1 and 2.
        label_index: (n,) integers in 0..K-1.

    Returns:
        The temperature in [0.01, 100]; above 1 the head was too sure of itself.

    Raises:
        ValueError: another shape or dtype, NaN or infinity, no rows, or a label that is no class.

    Source: Guo et al. 2017, On Calibration of Modern Neural Networks. The negative log-likelihood is convex
        in 1 / temperature, so that a bounded search over its logarithm finds the one minimum.
    """
    _check_logits(logits)
    num_items, num_classes = logits.shape
    if label_index.shape != (num_items,) or not np.issubdtype(label_index.dtype, np.integer):
        got = f"{label_index.dtype.name} of shape {label_index.shape}"
        raise ValueError(f"label_index: got {got}, expected integers of shape ({num_items},)")
    if num_items == 0:
        raise ValueError("logits: got 0 rows, expected at least 1")
    if label_index.min() < 0 or label_index.max() >= num_classes:
        raise ValueError(f"label_index: got a value outside 0..{num_classes - 1}, expected one of the classes")
    # The sum of exponentials is what costs; the label's own logit only divides.
    centred = logits - logits[np.arange(num_items), label_index][:, np.newaxis]

    def negative_log_likelihood(log_temperature: float) -> float:
        return float(special.logsumexp(centred / math.exp(log_temperature), axis=1).mean())

    bounds = (math.log(LOWEST), math.log(HIGHEST))
    found = minimize_scalar(negative_log_likelihood, bounds=bounds, method="bounded", options={"xatol": 1e-8})
    return math.exp(found.x)


def softmax(logits: NDArray[np.float64], temperature: float = 1.0) -> NDArray[np.float64]:
    """Turn logits into class probabilities at a temperature.

    Args:
        logits: (n, K) float64.
        temperature: above 0.

    Returns:
        (n, K) float64, rows summing to 1; no logit is too large.

    Raises:
        ValueError: another shape or dtype, NaN or infinity, or a temperature that is not above 0.
    """
    _check_logits(logits)
    if not 0 < temperature < math.inf:
        raise ValueError(f"temperature: got {temperature}, expected a number above 0")
    probabilities: NDArray[np.float64] = special.softmax(logits / temperature, axis=1)
    return probabilities


def _check_logits(logits: NDArray[np.float64]) -> None:
    if logits.ndim != 2 or logits.shape[1] < 2:
        raise ValueError(f"logits: got shape {logits.shape}, expected (n, K) with at least 2 classes")
    if logits.dtype != np.float64:
        raise ValueError(f"logits: got dtype {logits.dtype.name}, expected float64")
    if not np.isfinite(logits).all():
        raise ValueError("logits: got NaN or infinity, expected finite values")
