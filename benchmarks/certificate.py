"""Certificates: how often a promise is broken, and how many labels it lets through, over draws of the audit.

A real classifier's saved predictions on ImageNet's 50,000 validation images (21.7 % wrong). Every cell is a promise,
an error rate, an alpha and a number of audit answers; in every draw of it the audit is drawn anew, and what is accepted
is compared with the truth of all images. Ours: `certify` on a uniform audit, and on a targeted one, its pilot counted.
Beside it, on the uniform one: the lowest threshold at which the audit itself is right often enough (SageMaker Ground
Truth's rule), the same with a margin of 0.25 / sqrt(passing) (threshold-based auto-labeling), and the betting bound of
PAC labels ("whole" only). Coverage is that part of what the lowest true threshold would accept. Then ten looks at one
audit while a model learns, and the time and memory of counting ten million confidences.
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
import resource
import time
from dataclasses import dataclass
from functools import partial
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # one process a core

import numpy as np
import pyarrow.parquet as pq
from certificate_rules import empirical, pac_labels, tbal
from numpy.typing import NDArray
from record import Outcome, arguments, finish, real_data
from scipy.special import expit, logit
from scipy.stats import binom

from raylabel.acceptance import Certificate, ConfidenceHistogram, certify, plan_second_draw
from raylabel.acceptance.histogram import count_bins

PROMISES, ERRORS, ALPHAS, SIZES = ("auto", "whole"), (0.01, 0.02, 0.05, 0.10), (0.05, 0.10), (100, 500, 1000, 5000)
DRAWS, QUICK_DRAWS, CHUNK = 1000, 20, 50
PILOT = 0.15
LOOKS, LOOK_ANSWERS = 10, 1000
COUNTED, BATCH = 10_000_000, 1 << 18
# Coverage that was asked for, at 5 % and 5 %.
ASKED = {
    "auto, uniform, 500": 0.52,
    "auto, uniform, 1000": 0.75,
    "auto, targeted, 500": 0.65,
    "auto, targeted, 1000": 0.80,
    "whole, uniform, 5000, net of audited": 0.87,
}

Cell = tuple[str, float, float, int]


@dataclass(frozen=True)
class Truth:
    """A pool of which everything is known, most confident item first."""

    confidence: NDArray[np.float32]
    wrong: NDArray[np.bool_]
    counts: NDArray[np.int64]
    places: NDArray[np.int64]
    """Where each item stands, by the order in which the pool was given."""

    @classmethod
    def of(cls, confidence: NDArray[np.float32], correct: NDArray[np.bool_]) -> Truth:
        """Sort a pool."""
        order = np.argsort(-confidence, kind="stable")
        return cls(confidence[order], ~correct[order], count_bins(confidence), np.argsort(order))

    def oracle(self, promise: str, max_error: float) -> float:
        """What part the lowest threshold that keeps the promise accepts."""
        num, wrong = np.arange(1, len(self.wrong) + 1), np.cumsum(self.wrong)
        kept = np.flatnonzero(wrong <= max_error * (num if promise == "auto" else len(num)))
        return (int(kept[-1]) + 1) / len(num) if kept.size else 0.0

    def histogram(self, human: NDArray[np.int64]) -> ConfidenceHistogram:
        """The pool's histogram, some of its items answered."""
        return ConfidenceHistogram(self.counts, count_bins(self.confidence[human]))

    def judge(
        self, threshold: float | None, human: NDArray[np.int64], *, promise: str, max_error: float
    ) -> tuple[bool, float, float]:
        """Whether the promise is broken, which part of the pool passes, and which part gets an auto-label."""
        if threshold is None:
            return False, 0.0, 0.0
        num = int(np.searchsorted(-self.confidence, -np.float64(threshold), side="right"))
        answered = human[human < num]
        num_auto, num_wrong = num - len(answered), int(self.wrong[:num].sum() - self.wrong[answered].sum())
        of = num_auto if promise == "auto" else len(self.wrong)
        return num_wrong > max_error * of, num / len(self.wrong), num_auto / len(self.wrong)


def load() -> Truth:
    """The saved predictions."""
    table = pq.read_table(real_data() / "predictions" / "imagenet.parquet", columns=["confidence", "correct"])
    return Truth.of(table["confidence"].to_numpy(), table["correct"].to_numpy())


def uniform(truth: Truth, audit: NDArray[np.int64], cell: Cell) -> float | None:
    """Our threshold by a uniform audit."""
    promise, max_error, alpha, _ = cell
    found = certify(
        truth.confidence[audit],
        ~truth.wrong[audit],
        max_error=max_error,
        alpha=alpha,
        promise=promise,
        pool=truth.histogram(audit),
    )
    return found.threshold if isinstance(found, Certificate) else None


