"""Selection at scale: k-center by cells beside exact greedy, Cluster-Margin on large batches, and cost against N.

Not `select.py`: first on the path of every benchmark, it would stand before the standard library's module of that name.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from record import Outcome, arguments, finish

from raylabel.sampling import Highest, Histogram, uncertainty
from raylabel.sampling.badge import badge
from raylabel.sampling.cells import cells_of
from raylabel.sampling.cluster_margin import UNCERTAIN_PER_PICK, cluster_margin
from raylabel.sampling.diversity import farthest_first
from raylabel.sampling.farthest import approach, farthest_first_by_blocks, squared_lengths
from raylabel.sampling.partitioned import Search, centers, common_radius, num_centers

MOST = 50_000
PEER_ROWS, PEER_TIMEOUT_S = 10_000, 120
APRICOT = Path(sys.prefix) / "peers-select" / "bin" / "python"
FACILITY_LOCATION = """
import sys, numpy, apricot
pool = numpy.load(sys.argv[1])
apricot.FacilityLocationSelection(int(sys.argv[2]), metric="euclidean", optimizer="lazy").fit(pool)
"""

Array = np.ndarray[Any, Any]


def blobs(count: int, dim: int, *, seed: int = 0) -> Array:
    """(count, dim) float32 in a thousand loose clusters of unequal size, as float16 holds them."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((1_000, dim), dtype=np.float32)
    of = rng.choice(1_000, size=count, p=rng.dirichlet(np.ones(1_000)))
    noise = rng.standard_normal((count, dim), dtype=np.float32)
    found: Array = (centres[of] + 0.5 * noise).astype(np.float16).astype(np.float32)
    return found


def index_of(pool: Array) -> Any:
    """The cells that a pool of this size gets, with float16 in them."""
    cells = 2 ** round(np.log2(min(4 * len(pool) ** 0.5, len(pool) / 240)))
    index: Any = faiss.index_factory(pool.shape[1], f"IVF{cells},SQfp16", faiss.METRIC_L2)
    index.by_residual = False
    index.train(pool[: 64 * cells])
    index.add_with_ids(pool, np.arange(len(pool)))
    return index


def timed(work: Callable[[], Array]) -> tuple[float, Array]:
    """Seconds and result."""
    began = time.perf_counter()
    found = work()
    return time.perf_counter() - began, found


def radius(pool: Array, picks: Array) -> float:
    """The largest distance that is left."""
    nearest = np.full(len(pool), np.inf, dtype=np.float32)
    approach(nearest, pool, np.ascontiguousarray(pool[picks]), lengths=squared_lengths(pool))
    return float(np.sqrt(nearest.max()))


def by_cells(pool: Array, index: Any, size: int) -> Array:
    """K-center through the cells: centers of each, then exact greedy on them."""
    cells, nobody = cells_of(index), np.empty(0, dtype=np.int64)
    assert cells is not None, "an index with cells"
    search = Search(num_centers(size, num_cells=len(cells), most=MOST), nobody, nobody)
    found = centers(cells, range(len(cells)), search, radius=common_radius(cells, search))
    rows = found.finish()
    return rows[greedy(pool[rows], size)]


def greedy(pool: Array, size: int) -> Array:
    """Exact greedy as the strategy runs it."""
    nothing, rng = np.empty((0, pool.shape[1]), dtype=np.float32), np.random.default_rng(1)
    return farthest_first_by_blocks(pool, covered=nothing, size=size, rng=rng).positions


def plain_greedy(pool: Array, size: int) -> Array:
    """Exact greedy as the paper has it: all points are held against each pick."""
    nothing, rng = np.empty((0, pool.shape[1]), dtype=np.float32), np.random.default_rng(1)
    return farthest_first(pool, covered=nothing, size=size, rng=rng).positions


