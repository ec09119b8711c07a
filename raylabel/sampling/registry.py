"""Every strategy by name, and `select`, the one door to all of them.

Knows arrays and strategies; knows nothing of pools, models or storage. A caller with a pool of millions reads
`Strategy.narrow`, keeps what that names of the pool, and passes those items.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from types import MappingProxyType
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from raylabel.errors import UnknownName
from raylabel.sampling import auto, pickers
from raylabel.sampling.arrays import Candidates, Labeled, Picks, Round
from raylabel.sampling.balance import pick_level
from raylabel.sampling.checks import check_size

Narrow = Literal["random", "cells", "centers", "neighbours", "least_confidence", "margin", "entropy"]
BALANCED, RARE = "balanced:", "rare:"
Picker = Callable[[Candidates, Labeled, int, np.random.Generator], Picks]


@dataclass(frozen=True)
class Strategy:
    """What a caller has to know of a strategy before running it.

    Args:
        summary: what it asks about, in one sentence.
        needs: the fields of `Candidates` that it reads.
        narrow: what narrows a pool of millions to the candidates: "random" (`random_priority`) or the function of that
            name in `uncertainty`, highest first; "cells" (some of each cell of the index), "centers" (centers of each
            cell), "neighbours" (of items that are known of the class that is looked for).
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

    @property
    def needs_model(self) -> bool:
        """Whether it reads anything that only a trained head can give."""
        return not {"probabilities", "members", "head"}.isdisjoint(self.needs)

    @property
    def fits_cold_start(self) -> bool:
        """Whether it can pick while nothing is answered."""
        return not self.needs_model and self.narrow != "neighbours"


def select(strategy: str, candidates: Candidates, labeled: Labeled, *, size: int, rng: np.random.Generator) -> Picks:
    """Pick the items to ask people about next.

    The same inputs and the same state of `rng` give the same picks. Ties break by lowest position, so
    candidates sorted by id have ties broken by id.

    Args:
        strategy: a name in `STRATEGIES`, or "balanced:" before one of them, or "rare:" and the index of a class.
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
    chosen = find(strategy)
    for name in chosen.needs:
        if getattr(candidates, name) is None:
            raise ValueError(f"strategy {strategy!r} needs candidates.{name}: got None, expected an array")
    check_size(size, available=len(candidates))
    got, expected = labeled.embeddings.shape[1], candidates.embeddings.shape[1]
    if got != expected:
        raise ValueError(f"labeled embeddings: got {got} dimensions, expected the candidates' {expected}")
    return chosen.pick(candidates, labeled, size, rng)


def find(name: str) -> Strategy:
    """A strategy by its name in `STRATEGIES`, or, with "balanced:" before it, one shared out over predicted classes;
    or "rare:" and the index of the class to look for.

    Raises:
        UnknownName: there is no such strategy.
    """
    if name.startswith(RARE) and name.removeprefix(RARE).isdecimal():
        return replace(STRATEGIES["rare"], pick=partial(pickers.pick_rare, strategy=name))
    inner = name.removeprefix(BALANCED)
    if inner not in STRATEGIES:
        raise UnknownName("strategy", inner, STRATEGIES)
    if inner != name and inner in ("auto", "rare"):
        raise UnknownName("strategy", name, (BALANCED + other for other in STRATEGIES if other not in ("auto", "rare")))
    return STRATEGIES[inner] if inner == name else _balanced(inner)


def resolve(
    name: str, label_index: NDArray[np.int32], *, num_classes: int, history: tuple[Round, ...], has_model: bool
) -> auto.Choice:
    """The strategy that stands behind a name in this round, and why: what "auto" chooses; any other name is itself.

    Arguments are those of `auto.choose`.
    """
    if name != "auto":
        return auto.Choice(name, "")
    return auto.choose(label_index, num_classes=num_classes, history=history, has_model=has_model)


def _balanced(inner: str) -> Strategy:
    """A strategy run within each predicted class, for as many picks as bring the classes' answers level."""
    chosen = STRATEGIES[inner]

    def pick(candidates: Candidates, labeled: Labeled, size: int, rng: np.random.Generator) -> Picks:
        return pick_level(chosen.pick, candidates, labeled, size=size, rng=rng)

    needs = tuple(sorted({*chosen.needs, "probabilities"}))
    return replace(chosen, summary=f"As {inner}, shared out over predicted classes.", needs=needs, pick=pick)