def targeted(truth: Truth, rng: np.random.Generator, cell: Cell) -> tuple[float | None, NDArray[np.int64]]:
    """Our threshold by a pilot and a second draw, and all that was asked."""
    promise, max_error, alpha, size = cell
    asked: dict[str, Any] = {"max_error": max_error, "alpha": alpha, "promise": promise}
    pilot = rng.choice(len(truth.wrong), round(PILOT * size), replace=False)
    plan = plan_second_draw(
        truth.confidence[pilot], ~truth.wrong[pilot], pool=truth.histogram(pilot), size=size - len(pilot), **asked
    )
    above = np.searchsorted(-truth.confidence, -np.float32(plan.threshold), side="right")
    second = rng.choice(np.delete(np.arange(above), pilot[pilot < above]), plan.size, replace=False)
    everyone = np.concatenate([pilot, second])
    found = certify(
        truth.confidence[second],
        ~truth.wrong[second],
        weights=np.full(plan.size, 1 / plan.inclusion_probability),
        pool=truth.histogram(everyone),
        **asked,
    )
    return (found.threshold if isinstance(found, Certificate) else None), everyone


def draws(truth: Truth, seeds: range) -> dict[tuple[str, Cell], NDArray[np.float64]]:
    """Every rule in every cell: draws with a broken promise, and sums of the parts that pass and that are labeled."""
    found: dict[tuple[str, Cell], NDArray[np.float64]] = {}
    for size in SIZES:
        for seed in seeds:
            rng = np.random.default_rng([size, seed])
            audit = rng.choice(len(truth.wrong), size, replace=False)
            confidence, wrong = truth.confidence[audit], truth.wrong[audit]
            for promise, max_error, alpha in itertools.product(PROMISES, ERRORS, ALPHAS):
                cell = (promise, max_error, alpha, size)
                judge = partial(truth.judge, promise=promise, max_error=max_error)
                results = {
                    "uniform": judge(uniform(truth, audit, cell), audit),
                    "targeted": judge(*targeted(truth, rng, cell)),
                    "empirical": judge(empirical(confidence, wrong, promise=promise, max_error=max_error), audit),
                }
                if promise == "auto":
                    results["TBAL"] = judge(tbal(confidence, wrong, max_error=max_error), audit)
                else:
                    results["PAC labels"] = judge(
                        pac_labels(confidence, wrong, max_error=max_error, alpha=alpha), audit
                    )
                for rule, result in results.items():
                    found[rule, cell] = found.get((rule, cell), np.zeros(3)) + np.array(result, dtype=np.float64)
    return found


def trajectory(truth: Truth) -> list[Truth]:
    """Ten models on their way to the saved one: confidences less and less noisy, fewer and fewer right labels lost."""
    rng = np.random.default_rng(0)
    noise, luck = rng.normal(size=len(truth.wrong)), rng.random(len(truth.wrong))
    doubt = logit(np.clip(truth.confidence.astype(np.float64), 1e-6, 1 - 1e-6))
    models = []
    for left in range(LOOKS - 1, -1, -1):
        confidence = expit(doubt + 0.2 * left * noise).astype(np.float32)
        models.append(Truth.of(confidence, ~truth.wrong & (luck > 0.01 * left)))
    return models


def looks(truth: Truth, seeds: range) -> dict[str, NDArray[np.float64]]:
    """Ten looks at one audit: in how many draws any look breaks its promise, and what the last one accepts."""
    models, max_error, alpha = trajectory(truth), 0.05, 0.05
    found = {"alpha shared": np.zeros(2), "naive": np.zeros(2)}
    for seed in seeds:
        chosen = np.random.default_rng([LOOKS, seed]).choice(len(truth.wrong), LOOK_ANSWERS, replace=False)
        for rule, share in (("alpha shared", alpha / LOOKS), ("naive", alpha)):
            cell, each = ("auto", max_error, share, LOOK_ANSWERS), []
            for model in models:
                audit = model.places[chosen]
                each.append(model.judge(uniform(model, audit, cell), audit, promise="auto", max_error=max_error))
            found[rule] += [any(broken for broken, _, _ in each), each[-1][1]]
    return found


def count_many(confidence: NDArray[np.float32]) -> tuple[float, float]:
    """Seconds to count ten million confidences in batches and to certify, and the peak memory in GB on the way."""
    rng, began = np.random.default_rng(0), time.perf_counter()
    pool, audited = ConfidenceHistogram.empty(), np.zeros(BATCH, np.bool_)
    audited[:25] = True  # of each batch
    chosen = []
    for start in range(0, COUNTED, BATCH):
        batch = np.resize(confidence, min(BATCH, COUNTED - start))
        pool = pool.merge(ConfidenceHistogram.of(batch, human=audited[: len(batch)]))
        chosen.append(batch[:25])
    audit = np.concatenate(chosen)
    certify(audit, rng.random(len(audit)) < audit, max_error=0.05, alpha=0.05, promise="auto", pool=pool)
    seconds = time.perf_counter() - began
    return seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def _chunk(job: tuple[str, range]) -> dict[Any, NDArray[np.float64]]:
    what, seeds = job
    truth = load()
    return dict(looks(truth, seeds) if what == "looks" else draws(truth, seeds))


