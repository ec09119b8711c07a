"""Storing embeddings: 1M x 768 float16 as raylabel writes them, as a Parquet list column, and as .npy.

Everybody writes the same files of 65,536 vectors and waits until they are on the disk (fsync), once with one writer
and once with as many as there are cores, as the pipeline does; then reads them back into NumPy arrays. raylabel's
files carry row and id, a checksum for each page, and a sha256 that is checked in reading; .npy carries nothing.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from record import Outcome, arguments, finish
from sidebyside import clock

from raylabel import schema
from raylabel.workspace import Part, Store, read_part, write_part
from raylabel.workspace.vectors import embeddings_of

DIM = 768
ROWS = 65_536
REPEATS = 5

Vectors = np.ndarray[Any, np.dtype[np.float16]]


class Raylabel:
    """Embedding parts, as the pipeline's actors write them."""

    def __init__(self, place: Path, pieces: Sequence[Vectors]) -> None:
        self._store = Store(str(place / "raylabel"))
        self._tables = [self._table(number * ROWS, vectors) for number, vectors in enumerate(pieces)]
        self._parts: dict[int, Part] = {}

    @staticmethod
    def _table(first: int, vectors: Vectors) -> pa.Table:
        columns = schema.embeddings(dim=DIM, backbone="benchmark")
        rows = np.arange(first, first + len(vectors))
        ids = pa.array([f"images/{row:09d}.jpg" for row in rows.tolist()])
        data = [None, pa.py_buffer(vectors)]
        packed = pa.FixedSizeBinaryArray.from_buffers(columns.field("embedding").type, len(vectors), data)
        return pa.Table.from_arrays([pa.array(rows), ids, packed], schema=columns)

    def write(self, number: int, vectors: Vectors) -> None:
        """One part, whose table holds the vectors without a copy; it is on the disk when this returns."""
        self._parts[number] = write_part(self._store, "embeddings/part", self._tables[number])

    def read(self, number: int) -> Vectors:
        """One part, its sha256 checked."""
        return embeddings_of(read_part(self._store, self._parts[number]))


class ListColumn:
    """A list of float16 in each row; `options` are pyarrow's."""

    def __init__(self, place: Path, name: str, **options: object) -> None:
        self._place, self._options = place / name, options

    def write(self, number: int, vectors: Vectors) -> None:
        """One file."""
        self._place.mkdir(parents=True, exist_ok=True)
        offsets = pa.array(np.arange(0, vectors.size + 1, DIM, dtype=np.int32))
        table = pa.table({"embedding": pa.ListArray.from_arrays(offsets, pa.array(vectors.ravel()))})
        with (self._place / f"{number}.parquet").open("wb") as file:
            pq.write_table(table, file, **self._options)
            file.flush()
            os.fsync(file.fileno())

    def read(self, number: int) -> Vectors:
        """One file."""
        column = pq.read_table(self._place / f"{number}.parquet").column("embedding").combine_chunks()
        values: Vectors = column.flatten().to_numpy(zero_copy_only=False)
        return values.reshape(-1, DIM)


class Npy:
    """`numpy.save`."""

    def __init__(self, place: Path) -> None:
        self._place = place / "npy"

    def write(self, number: int, vectors: Vectors) -> None:
        """One file."""
        self._place.mkdir(parents=True, exist_ok=True)
        with (self._place / f"{number}.npy").open("wb") as file:
            np.save(file, vectors)
            file.flush()
            os.fsync(file.fileno())

    def read(self, number: int) -> Vectors:
        """One file."""
        found: Vectors = np.load(self._place / f"{number}.npy")
        return found


def each(function: Callable[..., object], *columns: Iterable[object], workers: int) -> Callable[[], None]:
    """Run a function over all parts, by so many threads; the calls let go of the interpreter for nearly all of it."""

    def run() -> None:
        with ThreadPoolExecutor(workers) as threads:
            for _ in threads.map(function, *columns):
                pass

    return run


