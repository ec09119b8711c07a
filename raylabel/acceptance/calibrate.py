"""The confidence that the result states: how often labels like this one were right in the audit.

Knows confidences and rights and wrongs. Only for after certifying: see `MonotoneCalibration`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from raylabel.acceptance.checks import BoolArray, ConfidenceArray, check_confidence, check_flags


@dataclass(frozen=True)
class MonotoneCalibration:
    """A rising, piecewise linear map from a model's confidence to how often it is right.

    Fit and apply it only after certifying. It is made from audit answers, and a confidence that has seen them
    must not decide which labels are accepted; as it never falls, it changes no order.

    Args:
        confidence: knots, rising strictly, in [0, 1].
        accuracy: the calibrated confidence at each knot, never falling, in [0, 1].

    Raises:
        ValueError: no knots, another number of them on either side, or knots out of order or range.
    """

    confidence: tuple[float, ...]
    accuracy: tuple[float, ...]

    def __post_init__(self) -> None:
        """Check that the knots make a monotone map of [0, 1] into itself."""
        knots, values = np.array(self.confidence, np.float64), np.array(self.accuracy, np.float64)
        if len(knots) != len(values) or len(knots) == 0:
            raise ValueError(f"knots: got {len(knots)} confidences and {len(values)} accuracies, expected as many")
        check_confidence("confidence", knots)
        check_confidence("accuracy", values)
        if (np.diff(knots) <= 0).any():
            raise ValueError("confidence: got knots that do not rise, expected strictly rising ones")
        if (np.diff(values) < 0).any():
            raise ValueError("accuracy: got values that fall, expected none lower than the one before")

    @classmethod
    def fit(cls, confidence: ConfidenceArray, correct: BoolArray) -> Self:
        """Fit by isotonic regression on the audit, once the certificate stands.

        Args:
            confidence: (n,) float32 or float64 of the audited items, n at least 1.
            correct: (n,) bool, unresolved items False.

        Raises:
            ValueError: another dtype or length, NaN, values outside [0, 1], or no items.
        """
        from sklearn.isotonic import IsotonicRegression  # a second to import, and only fitting needs it

        check_confidence("confidence", confidence)
        check_flags("correct", correct, num=len(confidence))
        if len(confidence) == 0:
            raise ValueError("confidence: got 0 audited items, expected at least 1")
        regression = IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip")
        regression.fit(confidence.astype(np.float64), correct.astype(np.float64))
        accuracy = np.clip(regression.y_thresholds_, 0.0, 1.0)
        return cls(tuple(map(float, regression.X_thresholds_)), tuple(map(float, accuracy)))

    def apply(self, confidence: ConfidenceArray) -> NDArray[np.float32]:
        """Map confidences; beyond the outermost knots the nearest one's accuracy holds.

        Args:
            confidence: (n,) float32 or float64 in [0, 1].

        Returns:
            (n,) float32 in [0, 1].

        Raises:
            ValueError: another shape or dtype, NaN, or values outside [0, 1].
        """
        check_confidence("confidence", confidence)
        return np.interp(confidence, self.confidence, self.accuracy).astype(np.float32)

    def to_dict(self) -> dict[str, Any]:
        """Return the knots as JSON types."""
        return {name: list(knots) for name, knots in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Sequence[float]]) -> Self:
        """Read what `to_dict` wrote.

        Raises:
            ValueError: a field is missing, or the knots make no monotone map.
        """
        if set(values) != {"confidence", "accuracy"}:
            raise ValueError(f"knots: got fields {sorted(values)}, expected accuracy and confidence")
        return cls(tuple(values["confidence"]), tuple(values["accuracy"]))
