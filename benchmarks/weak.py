"""Weak labels at few answers: raylabel's head with and without them on frozen features of real images.

CIFAR-10's pool is 10,000 of its training images, judged on its test images; TrashNet's is half of it, judged on a
third. The labeling functions see what no answer does: small heads of 60 other images each that keep silent where they
are unsure, and detectors of one class each of ten images ("small heads"); a model that is right of some 7 images in 10,
at random, and silent on 3 in 10 ("another model"); dice; and a function that is always wrong ("mistaken"). Answers are
drawn at random. Each cell is the head that a campaign fits: label model, at most 4,000 items, weight by held-out
answers. --quick: 2 seeds of TrashNet.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from features import features
from numpy.typing import NDArray
from paired import standard_error
from record import Outcome, arguments, finish

from raylabel.acceptance import ABSTAIN, VoteCounts, fit_label_model
from raylabel.models.heads import Head, fit_head, fit_once
from raylabel.models.prior import fit_prior
from raylabel.training.weak import WEAK_ITEMS

SEEDS, QUICK_SEEDS = 6, 2
ANSWERS = (50, 100, 200)
POOL, TEST, OTHERS = 10_000, 4_000, 1_500
NUM_HEADS, HEAD_IMAGES, HEAD_DIMS, PENALTY = 4, 60, 64, 3.0

Array = NDArray[np.float16]
Index = NDArray[np.int32]


def divide(name: str, seed: int, place: Path) -> tuple[tuple[Array, Index], ...]:
    """Pool, test set and the images that functions are made of: embeddings and classes of each."""
    found = features(name, place)
    rng = np.random.default_rng([seed, 1])
    train, test = np.flatnonzero(~found.is_test), np.flatnonzero(found.is_test)
    if not len(test):
        order = rng.permutation(train)
        cuts = np.split(order, [len(order) // 2, len(order) - len(order) // 6])
    else:
        order = rng.permutation(train)
        cuts = [order[:POOL], rng.permutation(test)[:TEST], order[POOL : POOL + OTHERS]]
    return tuple((found.embeddings[rows], found.label_index[rows]) for rows in cuts)


def small_heads(pool: tuple[Array, Index], others: tuple[Array, Index], rng: np.random.Generator) -> NDArray[np.int64]:
    """(N, NUM_HEADS + K) votes, learned of other images than the pool's."""
    values, (known, label) = pool[0], others
    classes = int(label.max()) + 1
    votes = np.full((len(values), NUM_HEADS + classes), ABSTAIN)
    for function in range(NUM_HEADS):
        taught = rng.choice(len(known), HEAD_IMAGES, replace=False)
        columns = rng.choice(values.shape[1], HEAD_DIMS, replace=False)
        head = fit_once(known[taught][:, columns], label[taught], num_classes=classes, penalty=PENALTY)
        said = head.probabilities(values[:, columns])
        sure = said.max(axis=1) >= np.quantile(said.max(axis=1), rng.uniform(0.2, 0.7))
        votes[sure, function] = said.argmax(axis=1)[sure]
    for name in range(classes):
        examples = known[rng.choice(np.flatnonzero(label == name), 10, replace=False)].astype(np.float32)
        distance = ((values.astype(np.float32) - examples.mean(axis=0)) ** 2).sum(axis=1)
        near = distance <= np.quantile(distance, rng.uniform(0.03, 0.12))
        votes[near, NUM_HEADS + name] = name
    return votes


def another_model(
    pool: tuple[Array, Index], others: tuple[Array, Index], rng: np.random.Generator
) -> NDArray[np.int64]:
    """(N, 1) votes, right of 7 in 10 whatever the image."""
    truth, num = pool[1], len(pool[1])
    votes = np.where(rng.random(num) < 0.7, truth, rng.integers(0, others[1].max() + 1, num))
    return np.where(rng.random(num) < 0.3, ABSTAIN, votes)[:, np.newaxis]