def clear(place: Path) -> None:
    """Empty the folder, and wait until the disk is done with what was written before: nobody pays for another."""
    shutil.rmtree(place, ignore_errors=True)
    os.sync()


def limits(vectors: Vectors, place: Path) -> dict[str, float]:
    """What the machine can do with one core: hash, get bytes onto the disk, and both; vectors/s."""
    data = vectors.data.cast("B")

    def write() -> None:
        with (place / "raw").open("wb", buffering=0) as file:
            file.write(data)
            os.fsync(file.fileno())

    seconds = clock({"sha256": lambda: hashlib.sha256(data), "raw_write": write}, repeats=REPEATS)
    seconds["sha256_then_write"] = seconds["sha256"] + seconds["raw_write"]
    return {name: len(vectors) / spent for name, spent in seconds.items()}


def main() -> None:
    """Write, read back, compare and print."""
    options, cores = arguments(__doc__ or ""), os.cpu_count() or 1
    count = 100_000 if options.quick else 1_000_000
    vectors = np.random.default_rng(0).standard_normal((count, DIM), dtype=np.float32).astype(np.float16)
    pieces = [vectors[start : start + ROWS] for start in range(0, count, ROWS)]
    numbers = range(len(pieces))
    rates: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory(prefix="raylabel-store-", dir=options.work) as folder:
        place = Path(folder) / "files"
        plain = {"use_dictionary": False, "compression": "none"}
        peers: dict[str, Raylabel | ListColumn | Npy] = {
            "raylabel": Raylabel(place, pieces),
            "list column": ListColumn(place, "list"),
            "list column, no dictionary, no codec": ListColumn(place, "list-plain", **plain),
            ".npy": Npy(place),
        }
        for workers in sorted({1, cores}):
            name = f"written, {workers} at once"
            work = {peer: each(how.write, numbers, pieces, workers=workers) for peer, how in peers.items()}
            seconds = clock(work, repeats=REPEATS, before=lambda: clear(place))
            rates[name] = {peer: count / spent for peer, spent in seconds.items()}
        for how in peers.values():
            each(how.write, numbers, pieces, workers=cores)()
            for number, piece in enumerate(pieces):
                assert np.array_equal(how.read(number), piece), f"{how}: part {number} comes back as it was written"
        work = {peer: each(how.read, numbers, workers=cores) for peer, how in peers.items()}
        seconds = clock(work, repeats=REPEATS)
        rates[f"read, {cores} at once"] = {peer: count / spent for peer, spent in seconds.items()}
        machine = limits(pieces[0], place)
    finish(outcome_of(rates, machine, cores), save=options.save)


def outcome_of(rates: dict[str, dict[str, float]], machine: dict[str, float], cores: int) -> Outcome:
    """The table: vectors/s of everybody, and raylabel's over theirs."""
    outcome = Outcome("store", ("vectors/s", *next(iter(rates.values()))))
    for name, found in rates.items():
        ratio = {peer: found["raylabel"] / rate for peer, rate in found.items()}
        cells = [f"{rate:,.0f}" + ("" if p == "raylabel" else f" ({ratio[p]:.2f})") for p, rate in found.items()]
        outcome.rows.append((name, *cells))
        outcome.ratios |= {f"{name}: raylabel / {p}": round(r, 3) for p, r in ratio.items() if p != "raylabel"}
    outcome.peers = {name: {peer: round(rate) for peer, rate in found.items()} for name, found in rates.items()}
    outcome.limits = {name: round(rate) for name, rate in machine.items()}
    outcome.notes = [
        "in brackets: raylabel's rate over that peer's; medians of "
        f"{REPEATS} turns. {DIM} x float16, files of {ROWS:,}, on the disk (fsync) when a write is done; reads from "
        "the page cache.",
        f"one core's limits, in the same vectors: sha256 {machine['sha256']:,.0f}/s, plain write and fsync "
        f"{machine['raw_write']:,.0f}/s, one after the other {machine['sha256_then_write']:,.0f}/s.",
        "targets: 10 x the list column, 0.8 x .npy.",
    ]
    return outcome


if __name__ == "__main__":
    main()
