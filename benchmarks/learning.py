"""One learning curve: a strategy picks answers round by round from real frozen embeddings, a linear head learns them.

The head is raylabel's own, with the penalty that its cross-fitting chooses on random answers of CIFAR-10 (1,800 and
4,000 of them) among 0.1 to 30. Every strategy sees the same pool, the same test set and the same rounds.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from activeml import PEERS, ask
from features import features
from numpy.typing import NDArray
from sklearn.metrics import f1_score
from sklearn.model_selection import KFold

from raylabel.models.heads import Head, fit_members, fit_once
from raylabel.sampling import Candidates, Labeled, Round, find, select

PENALTY = 3.0
LONG_TAIL = 50
TEST_SHARE = 0.3
COLD_START = "herding"
MEMBERS = 8
JUDGED = 1_000
"""Cross-fitted accuracy, which `auto` reads, is taken anew up to so many answers."""

SLOW = ("badge", "bald", "cluster_margin", "dropquery", "k_center", "kmeans", "probcover", "typiclust")
CANDIDATES = dict.fromkeys(SLOW, 4_000) | dict.fromkeys(PEERS, 2_000)
"""These see so many candidates, drawn at random each round, as nobody would wait for more; the others see all."""

LARGE = (10, 20, 50, 100, 200, 400, 600, 800, 1000, 1200, 1400, 1600, 1800, 2000)
BUDGETS = {
    "cifar10": (*LARGE, 2500, 3000, 4000),
    "cifar10-long-tail": (10, 20, 50, 100, 200, 300, 400, 500, 600, 700, 800, 900, 1000, 1500, 2000, 3000, 4000),
    "trashnet": (10, 20, 30, 50, 75, 100, 150, 200, 300, 400, 500, 600, 800),
    "magtile": (10, 20, 30, 50, 75, 100, 150, 200, 300, 400, 470),
}
"""Answers after each round: up to 4,000, or half of the training pool."""

AREA_TO = 2_000
"""Areas under the curve, and the slow strategies, end here."""


@dataclass(frozen=True)
class Split:
    """A pool to pick from and a test set: embeddings (N, D) float32 and classes (N,) int32 of each."""

    pool: NDArray[np.float32]
    truth: NDArray[np.int32]
    test: NDArray[np.float32]
    test_truth: NDArray[np.int32]
    num_classes: int


@functools.lru_cache(maxsize=1)
def split(name: str, seed: int, place: Path) -> Split:
    """A data set's pool and test set for one seed.

    CIFAR-10 keeps its own test set and gets another order of the pool; its long tail keeps 5,000 of one class and
    1/50th of another, geometric in between, the classes shuffled by the seed; the others lose 30 % of each class to
    the test set.
    """
    found = features(name.removesuffix("-long-tail"), place)
    values, truth = found.embeddings.astype(np.float32), found.label_index
    rng = np.random.default_rng([seed, 9])
    if name == "cifar10-long-tail":
        kept = []
        train = np.flatnonzero(~found.is_test)
        for place_in_tail, index in enumerate(rng.permutation(len(found.classes))):
            mine = train[truth[train] == index]
            count = round(len(mine) * LONG_TAIL ** (-place_in_tail / (len(found.classes) - 1)))
            kept.append(rng.choice(mine, count, replace=False))
        pool, test = np.concatenate(kept), np.flatnonzero(found.is_test)
    elif found.is_test.any():
        pool, test = np.flatnonzero(~found.is_test), np.flatnonzero(found.is_test)
    else:
        drawn = [
            rng.choice(mine, round(TEST_SHARE * len(mine)), replace=False)
            for mine in (np.flatnonzero(truth == index) for index in range(len(found.classes)))
        ]
        test = np.sort(np.concatenate(drawn))
        pool = np.setdiff1d(np.arange(len(truth)), test)
    pool = rng.permutation(pool)
    return Split(values[pool], truth[pool], values[test], truth[test], len(found.classes))


def budgets(name: str, strategy: str) -> tuple[int, ...]:
    """Answers after each round."""
    last = AREA_TO if strategy.removeprefix("given ") in CANDIDATES else max(BUDGETS[name])
    return tuple(budget for budget in BUDGETS[name] if budget <= last)


def curve(name: str, strategy: str, seed: int, place: Path) -> list[tuple[int, float, float]]:
    """Answers, accuracy and macro-F1 on the test set after each round.

    Args:
        name: of the data set.
        strategy: ours by name or a peer's; "given " before it makes its first answers those of "random".
        seed: of the split and of everything random.
        place: where features lie.
    """
    data, rng = split(name, seed, place), np.random.default_rng([seed, 1])
    given, plain = strategy.startswith("given "), strategy.removeprefix("given ")
    answered: NDArray[np.int64] = np.empty(0, dtype=np.int64)
    head: Head | None = None
    history: list[Round] = []
    found = []
    for budget in budgets(name, strategy):
        by = "random" if given and not len(answered) else plain
        picked = pick(data, by, answered, head, (tuple(history), rng, budget - len(answered)))
        answered = np.concatenate([answered, picked])
        assert len(np.unique(answered)) == budget, f"{strategy} asked about an item twice"
        head = fit_once(data.pool[answered], data.truth[answered], num_classes=data.num_classes, penalty=PENALTY)
        if plain == "auto":
            history.append(Round("", budget, judged(data, answered, seed) if budget <= JUDGED else None))
        said = head.logits(data.test.astype(np.float16)).argmax(axis=1)
        f1 = f1_score(data.test_truth, said, average="macro", zero_division=0)
        found.append((budget, float((said == data.test_truth).mean()), float(f1)))
    return found


def judged(data: Split, answered: NDArray[np.int64], seed: int) -> float:
    """Accuracy on answers that the head was not fitted on."""
    right = 0
    for inside, outside in KFold(5, shuffle=True, random_state=seed).split(answered):
        rows, held = answered[inside], answered[outside]
        head = fit_once(data.pool[rows], data.truth[rows], num_classes=data.num_classes, penalty=PENALTY)
        right += int((head.logits(data.pool[held].astype(np.float16)).argmax(axis=1) == data.truth[held]).sum())
    return right / len(answered)


def pick(
    data: Split, strategy: str, answered: NDArray[np.int64], head: Head | None, how: tuple[Any, ...]
) -> NDArray[np.int64]:
    """Positions in the pool that a strategy asks about next."""
    history, rng, size = how
    labels = data.truth[answered]
    # As in a campaign: a head that knows one class tells nothing apart.
    if len(np.unique(labels)) < 2:
        head = None
    if head is None and (strategy in PEERS or find(strategy).needs_model):
        strategy = COLD_START
    free = np.setdiff1d(np.arange(len(data.pool)), answered)
    most = max(CANDIDATES.get(strategy, len(free)), size)
    if len(free) > most:
        free = np.sort(rng.choice(free, most, replace=False))
    if strategy in PEERS:
        assert head is not None, "peers begin with the same first answers"
        known = (data.pool[answered], labels)
        return free[ask(strategy, data.pool[free], known, head, size=size, seed=int(rng.integers(2**31 - 1)))]
    values = data.pool[free]
    asked: dict[str, Any] = {}
    if head is not None:
        asked = {"probabilities": head.probabilities(values.astype(np.float16)).astype(np.float32)}
        asked["head"] = lambda rows: head.probabilities(rows.astype(np.float16))
    if head is not None and strategy == "bald":
        members = fit_members(
            data.pool[answered],
            labels,
            num_classes=data.num_classes,
            penalty=PENALTY,
            temperature=1.0,
            num_members=MEMBERS,
            rng=rng,
        )
        half = values.astype(np.float16)
        asked["members"] = np.stack([member.probabilities(half).astype(np.float32) for member in members])
    picks = select(
        strategy, Candidates(values, **asked), Labeled(data.pool[answered], labels, history), size=size, rng=rng
    )
    return free[picks.positions]
