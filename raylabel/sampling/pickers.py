"""Strategies as `select` runs them: each reads what it needs of its inputs, and says why it picked each item.

Knows arrays and strategies; knows nothing of pools, models or storage.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from raylabel.sampling import clusters, uncertainty
from raylabel.sampling.arrays import Candidates, Labeled, Picks, ProbabilityArray
from raylabel.sampling.badge import badge
from raylabel.sampling.cluster_margin import cluster_margin
from raylabel.sampling.cover import prob_cover, pure_radius
from raylabel.sampling.dropquery import drop_query
from raylabel.sampling.falcun import falcun
from raylabel.sampling.farthest import farthest_first_by_blocks
from raylabel.sampling.herding import herd
from raylabel.sampling.rare import likeness, wanted

MAX_GUESSED_CLASSES = 100
"""Where nobody knows the number of classes, ProbCover takes the size of the shortlist for it, up to here."""


def pick_random(candidates: Candidates, labeled: Labeled, size: int, rng: np.random.Generator) -> Picks:
    """A uniform draw."""
    scores = rng.random(len(candidates))
    return _highest(scores, size, lambda score: f"drawn at random from {len(candidates)} candidates")


def pick_least_confidence(candidates: Candidates, labeled: Labeled, size: int, rng: np.random.Generator) -> Picks:
    """Lowest confidence."""
    scores = uncertainty.least_confidence(_probabilities(candidates))
    return _highest(scores, size, lambda score: f"confidence {_plain(1.0 - score)} in the likeliest class")


def pick_margin(candidates: Candidates, labeled: Labeled, size: int, rng: np.random.Generator) -> Picks:
    """Smallest margin."""
    return _highest(uncertainty.margin(_probabilities(candidates)), size, _margin_reason)


def pick_entropy(candidates: Candidates, labeled: Labeled, size: int, rng: np.random.Generator) -> Picks:
    """Highest entropy."""
    probabilities = _probabilities(candidates)
    classes = probabilities.shape[1]
    return _highest(
        uncertainty.entropy(probabilities), size, lambda score: f"entropy {_plain(score)} nats over {classes} classes"
    )


def pick_k_center(candidates: Candidates, labeled: Labeled, size: int, rng: np.random.Generator) -> Picks:
    """Farthest first."""
    picks = farthest_first_by_blocks(candidates.embeddings, covered=labeled.embeddings, size=size, rng=rng)
    reasons = [f"distance {_plain(far)} to the nearest labeled or picked item" for far in picks.distances]
    if len(labeled) == 0:
        reasons[0] = f"drawn at random from {len(candidates)} candidates, as nothing is labeled yet"
    return Picks(picks.positions, picks.distances, tuple(reasons))


def pick_cluster_margin(candidates: Candidates, labeled: Labeled, size: int, rng: np.random.Generator) -> Picks:
    """Small margins from many clusters."""
    scores = uncertainty.margin(_probabilities(candidates))
    picks = cluster_margin(candidates.embeddings, scores, size=size, rng=rng)
    picked = scores[picks.positions]
    reasons = tuple(
        f"{_margin_reason(float(score))}, from a cluster of {num_members}"
        for score, num_members in zip(picked, picks.cluster_sizes, strict=True)
    )
    return Picks(picks.positions, picked, reasons)


def pick_bald(candidates: Candidates, labeled: Labeled, size: int, rng: np.random.Generator) -> Picks:
    """Highest mutual information between label and ensemble member."""
    assert candidates.members is not None  # select has checked `needs`
    num_members = len(candidates.members)
    return _highest(
        uncertainty.bald(candidates.members),
        size,
        lambda score: f"{num_members} heads disagree by {_plain(score)} nats",
    )


def pick_kmeans(candidates: Candidates, labeled: Labeled, size: int, rng: np.random.Generator) -> Picks:
    """Nearest to the centers of k-means."""
    picks = clusters.nearest_to_centers(candidates.embeddings, size=size, rng=rng)
    return _of_clusters(picks, lambda score, members: f"nearest to the center of a cluster of {members}")


def pick_weighted_kmeans(candidates: Candidates, labeled: Labeled, size: int, rng: np.random.Generator) -> Picks:
    """Nearest to the centers of the uncertain ones."""
    scores = uncertainty.margin(_probabilities(candidates))
    picks = clusters.weighted_k_means(candidates.embeddings, scores, size=size, rng=rng)
    reasons = tuple(
        f"{_margin_reason(float(score))}, nearest to the center of a cluster of {members} uncertain items"
        for score, members in zip(scores[picks.positions], picks.cluster_sizes, strict=True)
    )
    return Picks(picks.positions, scores[picks.positions], reasons)


def pick_typiclust(candidates: Candidates, labeled: Labeled, size: int, rng: np.random.Generator) -> Picks:
    """Most typical of clusters without labeled items."""
    picks = clusters.typical(candidates.embeddings, covered=labeled.embeddings, size=size, rng=rng)
    return _of_clusters(picks, lambda score, members: f"typicality {_plain(score)} in a cluster of {members}")


def pick_probcover(candidates: Candidates, labeled: Labeled, size: int, rng: np.random.Generator) -> Picks:
    """Balls that cover the most."""
    known = candidates.probabilities
    guess = known.shape[1] if known is not None else min(max(size, 2), MAX_GUESSED_CLASSES)
    radius = pure_radius(candidates.embeddings, num_clusters=min(guess, len(candidates)), rng=rng)
    picks = prob_cover(candidates.embeddings, covered=labeled.embeddings, size=size, radius=radius)
    reasons = tuple(f"covers {count} more items within a distance of {_plain(radius)}" for count in picks.num_covered)
    return Picks(picks.positions, picks.num_covered.astype(np.float32), reasons)


def pick_badge(candidates: Candidates, labeled: Labeled, size: int, rng: np.random.Generator) -> Picks:
    """k-means++ on gradients."""
    picks = badge(candidates.embeddings, _probabilities(candidates), size=size, rng=rng)
    reasons = tuple(f"gradient {_plain(far)} away from the nearest picked one" for far in picks.distances[1:])
    return Picks(picks.positions, picks.distances, ("the longest gradient", *reasons))


def pick_dropquery(candidates: Candidates, labeled: Labeled, size: int, rng: np.random.Generator) -> Picks:
    """Clusters of items whose class changes under dropout."""
    assert candidates.head is not None  # select has checked `needs`
    picks = drop_query(candidates.embeddings, candidates.head, size=size, rng=rng)
    reasons = tuple(f"{share:.0%} of the dropouts name another class" for share in picks.share)
    return Picks(picks.positions, picks.share, reasons)


def pick_herding(candidates: Candidates, labeled: Labeled, size: int, rng: np.random.Generator) -> Picks:
    """Greatest gain of soft coverage."""
    picks = herd(candidates.embeddings, covered=labeled.embeddings, size=size, rng=rng)
    reasons = tuple(f"covers {_share(gain)} more of the candidates" for gain in picks.gains)
    return Picks(picks.positions, picks.gains, reasons)


def pick_uherding(candidates: Candidates, labeled: Labeled, size: int, rng: np.random.Generator) -> Picks:
    """Greatest gain of soft coverage, weighted by uncertainty."""
    weights = uncertainty.margin(_probabilities(candidates))
    picks = herd(candidates.embeddings, covered=labeled.embeddings, size=size, rng=rng, weights=weights)
    reasons = tuple(f"covers {_share(gain)} more of what the model is unsure of" for gain in picks.gains)
    return Picks(picks.positions, picks.gains, reasons)


def pick_falcun(candidates: Candidates, labeled: Labeled, size: int, rng: np.random.Generator) -> Picks:
    """Small margins, unlike each other in their probabilities."""
    probabilities = _probabilities(candidates)
    picks = falcun(probabilities, size=size, rng=rng)
    scores = uncertainty.margin(probabilities[picks.positions])
    reasons = tuple(f"{_margin_reason(float(score))}, unlike those before it" for score in scores)
    return Picks(picks.positions, picks.relevance, reasons)


def pick_rare(
    candidates: Candidates, labeled: Labeled, size: int, rng: np.random.Generator, *, strategy: str = "rare"
) -> Picks:
    """Likeliest to be of the class that is looked for."""
    index = wanted(strategy, labeled.label_index)
    known = labeled.label_index == index
    told = f"class {index}, of which {int(known.sum())} {'is' if known.sum() == 1 else 'are'} known"
    if candidates.probabilities is None or len(np.unique(labeled.label_index)) < 2:
        scores = likeness(candidates.embeddings, labeled.embeddings[known])
        return _highest(scores, size, lambda score: f"cosine {_plain(score)} to a known item of {told}")
    scores = candidates.probabilities[:, index].astype(np.float32)
    return _highest(scores, size, lambda score: f"probability {_plain(score)} of {told}")


def _of_clusters(picks: clusters.ClusterPicks, reason: Callable[[float, int], str]) -> Picks:
    told = zip(picks.scores, picks.cluster_sizes, strict=True)
    return Picks(picks.positions, picks.scores, tuple(reason(float(score), int(members)) for score, members in told))


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


def _share(gain: np.float32) -> str:
    return f"{_plain(100 * float(gain))} %"


def _plain(number: float) -> str:
    """Write a number with three significant digits and no exponent, as people read it."""
    return np.format_float_positional(number, precision=3, fractional=False, trim="-")
