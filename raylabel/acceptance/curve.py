"""How often labels are wrong at each confidence: a smooth curve through few answers, for plans and forecasts.

Knows confidences and rights and wrongs; a guess that decides where and how much to ask, never part of a proof.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from raylabel.acceptance.checks import BoolArray, ConfidenceArray, check_confidence, check_flags

FloatArray = NDArray[np.float64]

# Confidences closer to 0 or 1 tell nothing more.
LEAST_DOUBT, LEAST_CONFIDENCE = 1e-7, 1e-4
# Before any answer: the model's own doubt, which a shift by 1 and a slope off by 1/2 would not surprise.
PRIOR = np.array([0.0, 1.0])
PRIOR_PRECISION = np.array([1.0, 4.0])


def fit_error_curve(confidence: ConfidenceArray, correct: BoolArray) -> Callable[[ConfidenceArray], FloatArray]:
    """Fit the chance of being wrong as a logistic curve in the logit of 1 - confidence.

    Args:
        confidence: (n,) of a sample that is as hard as the pool at each confidence; n may be 0, then the curve is
            1 - confidence.
        correct: (n,) bool.

    Returns:
        A function of (m,) confidences that gives (m,) float64 chances of being wrong.

    Raises:
        ValueError: lengths differ, NaN, or a confidence outside [0, 1].

    Source: Platt 1999, with a normal prior on shift and slope; its maximum by Newton's method.
    """
    check_confidence("confidence", confidence)
    check_flags("correct", correct, num=len(confidence))
    design = _design(confidence)
    found = PRIOR.copy()
    for _ in range(50):
        chances = expit(design @ found)
        gradient = design.T @ (~correct - chances) - PRIOR_PRECISION * (found - PRIOR)
        curvature = (design.T * (chances * (1 - chances))) @ design + np.diag(PRIOR_PRECISION)
        step = np.linalg.solve(curvature, gradient)
        # A full step may overshoot where the curve is steep.
        found += step / max(1.0, float(np.abs(step).max()))
        if float(np.abs(step).max()) < 1e-9:
            break
    return lambda asked: expit(_design(asked) @ found)


def _design(confidence: ConfidenceArray) -> FloatArray:
    doubt = np.clip(1 - confidence.astype(np.float64), LEAST_DOUBT, 1 - LEAST_CONFIDENCE)
    return np.stack([np.ones(len(doubt)), logit(doubt)], axis=1)
