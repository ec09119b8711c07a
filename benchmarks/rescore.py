"""Scoring stored embeddings with a round's head, reading included: 1M x 512 float16, 10 classes.

`raylabel.inference.predict` on a real Ray session: embedding parts read and their sha256 checked, scored, and written
as prediction parts; confidence is the softmax's, as a learned one adds 2 * dim operations for each answered item.
Beside it the least that would do, without Ray and without keeping anything: `numpy.load`, a float32 product and an
argmax, in one process per core that is there already.
"""

from __future__ import annotations

import multiprocessing
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from record import Outcome, arguments, finish
from sidebyside import clock

from raylabel import runtime, schema
from raylabel.campaign import Campaign, Pieces
from raylabel.config import Config
from raylabel.inference.predict import predict
from raylabel.models.arithmetic import Arithmetic
from raylabel.models.confidence import Softmax
from raylabel.models.heads import Head
from raylabel.profile import Profile
from raylabel.workspace import Part, Store, read_part, write_part

DIM, CLASSES = 512, 10
PART_ROWS = (4_096, 65_536)
REPEATS = 5
TARGET = 300_000

Array = np.ndarray[Any, Any]


def campaign_in(place: Path) -> Campaign:
    """A campaign of which this benchmark uses the workspace alone."""
    settings = {
        "workspace": str(place),
        "classes": [f"class {index}" for index in range(CLASSES)],
        "pool": {"path": str(place / "pool")},
        "backbone": {"name": "tiny_cnn", "weights": "none"},
        "budget": {"train_answers": 100, "audit_answers": 100},
        "acceptance": {"max_error": 0.5},
    }
    config = Config.model_validate(settings)
    arithmetic = Arithmetic("cpu", "float32", fused=False, compiled=False, batch_size=32, threads=1)
    profile = Profile(arithmetic, 1, "benchmark", {})
    return Campaign(config, Store(config.workspace), profile, "0" * 64)


def blocks(count: int, rows: int) -> Iterator[tuple[int, Array]]:
    """Random embeddings, and the row that each block begins with; the same whatever the size of the blocks."""
    for start in range(0, count, max(PART_ROWS)):
        size = min(max(PART_ROWS), count - start)
        values = np.random.default_rng(start).standard_normal((size, DIM), dtype=np.float32).astype(np.float16)
        for inside in range(0, size, rows):
            yield start + inside, values[inside : inside + rows]


def embedded(campaign: Campaign, count: int, rows: int) -> Pieces:
    """Embedding parts of so many rows each, as the pipeline writes them."""
    columns = schema.embeddings(dim=DIM, backbone="benchmark")
    parts: list[Part] = []
    spans: list[tuple[int, int]] = []
    for start, values in blocks(count, rows):
        end = start + len(values)
        data = [None, pa.py_buffer(np.ascontiguousarray(values))]
        packed = pa.FixedSizeBinaryArray.from_buffers(columns.field("embedding").type, len(values), data)
        ids = pa.array([f"images/{row:09d}.jpg" for row in range(start, end)])
        table = pa.Table.from_arrays([pa.array(np.arange(start, end)), ids, packed], schema=columns)
        parts.append(write_part(campaign.store, f"embeddings/{rows}/part", table))
        spans.append((start, end - 1))
    return Pieces(tuple(parts), tuple(spans))


class Bare:
    """The limit: load, multiply, argmax; called in a process of its own."""

    def __init__(self, head: Head) -> None:
        self._weight = np.ascontiguousarray(head.weight.T.astype(np.float32))
        self._bias = head.bias.astype(np.float32)

    def __call__(self, file: Path) -> Array:
        """(N,) classes of one file."""
        found: Array = (np.load(file).astype(np.float32) @ self._weight + self._bias).argmax(axis=1)
        return found


def compare(campaign: Campaign, pieces: Pieces, classes: Array) -> float:
    """The share of items whose class is the limit's; every row once and in order."""
    tables = [read_part(campaign.store, part, columns=["row", "label_index"]) for part in pieces.parts]
    rows = np.concatenate([table.column("row").to_numpy() for table in tables])
    assert np.array_equal(rows, np.arange(len(classes))), "every row is predicted once, in order"
    found = np.concatenate([table.column("label_index").to_numpy() for table in tables])
    return float((found == classes).mean())


def main() -> None:
    """Score, compare and print."""
    options, cores = arguments(__doc__ or ""), os.cpu_count() or 1
    count = 100_000 if options.quick else 1_000_000
    rng = np.random.default_rng(1)
    head = Head(rng.normal(size=(CLASSES, DIM)) / 10, rng.normal(size=CLASSES), 1.3)
    with tempfile.TemporaryDirectory(prefix="raylabel-rescore-", dir=options.work) as folder:
        place = Path(folder)
        campaign = campaign_in(place / "workspace")
        campaign.store.write("head.safetensors", head.to_bytes(Softmax(head.temperature).arrays()))
        pieces = {f"parts of {rows:,}": embedded(campaign, count, rows) for rows in PART_ROWS}
        files = [place / f"{start}.npy" for start, _ in blocks(count, max(PART_ROWS))]
        for file, (_, values) in zip(files, blocks(count, max(PART_ROWS)), strict=True):
            np.save(file, values)
        rounds = iter(range(1_000))
        os.environ.setdefault("OMP_NUM_THREADS", "1")  # the pool's processes share the cores, as Ray's tasks do
        with multiprocessing.get_context("spawn").Pool(cores) as pool, runtime.session(campaign.config.compute):
            pool.map(abs, range(10 * cores))
            began = time.perf_counter()
            first = predict(campaign, pieces["parts of 65,536"], next(rounds), "head.safetensors")
            start_s = time.perf_counter() - began
            work = {
                name: lambda these=these: predict(campaign, these, next(rounds), "head.safetensors")
                for name, these in pieces.items()
            } | {"limit": lambda: pool.map(Bare(head), files, chunksize=1)}
            seconds = clock(work, repeats=REPEATS)
            classes = np.concatenate(pool.map(Bare(head), files))
        same = compare(campaign, first, classes)
    rates = {name: count / spent for name, spent in seconds.items()}
    outcome = Outcome("rescore", ("", "items/s", "÷ limit", f"÷ {TARGET:,}"))
    for name, rate in rates.items():
        outcome.rows.append((name, f"{rate:,.0f}", f"{rate / rates['limit']:.2f}", f"{rate / TARGET:.2f}"))
    outcome.notes = [
        f"medians of {REPEATS} turns, {count:,} items; the first of all, with the workers' start, {start_s:.1f} s",
        f"{same:.4%} of the classes are those of the limit's float32 product (raylabel multiplies in float64)",
    ]
    assert same > 0.999, "raylabel and the plain product say the same"
    outcome.ratios = {f"{name} / limit": round(rate / rates["limit"], 3) for name, rate in rates.items()}
    outcome.limits = {name: round(rate) for name, rate in rates.items()}
    finish(outcome, save=options.save)


if __name__ == "__main__":
    main()
