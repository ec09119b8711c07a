"""A pool that is ten times the object store, decoded: what is spilled to disk, and whether the workers' memory grows.

raylabel, decoding in its actors and in tasks, beside Ray Data's documented script: the same small object store, the
same photos, a model that costs nothing. Everybody embeds a pool and four times that pool, in turns.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import astuple, dataclass
from pathlib import Path
from statistics import median

import psutil
from contest import PEERS, photos
from processes import Child
from record import Outcome, arguments, finish, real_data

REPEATS = 3
SIZE = 224
DECODED = SIZE * SIZE * 3
"""Bytes of an image as raylabel moves it."""
MIB = 1024 * 1024
STORE = 128 * MIB
STORE_OFF = 0.02
"""How far the object store's size may be from what was asked for."""
SAMPLE_S = 0.2
GROWTH = 1.1
ENGINES = {
    "raylabel, decodes in its actors": ("raylabel_embed", "local"),
    "raylabel, decodes in tasks": ("raylabel_embed", "tasks"),
    "ray script": ("ray_script", "auto"),
}


@dataclass(frozen=True)
class Found:
    """What one run took, in bytes.

    Args:
        spilled: written from the object store to the disk.
        rss: of all worker processes together, at its peak; memory that they share counts once for each.
        own: the same without what is shared, as libraries and the object store.
    """

    spilled: int
    rss: int
    own: int


def measure(engine: str, pool: Path, place: Path) -> Found:
    """Run an engine on a pool, with a small object store, and look at its workers while it runs."""
    script, decode = ENGINES[engine]
    place.mkdir()
    command = [sys.executable, str(PEERS / f"{script}.py"), "--pool", str(pool), "--out", str(place / "out")]
    command += ["--image-size", str(SIZE), "--decode", decode]
    # What `ray.init` takes unless it is told a size, which nobody does here.
    child = Child(command, place / "run", environment={"RAY_DEFAULT_OBJECT_STORE_MAX_MEMORY_BYTES": str(STORE)})
    rss = own = 0
    while child.runs():
        sizes = [size for size in map(_memory, child.workers()) if size is not None]
        rss = max(rss, sum(size for size, _ in sizes))
        own = max(own, sum(size - shared for size, shared in sizes))
        time.sleep(SAMPLE_S)
    child.finish()
    report = child.report()
    size = report["object_store_bytes"]
    assert abs(size / STORE - 1) < STORE_OFF, f"{engine}: an object store of {size:,} bytes, {STORE:,} were asked for"
    return Found(report["spilled_bytes"], rss, own)


def _memory(process: psutil.Process) -> tuple[int, int] | None:
    try:
        found = process.memory_info()
    except psutil.NoSuchProcess:  # it ended since it was listed
        return None
    return found.rss, found.shared


def main() -> None:
    """Measure, interleaved, and print."""
    options, data = arguments(__doc__ or ""), real_data()
    repeats, limit = (1, 640) if options.quick else (REPEATS, None)
    found: dict[str, dict[int, list[Found]]] = defaultdict(lambda: defaultdict(list))
    counts = {}
    with tempfile.TemporaryDirectory(prefix="raylabel-memory-", dir=options.work) as folder:
        for times in (1, 4):
            counts[times] = photos(data / "trashnet", Path(folder) / f"pool-{times}", copies=times, limit=limit)
        for repeat in range(repeats):
            for times in counts:
                for number, engine in enumerate(ENGINES):
                    place = Path(folder) / f"{number}-{times}-{repeat}"
                    found[engine][times].append(measure(engine, Path(folder) / f"pool-{times}", place))
    finish(outcome_of(found, counts), save=options.save)


def outcome_of(found: dict[str, dict[int, list[Found]]], counts: dict[int, int]) -> Outcome:
    """The table, and growth from the pool to four times the pool."""
    columns = ("engine", "images", "decoded ÷ object store", "spilled MB", "workers' peak RSS MB", "without shared MB")
    outcome = Outcome("memory", columns)
    for engine, by_times in found.items():
        middle = {}
        for times, runs in by_times.items():
            middle[times] = Found(
                *(round(median(v)) for v in zip(*((r.spilled, r.rss, r.own) for r in runs), strict=True))
            )
            cells = [f"{value / 1e6:,.0f}" for value in astuple(middle[times])]
            outcome.rows.append((engine, f"{counts[times]:,}", f"{counts[times] * DECODED / STORE:.1f}", *cells))
        outcome.ratios[f"{engine}: RSS at 4x / 1x"] = round(middle[4].rss / middle[1].rss, 3)
        outcome.ratios[f"{engine}: without shared, at 4x / 1x"] = round(middle[4].own / middle[1].own, 3)
        spilled = max(run.spilled for runs in by_times.values() for run in runs)
        outcome.peers[f"{engine}: spilled bytes"] = spilled
    ours = [engine for engine in found if engine.startswith("raylabel")]
    held = all(
        outcome.peers[f"{engine}: spilled bytes"] == 0 and outcome.ratios[f"{engine}: RSS at 4x / 1x"] <= GROWTH
        for engine in ours
    )
    outcome.limits = {"spilled bytes": 0, "RSS at 4x / 1x": GROWTH}
    growth = "; ".join(f"{name} {ratio:.2f}" for name, ratio in outcome.ratios.items())
    outcome.notes = [
        f"An object store of {STORE // MIB} MiB; images decoded to {SIZE}, uint8; medians of {len(found[ours[0]][1])} "
        "interleaved runs. RSS of all worker processes together; what they share counts once for each.",
        f"Growth: {growth}.",
        f"Asked of raylabel: nothing spilled in any run, RSS at 4x at most {GROWTH} of 1x: "
        + ("held." if held else "MISSED."),
    ]
    return outcome


if __name__ == "__main__":
    main()