def _pick_auto(candidates: Candidates, labeled: Labeled, size: int, rng: np.random.Generator) -> Picks:
    known = candidates.probabilities
    choice = auto.choose(
        labeled.label_index,
        num_classes=None if known is None else known.shape[1],
        history=labeled.history,
        has_model=known is not None,
    )
    if known is not None and len(np.unique(labeled.label_index)) > 1:
        choice = auto.adapt(choice, known, num_answers=len(labeled))
    picks = find(choice.strategy).pick(candidates, labeled, size, rng)
    return Picks(picks.positions, picks.scores, tuple(f"{choice.why}; {told}" for told in picks.reasons))


STRATEGIES: Mapping[str, Strategy] = MappingProxyType(
    {
        "auto": Strategy(
            summary="Covers the pool, then what a model is unsure of, then as falcun; even where classes are not.",
            needs=(),
            narrow="random",
            cost="that of herding, uherding, k_center or falcun",
            source="raylabel/sampling/auto.py; measured in benchmarks/efficiency.py",
            pick=_pick_auto,
        ),
        "random": Strategy(
            summary="Any candidate as likely as any other: the baseline.",
            needs=(),
            narrow="random",
            cost="O(N log N) time, O(N) memory",
            source="simple random sampling without replacement",
            pick=pickers.pick_random,
        ),
        "least_confidence": Strategy(
            summary="Candidates whose likeliest class is least likely.",
            needs=("probabilities",),
            narrow="least_confidence",
            cost="O(N * K + N log N) time, O(N) memory",
            source="Lewis and Gale 1994",
            pick=pickers.pick_least_confidence,
        ),
        "margin": Strategy(
            summary="Candidates whose two likeliest classes are closest.",
            needs=("probabilities",),
            narrow="margin",
            cost="O(N * K + N log N) time, O(N * K) memory",
            source="Scheffer, Decomain and Wrobel 2001",
            pick=pickers.pick_margin,
        ),
        "entropy": Strategy(
            summary="Candidates whose class probabilities are most spread out.",
            needs=("probabilities",),
            narrow="entropy",
            cost="O(N * K + N log N) time, O(N * K) memory",
            source="Shannon 1948; Settles 2009",
            pick=pickers.pick_entropy,
        ),
        "k_center": Strategy(
            summary="Candidates farthest from everything labeled or picked, whatever the model thinks.",
            needs=("embeddings",),
            narrow="centers",
            cost="O(N * (L + size) * D) time, O(N) memory",
            source="Sener and Savarese 2018, Algorithm 1",
            pick=pickers.pick_k_center,
        ),
        "cluster_margin": Strategy(
            summary="Candidates of small margin, spread over clusters of alike ones.",
            needs=("embeddings", "probabilities"),
            narrow="margin",
            cost="O(k² * D) time, 8 * k² bytes, k = min(N, 10 * size) up to 8000; above O(k² / 500 * D + 2000 * k * D)",
            source="Citovsky et al. 2021, arXiv 2107.14263",
            pick=pickers.pick_cluster_margin,
        ),
        "bald": Strategy(
            summary="Candidates whose label would tell most about which head of an ensemble is right.",
            needs=("members",),
            narrow="entropy",
            cost="O(M * N * K + N log N) time, O(M * N * K) memory",
            source="Houlsby et al. 2011, arXiv 1112.5745; Gal et al. 2017, arXiv 1703.02910",
            pick=pickers.pick_bald,
        ),
        "kmeans": Strategy(
            summary="Candidates nearest to the centers of as many clusters, whatever the model thinks.",
            needs=("embeddings",),
            narrow="cells",
            cost="O(min(N, 256 * size) * size * D) time an iteration, O(N + size * D) memory",
            source="Pourahmadi et al. 2021, arXiv 2110.12033",
            pick=pickers.pick_kmeans,
        ),
        "typiclust": Strategy(
            summary="The most typical candidates of the largest clusters in which nothing is labeled.",
            needs=("embeddings",),
            narrow="cells",
            cost="O(N * k * D + n² * D) time, k = min(L + size, 500) clusters, n members of each; O(N) memory",
            source="Hacohen et al. 2022, arXiv 2202.02794",
            pick=pickers.pick_typiclust,
        ),
        "probcover": Strategy(
            summary="Candidates whose surroundings hold the most items that nothing labeled or picked is near to.",
            needs=("embeddings",),
            narrow="cells",
            cost="O(N * (N + L) * D) time, 4 bytes for each pair of near items",
            source="Yehuda et al. 2022, arXiv 2205.11320",
            pick=pickers.pick_probcover,
        ),
        "herding": Strategy(
            summary="Candidates that raise a soft coverage of all candidates most.",
            needs=("embeddings",),
            narrow="cells",
            cost="O(n * T * D) time, 4 * n * T bytes, n = min(N, max(8192, 4 * size)), T = min(N, 4096)",
            source="Bae et al. 2024, arXiv 2407.12212 (MaxHerding)",
            pick=pickers.pick_herding,
        ),
        "uherding": Strategy(
            summary="Candidates that raise a soft coverage of what the model is unsure of most.",
            needs=("embeddings", "probabilities"),
            narrow="cells",
            cost="that of herding",
            source="Bae et al. 2025, arXiv 2412.20644 (Uncertainty Herding)",
            pick=pickers.pick_uherding,
        ),
        "falcun": Strategy(
            summary="Candidates of small margin, unlike each other in what the model says of them.",
            needs=("probabilities",),
            narrow="margin",
            cost="O(N * K * size) time, 24 * N * K bytes",
            source="Gilhuber et al. 2024, FALCUN",
            pick=pickers.pick_falcun,
        ),
        "rare": Strategy(
            summary="Candidates likeliest to be of the class with the fewest answers.",
            needs=("embeddings",),
            narrow="neighbours",
            cost="O(N log N) time; before there is a model O(N * M * D), M items known of the class",
            source="Coleman et al. 2022, arXiv 2007.00077 (SEALS, most likely positive)",
            pick=pickers.pick_rare,
        ),
        "badge": Strategy(
            summary="Candidates that would move the head most, each into another direction.",
            needs=("embeddings", "probabilities"),
            narrow="margin",
            cost="O(N * (D + K) * size) time, 8 * N * (D + K) bytes",
            source="Ash et al. 2020, arXiv 1906.03671",
            pick=pickers.pick_badge,
        ),
        "weighted_kmeans": Strategy(
            summary="Candidates of small margin nearest to the centers of clusters of such.",
            needs=("embeddings", "probabilities"),
            narrow="margin",
            cost="O(N * K + 10 * size² * D) time an iteration, O(N + size * D) memory",
            source="Zhdanov 2019, arXiv 1901.05954",
            pick=pickers.pick_weighted_kmeans,
        ),
        "dropquery": Strategy(
            summary="Candidates whose class changes when parts of their embedding are left out, one of each cluster.",
            needs=("embeddings", "head"),
            narrow="margin",
            cost="O(N * D * K) time and that of kmeans on the unstable ones, O(N) memory",
            source="Gupte et al. 2024, arXiv 2401.14555",
            pick=pickers.pick_dropquery,
        ),
    }
)
