"""Confidences compared on real images: how much of a pool each lets a machine label at the same promise, 20 seeds.

Frozen EfficientNet-B4 features, raylabel's head on 500 answers (400 of the tiles) that were drawn at random or asked
for by `auto` in 5 rounds; the confidences are those that a campaign fits: softmax, temperature, vector scaling, and the
learned one. Coverage is taken among the items that nobody answered: at the lowest threshold above which truly at most
5 % are wrong, and as certified by uniform audits of 500 (a third of the items at most), eps = alpha = 5 %, ten for each
seed. Expected calibration error is taken before the audit calibrates anything. Pools are cut to 10,000 items, of which
`auto` sees 4,000, or to a random nine tenths. Seeds are kept in --work: a run that was stopped goes on.
--quick: 3 seeds of the two small sets.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

os.environ.setdefault("OMP_NUM_THREADS", "1")  # one process a core

import numpy as np
from features import features
from learning import PENALTY, Split, judged, pick, split
from numpy.typing import NDArray
from paired import standard_error
from record import Outcome, arguments, finish

from raylabel.acceptance import Certificate, ConfidenceHistogram, certify
from raylabel.models.confidence import Kind, fit_confidence
from raylabel.models.heads import Head, fit_head, fit_once
from raylabel.reporting.metrics import Reliability
from raylabel.sampling import Round

SEEDS, QUICK_SEEDS = 20, 3
ANSWERS = {"cifar10": 500, "cifar10-long-tail": 500, "trashnet": 500, "magtile": 400}
STRATEGIES, ROUNDS = ("random", "auto"), 5
MOST, SHARE = 10_000, 0.9
CANDIDATES = 4_000
"""`auto` sees so many items of the pool, drawn at random."""

MAX_ERROR, ALPHA, AUDIT, DRAWS = 0.05, 0.05, 500, 10
KINDS: tuple[Kind, ...] = tuple(reversed(get_args(Kind)))
ASKED = 5.0
"""Points of coverage over the softmax, on two sets at least."""

Figures = dict[str, dict[str, float]]
"""By confidence: coverage at the oracle's threshold, certified coverage, expected calibration error."""


def pool_of(name: str, seed: int, place: Path) -> Split:
    """A random part of a data set, its test set included where the source has none of its own."""
    data = split(name, seed, place)
    values, truth = data.pool, data.truth
    if not name.startswith("cifar10"):
        values, truth = np.concatenate([values, data.test]), np.concatenate([truth, data.test_truth])
    count = min(MOST, round(SHARE * len(truth)))
    kept = np.random.default_rng([seed, 11]).permutation(len(truth))[:count]
    return Split(values[kept], truth[kept], data.test, data.test_truth, data.num_classes)


def ask(data: Split, strategy: str, count: int, seed: int) -> NDArray[np.int64]:
    """Positions of the answered items."""
    rng = np.random.default_rng([seed, 1])
    if strategy == "random":
        return rng.choice(len(data.pool), count, replace=False)
    # The pool lies in random order.
    data = replace(data, pool=data.pool[:CANDIDATES], truth=data.truth[:CANDIDATES])
    answered: NDArray[np.int64] = np.empty(0, dtype=np.int64)
    head: Head | None = None
    history: list[Round] = []
    for size in np.diff(np.linspace(0, count, ROUNDS + 1).round().astype(int)):
        found = pick(data, strategy, answered, head, (tuple(history), rng, int(size)))
        answered = np.concatenate([answered, found])
        head = fit_once(data.pool[answered], data.truth[answered], num_classes=data.num_classes, penalty=PENALTY)
        history.append(Round("", len(answered), judged(data, answered, seed)))
    return answered


def coverage(confidence: NDArray[np.float32], correct: NDArray[np.bool_]) -> float:
    """The largest share at or above one threshold of which at most MAX_ERROR are wrong."""
    order = np.argsort(-confidence, kind="stable")
    wrong = np.cumsum(~correct[order])
    counts = np.arange(1, len(order) + 1)
    last_of_its_value = np.append(np.diff(confidence[order]) != 0, True)
    good = np.flatnonzero((wrong <= MAX_ERROR * counts) & last_of_its_value)
    return float(counts[good[-1]] / len(order)) if len(good) else 0.0


