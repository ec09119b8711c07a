"""Every strategy by name, and `select`, the one door to all of them.

Knows arrays and strategies; knows nothing of pools, models or storage. A caller with a pool of millions reads
`Strategy.narrow`, folds that statistic into a `TopItems`, and passes the items it keeps.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from raylabel.errors import UnknownName
from raylabel.sampling.arrays import Candidates, Labeled, Picks, ProbabilityArray
from raylabel.sampling.checks import check_size
from raylabel.sampling.cluster_margin import cluster_margin
from raylabel.sampling.diversity import farthest_first
from raylabel.sampling.uncertainty import entropy, least_confidence, margin

Narrow = Literal["random", "least_confidence", "margin", "entropy"]
Picker = Callable[[Candidates, Labeled, int, np.random.Generator], Picks]


@dataclass(frozen=True)
class Strategy:
    """What a caller has to know of a strategy before running it.

    Args:
        summary: what it asks about, in one sentence.
        needs: the fields of `Candidates` that it reads.
        narrow: the per-item priority that narrows a pool of millions to the candidates: `random_priority`,
            or the function of that name in `uncertainty` (higher is kept in all of them).
        cost: time and memory, in N candidates, L labeled, D dimensions, K classes.
        source: where it is from.
        pick: runs it on inputs that `select` has checked.
    """

    summary: str
    needs: tuple[str, ...]
    narrow: Narrow
    cost: str
    source: str
    pick: Picker = field(repr=False)


def select(strategy: str, candidates: Candidates, labeled: Labeled, *, size: int, rng: np.random.Generator) -> Picks:
    """Pick the items to ask people about next.

    The same inputs and the same state of `rng` give the same picks. Ties break by lowest position, so
    candidates sorted by id have ties broken by id.

    Args:
        strategy: a name in `STRATEGIES`.
        candidates: what may be picked, with the fields that the strategy needs.
        labeled: what has been answered; its embeddings count as covered for k_center.
        size: how many to pick, at most the number of candidates.
        rng: the only source of randomness.

    Returns:
        `size` picks, as positions into `candidates`, in pick order.

    Raises:
        UnknownName: there is no such strategy.
        ValueError: a field that the strategy needs is None, `size` is out of range, or the
            dimensions of candidates and labeled differ.

    Cost: see `Strategy.cost`.
    """
    if strategy not in STRATEGIES:
        raise UnknownName("strategy", strategy, STRATEGIES)
    chosen = STRATEGIES[strategy]
    for name in chosen.needs:
        if getattr(candidates, name) is None:
            raise ValueError(f"strategy {strategy!r} needs candidates.{name}: got None, expected an array")
    check_size(size, available=len(candidates))
    got, expected = labeled.embeddings.shape[1], candidates.embeddings.shape[1]
    if got != expected:
        raise ValueError(f"labeled embeddings: got {got} dimensions, expected the candidates' {expected}")
    return chosen.pick(candidates, labeled, size, rng)


def _pick_random(candidates: Candidates, labeled: Labeled, size: int, rng: np.random.Generator) -> Picks:
    scores = rng.random(len(candidates))
    return _highest(scores, size, lambda score: f"drawn at random from {len(candidates)} candidates")


def _pick_least_confidence(candidates: Candidates, labeled: Labeled, size: int, rng: np.random.Generator) -> Picks:
    scores = least_confidence(_probabilities(candidates))
    return _highest(scores, size, lambda score: f"confidence {_plain(1.0 - score)} in the likeliest class")


def _pick_margin(candidates: Candidates, labeled: Labeled, size: int, rng: np.random.Generator) -> Picks:
    return _highest(margin(_probabilities(candidates)), size, _margin_reason)


def _pick_entropy(candidates: Candidates, labeled: Labeled, size: int, rng: np.random.Generator) -> Picks:
    probabilities = _probabilities(candidates)
    classes = probabilities.shape[1]
    return _highest(entropy(probabilities), size, lambda score: f"entropy {_plain(score)} nats over {classes} classes")


def _pick_k_center(candidates: Candidates, labeled: Labeled, size: int, rng: np.random.Generator) -> Picks:
    picks = farthest_first(candidates.embeddings, covered=labeled.embeddings, size=size, rng=rng)
    reasons = [f"distance {_plain(far)} to the nearest labeled or picked item" for far in picks.distances]
    if len(labeled) == 0:
        reasons[0] = f"drawn at random from {len(candidates)} candidates, as nothing is labeled yet"
    return Picks(picks.positions, picks.distances, tuple(reasons))


def _pick_cluster_margin(candidates: Candidates, labeled: Labeled, size: int, rng: np.random.Generator) -> Picks:
    scores = margin(_probabilities(candidates))
    picks = cluster_margin(candidates.embeddings, scores, size=size, rng=rng)
    picked = scores[picks.positions]
    reasons = tuple(
        f"{_margin_reason(float(score))}, from a cluster of {num_members}"
        for score, num_members in zip(picked, picks.cluster_sizes, strict=True)
    )
    return Picks(picks.positions, picked, reasons)


def _highest(scores: NDArray[np.floating], size: int, reason: Callable[[float], str]) -> Picks:
    # A stable sort keeps equal scores in the order of their positions.
    positions = np.argsort(-scores, kind="stable")[:size].astype(np.int64)
    picked = scores[positions].astype(np.float32)
    return Picks(positions, picked, tuple(reason(float(score)) for score in picked))


def _probabilities(candidates: Candidates) -> ProbabilityArray:
    assert candidates.probabilities is not None  # select has checked `needs`
    return candidates.probabilities


def _margin_reason(score: float) -> str:
    return f"margin {_plain(1.0 - score)} between the two likeliest classes"


def _plain(number: float) -> str:
    """Write a number with three significant digits and no exponent, as people read it."""
    return np.format_float_positional(number, precision=3, fractional=False, trim="-")


STRATEGIES: Mapping[str, Strategy] = MappingProxyType(
    {
        "random": Strategy(
            summary="Any candidate as likely as any other: the baseline.",
            needs=(),
            narrow="random",
            cost="O(N log N) time, O(N) memory",
            source="simple random sampling without replacement",
            pick=_pick_random,
        ),
        "least_confidence": Strategy(
            summary="Candidates whose likeliest class is least likely.",
            needs=("probabilities",),
            narrow="least_confidence",
            cost="O(N * K + N log N) time, O(N) memory",
            source="Lewis and Gale 1994",
            pick=_pick_least_confidence,
        ),
        "margin": Strategy(
            summary="Candidates whose two likeliest classes are closest.",
            needs=("probabilities",),
            narrow="margin",
            cost="O(N * K + N log N) time, O(N * K) memory",
            source="Scheffer, Decomain and Wrobel 2001",
            pick=_pick_margin,
        ),
        "entropy": Strategy(
            summary="Candidates whose class probabilities are most spread out.",
            needs=("probabilities",),
            narrow="entropy",
            cost="O(N * K + N log N) time, O(N * K) memory",
            source="Shannon 1948; Settles 2009",
            pick=_pick_entropy,
        ),
        "k_center": Strategy(
            summary="Candidates farthest from everything labeled or picked, whatever the model thinks.",
            needs=("embeddings",),
            narrow="random",
            cost="O(N * (L + size) * D) time, O(N) memory",
            source="Sener and Savarese 2018, Algorithm 1",
            pick=_pick_k_center,
        ),
        "cluster_margin": Strategy(
            summary="Candidates of small margin, spread over clusters of alike ones.",
            needs=("embeddings", "probabilities"),
            narrow="margin",
            cost="O(N * K + k² * D) time, 8 * k² bytes, k = min(N, 10 * size, 8000) or size if greater",
            source="Citovsky et al. 2021, arXiv 2107.14263",
            pick=_pick_cluster_margin,
        ),
    }
)