def holm(chances: dict[Any, float], *, level: float = 0.05) -> list[Any]:
    """The cells that differ at a family-wise level (Holm 1979), of their p-values."""
    ordered = sorted(chances.items(), key=lambda pair: pair[1])
    least = list(itertools.takewhile(lambda at: at[1][1] <= level / (len(ordered) - at[0]), enumerate(ordered)))
    return [cell for _, (cell, _) in least]


def report(outcome: Outcome, found: dict[tuple[str, Cell], NDArray[np.float64]], truth: Truth, *, num: int) -> None:
    """One row a cell, and what was asked for."""
    chances: dict[tuple[str, Cell], float] = {}
    for promise, max_error, alpha, size in itertools.product(PROMISES, ERRORS, ALPHAS, SIZES):
        cell, oracle = (promise, max_error, alpha, size), truth.oracle(promise, max_error)
        said = []
        for rule in ("uniform", "targeted", "empirical", "TBAL" if promise == "auto" else "PAC labels"):
            broken, passing, labeled = found[rule, cell]
            point = [broken / num, passing / num / oracle, labeled / num / oracle]
            outcome.peers[f"{promise}, {max_error}, {alpha}, {size}: {rule}"] = [round(value, 4) for value in point]
            said.append(f"{point[0]:.3f} / {point[1]:.3f}")
            if rule in ("uniform", "targeted"):
                chances[rule, cell] = float(binom.sf(broken - 1, num, alpha))
                if (max_error, alpha) == (0.05, 0.05):
                    outcome.ratios[f"{promise}, {rule}, {size}"] = round(point[1], 4)
                    outcome.ratios[f"{promise}, {rule}, {size}, net of audited"] = round(point[2], 4)
        outcome.rows.append((promise, f"{max_error:.0%}", f"{alpha:.0%}", f"{size:,}", *said))
    broken_cells = holm(chances)
    worst = min(chances.items(), key=lambda pair: pair[1])
    outcome.notes.append(
        f"Broken promises / coverage of the oracle's, {num:,} draws a cell. Of {len(chances)} cells of ours"
        f" {len(broken_cells)} break their promise significantly more often than alpha (exact binomial, Holm at 5 %);"
        f" the nearest: {worst[0][0]}, {worst[0][1]}, p = {worst[1]:.3f} before Holm."
    )
    outcome.limits["cells broken"] = len(broken_cells)


def main() -> None:
    """Draw, look, count, and print."""
    options, cores = arguments(__doc__ or ""), os.cpu_count() or 1
    truth, num = load(), QUICK_DRAWS if options.quick else DRAWS
    chunks = [range(start, min(start + CHUNK, num)) for start in range(0, num, CHUNK)]
    jobs = [(what, chunk) for what in ("draws", "looks") for chunk in chunks]
    sums: dict[Any, NDArray[np.float64]] = {}
    with multiprocessing.get_context("spawn").Pool(cores) as pool:
        seconds, peak_gb = pool.apply(count_many, (truth.confidence,))
        for part in pool.imap_unordered(_chunk, jobs):
            for name, values in part.items():
                sums[name] = sums.get(name, np.zeros_like(values)) + values
    columns = ("promise", "eps", "alpha", "answers", "uniform", "targeted", "empirical", "TBAL or PAC labels")
    outcome = Outcome("certificate", columns)
    report(outcome, {name: value for name, value in sums.items() if isinstance(name, tuple)}, truth, num=num)
    for rule in ("alpha shared", "naive"):
        broken, last = sums[rule] / num
        outcome.ratios[f"ten looks, {rule}"] = [round(broken, 4), round(last / truth.oracle("auto", 0.05), 4)]
        outcome.notes.append(
            f"Ten looks, {LOOK_ANSWERS:,} answers, {rule}: some look breaks its promise in {broken:.3f} of the draws;"
            f" the last accepts {last / truth.oracle('auto', 0.05):.3f} of the oracle's."
        )
    outcome.notes.append(f"{COUNTED:,} confidences counted and certified in {seconds:.2f} s, peak {peak_gb:.2f} GB.")
    outcome.limits |= {"asked": ASKED, "seconds": round(seconds, 3), "peak_gb": round(peak_gb, 3)}
    finish(outcome, save=options.save)


if __name__ == "__main__":
    main()
