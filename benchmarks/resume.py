"""kill -9 at half of an embedding pass, and the same command again: what is done twice, and how long the whole takes.

`raylabel embed` beside Ray Data's documented script with Ray Data's own CheckpointConfig, each against an unbroken run
of its own. The whole process group is killed when half of the pool has gone into the model, by the model's own count.
Work done twice, in images: what went into the model in both runs, less the pool; of it, what workers still embedded
until they noticed that their driver was gone stands beside it. Images that were decoded and lost before they came to
the model are not counted: that favours whoever decodes far ahead.
"""

from __future__ import annotations

import json
import math
import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import pyarrow.parquet as pq
from contest import FILE_ROWS, PEERS, photos
from processes import LOOK_EVERY_S, Child
from record import Outcome, arguments, finish, real_data
from sidebyside import PeerFailed, agree

REPEATS = 3
ROOT = Path(__file__).resolve().parent.parent
BATCH, SIZE = 32, 128
SLACK = 1.1
"""Of an unbroken run: what the whole may take, beside one start."""


class Raylabel:
    """`raylabel embed`; one file of the pool is one shard."""

    def __init__(self, pool: Path, weights: Path) -> None:
        self._pool, self._weights = pool, weights

    def command(self, place: Path) -> list[str]:
        """The command line that works in a place."""
        backbone = f"{PEERS / 'counted.py'}:build"
        campaign = place / "campaign.toml"
        # A JSON string is a TOML string.
        campaign.write_text(
            f"""workspace = {json.dumps(str(place / "workspace"))}
classes = ["one", "other"]
pool = {{ path = {json.dumps(str(self._pool))}, id_column = "path" }}
budget = {{ train_answers = 10, audit_answers = 0 }}
compute = {{ dtype = "float32", batch_size = {BATCH}, device = "cpu" }}
[backbone]
name = {json.dumps(backbone)}
weights = "none"
image_size = {SIZE}
options = {{ weights = {json.dumps(str(self._weights))} }}
"""
        )
        return [sys.executable, str(ROOT / "jobs" / "embed.py"), str(campaign)]

    def output(self, place: Path) -> Path:
        """A folder with the parts that records name."""
        (record,) = (place / "workspace" / "embeddings").glob("*.json")
        named, linked = json.loads(record.read_text())["parts"]["embeddings"], place / "named"
        linked.mkdir()
        for number, part in enumerate(named):
            (linked / f"{number}.parquet").symlink_to(place / "workspace" / part["name"])
        return linked

    def left(self, place: Path) -> int:
        """Files that were written and that no record names."""
        written = len(list((place / "workspace" / "embeddings").glob("*/*.parquet")))
        return written - len(list((place / "named").iterdir()))


class Checkpointed:
    """Ray Data's script with Ray Data's checkpoints."""

    def __init__(self, pool: Path, weights: Path) -> None:
        self._pool, self._weights = pool, weights

    def command(self, place: Path) -> list[str]:
        """The command line that works in a place."""
        options = {
            "pool": self._pool,
            "out": self.output(place),
            "backbone": "mobilenet_v2",
            "weights": self._weights,
            "image-size": SIZE,
            "batch-size": BATCH,
        }
        script = [sys.executable, str(PEERS / "ray_checkpoint.py")]
        return script + [word for name, value in options.items() for word in (f"--{name}", str(value))]

    def output(self, place: Path) -> Path:
        """The folder that it writes to."""
        return place / "out"

    def left(self, place: Path) -> int:
        """What is left of its checkpoints."""
        return len(list((place / "checkpoint").glob("**/*")))


@dataclass(frozen=True)
class Found:
    """One engine, unbroken and killed at half.

    Args:
        unbroken_s: the whole of an unbroken run.
        start_s: of it, until the first batch.
        killed_s: from the start of the run that was killed to its end.
        again_s: the whole of the run after that.
        twice: images that went into the model in both runs, by whomever, beyond the pool.
        orphaned: of all, those of workers that had not noticed the kill yet; what they commit is not done again.
        missing: images that are not in the output of the broken runs.
        doubled: rows of that output whose image stands there already.
        left: files in its way that belong to nothing.
    """

    unbroken_s: float
    start_s: float
    killed_s: float
    again_s: float
    twice: int
    orphaned: int
    missing: int
    doubled: int
    left: int

    @property
    def counts(self) -> tuple[int, ...]:
        """What was counted, in the order of the table."""
        return self.twice, self.orphaned, self.missing, self.doubled, self.left

    @property
    def time_limit(self) -> float:
        """What both runs together should not exceed, in seconds."""
        return SLACK * self.unbroken_s + self.start_s


class Tally:
    """What the model noted, in all runs of a place."""

    def __init__(self, place: Path) -> None:
        self.file = place / "tally"
        self.file.touch()

    def lines(self) -> list[tuple[float, int]]:
        """Time and images of each batch; a line that is being written is left out."""
        whole = [line.split() for line in self.file.read_text().splitlines(keepends=True) if line.endswith("\n")]
        return [(float(at), int(images)) for at, images in whole]

    def images(self, *, since: float = 0.0, until: float = math.inf) -> int:
        """Images noted in a stretch of time, in seconds since the epoch."""
        return sum(images for at, images in self.lines() if since <= at < until)


