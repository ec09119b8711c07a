"""Measure things side by side: in turns (A B C A B C ...), so that a busy machine is busy for all of them.

`clock` takes functions of this process, `race` takes commands that print one JSON object as their last line.
`agree` holds what peers wrote against each other: speed counts only for the same result.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pyarrow.parquet as pq

STDERR_LINES = 20


class PeerFailed(RuntimeError):
    """A command failed, or closed without its line of JSON; holds the end of its error output."""


def clock(
    work: Mapping[str, Callable[[], object]], *, repeats: int, before: Callable[[], object] | None = None
) -> dict[str, float]:
    """Median seconds of each function, run in turns.

    Args:
        work: name -> what to time.
        repeats: turns.
        before: run untimed before each; to empty a folder, for one.
    """
    seconds: dict[str, list[float]] = {name: [] for name in work}
    for _ in range(repeats):
        for name, function in work.items():
            if before is not None:
                before()
            began = time.perf_counter()
            function()
            seconds[name].append(time.perf_counter() - began)
    return {name: median(found) for name, found in seconds.items()}


def race(
    commands: Mapping[str, Sequence[str]], *, repeats: int, before: Callable[[str], object] | None = None
) -> dict[str, dict[str, Any]]:
    """Run commands in turns and take the median of every number that they report.

    Args:
        commands: name -> command line, whose last line of output is one flat JSON object.
        repeats: turns.
        before: run with the name before each command; to empty its folder, for one.

    Returns:
        name -> its object: medians of numbers over the turns; anything else as first reported.

    Raises:
        PeerFailed: a command failed, or its last line is no JSON object.
    """
    reports: dict[str, list[dict[str, Any]]] = {name: [] for name in commands}
    for _ in range(repeats):
        for name, command in commands.items():
            if before is not None:
                before(name)
            reports[name].append(_report(name, command))
    return {name: _medians(found) for name, found in reports.items()}


def _report(name: str, command: Sequence[str]) -> dict[str, Any]:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    said = "\n".join(done.stderr.splitlines()[-STDERR_LINES:])
    if done.returncode != 0:
        raise PeerFailed(f"{name}: exit code {done.returncode} from {' '.join(command)}\n{said}")
    try:
        report = json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        report = None
    if not isinstance(report, dict):
        raise PeerFailed(f"{name}: its last line is no JSON object; it ran {' '.join(command)}\n{said}")
    return report


def _medians(reports: Sequence[dict[str, Any]]) -> dict[str, Any]:
    first = reports[0]
    numbers = [name for name, value in first.items() if type(value) in (int, float)]
    return first | {name: median(report[name] for report in reports) for name in numbers}


def agree(outputs: Mapping[str, Path], *, cosine: float = 0.999) -> dict[str, float]:
    """Hold the embeddings that peers wrote against those of the first.

    Args:
        outputs: name -> folder of Parquet files with `id` and `embedding`, float16 as fixed-size binary.
        cosine: how alike each pair of embeddings has to be, at least.

    Returns:
        name -> the least cosine of any image, for all but the first.

    Raises:
        PeerFailed: other ids, or an embedding that differs.
    """
    first, *others = outputs
    ids, vectors = _written(outputs[first])
    least = {}
    for name in others:
        their_ids, their_vectors = _written(outputs[name])
        if not np.array_equal(ids, their_ids):
            missing, added = len(np.setdiff1d(ids, their_ids)), len(np.setdiff1d(their_ids, ids))
            raise PeerFailed(
                f"{name}: {len(their_ids)} ids where {first} wrote {len(ids)}: {missing} of those are missing, "
                f"{added} are others"
            )
        norms = np.linalg.norm(vectors, axis=1) * np.linalg.norm(their_vectors, axis=1)
        with np.errstate(invalid="ignore"):  # 0 / 0 is NaN and no agreement: vectors of zeros compare nothing
            found = (vectors * their_vectors).sum(axis=1) / norms
        worst = int(found.argmin())
        if not found[worst] >= cosine:
            raise PeerFailed(f"{name}: {ids[worst]} has cosine {found[worst]:.5f} with {first}'s, {cosine} at least")
        least[name] = float(found[worst])
    return least


def _written(folder: Path) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    tables = [pq.read_table(file, columns=["id", "embedding"]) for file in sorted(folder.rglob("*.parquet"))]
    ids = np.array([name for table in tables for name in table.column("id").to_pylist()])
    data = b"".join(vector for table in tables for vector in table.column("embedding").to_pylist())
    order = ids.argsort()
    return ids[order], np.frombuffer(data, dtype=np.float16).reshape(len(ids), -1).astype(np.float64)[order]
