"""Linear heads on stored embeddings: multinomial logistic regression in float64, judged by cross-fitting.

Knows arrays; needs no torch.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray

from raylabel.acceptance import fit_temperature, softmax
from raylabel.models.prior import WEIGHTS, Prior, Weighed, weigh
from raylabel.models.regression import UNSEEN, fit_logistic

PENALTIES = (1.0, 3.0, 10.0, 30.0)
"""Inverse strengths of the L2 penalty that cross-fitting chooses from, for embeddings of mean length 1."""

NUM_FOLDS = 5
CHUNK_ROWS = 1_024

Folds = Sequence[tuple[NDArray[np.int64], NDArray[np.int64]]]


@dataclass(frozen=True)
class Head:
    """A linear classifier of embeddings.

    Args:
        weight: (K, D) float64.
        bias: (K,) float64; a class that no answer has named has the logit UNSEEN.
        temperature: divides the logits, fitted on cross-fitted ones.
    """

    weight: NDArray[np.float64]
    bias: NDArray[np.float64]
    temperature: float

    def probabilities(self, embeddings: NDArray[np.float16]) -> NDArray[np.float64]:
        """(N, D) embeddings -> (N, K) float64 probabilities."""
        found: NDArray[np.float64] = softmax(self.logits(embeddings), self.temperature)
        return found

    def logits(self, embeddings: NDArray[np.float16]) -> NDArray[np.float64]:
        """(N, D) finite embeddings -> (N, K) float64 logits, before the temperature.

        Rows are multiplied in padded chunks of one shape, so that a row's result does not depend on its neighbours.
        """
        out = np.empty((len(embeddings), len(self.bias)))
        wide = np.zeros((CHUNK_ROWS, embeddings.shape[1]))
        weight = np.ascontiguousarray(self.weight.T)
        for start in range(0, len(embeddings), CHUNK_ROWS):
            rows = embeddings[start : start + CHUNK_ROWS]
            wide[: len(rows)] = rows
            out[start : start + len(rows)] = (wide @ weight)[: len(rows)]
        out += self.bias
        return out

    def to_bytes(self, beside: Mapping[str, NDArray[Any]] | None = None) -> bytes:
        """The head as safetensors, with other arrays beside it that belong to the same model."""
        arrays = {**(beside or {}), "weight": np.ascontiguousarray(self.weight), "bias": self.bias}
        return safetensors.numpy.save(arrays, metadata={"temperature": json.dumps(self.temperature)})

    @classmethod
    def from_bytes(cls, data: bytes) -> Head:
        """The head that `to_bytes` wrote."""
        arrays = safetensors.numpy.load(data)
        length = int.from_bytes(data[:8], "little")
        metadata = json.loads(data[8 : 8 + length])["__metadata__"]
        return cls(arrays["weight"], arrays["bias"], float(json.loads(metadata["temperature"])))


@dataclass(frozen=True)
class CrossFit:
    """What a head says of answers that it did not learn from.

    Args:
        logits: (L, K) float64, each row from the fold that left it out.
        accuracy: share of the fair answers that the held-out logits get right; None where all answers name one class,
            which leaves nothing to tell apart.
        penalty: the inverse penalty that was chosen by held-out log loss.
        folds: positions inside and outside of each fold; none where all answers name one class.
        judged: (L,) bool, the fair answers whose class their fold had seen: what temperatures and scores learn from.
        weak: how weak labels were weighed; None where there are none, or no answer is judged.
    """

    logits: NDArray[np.float64]
    accuracy: float | None
    penalty: float
    folds: Folds
    judged: NDArray[np.bool_]
    weak: Weighed | None = None


@dataclass(frozen=True)
class _Tried:
    """One weight and penalty: the held-out logits, and what the judged answers say of them."""

    weight: float
    penalty: float
    logits: NDArray[np.float64]
    temperature: float
    losses: NDArray[np.float64]

    @property
    def log_loss(self) -> float:
        return float(self.losses.mean()) if len(self.losses) else 0.0


def fit_head(
    embeddings: NDArray[np.float16],
    label_index: NDArray[np.int32],
    *,
    num_classes: int,
    seed: int,
    fair: NDArray[np.bool_] | None = None,
    prior: Prior | None = None,
) -> tuple[Head, CrossFit]:
    """Fit a head on all answers; choose its penalty and temperature by 5-fold cross-fitting.

    With a prior the head is what the answers add to the prior's logits, times a weight that is chosen like the penalty.

    Args:
        embeddings: (L, D) of the answered items.
        label_index: (L,) their classes; L is at least 1.
        num_classes: K; classes without an answer get probability 0.
        seed: of the folds.
        fair: (L,) which answers may choose penalty and temperature and be counted; all by default. Those that
            the backbone itself was tuned on must not.
        prior: what weak labels say, fitted on none of these items; its weight is 0 unless held-out answers
            clearly gain by it, and then the head is the same as without it.

    Returns:
        The head and how it did on what it had not seen. Where all answers name one class, the head says that class of
        everything, with the probability 1, and is not judged.

    Cost: 21 fits of L-BFGS, O(L * D * K) each step: about 10 s for L = 1000, D = 1280, K = 10 on one core; with a prior
    four times as many.
    """
    scaled, centre, scale = _scaled(embeddings)
    if len(np.unique(label_index)) == 1:
        weight, bias = fit_logistic(scaled, label_index, num_classes, PENALTIES[0])
        nobody = np.zeros(len(scaled), dtype=bool)
        return Head(weight, bias, 1.0), CrossFit(np.tile(bias, (len(scaled), 1)), None, PENALTIES[0], (), nobody)
    from sklearn.model_selection import KFold  # as below: a second to import, and only fitting needs it

    folds = list(KFold(n_splits=min(NUM_FOLDS, len(scaled)), shuffle=True, random_state=seed).split(scaled))
    fair = np.ones(len(label_index), dtype=bool) if fair is None else fair
    judged = fair & _known(label_index, folds)
    said = np.zeros((len(scaled), num_classes)) if prior is None else prior.logits(embeddings)

    def best_of(weight: float) -> _Tried:
        offset = weight * said if weight else None
        tried = []
        for penalty in PENALTIES:
            logits = _cross_fit(scaled, label_index, num_classes, penalty, folds, offset=offset)
            tried.append(_Tried(weight, penalty, logits, *_judge(logits[judged], label_index[judged])))
        return min(tried, key=lambda each: each.log_loss)

    best, weak = best_of(0.0), None
    if prior is not None and judged.any():
        weighed = min(map(best_of, WEIGHTS), key=lambda each: each.log_loss)
        weak = weigh(weighed.weight, best.losses, weighed.losses)
        best = weighed if weak.weight else best
    offset = best.weight * said if best.weight else None
    fitted = fit_logistic(scaled, label_index, num_classes, best.penalty, offset=offset)
    head = _unscaled(fitted, centre, scale, best.temperature)
    if prior is not None and best.weight:
        head = Head(head.weight + best.weight * prior.weight, head.bias + best.weight * prior.bias, head.temperature)
    accuracy = float((best.logits.argmax(axis=1) == label_index)[fair].mean())
    return head, CrossFit(best.logits, accuracy, best.penalty, folds, judged, weak)


def fit_once(
    embeddings: NDArray[np.floating], label_index: NDArray[np.int32], *, num_classes: int, penalty: float
) -> Head:
    """Fit a head with a penalty that is known to do, and the temperature 1: no cross-fitting.

    Args:
        embeddings: (L, D) of the answered items, L at least 1.
        label_index: (L,) their classes.
        num_classes: K; classes without an answer get probability 0.
        penalty: inverse strength of the L2 penalty, as in `PENALTIES`.

    Cost: one fit of L-BFGS, O(L * D * K) each step: half a second for L = 4000, D = 448, K = 10 on one core.
    """
    scaled, centre, scale = _scaled(embeddings)
    return _unscaled(fit_logistic(scaled, label_index, num_classes, penalty), centre, scale, 1.0)


def fit_members(
    embeddings: NDArray[np.floating],
    label_index: NDArray[np.int32],
    *,
    num_classes: int,
    penalty: float,
    temperature: float,
    num_members: int,
    rng: np.random.Generator,
) -> list[Head]:
    """Fit heads that the answers allow as well: each with the answers weighted anew, by the Bayesian bootstrap.

    No answer gets the weight 0, so that no member lacks a class.

    Args:
        embeddings: (L, D) of the answered items.
        label_index: (L,) their classes, two at least.
        num_classes: K; classes without an answer get probability 0.
        penalty: of `fit_head`'s cross-fit.
        temperature: of its head.
        num_members: M.
        rng: draws L weights a member, from the uniform distribution over all that sum to L.

    Cost: M fits of L-BFGS, O(L * D * K) each step.
    Source: Rubin 1981, The Bayesian Bootstrap.
    """
    scaled, centre, scale = _scaled(embeddings)
    count = len(label_index)
    weights = rng.dirichlet(np.ones(count), size=num_members) * count
    fitted = [fit_logistic(scaled, label_index, num_classes, penalty, weights=own) for own in weights]
    return [_unscaled(member, centre, scale, temperature) for member in fitted]


def _scaled(embeddings: NDArray[np.floating]) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Embeddings centred and brought to a mean squared length of 1, and by what."""
    values = embeddings.astype(np.float64)
    centre = values.mean(axis=0)
    scale = float(np.sqrt(((values - centre) ** 2).sum(axis=1).mean())) or 1.0
    return (values - centre) / scale, centre, scale


