"""From logits to probabilities: softmax with one temperature, or with a scale and a shift of each class.

Knows logits and label indices of training answers; audit answers must never get here, as a confidence that saw
them breaks the certificate.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

import numpy as np
import scipy  # its parts come when they are first used: few processes wait for them
from numpy.typing import NDArray
from scipy import special

# Cold enough for a head fitted to its last digit, hot enough for one that knows nothing.
LOWEST, HIGHEST = 0.01, 100.0
# A class's logits are never scaled below this part of what the temperature makes of them: their order stays.
LEAST_SCALE = 0.05


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
    _check_answers(logits, label_index)
    # The sum of exponentials is what costs; the label's own logit only divides.
    centred = logits - logits[np.arange(len(logits)), label_index][:, np.newaxis]

    def negative_log_likelihood(log_temperature: float) -> float:
        return float(special.logsumexp(centred / math.exp(log_temperature), axis=1).mean())

    bounds = (math.log(LOWEST), math.log(HIGHEST))
    found = scipy.optimize.minimize_scalar(
        negative_log_likelihood, bounds=bounds, method="bounded", options={"xatol": 1e-8}
    )
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
    _check_temperature(temperature)
    probabilities: NDArray[np.float64] = special.softmax(logits / temperature, axis=1)
    return probabilities


@dataclass(frozen=True, eq=False)
class VectorScaling:
    """A scale and a shift of each class's logit, before the softmax.

    Args:
        weight: (K,) float64, above 0.
        bias: (K,) float64.

    Raises:
        ValueError: another shape or dtype, NaN or infinity, or a weight that is not above 0.
    """

    weight: NDArray[np.float64]
    bias: NDArray[np.float64]

    def __post_init__(self) -> None:
        """Check shapes, dtypes and signs."""
        for name, array in (("weight", self.weight), ("bias", self.bias)):
            if array.shape != self.weight.shape or array.ndim != 1 or array.dtype != np.float64:
                raise ValueError(f"{name}: got {array.dtype.name} of shape {array.shape}, expected float64, (K,)")
            if not np.isfinite(array).all():
                raise ValueError(f"{name}: got NaN or infinity, expected finite values")
        if (self.weight <= 0).any():
            raise ValueError(f"weight: got {self.weight.min():g}, expected values above 0")

    @classmethod
    def fit(cls, logits: NDArray[np.float64], label_index: NDArray[np.integer], *, temperature: float) -> Self:
        """Find the scales and shifts that make held-out logits most likely, near to what one temperature does.

        A normal prior of variance 1 holds each scale to 1 / temperature, in units of that, and each shift to 0: a
        class of a few answers, all of them right, would otherwise be scaled without end.

        Args:
            logits: (n, K) float64 of training answers by a head that has not seen them (cross-fitted).
            label_index: (n,) integers in 0..K-1.
            temperature: that `fit_temperature` found for them.

        Raises:
            ValueError: as `fit_temperature` and `softmax`.

        Cost: O(n * K) each step of L-BFGS.
        Source: Guo et al. 2017, On Calibration of Modern Neural Networks.
        """
        _check_answers(logits, label_index)
        _check_temperature(temperature)
        cooled, num_classes = logits / temperature, logits.shape[1]
        named = np.eye(num_classes)[label_index]

        def loss(found: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
            scale, shift = found[:num_classes], found[num_classes:]
            logs = special.log_softmax(scale * cooled + shift, axis=1)
            over = np.exp(logs) - named
            slope = np.concatenate([(over * cooled).sum(axis=0) + scale - 1, over.sum(axis=0) + shift])
            prior = ((scale - 1) ** 2).sum() + (shift**2).sum()
            return float(prior / 2 - logs[named > 0].sum()), slope

        start = np.concatenate([np.ones(num_classes), np.zeros(num_classes)])
        bounds = [(LEAST_SCALE, None)] * num_classes + [(None, None)] * num_classes
        solved = scipy.optimize.minimize(
            loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 1000}
        ).x
        return cls(solved[:num_classes] / temperature, solved[num_classes:])

    def probabilities(self, logits: NDArray[np.float64]) -> NDArray[np.float64]:
        """Turn (n, K) float64 logits, as the head gives them, into (n, K) float64 probabilities."""
        return softmax(logits * self.weight + self.bias)


def _check_answers(logits: NDArray[np.float64], label_index: NDArray[np.integer]) -> None:
    _check_logits(logits)
    num_items, num_classes = logits.shape
    if label_index.shape != (num_items,) or not np.issubdtype(label_index.dtype, np.integer):
        got = f"{label_index.dtype.name} of shape {label_index.shape}"
        raise ValueError(f"label_index: got {got}, expected integers of shape ({num_items},)")
    if num_items == 0:
        raise ValueError("logits: got 0 rows, expected at least 1")
    if label_index.min() < 0 or label_index.max() >= num_classes:
        raise ValueError(f"label_index: got a value outside 0..{num_classes - 1}, expected one of the classes")


def _check_temperature(temperature: float) -> None:
    if not 0 < temperature < math.inf:
        raise ValueError(f"temperature: got {temperature}, expected a number above 0")


def _check_logits(logits: NDArray[np.float64]) -> None:
    if logits.ndim != 2 or logits.shape[1] < 2:
        raise ValueError(f"logits: got shape {logits.shape}, expected (n, K) with at least 2 classes")
    if logits.dtype != np.float64:
        raise ValueError(f"logits: got dtype {logits.dtype.name}, expected float64")
    if not np.isfinite(logits).all():
        raise ValueError("logits: got NaN or infinity, expected finite values")