def k_center(outcome: Outcome, *, count: int, dim: int, size: int) -> None:
    """Speed and radius beside exact greedy on all points."""
    pool, rng = blobs(count, dim), np.random.default_rng(2)
    index = index_of(pool)
    sample = np.sort(rng.permutation(count)[: max(count // 20, size)]).astype(np.int64)
    exact_s, exact = timed(lambda: plain_greedy(pool, size))
    least = radius(pool, exact)
    name = f"k-center, {size:,} of {count:,}, d = {dim}"
    ways: dict[str, Callable[[], Array]] = {
        "by cells": lambda: by_cells(pool, index, size),
        "exact, by blocks": lambda: greedy(pool, size),
        "exact on a 5 % sample": lambda: sample[greedy(pool[sample], min(size, len(sample)))],
        "random": lambda: rng.permutation(count)[:size].astype(np.int64),
    }
    outcome.rows.append((name, "exact greedy", f"{exact_s:.1f}", "1.0", "1.000"))
    for way, work in ways.items():
        seconds, picks = timed(work)
        far = radius(pool, picks) / least
        if way == "exact, by blocks":
            assert np.array_equal(picks, exact), "the same picks"
        outcome.rows.append((name, way, f"{seconds:.2f}", f"{exact_s / seconds:.1f}", f"{far:.3f}"))
        outcome.ratios[f"{name}: {way}, speed"] = round(exact_s / seconds, 2)
        outcome.ratios[f"{name}: {way}, radius"] = round(far, 4)


def peers(outcome: Outcome, place: Path, *, size: int) -> None:
    """What other packages take for as many candidates as they can: all pairs of them."""
    pool = blobs(PEER_ROWS, 128)
    name = f"k-center, {size:,} of {PEER_ROWS:,}, d = 128"
    ours, _ = timed(lambda: greedy(pool, size))
    outcome.rows.append((name, "raylabel, exact", f"{ours:.2f}", "1.0", ""))
    if importlib.util.find_spec("skactiveml") is None:
        outcome.notes.append("scikit-activeml is not installed: left out")
    else:
        from skactiveml.pool import CoreSet  # type: ignore[import-untyped]

        seconds, _ = timed(lambda: CoreSet(random_state=0).query(pool, np.full(PEER_ROWS, np.nan), batch_size=size))
        outcome.rows.append((name, "scikit-activeml, CoreSet", f"{seconds:.2f}", f"{ours / seconds:.3f}", ""))
        outcome.peers["scikit-activeml"] = round(seconds, 3)
    if not APRICOT.exists():
        outcome.notes.append("apricot-select is not installed (`make peers`): left out")
        return
    np.save(place / "pool.npy", pool)
    command = [str(APRICOT), "-c", FACILITY_LOCATION, str(place / "pool.npy"), str(size)]
    began = time.perf_counter()
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PEER_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        outcome.notes.append(f"apricot-select was stopped after {PEER_TIMEOUT_S} s")
        return
    seconds = time.perf_counter() - began
    if done.returncode:
        outcome.notes.append(f"apricot-select failed: {done.stderr.strip().splitlines()[-1]}")
        return
    outcome.rows.append((name, "apricot, facility location", f"{seconds:.2f}", f"{ours / seconds:.3f}", ""))
    outcome.peers["apricot"] = round(seconds, 3)


def large_batch(outcome: Outcome, *, count: int, dim: int, size: int) -> None:
    """Cluster-Margin from margins of the pool to the shortlist; k_m = 10 * size of them are clustered."""
    pool, margins = blobs(count, dim), np.random.default_rng(3).random(count, dtype=np.float32)
    rows = np.arange(count, dtype=np.int64)

    def work() -> Array:
        threshold = Histogram.of(margins, span=(0.0, 1.0)).finish(UNCERTAIN_PER_PICK * size)
        kept = Highest.of(rows, margins, threshold=threshold).finish()
        picks = cluster_margin(pool[kept], margins[kept], size=size, rng=np.random.default_rng(0))
        return kept[picks.positions]

    seconds, _ = timed(work)
    outcome.rows.append((f"Cluster-Margin, {size:,} of {count:,}, d = {dim}", "raylabel", f"{seconds:.2f}", "", ""))
    outcome.ratios["cluster-margin, seconds"] = round(seconds, 2)
    outcome.limits["cluster-margin, seconds"] = 5.0


def loss(outcome: Outcome, *, count: int, dim: int, size: int) -> None:
    """What narrowing by margin to a quarter of the pool costs strategies that then see less than all of it."""
    pool = blobs(count, dim)
    logits = pool @ np.random.default_rng(4).standard_normal((dim, 10), dtype=np.float32) / np.sqrt(dim)
    probabilities = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    scores = uncertainty.margin(probabilities)
    kept = np.sort(np.argsort(-scores, kind="stable")[: count // 4])

    def run(strategy: str, rows: Array) -> Array:
        rng = np.random.default_rng(0)
        if strategy == "badge":
            return rows[badge(pool[rows], probabilities[rows], size=size, rng=rng).positions]
        return rows[cluster_margin(pool[rows], scores[rows], size=size, rng=rng).positions]

    for strategy in ("cluster_margin", "badge"):
        whole, narrow = run(strategy, np.arange(count)), run(strategy, kept)
        share = len(np.intersect1d(whole, narrow)) / size
        inside = np.isin(whole, kept).mean()
        ratio = float(scores[narrow].mean() / scores[whole].mean())
        name = f"{strategy}, {size:,} of {count:,}, narrowed to {len(kept):,}"
        outcome.notes.append(
            f"{name}: {share:.1%} of the picks are those of all candidates, {inside:.1%} of which were left in; "
            f"mean margin score ÷ theirs {ratio:.3f}"
        )
        outcome.ratios |= {f"{name}: same": round(share, 4), f"{name}: left in": round(float(inside), 4)}
        outcome.ratios[f"{name}: score"] = round(ratio, 4)


def cost(outcome: Outcome, place: Path, counts: list[int]) -> None:
    """Seconds and peak memory of each class of strategies against N, each in a process of its own."""
    script, names = (
        str(Path(__file__).with_name("selection_cost.py")),
        ("margin", "kmeans", "k_center", "cluster_margin"),
    )
    for count in counts:
        with tempfile.TemporaryDirectory(dir=place) as pool:
            subprocess.run([sys.executable, script, "generate", pool, str(count)], check=True)
            for name in names:
                command = [sys.executable, script, "choose", pool, name]
                done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
                found = json.loads(done.stdout.splitlines()[-1])
                told = f"{found['narrow_s']:.2f} + {found['gather_s']:.2f} + {found['pick_s']:.2f}"
                row = (
                    f"1,000 of {count:,}, d = 64",
                    name,
                    f"{found['total_s']:.2f}",
                    told,
                    f"{found['peak_mb']:,.0f} MB",
                )
                outcome.rows.append(row)
                outcome.peers[f"{name}: {count}: seconds"] = round(found["total_s"], 3)
                outcome.peers[f"{name}: {count}: peak_mb"] = round(found["peak_mb"], 1)
    for name in names:
        for few in counts:
            if 10 * few in counts:
                growth = outcome.peers[f"{name}: {10 * few}: seconds"] / outcome.peers[f"{name}: {few}: seconds"]
                outcome.ratios[f"{name}: {10 * few:,} ÷ {few:,}, seconds"] = round(growth, 2)
                more = outcome.peers[f"{name}: {10 * few}: peak_mb"] / outcome.peers[f"{name}: {few}: peak_mb"]
                outcome.ratios[f"{name}: {10 * few:,} ÷ {few:,}, peak"] = round(more, 3)
    outcome.limits["seconds, 10 times N"] = 12.0


def main() -> None:
    """Measure one after another and print."""
    options = arguments(__doc__ or "")
    outcome = Outcome(
        "selection", ("workload", "way", "seconds", "speed ÷ exact, or narrow + gather + pick", "radius, peak")
    )
    with tempfile.TemporaryDirectory(prefix="raylabel-selection-", dir=options.work) as folder:
        place = Path(folder)
        if options.quick:
            k_center(outcome, count=20_000, dim=64, size=500)
            peers(outcome, place, size=100)
            large_batch(outcome, count=50_000, dim=64, size=1_500)
            loss(outcome, count=20_000, dim=64, size=100)
            cost(outcome, place, [10_000, 100_000])
        else:
            for dim, size in ((128, 2_000), (128, 10_000), (256, 2_000)):
                k_center(outcome, count=200_000, dim=dim, size=size)
            peers(outcome, place, size=1_000)
            large_batch(outcome, count=1_000_000, dim=256, size=10_000)
            loss(outcome, count=200_000, dim=128, size=1_000)
            cost(outcome, place, [100_000, 300_000, 1_000_000, 3_000_000, 10_000_000])
    outcome.notes.append("seconds include everything after the index; exact greedy holds all points against each pick")
    finish(outcome, save=options.save)


if __name__ == "__main__":
    main()
