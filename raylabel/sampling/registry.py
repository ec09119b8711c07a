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

from raylabel.errors import UnknownName
from raylabel.sampling import pickers
from raylabel.sampling.arrays import Candidates, Labeled, Picks
from raylabel.sampling.checks import check_size

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

    @property
    def needs_model(self) -> bool:
        """Whether it reads anything that only a trained head can give."""
        return not {"probabilities", "members", "head"}.isdisjoint(self.needs)


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


STRATEGIES: Mapping[str, Strategy] = MappingProxyType(
    {
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
            narrow="random",
            cost="O(N * (L + size) * D) time, O(N) memory",
            source="Sener and Savarese 2018, Algorithm 1",
            pick=pickers.pick_k_center,
        ),
        "cluster_margin": Strategy(
            summary="Candidates of small margin, spread over clusters of alike ones.",
            needs=("embeddings", "probabilities"),
            narrow="margin",
            cost="O(N * K + k² * D) time, 8 * k² bytes, k = min(N, 10 * size, 8000) or size if greater",
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
            narrow="random",
            cost="O(min(N, 256 * size) * size * D) time an iteration, O(N + size * D) memory",
            source="Pourahmadi et al. 2021, arXiv 2110.12033",
            pick=pickers.pick_kmeans,
        ),
        "typiclust": Strategy(
            summary="The most typical candidates of the largest clusters in which nothing is labeled.",
            needs=("embeddings",),
            narrow="random",
            cost="O(N * k * D + n² * D) time, k = min(L + size, 500) clusters, n members of each; O(N) memory",
            source="Hacohen et al. 2022, arXiv 2202.02794",
            pick=pickers.pick_typiclust,
        ),
        "probcover": Strategy(
            summary="Candidates whose surroundings hold the most items that nothing labeled or picked is near to.",
            needs=("embeddings",),
            narrow="random",
            cost="O(N * (N + L) * D) time, 4 bytes for each pair of near items",
            source="Yehuda et al. 2022, arXiv 2205.11320",
            pick=pickers.pick_probcover,
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