def start(engine: Raylabel | Checkpointed, place: Path, tally: Tally, name: str) -> Child:
    """Start an engine in a place."""
    paths = [str(ROOT), str(PEERS), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {"BENCHMARK_TALLY": str(tally.file), "PYTHONPATH": os.pathsep.join(paths)}
    return Child(engine.command(place), place / name, environment=environment)


def measure(engine: Raylabel | Checkpointed, place: Path, ids: list[str]) -> Found:
    """One unbroken run, and one that is killed at half and run again."""
    whole, broken = place / "whole", place / "broken"
    for folder in (whole, broken):
        folder.mkdir(parents=True)
    tally = Tally(whole)
    with start(engine, whole, tally, "run") as child:
        unbroken_s = child.finish()
    if tally.images() != len(ids):
        raise PeerFailed(f"{place.name}: {tally.images()} images went into the model of a pool of {len(ids)}")
    start_s = min(at for at, _ in tally.lines()) - child.began

    tally = Tally(broken)
    with start(engine, broken, tally, "killed") as child:
        while child.runs() and tally.images() < len(ids) // 2:
            time.sleep(LOOK_EVERY_S)
        if not child.runs():
            child.finish()
            raise PeerFailed(f"{place.name}: ended before it could be killed; give it a larger pool")
        killed_s = child.kill()
    killed_at, gone_at = child.began + killed_s, time.time()
    with start(engine, broken, tally, "again") as child:
        again_s = child.finish()
    twice = tally.images() - len(ids)
    orphaned = tally.images(since=killed_at, until=gone_at)

    output = engine.output(broken)
    written = [name for file in sorted(output.rglob("*.parquet")) for name in _ids(file)]
    missing, doubled = len(set(ids) - set(written)), len(written) - len(set(written))
    if not missing and not doubled:
        agree({"unbroken": engine.output(whole), "killed at half": output})
    left = engine.left(broken)
    return Found(unbroken_s, start_s, killed_s, again_s, twice, orphaned, missing, doubled, left)


def _ids(file: Path, column: str = "id") -> list[str]:
    found: list[str] = pq.read_table(file, columns=[column])[column].to_pylist()
    return found


def main() -> None:
    """Measure, interleaved, and print."""
    options, data = arguments(__doc__ or ""), real_data()
    repeats, copies, limit = (1, 1, 8 * FILE_ROWS) if options.quick else (REPEATS, 4, 9 * FILE_ROWS)
    found: dict[str, list[Found]] = {"raylabel": [], "Ray's checkpoints": []}
    with tempfile.TemporaryDirectory(prefix="raylabel-resume-", dir=options.work) as folder:
        pool = Path(folder) / "pool"
        photos(data / "trashnet", pool, copies=copies, limit=limit)
        ids = [name for file in sorted(pool.glob("*.parquet")) for name in _ids(file, "path")]
        weights = data / "weights" / "mobilenet_v2_imagenet.safetensors"
        engines: dict[str, Raylabel | Checkpointed] = {
            "raylabel": Raylabel(pool, weights),
            "Ray's checkpoints": Checkpointed(pool, weights),
        }
        for repeat in range(repeats):
            for name, engine in engines.items():
                found[name].append(measure(engine, Path(folder) / f"{name}-{repeat}", ids))
    finish(outcome_of(found, images=len(ids)), save=options.save)


def outcome_of(found: dict[str, list[Found]], *, images: int) -> Outcome:
    """The table, and whether the limits are held in every single run."""
    columns = (
        "engine",
        "unbroken s",
        "start s",
        "killed after s",
        "both runs s",
        "÷ limit",
        "images done twice",
        "after the kill",
    )
    outcome = Outcome("resume", (*columns, "missing", "written twice", "files left"))
    for name, runs in found.items():
        both = [run.killed_s + run.again_s for run in runs]
        over = median(spent / run.time_limit for spent, run in zip(both, runs, strict=True))
        times = [median(times) for times in zip(*((r.unbroken_s, r.start_s, r.killed_s) for r in runs), strict=True)]
        counts = [median(n) for n in zip(*(r.counts for r in runs), strict=True)]
        cells = [f"{value:.1f}" for value in (*times, median(both))] + [f"{over:.2f}"]
        outcome.rows.append((name, *cells, *(f"{count:,.0f}" for count in counts)))
        outcome.ratios |= {f"{name}: both runs to limit": round(over, 3), f"{name}: done twice": counts[0] / images}
    allowed = (os.cpu_count() or 1) * FILE_ROWS
    outcome.peers = {"Ray's checkpoints": {"images done twice": median(r.twice for r in found["Ray's checkpoints"])}}
    outcome.limits = {"images done twice": allowed, "both runs": f"{SLACK} x unbroken + one start"}
    held = all(
        run.twice <= allowed and not run.missing and not run.doubled and run.killed_s + run.again_s <= run.time_limit
        for run in found["raylabel"]
    )
    outcome.notes = [
        f"{images:,} JPEGs of 512x384 to {SIZE}, MobileNetV2, shards of {FILE_ROWS}, medians of "
        f"{len(found['raylabel'])} interleaved runs of whole commands, from their start to their exit.",
        f"Asked of raylabel: at most one shard a worker done twice ({allowed:,} images), both runs within {SLACK} x "
        f"the unbroken one and one start, nothing missing, nothing written twice: {'held' if held else 'MISSED'}.",
        "Done twice: in the model, in both runs together, less the pool. After the kill: of these, by workers that had "
        "not noticed yet. Left: parts that no record names; what remains of checkpoints.",
    ]
    return outcome


if __name__ == "__main__":
    main()
