"""Rare classes: how many of a class of half a per cent are found from 5 known examples, with 5 answers an item.

CIFAR-10's training images, EfficientNet-B4 features; each class in turn is cut down to 0.5 % of the pool. The strategy
`rare` asks in 50 rounds, with raylabel's head on all answers so far. Beside it a head that has learned the class from
2,000 other images of it and 15,000 of the other classes, asked once: what these features can tell at all. And random.
"""

from __future__ import annotations

import multiprocessing
import os
import tempfile
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # one process a core

import numpy as np
from features import features
from learning import PENALTY
from numpy.typing import NDArray
from record import Outcome, arguments, finish

from raylabel.models.heads import fit_once
from raylabel.sampling import Candidates, Labeled, select

SHARE, KNOWN, ANSWERS, ROUNDS = 0.005, 5, 5, 50
SEEDS, QUICK_SEEDS = 3, 1
TAUGHT = (2_000, 15_000)
ASKED = 0.8


def one(job: tuple[int, int, Path]) -> dict[str, float]:
    """The share of a rare class that each way finds."""
    index, seed, place = job
    found = features("cifar10", place)
    train = np.flatnonzero(~found.is_test)
    values, truth = found.embeddings[train].astype(np.float32), found.label_index[train]
    rng = np.random.default_rng([seed, index])
    others, mine = np.flatnonzero(truth != index), rng.permutation(np.flatnonzero(truth == index))
    num_rare = round(len(others) * SHARE / (1 - SHARE))
    pool = np.sort(np.concatenate([others, mine[:num_rare]]))
    taught = np.concatenate([mine[num_rare : num_rare + TAUGHT[0]], rng.choice(others, TAUGHT[1], replace=False)])
    head = fit_once(values[taught], truth[taught], num_classes=10, penalty=PENALTY)
    scores = head.probabilities(values[pool].astype(np.float16))[:, index]
    best = np.argsort(-scores, kind="stable")[: ANSWERS * num_rare]
    return {
        "rare": _search(values[pool], truth[pool], index, rng) / num_rare,
        "taught beforehand": float((truth[pool][best] == index).sum()) / num_rare,
        "random": ANSWERS * num_rare / len(pool),
    }


def _search(values: NDArray[np.float32], truth: NDArray[np.int32], index: int, rng: np.random.Generator) -> int:
    """How many of the class `rare` finds, the known ones included."""
    num_rare = int((truth == index).sum())
    answered = rng.choice(np.flatnonzero(truth == index), KNOWN, replace=False)
    steps = np.diff(np.linspace(0, ANSWERS * num_rare, ROUNDS + 1).round().astype(int))
    for size in steps:
        free = np.setdiff1d(np.arange(len(truth)), answered)
        head = fit_once(values[answered], truth[answered], num_classes=10, penalty=PENALTY)
        said = head.probabilities(values[free].astype(np.float16))
        labeled = Labeled(values[answered], truth[answered])
        picks = select(f"rare:{index}", Candidates(values[free], probabilities=said), labeled, size=int(size), rng=rng)
        answered = np.concatenate([answered, free[picks.positions]])
    return int((truth[answered] == index).sum())


def main() -> None:
    """Search for every class, and print."""
    options, cores = arguments(__doc__ or ""), os.cpu_count() or 1
    place = options.work or Path(tempfile.mkdtemp(prefix="raylabel-rare-"))
    classes = features("cifar10", place).classes
    seeds = range(QUICK_SEEDS if options.quick else SEEDS)
    jobs = [(index, seed, place) for index in range(len(classes)) for seed in seeds]
    with multiprocessing.get_context("spawn").Pool(cores) as pool:
        found = pool.map(one, jobs, chunksize=1)
    outcome = Outcome("rare", ("class", "found by rare", "taught beforehand", "random"))
    ways = ("rare", "taught beforehand", "random")
    shape = (len(classes), len(seeds))
    means = {way: np.array([each[way] for each in found]).reshape(shape).mean(axis=1) for way in ways}
    for index, name in enumerate(classes):
        outcome.rows.append((name, *(f"{means[way][index]:.1%}" for way in ways)))
    outcome.rows.append(("mean", *(f"{means[way].mean():.1%}" for way in ways)))
    reach = int((means["rare"] >= ASKED).sum())
    share = (means["rare"] / means["taught beforehand"]).mean()
    outcome.notes = [
        f"{len(seeds)} seeds a class, {ROUNDS} rounds; {reach} of {len(classes)} classes reach {ASKED:.0%}; "
        f"rare finds {share:.1%} of what a head taught beforehand finds."
    ]
    outcome.ratios = {way: round(float(means[way].mean()), 4) for way in ways}
    outcome.limits = {"asked": ASKED}
    outcome.peers = {name: round(float(means["rare"][index]), 4) for index, name in enumerate(classes)}
    finish(outcome, save=options.save)


if __name__ == "__main__":
    main()
