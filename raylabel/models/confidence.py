"""The confidence of a head's labels: what it is learned from, how it is kept beside the head, how it is applied.

Knows heads, embeddings and training answers. It changes neither a label nor what selection sees of the head.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray

from raylabel.acceptance import LearnedScore, NeighbourVote, VectorScaling, log_odds, softmax
from raylabel.acceptance.score import why_not
from raylabel.models.heads import CrossFit, Head

CONCENTRATIONS = (5.0, 10.0, 20.0, 40.0)
"""Of the labeled items' vote; the one under which the score explains the held-out answers best is taken. On the
embeddings of real images that were studied 20 or one beside it."""

Kind = Literal["learned", "vector", "temperature", "softmax"]
Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Softmax:
    """The softmax's probability of the label, at one temperature."""

    temperature: float

    def of(
        self, embeddings: NDArray[np.float16], logits: NDArray[np.float64], label_index: NDArray[np.integer]
    ) -> NDArray[np.float64]:
        """The confidence of labels.

        Args:
            embeddings: (n, D) of the items.
            logits: (n, K) of the head.
            label_index: (n,) the labels.

        Returns:
            (n,) float64 in [0, 1].
        """
        found: NDArray[np.float64] = softmax(logits, self.temperature)[np.arange(len(logits)), label_index]
        return found

    def arrays(self) -> Arrays:
        """What `load` makes it from."""
        return {"confidence_temperature": np.array([self.temperature])}


@dataclass(frozen=True)
class Vector:
    """The softmax's probability of the label, each class's logit with a scale and a shift of its own."""

    scaling: VectorScaling

    def of(
        self, embeddings: NDArray[np.float16], logits: NDArray[np.float64], label_index: NDArray[np.integer]
    ) -> NDArray[np.float64]:
        """As `Softmax.of`."""
        found: NDArray[np.float64] = self.scaling.probabilities(logits)[np.arange(len(logits)), label_index]
        return found

    def arrays(self) -> Arrays:
        """What `load` makes it from."""
        return {"confidence_weight": self.scaling.weight, "confidence_bias": self.scaling.bias}


@dataclass(frozen=True, eq=False)
class Learned:
    """How often labels were right that the head and the labeled items around spoke for as much.

    Args:
        score: of two features: the log-odds of the label by the head, and by the labeled items' vote.
        temperature: that the head's logits are divided by.
        concentration: of the vote.
        embeddings: (L, D) float16 of the labeled items.
        label_index: (L,) int32 their classes.
        vote: made of these.
    """

    score: LearnedScore
    temperature: float
    concentration: float
    embeddings: NDArray[np.float16]
    label_index: NDArray[np.int32]
    vote: NeighbourVote

    def of(
        self, embeddings: NDArray[np.float16], logits: NDArray[np.float64], label_index: NDArray[np.integer]
    ) -> NDArray[np.float64]:
        """As `Softmax.of`; cost and memory are those of `NeighbourVote.log_votes`."""
        votes = self.vote.log_votes(embeddings, concentration=self.concentration)
        return self.score.apply(_features(logits / self.temperature, votes, label_index))

    def arrays(self) -> Arrays:
        """What `load` makes it from."""
        return {
            "confidence_score": np.array([*self.score.coefficients, self.score.intercept]),
            "confidence_learned": np.array([self.temperature, self.concentration]),
            "confidence_embeddings": self.embeddings,
            "confidence_label_index": self.label_index,
        }


Confidence = Softmax | Vector | Learned


@dataclass(frozen=True)
class Fitted:
    """A confidence and how it came about.

    Args:
        confidence: to be applied.
        used: which kind it is.
        held_out: (L,) float64 of the answers: of the label that the head gave each while it was held out.
        reason: why it is not the kind that was asked for; "" where it is.
    """

    confidence: Confidence
    used: Kind
    held_out: NDArray[np.float64]
    reason: str = ""


