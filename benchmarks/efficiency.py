"""Label efficiency on real images: frozen EfficientNet-B4 features, a linear head, every strategy, 20 seeds.

CIFAR-10 (50,000 to pick from), a long-tailed cut of it (1:50), TrashNet and magnetic tiles; ours beside
scikit-activeml's on the same embeddings, head and first answers. TrashNet was not looked at while `auto` was tuned.
The best single strategy is chosen on the first half of the seeds and judged on the other; so on CIFAR-10's sets all
but the best are drawn on the first half alone. Curves are kept in --work, one file each: a run that was stopped goes
on. --quick: 3 seeds of the two small sets.
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
from features import features
from learning import AREA_TO, BUDGETS, curve
from numpy.typing import NDArray
from paired import area, holm, p_below, reached, standard_error
from record import Outcome, arguments, finish

from raylabel.sampling import STRATEGIES

SEEDS, QUICK_SEEDS = 20, 3
OURS = (*(name for name in STRATEGIES if name != "rare"), "balanced:margin", "balanced:falcun")
LEFT_OUT = ("activeml BADGE", "activeml TypiClust")
"""What CIFAR-10's sets go without: half a minute a curve."""

STARTS = ("auto", "given auto")
"""Cold starts differ; "given auto" begins with the ten random answers that "random" has."""

WHOLE = ("random", *STARTS)
"""Drawn on all seeds of CIFAR-10's sets; all others on half of them, so that all of it ends within hours."""

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


def drawn(name: str, strategy: str, seeds: range, best: Sequence[str] = ()) -> range:
    """The seeds on which a strategy is drawn."""
    halved = name.startswith("cifar10") and strategy not in (*WHOLE, *best)
    return seeds[: len(seeds) // 2] if halved else seeds


def draw(place: Path, jobs: Mapping[str, Mapping[str, range]]) -> dict[str, Curves]:
    """Curves by set and strategy, on some seeds; those that an earlier run has kept are not drawn again."""
    asked = [(name, strategy, seed, place) for name in jobs for strategy in jobs[name] for seed in jobs[name][strategy]]
    missing = [job for job in asked if not curve_file(place, *job[:3]).exists()]
    with multiprocessing.get_context("spawn").Pool(os.cpu_count() or 1, maxtasksperchild=200) as pool:
        for _ in pool.imap_unordered(one, missing, chunksize=1):
            pass
    return {
        name: {strategy: load(place, name, strategy, jobs[name][strategy]) for strategy in jobs[name]} for name in jobs
    }


def load(place: Path, name: str, strategy: str, seeds: range) -> NDArray[np.float64]:
    """(seeds, budgets, 2) of a data set's strategy."""
    rows = [json.loads(curve_file(place, name, strategy, seed).read_text()) for seed in seeds]
    return np.array([row["curve"] for row in rows], dtype=np.float64)[:, :, 1:]


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


def best_single(name: str, curves: Curves, measure: int) -> str:
    """The strategy of the largest area on the first half of the seeds, `auto` apart."""
    found = areas(name, curves, measure)
    half = len(found["auto"]) // 2
    return max(
        (each for each in found if each not in STARTS), key=lambda strategy: float(found[strategy][:half].mean())
    )


def against_best(name: str, curves: Curves, measure: int) -> tuple[str, float, float]:
    """The best single strategy; auto less it and a standard error, on the seeds that it was not chosen on."""
    best, found = best_single(name, curves, measure), areas(name, curves, measure)
    half = len(found["auto"]) // 2
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
    options = arguments(__doc__ or "")
    seeds = range(QUICK_SEEDS if options.quick else SEEDS)
    names = ("trashnet", "magtile") if options.quick else tuple(BUDGETS)
    place = options.work or Path(tempfile.mkdtemp(prefix="raylabel-efficiency-"))
    strategies = ("random", "auto", "given auto", *(name for name in OURS if name not in ("random", "auto")), *PEERS)
    for name in dict.fromkeys(name.removesuffix("-long-tail") for name in names):
        features(name, place)
    asked = {name: [s for s in strategies if s not in LEFT_OUT or not name.startswith("cifar10")] for name in names}
    sets = draw(place, {name: {each: drawn(name, each, seeds) for each in asked[name]} for name in names})
    best = {name: [best_single(name, sets[name], measure) for measure in (0, 1)] for name in names}
    sets = draw(place, {name: {each: drawn(name, each, seeds, best[name]) for each in asked[name]} for name in names})
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
    if not options.quick:
        outcome.notes.append(
            f"{len(seeds)} seeds; {len(seeds) // 2} of CIFAR-10's sets, but for random, auto and the best single "
            f"strategy. Not drawn there: {', '.join(LEFT_OUT)}."
        )
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
