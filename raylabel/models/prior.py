"""What weak labels say to a head: a linear model of probabilistic labels, and how far it is to be believed.

Knows arrays; knows nothing of where the probabilities come from. Needs no torch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

WEIGHTS = (2.0, 5.0, 10.0)
"""Of weak labels' logits, which have a mean length of 1, that cross-fitting chooses from beside 0."""

STANDARD_ERRORS = 2.0
"""So many of them must the answers gain by weak labels: of 36 heads beside dice one would let 3 pass."""

RIDGES = (0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0)
"""Of the squared weights, beside a sum of squares over items of mean squared length 1; what was left out chooses."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Prior:
    """Logits that a head starts from.

    Args:
        weight: (K, D) float64.
        bias: (K,) float64.
    """

    weight: Floats
    bias: Floats

    def logits(self, embeddings: NDArray[np.floating]) -> Floats:
        """(N, D) embeddings -> (N, K) float64."""
        found: Floats = embeddings.astype(np.float64) @ self.weight.T + self.bias
        return found


def fit_prior(embeddings: NDArray[np.floating], probabilities: Floats) -> Prior | None:
    """Fit the probabilities that weak labels give items, by ridge regression on the embeddings.

    Its logits are centred and have a mean squared length of 1 over the items, whatever the weak labels are sure of: how
    far they are to be believed is for people's answers to say.

    Args:
        embeddings: (M, D) of items that some function votes for.
        probabilities: (M, K) of their classes, rows that sum to 1.

    Returns:
        The prior; None where the embeddings explain nothing, as where all items have the same probabilities.

    Cost: one singular value decomposition, O(M * D ** 2): 0.5 s for M = 4000, D = 448 on one core.
    """
    from sklearn.linear_model import RidgeCV  # a second to import, and only fitting needs it

    if len(embeddings) < 2:
        return None
    values = embeddings.astype(np.float64)
    centre = values.mean(axis=0)
    values -= centre
    scale = float(np.sqrt((values**2).sum(axis=1).mean())) or 1.0
    values /= scale
    ridge = RidgeCV(alphas=RIDGES, fit_intercept=False)  # leaves each item out once, in closed form
    weight = ridge.fit(values, probabilities - probabilities.mean(axis=0)).coef_
    length = float(np.sqrt(((values @ weight.T) ** 2).sum(axis=1).mean()))
    if length < 1e-9:
        return None
    weight /= length * scale
    return Prior(weight, -weight @ centre)


@dataclass(frozen=True)
class Weighed:
    """What held-out answers said of weak labels.

    Args:
        weight: of the weak labels' logits in the head; 0 where they do not clearly lower the log loss.
        log_loss: mean over the judged answers, without weak labels.
        gain: by how much the best weight lowers it; negative where every weight raises it.
        standard_error: of `gain`, over the answers.
    """

    weight: float
    log_loss: float
    gain: float
    standard_error: float


def weigh(weight: float, without: Floats, beside: Floats) -> Weighed:
    """Take weak labels where held-out answers gain by them, by two standard errors of the gain; else leave them out.

    Args:
        weight: the best one above 0.
        without: (n,) log losses of the answers without weak labels, n at least 1.
        beside: (n,) with this weight.
    """
    gains = without - beside
    gain = float(gains.mean())
    error = float(gains.std(ddof=1) / len(gains) ** 0.5) if len(gains) > 1 else math.inf
    return Weighed(weight if gain > STANDARD_ERRORS * error else 0.0, float(without.mean()), gain, error)
