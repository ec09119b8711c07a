"""Multinomial logistic regression in float64, with or without logits that it adds to.

Knows arrays; needs no torch.
"""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray

UNSEEN = -1e4
"""Logit of a class that no answer has named: its probability is 0."""

Floats = NDArray[np.float64]


def fit_logistic(
    values: Floats,
    label_index: NDArray[np.integer],
    num_classes: int,
    penalty: float,
    *,
    weights: Floats | None = None,
    offset: Floats | None = None,
) -> tuple[Floats, Floats]:
    """Fit a multinomial logistic regression.

    Args:
        values: (L, D).
        label_index: (L,) classes.
        num_classes: K; a class that none of them names gets the bias UNSEEN.
        penalty: inverse strength of the L2 penalty on the weights, scikit-learn's C.
        weights: (L,) of the items; all alike by default.
        offset: (L, K) logits that those of the regression are added to; with them no `weights`.

    Returns:
        (K, D) weights and (K,) biases, the offset left out.

    Cost: L-BFGS, O(L * D * K) each of at most 500 steps.
    """
    seen = np.unique(label_index)
    weight, bias = np.zeros((num_classes, values.shape[1])), np.full(num_classes, UNSEEN)
    if len(seen) == 1:
        bias[seen[0]] = 0.0
        return weight, bias
    if offset is not None:
        position = np.searchsorted(seen, label_index)
        weight[seen], bias[seen] = _fit_beside(values, position, offset[:, seen], penalty)
        return weight, bias
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=penalty, max_iter=500, tol=1e-6)
    with warnings.catch_warnings():
        # A fit that stops at 500 steps is as good for labeling; its held-out loss is what it is judged by.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(values, label_index, sample_weight=weights)
    if len(seen) == 2:
        # scikit-learn gives one row for two classes; as a softmax it is half of it for each side.
        weight[seen] = np.concatenate([-model.coef_, model.coef_]) / 2
        bias[seen] = np.concatenate([-model.intercept_, model.intercept_]) / 2
    else:
        weight[seen], bias[seen] = model.coef_, model.intercept_
    return weight, bias


def _fit_beside(
    values: Floats, label_index: NDArray[np.integer], offset: Floats, penalty: float
) -> tuple[Floats, Floats]:
    """Fit logits that are added to given ones; every class is there. scikit-learn knows no such offset."""
    from scipy.optimize import minimize  # a second to import, and only fitting needs it

    num, dim = values.shape
    classes = offset.shape[1]
    named = np.arange(num), label_index

    def loss(flat: Floats) -> tuple[float, Floats]:
        weight, bias = flat[:-classes].reshape(classes, dim), flat[-classes:]
        logits = values @ weight.T + bias + offset
        logits -= logits.max(axis=1, keepdims=True)
        sums = np.exp(logits).sum(axis=1, keepdims=True)
        value = penalty * float((np.log(sums[:, 0]) - logits[named]).sum()) + 0.5 * float((weight**2).sum())
        slope = np.exp(logits) / sums
        slope[named] -= 1.0
        slope *= penalty
        return value, np.concatenate([(slope.T @ values + weight).ravel(), slope.sum(axis=0)])

    start = np.zeros(classes * dim + classes)
    found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 500, "gtol": 1e-6}).x
    return found[:-classes].reshape(classes, dim), found[-classes:]
