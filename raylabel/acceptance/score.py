"""A confidence that is learned: how often labels with such features were right among training answers held out.

Knows features and rights and wrongs of training answers; audit answers must never get here, as a confidence that
saw them breaks the certificate.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logsumexp

from raylabel.acceptance.checks import BoolArray, check_flags

LARGEST = 50.0
"""Log-odds are cut here: beyond, nothing that could be counted tells two items apart."""

LEAST_OF_EACH = 10
"""Right answers, and wrong ones, that a score is learned from at least."""


def log_odds(logits: NDArray[np.float64], label_index: NDArray[np.integer]) -> NDArray[np.float64]:
    """How much likelier one class is than all others together.

    Args:
        logits: (n, K) float64, unnormalised logarithms of probabilities; minus infinity is a probability of 0.
        label_index: (n,) integers in 0..K-1, one class for each row.

    Returns:
        (n,) float64 log p - log(1 - p) of those classes, within -LARGEST to LARGEST.

    Raises:
        ValueError: another shape, NaN, plus infinity, or a row of nothing but minus infinity.
    """
    if logits.ndim != 2 or label_index.shape != logits.shape[:1] or logits.shape[1] < 2:
        got = f"{logits.shape} and {label_index.shape}"
        raise ValueError(f"logits, label_index: got shapes {got}, expected (n, K), K at least 2, and (n,)")
    if np.isnan(logits).any() or (logits.size and not np.isfinite(logits.max(axis=1)).all()):
        raise ValueError("logits: got NaN, plus infinity or a row of minus infinity, expected a finite largest value")
    rows = np.arange(len(logits))
    others = logits.copy()
    others[rows, label_index] = -np.inf
    found: NDArray[np.float64] = np.clip(logits[rows, label_index] - logsumexp(others, axis=1), -LARGEST, LARGEST)
    return found


@dataclass(frozen=True)
class LearnedScore:
    """A logistic curve over features: the probability that a label is right.

    Args:
        coefficients: F numbers, one for each feature.
        intercept: added to their sum.
    """

    coefficients: tuple[float, ...]
    intercept: float

    @classmethod
    def fit(cls, features: NDArray[np.float64], correct: BoolArray) -> Self:
        """Fit by logistic regression on training answers, each with features that did not see it (cross-fitted).

        Args:
            features: (n, F) finite float64.
            correct: (n,) bool, whether the label that was held out is the answer.

        Raises:
            ValueError: another shape or dtype, NaN or infinity, or fewer than `LEAST_OF_EACH` right or wrong ones.

        Cost: O(n * F) each step of L-BFGS; some milliseconds.
        Source: Platt 1999, here of several scores. Features are brought to a variance of 1 for an L2 penalty of 1/2.
        """
        from sklearn.linear_model import LogisticRegression  # a second to import, and only fitting needs it

        check_flags("correct", correct, num=len(features))
        if features.ndim != 2 or features.dtype != np.float64 or not np.isfinite(features).all():
            raise ValueError(f"features: got {features.dtype.name} of shape {features.shape}, expected finite float64")
        right = int(correct.sum())
        if lack := why_not(right, len(correct) - right):
            raise ValueError(f"correct: {lack}")
        centre, scale = features.mean(axis=0), features.std(axis=0)
        scale = np.where(scale > 0, scale, 1.0)
        model = LogisticRegression(max_iter=1000, tol=1e-8).fit((features - centre) / scale, correct)
        coefficients = model.coef_[0] / scale
        return cls(tuple(coefficients.tolist()), float(model.intercept_[0] - coefficients @ centre))

    def apply(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        """(n, F) features -> (n,) float64 probabilities that the labels are right.

        Raises:
            ValueError: another number of features.
        """
        if features.ndim != 2 or features.shape[1] != len(self.coefficients):
            raise ValueError(f"features: got shape {features.shape}, expected (n, {len(self.coefficients)})")
        # Feature by feature, in order: a product of matrices may add up differently for other numbers of rows.
        total = np.full(len(features), self.intercept)
        for column, coefficient in enumerate(self.coefficients):
            total += coefficient * features[:, column]
        probabilities: NDArray[np.float64] = expit(total)
        return probabilities

    def log_loss(self, features: NDArray[np.float64], correct: BoolArray) -> float:
        """The mean negative log-likelihood of (n,) rights and wrongs, in nats."""
        chosen = np.where(correct, self.apply(features), 1 - self.apply(features))
        return float(-np.log(np.maximum(chosen, 1e-300)).mean())


def why_not(num_right: int, num_wrong: int) -> str:
    """Say why no score can be learned of so many answers; "" where it can."""
    if min(num_right, num_wrong) >= LEAST_OF_EACH:
        return ""
    return (
        f"{num_right} of the answers held out were right and {num_wrong} wrong; "
        f"a score is learned from at least {LEAST_OF_EACH} of each"
    )