def dice(pool: tuple[Array, Index], others: tuple[Array, Index], rng: np.random.Generator) -> NDArray[np.int64]:
    """(N, 3) votes that know nothing."""
    return rng.integers(0, others[1].max() + 1, (len(pool[1]), 3))


def mistaken(pool: tuple[Array, Index], others: tuple[Array, Index], rng: np.random.Generator) -> NDArray[np.int64]:
    """(N, 1) votes that always name the class behind the right one."""
    found: NDArray[np.int64] = ((pool[1].astype(np.int64) + 1) % (int(others[1].max()) + 1))[:, np.newaxis]
    return found


FUNCTIONS = {"small heads": small_heads, "another model": another_model, "dice": dice, "mistaken": mistaken}


def both(
    pool: tuple[Array, Index], votes: NDArray[np.int64], count: int, seed: int, num_classes: int
) -> tuple[Head, Head, float]:
    """The head of so many answers without weak labels and with them, and their weight."""
    values, truth = pool
    rng = np.random.default_rng([seed, 2, count])
    answered = rng.choice(len(truth), count, replace=False)
    plain, _ = fit_head(values[answered], truth[answered], num_classes=num_classes, seed=seed)
    known = votes[answered], truth[answered]
    model = fit_label_model(VoteCounts.of(votes), num_classes=num_classes, known=known)
    spoken = np.setdiff1d(np.flatnonzero((votes != ABSTAIN).any(axis=1)), answered)
    learned = np.sort(rng.permutation(spoken)[:WEAK_ITEMS])
    prior = fit_prior(values[learned], model.probabilities(votes[learned]))
    head, cross = fit_head(values[answered], truth[answered], num_classes=num_classes, seed=seed, prior=prior)
    return plain, head, cross.weak.weight if cross.weak else 0.0


def measure(name: str, seeds: range, place: Path, outcome: Outcome) -> None:
    """Add a row for each kind of functions and number of answers."""
    for kind, function in FUNCTIONS.items():
        right: dict[int, list[tuple[float, float, float]]] = {count: [] for count in ANSWERS}
        alone: list[float] = []
        for seed in seeds:
            pool, test, others = divide(name, seed, place)
            num_classes = int(pool[1].max()) + 1
            votes = function(pool, others, np.random.default_rng([seed, 3]))
            alone.append(float((votes == pool[1][:, np.newaxis])[votes != ABSTAIN].mean()))
            for count in ANSWERS:
                *heads, weight = both(pool, votes, count, seed, num_classes)
                shares = [float((head.logits(test[0]).argmax(axis=1) == test[1]).mean()) for head in heads]
                right[count].append((shares[0], shares[1], weight))
        for count, found in right.items():
            plain, weak, weights = np.array(found).T
            gain, error = 100 * float((weak - plain).mean()), 100 * standard_error(weak - plain)
            outcome.ratios[f"{name}, {kind}, {count}"] = [round(gain, 2), round(error, 2)]
            cells = [f"{100 * plain.mean():.1f}", f"{100 * weak.mean():.1f}", f"{gain:+.1f} ± {error:.1f}"]
            worst = f"{100 * float((weak - plain).min()):+.1f}"
            share = f"{int((weights > 0).sum())} of {len(weights)}"
            outcome.rows.append(
                (name, f"{kind} ({np.mean(alone):.0%} of votes right)", str(count), *cells, worst, share)
            )


def main() -> None:
    """Measure, and print."""
    options = arguments(__doc__ or "")
    place = options.work or Path(tempfile.mkdtemp(prefix="raylabel-weak-"))
    columns = ("set", "functions", "answers", "without, %", "with, %", "gain", "worst seed", "weak labels taken")
    outcome = Outcome("weak", columns)
    seeds = range(QUICK_SEEDS if options.quick else SEEDS)
    for name in ("trashnet",) if options.quick else ("cifar10", "trashnet"):
        measure(name, seeds, place, outcome)
    outcome.notes.append(
        f"{len(seeds)} seeds; right on images that are not in the pool; standard errors are those of the paired gain."
    )
    finish(outcome, save=options.save)


if __name__ == "__main__":
    main()
