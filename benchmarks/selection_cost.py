"""One point of the curve of selection's cost against N: a pool generated on disk, and one strategy on it.

`benchmarks/selection.py` runs this in a process of its own for each point, so that the peak of its memory is its own.
The tasks that Ray would spread run here one after another: what is measured is the work, on one process.
"""

from __future__ import annotations

import hashlib
import json
import pickle
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from rescore import campaign_in

from raylabel import runtime, schema
from raylabel.campaign import Campaign, Pieces
from raylabel.labeling.narrowing import Indexed, narrow
from raylabel.sampling.cluster_margin import cluster_margin
from raylabel.sampling.clusters import nearest_to_centers
from raylabel.sampling.farthest import farthest_first_by_blocks
from raylabel.workspace import Part, write_part
from raylabel.workspace.vectors import embeddings_of, gather_rows

DIM, SIZE, PART_ROWS = 64, 1_000, 65_536
STRATEGIES = {"margin": "margin", "kmeans": "cells", "k_center": "centers", "cluster_margin": "margin"}
"""What is run, and what narrows the pool for it."""

Array = np.ndarray[Any, Any]


def generate(campaign: Campaign, count: int) -> None:
    """Write embeddings, predictions and index of a pool: as many blobs as cells, each in the cell of its own centre.

    As the cell of each vector is known, nothing is searched: adding takes seconds where a real index takes minutes.
    """
    cells = 2 ** round(np.log2(4 * count**0.5))
    centres = np.random.default_rng(0).standard_normal((cells, DIM), dtype=np.float32)
    quantizer = faiss.IndexFlatL2(DIM)
    quantizer.add(centres)
    index = faiss.IndexIVFScalarQuantizer(quantizer, DIM, cells, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_L2, False)
    index.train(centres)
    pieces: dict[str, list[Part]] = {"embeddings": [], "predictions": []}
    spans = []
    for rows, inside, vectors, margin in _blocks(count, centres):
        given = vectors.astype(np.float32)  # held until FAISS has read it: a pointer keeps nothing alive
        index.add_core(len(rows), *(faiss.swig_ptr(array) for array in (given, rows, inside)))
        for name, table in _tables(rows, vectors, margin).items():
            pieces[name].append(write_part(campaign.store, f"{name}/part", table))
        spans.append((int(rows[0]), int(rows[-1])))
    path = Path(campaign.store.uri("index.faiss"))
    faiss.write_index(index, str(path))
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    facts = {"index": "index.faiss", "sha256": digest, "data": None, "num_rows": count, "dim": DIM}
    facts |= {"num_cells": cells, "nprobe": 16, "backbone": "benchmark"}
    made = {name: Pieces(tuple(parts), tuple(spans)) for name, parts in pieces.items()}
    campaign.store.write("made.pickle", pickle.dumps((facts, made)))


def _blocks(count: int, centres: Array) -> Iterator[tuple[Array, Array, Array, Array]]:
    for start in range(0, count, PART_ROWS):
        rng = np.random.default_rng([1, start])
        rows = np.arange(start, min(start + PART_ROWS, count), dtype=np.int64)
        inside = rng.integers(len(centres), size=len(rows))
        noise = rng.standard_normal((len(rows), DIM), dtype=np.float32)
        yield rows, inside, (centres[inside] + 0.3 * noise).astype(np.float16), rng.random(len(rows), dtype=np.float32)


def _tables(rows: Array, vectors: Array, margin: Array) -> dict[str, pa.Table]:
    columns = schema.embeddings(dim=DIM, backbone="benchmark")
    packed = pa.FixedSizeBinaryArray.from_buffers(
        columns.field("embedding").type, len(rows), [None, pa.py_buffer(vectors)]
    )
    ids = pc.cast(pa.array(rows), pa.string())
    known = {"row": pa.array(rows), "id": ids, "margin": pa.array(margin)}
    empty = {field.name: pa.nulls(len(rows), field.type) for field in schema.PREDICTIONS if field.name not in known}
    return {
        "embeddings": pa.table([pa.array(rows), ids, packed], schema=columns),
        "predictions": pa.table(known | empty, schema=schema.PREDICTIONS),
    }


def choose(campaign: Campaign, strategy: str) -> dict[str, float]:
    """Narrow the pool, gather the candidates, pick; seconds of each, and the peak of this process in MB."""
    facts, made = pickle.loads(campaign.store.read("made.pickle"))
    barred = np.arange(0, facts["num_rows"], facts["num_rows"] // 1_000, dtype=np.int64)
    began = time.perf_counter()
    rows = narrow(
        campaign,
        1,
        made["predictions"],
        statistic=STRATEGIES[strategy],
        barred=barred,
        indexed=Indexed(facts, barred[::2], SIZE),
    )
    narrowed = time.perf_counter()
    table = gather_rows(campaign.store, made["embeddings"].holding(rows))
    assert table is not None, "there are candidates"
    embeddings, rng = embeddings_of(table).astype(np.float32), np.random.default_rng(0)
    gathered = time.perf_counter()
    margins = np.random.default_rng(1).random(len(rows), dtype=np.float32)
    if strategy == "kmeans":
        picks = nearest_to_centers(embeddings, size=SIZE, rng=rng).positions
    elif strategy == "k_center":
        picks = farthest_first_by_blocks(embeddings, covered=embeddings[:0], size=SIZE, rng=rng).positions
    elif strategy == "cluster_margin":
        picks = cluster_margin(embeddings, margins, size=SIZE, rng=rng).positions
    else:
        picks = np.argsort(-margins, kind="stable")[:SIZE]
    assert len(np.unique(picks)) == SIZE, "a shortlist"
    ended = time.perf_counter()
    return {
        "narrow_s": narrowed - began,
        "gather_s": gathered - narrowed,
        "pick_s": ended - gathered,
        "total_s": ended - began,
        "candidates": len(rows),
        "peak_mb": peak_mb(),
    }


def peak_mb() -> float:
    """The most memory that this process has held; `getrusage` would tell of its parent's, if that was larger."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise SystemExit("/proc/self/status: no VmHWM; this benchmark measures memory on Linux alone")


def _map_here(function: Callable[[Any], Any], items: Iterable[Any], *, num_cpus: float = 1.0) -> Iterator[Any]:
    return map(function, items)


def _call_here(function: Callable[..., Any], *args: object) -> Any:
    return function(*args)


def main() -> None:
    """`generate PLACE COUNT`, or `choose PLACE STRATEGY`; closes with a line of JSON."""
    # Without Ray: the same tasks, one after another.
    vars(runtime).update(map_tasks=_map_here, call=_call_here)
    what, place, argument = sys.argv[1:]
    campaign = campaign_in(Path(place))
    if what == "generate":
        generate(campaign, int(argument))
    else:
        print(json.dumps(choose(campaign, argument)))


if __name__ == "__main__":
    main()