def certified(confidence: NDArray[np.float32], correct: NDArray[np.bool_], seed: int) -> float:
    """The mean share that a certificate accepts, the audited items not counted; 0 where it is withheld."""
    rng, found = np.random.default_rng([seed, 12]), []
    for _ in range(DRAWS):
        drawn = np.zeros(len(correct), dtype=bool)
        drawn[rng.choice(len(correct), min(AUDIT, len(correct) // 3), replace=False)] = True
        verdict = certify(
            confidence[drawn],
            correct[drawn],
            max_error=MAX_ERROR,
            alpha=ALPHA,
            promise="auto",
            pool=ConfidenceHistogram.of(confidence, human=drawn),
        )
        num_auto = verdict.num_auto or 0 if isinstance(verdict, Certificate) else 0
        found.append(num_auto / (~drawn).sum())
    return float(np.mean(found))


def one(job: tuple[str, str, int, Path]) -> None:
    """Fit one head and all confidences, and keep their figures."""
    name, strategy, seed, place = job
    data = pool_of(name, seed, place)
    answered = ask(data, strategy, ANSWERS[name], seed)
    embeddings, label_index = data.pool[answered].astype(np.float16), data.truth[answered]
    head, cross = fit_head(embeddings, label_index, num_classes=data.num_classes, seed=seed)
    rest = np.setdiff1d(np.arange(len(data.truth)), answered)
    items = data.pool[rest].astype(np.float16)
    logits = head.logits(items)
    said = logits.argmax(axis=1)
    correct = said == data.truth[rest]
    figures: Figures = {}
    for kind in KINDS:
        fitted = fit_confidence(kind, head, cross, embeddings=embeddings, label_index=label_index)
        assert fitted.used == kind, f"{kind}: {fitted.reason}"
        confidence = fitted.confidence.of(items, logits, said).astype(np.float32)
        figures[kind] = {
            "oracle": coverage(confidence, correct),
            "certified": certified(confidence, correct, seed),
            "error": Reliability.of(confidence, correct).finish(),
        }
    file = kept_in(place, name, strategy, seed)
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_suffix(f".{os.getpid()}")
    draft.write_text(json.dumps({"accuracy": float(correct.mean()), "figures": figures}))
    draft.rename(file)


def kept_in(place: Path, name: str, strategy: str, seed: int) -> Path:
    """Where the figures of one seed lie."""
    return place / "confidence" / f"{name}-{strategy}-{ANSWERS[name]}" / f"{seed}.json"


def tell(outcome: Outcome, place: Path, names: tuple[str, ...], seeds: range) -> None:
    """Rows, ratios and notes."""
    reach: set[str] = set()
    for name in names:
        for strategy in STRATEGIES:
            found: list[dict[str, Any]] = [
                json.loads(kept_in(place, name, strategy, seed).read_text()) for seed in seeds
            ]
            values = {
                kind: {
                    what: 100 * np.array([each["figures"][kind][what] for each in found])
                    for what in ("oracle", "certified", "error")
                }
                for kind in KINDS
            }
            right = 100 * float(np.mean([each["accuracy"] for each in found]))
            for kind, own in values.items():
                gains = {what: own[what] - values["softmax"][what] for what in ("oracle", "certified")}
                cells = []
                for what in ("oracle", "certified"):
                    mean, error = float(gains[what].mean()), standard_error(gains[what])
                    cells += [f"{own[what].mean():.1f}", "" if kind == "softmax" else f"{mean:+.1f} ± {error:.1f}"]
                    outcome.ratios[f"{name}, {strategy}: {kind}: {what}"] = [round(mean, 2), round(error, 2)]
                outcome.rows.append((name, strategy, f"{right:.1f}", kind, *cells, f"{own['error'].mean():.1f}"))
            if all((values["learned"][what] - values["softmax"][what]).mean() >= ASKED for what in gains):
                reach.add(f"{name} ({strategy})")
    outcome.notes.append(
        f"{len(seeds)} seeds; standard errors are those of the paired difference. Coverage that the learned confidence "
        f"gains over the softmax is at least {ASKED:g} points, by the oracle's threshold and certified, on: "
        f"{', '.join(sorted(reach)) or 'none'}."
    )
    outcome.limits = {"asked": ASKED, "reached": sorted(reach), "answers": {name: ANSWERS[name] for name in names}}


def main() -> None:
    """Fit what is missing, then tell."""
    options, cores = arguments(__doc__ or ""), os.cpu_count() or 1
    seeds = range(QUICK_SEEDS if options.quick else SEEDS)
    names = ("trashnet", "magtile") if options.quick else tuple(ANSWERS)
    place = options.work or Path(tempfile.mkdtemp(prefix="raylabel-confidence-"))
    for name in dict.fromkeys(name.removesuffix("-long-tail") for name in names):
        features(name, place)
    jobs = [(name, strategy, seed, place) for name in reversed(names) for seed in seeds for strategy in STRATEGIES]
    jobs = [job for job in jobs if not kept_in(*(place, *job[:3])).exists()]
    with multiprocessing.get_context("spawn").Pool(cores, maxtasksperchild=200) as pool:
        for _ in pool.imap_unordered(one, jobs, chunksize=1):
            pass
    columns = ("set", "answers by", "right, %", "confidence", "coverage, %", "gain", "certified, %", "gain", "ECE, %")
    outcome = Outcome("confidence", columns)
    tell(outcome, place, names, seeds)
    finish(outcome, save=options.save)


if __name__ == "__main__":
    main()
