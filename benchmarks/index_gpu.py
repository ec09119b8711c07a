"""FAISS on a GPU as raylabel uses it, held against the CPU: the same answers, and how many times as fast.

Needs faiss with GPU support and NumPy alone: no Ray, no raylabel. Checks, on generated vectors:
the training of cells with the centres' distances taken on the GPU, adding with cells found there, and search of a
GPU copy; prints a table and, as its last line, one JSON object. `python benchmarks/index_gpu.py [rows]`.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import faiss
import numpy as np

DIM, INNER, CELLS, PROBES, NEAREST = 256, 32, 4_096, 16, 10
QUERIES, BLOCK = 10_000, 65_536

Array = np.ndarray[Any, Any]


def vectors_of(count: int) -> Array:
    """(count, DIM) float32 unit vectors of float16 values: loose clusters on 32 dimensions, and noise."""
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((1_000, INNER), dtype=np.float32)
    spread = rng.standard_normal((INNER, DIM), dtype=np.float32)
    found = np.empty((count, DIM), dtype=np.float32)
    for start in range(0, count, BLOCK):
        some = found[start : start + BLOCK]
        inner = centres[rng.integers(1_000, size=len(some))]
        inner = inner + 0.5 * rng.standard_normal(inner.shape, dtype=np.float32)
        some[:] = np.tanh(inner @ spread / INNER**0.5) + 0.05 * rng.standard_normal(some.shape, dtype=np.float32)
        some[:] = (some / np.linalg.norm(some, axis=1, keepdims=True)).astype(np.float16)
    return found


def to_gpu(index: Any) -> Any:
    """As raylabel.index.device.to_gpu does."""
    resources = faiss.StandardGpuResources()
    resources.setTempMemory(256 * 1024 * 1024)
    moved: Any = faiss.index_cpu_to_gpu(resources, 0, index)
    return moved


def timed(function: Callable[[], Any]) -> tuple[Any, float]:
    """What a function gives, and the seconds it took."""
    began = time.perf_counter()
    found = function()
    return found, time.perf_counter() - began


def trained(sample: Array, *, gpu: bool) -> Any:
    """An empty index of cells, trained."""
    index: Any = faiss.index_factory(DIM, f"IVF{CELLS},SQfp16")
    index.by_residual = False
    centres = faiss.IndexFlatL2(DIM)
    index.clustering_index = to_gpu(centres) if gpu else centres
    index.train(sample)
    index.clustering_index = None
    return index


def filled(empty: Any, vectors: Array, *, gpu: bool) -> Any:
    """A copy with all vectors in it; rows are positions."""
    index: Any = faiss.clone_index(empty)
    finder = index.quantizer
    if gpu:
        centres = faiss.IndexFlatL2(DIM)
        centres.add(index.quantizer.reconstruct_n(0, CELLS))
        finder = to_gpu(centres)
    rows = np.arange(len(vectors), dtype=np.int64)
    for start in range(0, len(vectors), BLOCK):
        some, ids = vectors[start : start + BLOCK], rows[start : start + BLOCK]
        cells = np.ascontiguousarray(finder.search(some, 1)[1][:, 0])
        index.add_core(len(some), faiss.swig_ptr(some), faiss.swig_ptr(ids), faiss.swig_ptr(cells))
    index.nprobe = PROBES
    return index


def cell_of(index: Any, count: int) -> Array:
    """(count,) the cell that each row lies in."""
    found = np.full(count, -1, dtype=np.int64)
    for cell in range(index.nlist):
        size = index.invlists.list_size(cell)
        if size:
            found[faiss.rev_swig_ptr(index.invlists.get_ids(cell), size)] = cell
    return found


def main() -> None:
    """Compare step by step; fails where the answers differ."""
    if not faiss.get_num_gpus():
        sys.exit("FAISS sees no GPU here: it needs one, and faiss with GPU support (pip install faiss-gpu)")
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    vectors = vectors_of(count)
    sample, queries = vectors[:: max(1, count // (60 * CELLS))], vectors[:QUERIES]
    seconds: dict[str, dict[str, float]] = {}
    empty, seconds["train"] = {}, {}
    for name, gpu in (("cpu", False), ("gpu", True)):
        empty[name], seconds["train"][name] = timed(partial(trained, sample, gpu=gpu))
    errors = {name: float(index.quantizer.search(sample, 1)[0].mean()) for name, index in empty.items()}
    full, seconds["add"] = {}, {}
    for name, gpu in (("cpu", False), ("gpu", True)):
        full[name], seconds["add"][name] = timed(partial(filled, empty["cpu"], vectors, gpu=gpu))
    same_cell = float((cell_of(full["cpu"], count) == cell_of(full["gpu"], count)).mean())
    moved = to_gpu(full["cpu"])
    moved.nprobe = PROBES
    moved.search(queries[:10], NEAREST)
    answers, seconds["search"] = {}, {}
    for name, index in (("cpu", full["cpu"]), ("gpu", moved)):
        answers[name], seconds["search"][name] = timed(partial(index.search, queries, NEAREST))
    close = float(np.isclose(answers["cpu"][0], answers["gpu"][0], rtol=1e-2, atol=1e-3).mean())
    same_rows = float((answers["cpu"][1] == answers["gpu"][1]).mean())
    print("| | CPU s | GPU s | CPU ÷ GPU |\n|---|---|---|---|")
    for step, spent in seconds.items():
        print(f"| {step} | {spent['cpu']:.2f} | {spent['gpu']:.2f} | {spent['cpu'] / spent['gpu']:.1f} |")
    checks = {
        "quantization error, GPU / CPU": round(errors["gpu"] / errors["cpu"], 4),
        "rows in the same cell": round(same_cell, 5),
        "neighbours at the same distance": round(close, 5),
        "neighbours that are the same row": round(same_rows, 5),
    }
    ratios = {f"{step} cpu / gpu": round(spent["cpu"] / spent["gpu"], 2) for step, spent in seconds.items()}
    print(json.dumps({"benchmark": "index_gpu", "rows": count, "checks": checks, "ratios": ratios}))
    assert abs(errors["gpu"] / errors["cpu"] - 1) < 0.02, "cells trained on the GPU are as tight"
    assert same_cell > 0.999 and close > 0.999 and same_rows > 0.99, "the GPU gives the CPU's answers"


if __name__ == "__main__":
    main()
