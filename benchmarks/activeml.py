"""Strategies of scikit-activeml, asked through its own classes on the embeddings and the head that ours are given."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raylabel.models.heads import Head

PEERS = (
    "activeml margin",
    "activeml entropy",
    "activeml least confidence",
    "activeml BADGE",
    "activeml core-set",
    "activeml TypiClust",
    "activeml ProbCover",
    "activeml MaxHerding",
    "activeml DropQuery",
    "activeml Falcun",
)

Array = NDArray[Any]


def ask(peer: str, pool: Array, known: tuple[Array, Array], head: Head, *, size: int, seed: int) -> NDArray[np.int64]:
    """What a peer's strategy asks about.

    Args:
        peer: one of `PEERS`.
        pool: (N, D) float32 candidates.
        known: (L, D) embeddings and (L,) classes of what is answered.
        head: fitted on them.
        size: how many.
        seed: of its own randomness.

    Returns:
        (size,) positions in `pool`.
    """
    strategy, wants_model = _made(peer, seed, len(head.bias))
    values = np.concatenate([pool, known[0]])
    labels = np.concatenate([np.full(len(pool), np.nan), known[1].astype(float)])
    more: dict[str, Any] = {"clf": _fitted(head, *known), "fit_clf": False} if wants_model else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of scikit-learn's, about its k-means
        found = strategy.query(X=values, y=labels, candidates=np.arange(len(pool)), batch_size=size, **more)
    return np.asarray(found, dtype=np.int64)


def _made(peer: str, seed: int, num_classes: int) -> tuple[Any, bool]:
    from skactiveml import pool

    made = {
        "activeml margin": lambda: pool.UncertaintySampling("margin_sampling", random_state=seed),
        "activeml entropy": lambda: pool.UncertaintySampling("entropy", random_state=seed),
        "activeml least confidence": lambda: pool.UncertaintySampling("least_confident", random_state=seed),
        "activeml BADGE": lambda: pool.Badge(random_state=seed),
        "activeml core-set": lambda: pool.CoreSet(random_state=seed),
        "activeml TypiClust": lambda: pool.TypiClust(random_state=seed),
        "activeml ProbCover": lambda: pool.ProbCover(n_classes=num_classes, random_state=seed),
        "activeml MaxHerding": lambda: pool.MaxHerding(random_state=seed),
        "activeml DropQuery": lambda: pool.DropQuery(random_state=seed),
        "activeml Falcun": lambda: pool.Falcun(random_state=seed),
    }[peer]()
    return made, not isinstance(made, (pool.CoreSet, pool.TypiClust, pool.ProbCover, pool.MaxHerding))


def _fitted(head: Head, values: Array, labels: Array) -> Any:
    """The same head behind scikit-activeml's classifier."""
    from skactiveml.classifier import SklearnClassifier
    from sklearn.linear_model import LogisticRegression

    class Given(LogisticRegression):  # type: ignore[misc]
        """A logistic regression that has learned already."""

        def fit(self, X: Array, y: Array, sample_weight: Array | None = None) -> Any:
            self.classes_, self.n_features_in_ = np.arange(len(head.bias)), values.shape[1]
            self.coef_, self.intercept_, self.n_iter_ = head.weight, head.bias, np.array([0])
            return self

        def predict_proba(self, X: Array) -> Array:
            return head.probabilities(X.astype(np.float16))

    fitted = SklearnClassifier(Given(), classes=list(range(len(head.bias))))
    return fitted.fit(values, labels)