def fit_confidence(
    kind: Kind, head: Head, cross: CrossFit, *, embeddings: NDArray[np.float16], label_index: NDArray[np.int32]
) -> Fitted:
    """Fit the confidence of a head's labels on the answers that judged the head, each held out by its fold.

    Args:
        kind: "softmax"; "temperature": with the head's own; "vector"; or "learned".
        head: fitted on all answers.
        cross: of the same fit.
        embeddings: (L, D) the answered items, as the head was fitted on them.
        label_index: (L,) their classes.

    Returns:
        The confidence. Where too few answers could be held out for a vector or a learned score it is the softmax at
        the head's temperature, and says why.

    Cost: for "learned" L ** 2 * D multiplications for each concentration: 2 s for L = 4,000, D = 448.
    """
    predicted = cross.logits.argmax(axis=1)
    if kind == "learned":
        correct = (predicted == label_index)[cross.judged]
        reason = why_not(int(correct.sum()), int((~correct).sum()))
        if not reason:
            return _learn(head, cross, embeddings, label_index)
    else:
        reason = "" if kind != "vector" or cross.judged.any() else "no answer could be held out of a class others name"
    confidence: Confidence = Softmax(1.0 if kind == "softmax" else head.temperature)
    if kind == "vector" and not reason:
        logits, named = cross.logits[cross.judged], label_index[cross.judged]
        confidence = Vector(VectorScaling.fit(logits, named, temperature=head.temperature))
    held_out = confidence.of(embeddings, cross.logits, predicted)
    return Fitted(confidence, "temperature" if reason else kind, held_out, reason)


def _learn(head: Head, cross: CrossFit, embeddings: NDArray[np.float16], label_index: NDArray[np.int32]) -> Fitted:
    predicted = cross.logits.argmax(axis=1)
    correct, tried = (predicted == label_index)[cross.judged], []
    for concentration in CONCENTRATIONS:
        votes = _held_out_votes(cross, embeddings, label_index, concentration)
        features = _features(cross.logits / head.temperature, votes, predicted)
        score = LearnedScore.fit(features[cross.judged], correct)
        tried.append((score.log_loss(features[cross.judged], correct), concentration, score, score.apply(features)))
    _, concentration, score, held_out = min(tried, key=lambda each: each[:2])
    vote = NeighbourVote.of(embeddings, label_index, num_classes=len(head.bias))
    return Fitted(Learned(score, head.temperature, concentration, embeddings, label_index, vote), "learned", held_out)


def load(data: bytes) -> Confidence:
    """The confidence that lies beside a head, in the bytes of `Head.to_bytes`.

    Raises:
        ValueError: there is none.
    """
    arrays: Mapping[str, NDArray[Any]] = safetensors.numpy.load(data)
    if "confidence_score" in arrays:
        *coefficients, intercept = arrays["confidence_score"].tolist()
        temperature, concentration = arrays["confidence_learned"].tolist()
        embeddings, label_index = arrays["confidence_embeddings"], arrays["confidence_label_index"]
        vote = NeighbourVote.of(embeddings, label_index, num_classes=len(arrays["bias"]))
        score = LearnedScore(tuple(coefficients), intercept)
        return Learned(score, temperature, concentration, embeddings, label_index, vote)
    if "confidence_weight" in arrays:
        return Vector(VectorScaling(arrays["confidence_weight"], arrays["confidence_bias"]))
    if "confidence_temperature" in arrays:
        return Softmax(float(arrays["confidence_temperature"][0]))
    raise ValueError(f"head: got the arrays {', '.join(sorted(arrays))}, expected a confidence among them")


def _features(
    logits: NDArray[np.float64], votes: NDArray[np.float64], label_index: NDArray[np.integer]
) -> NDArray[np.float64]:
    """(n, 2) log-odds of the labels."""
    return np.stack([log_odds(logits, label_index), log_odds(votes, label_index)], axis=1)


def _held_out_votes(
    cross: CrossFit, embeddings: NDArray[np.float16], label_index: NDArray[np.int32], concentration: float
) -> NDArray[np.float64]:
    """(L, K) votes on each answer by those of the folds that it is not in."""
    num_classes = cross.logits.shape[1]
    votes = np.empty((len(embeddings), num_classes))
    for inside, outside in cross.folds:
        fold = NeighbourVote.of(embeddings[inside], label_index[inside], num_classes=num_classes)
        votes[outside] = fold.log_votes(embeddings[outside], concentration=concentration)
    return votes
