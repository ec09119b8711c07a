"""Label efficiency on real images: frozen EfficientNet-B4 features, a linear head, every strategy, 20 seeds.

CIFAR-10 (50,000 to pick from), a long-tailed cut of it (1:50), TrashNet and magnetic tiles; ours beside
scikit-activeml's on the same embeddings, head and first answers. TrashNet was not looked at while `auto` was tuned.
Curves are kept in --work, one file each: a run that was stopped goes on. --quick: 3 seeds of the two small sets.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # one process a core

import numpy as np
from activeml import PEERS
from learning import AREA_TO, BUDGETS, curve
from numpy.typing import NDArray
from paired import area, holm, p_below, reached, standard_error
from record import Outcome, arguments, finish

from raylabel.sampling import STRATEGIES

SEEDS, QUICK_SEEDS = 20, 3
OURS = (*(name for name in STRATEGIES if name != "rare"), "balanced:margin", "balanced:falcun")
LEFT_OUT = ("badge", "dropquery", "herding", "uherding", "weighted_kmeans", *PEERS)
"""What CIFAR-10's sets go without, so that all of it ends within hours: 40 curves each, of up to 75 s a peer's."""

STARTS = ("auto", "given auto")
"""Cold starts differ; "given auto" begins with the ten random answers that "random" has."""
ALPHA = 0.05

Curves = dict[str, NDArray[np.float64]]
"""By strategy: (seeds, budgets, 2), accuracy and macro-F1."""


def one(job: tuple[str, str, int, Path]) -> None:
    """Draw one curve and keep it."""
    name, strategy, seed, place = job
    file = curve_file(place, name, strategy, seed)
    began = time.perf_counter()
    found = curve(name, strategy, seed, place)
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_suffix(f".{os.getpid()}")
    draft.write_text(json.dumps({"curve": found, "seconds": round(time.perf_counter() - began, 2)}))
    draft.rename(file)


def curve_file(place: Path, name: str, strategy: str, seed: int) -> Path:
    """Where a curve lies."""
    return place / "curves" / name / strategy.replace(":", "-").replace(" ", "_") / f"{seed}.json"


def load(place: Path, name: str, strategies: Sequence[str], seeds: range) -> Curves:
    """Curves of a data set."""
    found: Curves = {}
    for strategy in strategies:
        files = [curve_file(place, name, strategy, seed) for seed in seeds]
        rows: list[dict[str, Any]] = [json.loads(file.read_text()) for file in files]
        found[strategy] = np.array([row["curve"] for row in rows], dtype=np.float64)[:, :, 1:]
    return found


def never_below(sets: Mapping[str, Curves]) -> list[dict[str, Any]]:
    """Every cell of auto against random: set, start, budget, measure; Holm over all of them."""
    cells: list[dict[str, Any]] = []
    for name, curves in sets.items():
        for start in STARTS:
            for at, budget in enumerate(BUDGETS[name]):
                for measure, what in enumerate(("accuracy", "macro-F1")):
                    ours, theirs = curves[start][:, at, measure], curves["random"][:, at, measure]
                    cell = {"set": name, "start": start, "budget": budget, "measure": what}
                    cells.append(cell | {"p": p_below(ours, theirs), "gain": float((ours - theirs).mean())})
    for cell, adjusted in zip(cells, holm([cell["p"] for cell in cells]), strict=True):
        cell["holm"] = float(adjusted)
    return cells


def areas(name: str, curves: Curves, measure: int) -> dict[str, NDArray[np.float64]]:
    """Area under each curve up to AREA_TO answers, seed by seed."""
    until = [budget for budget in BUDGETS[name] if budget <= AREA_TO]
    return {strategy: area(until, values[:, : len(until), measure]) for strategy, values in curves.items()}


def against_best(name: str, curves: Curves, measure: int) -> tuple[str, float, float]:
    """The best single strategy on the first half of the seeds; auto less it and a standard error, on the other half."""
    found = areas(name, curves, measure)
    half = len(found["auto"]) // 2
    singles = [strategy for strategy in found if strategy not in STARTS]
    best = max(singles, key=lambda strategy: float(found[strategy][:half].mean()))
    difference = found["auto"][half:] - found[best][half:]
    return best, float(difference.mean()), standard_error(difference)


def tell(outcome: Outcome, sets: Mapping[str, Curves]) -> None:
    """Rows, ratios and notes."""
    for name, curves in sets.items():
        accuracy, f1 = areas(name, curves, 0), areas(name, curves, 1)
        last = BUDGETS[name][-1]
        for strategy, values in curves.items():
            mean = values.mean(axis=0)
            answers = []
            for measure, at in ((0, last), (1, min(last, AREA_TO))):
                target = float(curves["random"][:, BUDGETS[name].index(at), measure].mean())
                used = reached(BUDGETS[name][: len(mean)], mean[:, measure], target)
                answers.append(
                    f"{used:,.0f} of {at:,}" if np.isfinite(used) else f"over {BUDGETS[name][len(mean) - 1]:,}"
                )
                outcome.ratios[
                    f"{name}: {strategy}: answers for random's {('accuracy', 'macro-F1')[measure]} at {at}"
                ] = round(used, 1) if np.isfinite(used) else None
            outcome.rows.append(
                (
                    name,
                    strategy,
                    f"{100 * accuracy[strategy].mean():.2f} ± {100 * standard_error(accuracy[strategy]):.2f}",
                    f"{100 * f1[strategy].mean():.2f} ± {100 * standard_error(f1[strategy]):.2f}",
                    *answers,
                )
            )
        for measure, what in enumerate(("accuracy", "macro-F1")):
            best, gain, error = against_best(name, curves, measure)
            met = "met" if gain >= -error else "missed"
            outcome.notes.append(
                f"{name}, area under {what}: auto {100 * gain:+.2f} ± {100 * error:.2f} to {best}, the best single "
                f"strategy on half of the seeds, judged on the others; at least -{100 * error:.2f} is asked: {met}."
            )
        first = [f"{100 * (curves['auto'] - curves['random']).mean(axis=0)[at, 0]:+.1f}" for at in range(4)]
        outcome.notes.append(f"{name}: auto to random at {BUDGETS[name][:4]} answers: {', '.join(first)} points.")
    cells = never_below(sets)
    below = [cell for cell in cells if cell["holm"] < ALPHA]
    listed = "".join(f" {cell};" for cell in below)
    outcome.notes.append(
        f"auto significantly below random (paired, Holm over {len(cells)} cells, {ALPHA:.0%}): {len(below)}.{listed} "
        f"The lowest adjusted p is {min(cell['holm'] for cell in cells):.3f}."
    )
    outcome.ratios["cells of auto significantly below random"] = len(below)


def main() -> None:
    """Draw all curves, then tell."""
    options, cores = arguments(__doc__ or ""), os.cpu_count() or 1
    seeds = range(QUICK_SEEDS if options.quick else SEEDS)
    names = ("trashnet", "magtile") if options.quick else tuple(BUDGETS)
    place = options.work or Path(tempfile.mkdtemp(prefix="raylabel-efficiency-"))
    strategies = ("random", "auto", "given auto", *(name for name in OURS if name not in ("random", "auto")), *PEERS)
    from features import features

    for name in dict.fromkeys(name.removesuffix("-long-tail") for name in names):
        features(name, place)
    asked = {name: [s for s in strategies if s not in LEFT_OUT or not name.startswith("cifar10")] for name in names}
    jobs = [(name, strategy, seed, place) for name in reversed(names) for strategy in asked[name] for seed in seeds]
    jobs = [job for job in jobs if not curve_file(place, *job[:3]).exists()]
    with multiprocessing.get_context("spawn").Pool(cores, maxtasksperchild=200) as pool:
        for _ in pool.imap_unordered(one, jobs, chunksize=1):
            pass
    sets = {name: load(place, name, asked[name], seeds) for name in names}
    columns = (
        "set",
        "strategy",
        "area, accuracy",
        "area, macro-F1",
        "answers for random's accuracy",
        "for its macro-F1",
    )
    outcome = Outcome("efficiency", columns)
    tell(outcome, sets)
    outcome.limits = {
        name: {"budgets": BUDGETS[name], "random": curves["random"].mean(axis=0).round(4).tolist()}
        for name, curves in sets.items()
    }
    outcome.peers = {
        name: {strategy: values.mean(axis=0).round(4).tolist() for strategy, values in curves.items()}
        for name, curves in sets.items()
    }
    finish(outcome, save=options.save)


if __name__ == "__main__":
    main()