def _unscaled(
    fitted: tuple[NDArray[np.float64], NDArray[np.float64]],
    centre: NDArray[np.float64],
    scale: float,
    temperature: float,
) -> Head:
    """Centring and scaling folded into the head, so that it takes embeddings as they are stored."""
    weight, bias = fitted
    return Head(weight / scale, bias - weight @ centre / scale, temperature)


def _known(label_index: NDArray[np.int32], folds: Folds) -> NDArray[np.bool_]:
    """Which answers name a class that their fold had seen.

    The logit of any other says UNSEEN: a single one of those would drive the temperature to its end.
    """
    known = np.zeros(len(label_index), dtype=bool)
    for inside, outside in folds:
        known[outside] = np.isin(label_index[outside], label_index[inside])
    return known


def _judge(logits: NDArray[np.float64], label_index: NDArray[np.int32]) -> tuple[float, NDArray[np.float64]]:
    """Temperature and log losses of held-out logits."""
    if len(logits) == 0:
        return 1.0, np.empty(0)
    temperature = fit_temperature(logits, label_index)
    chosen = softmax(logits, temperature)[np.arange(len(logits)), label_index]
    return temperature, -np.log(np.maximum(chosen, 1e-12))


def _cross_fit(
    scaled: NDArray[np.float64],
    label_index: NDArray[np.int32],
    num_classes: int,
    penalty: float,
    folds: Folds,
    *,
    offset: NDArray[np.float64] | None,
) -> NDArray[np.float64]:
    logits = np.full((len(scaled), num_classes), UNSEEN)
    for inside, outside in folds:
        beside = None if offset is None else offset[inside]
        weight, bias = fit_logistic(scaled[inside], label_index[inside], num_classes, penalty, offset=beside)
        logits[outside] = scaled[outside] @ weight.T + bias
    return logits if offset is None else logits + offset
