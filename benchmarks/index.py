"""The index of a million embeddings of 256 dimensions: adding ÷ its limit, recall ÷ raw FAISS, bulk ÷ plain search.

`raylabel.index` on a real Ray session: embedding parts read and their sha256 checked, added in tasks that write and
commit what they made. The limit of adding is what finding the nearest cell costs: F / (2 * cells * dim) items a second,
F the rate of a float32 matrix product of NumPy's on all cores in the same run. Beside it raw FAISS with the same
factory, in this process, on all cores, from memory. Recall of both at equal probes against exact search; neighbours
in bulk and one by one; autofaiss, in an environment of its own, building from a NumPy file; and what the plans for
less memory find.
"""

from __future__ import annotations

import importlib
import itertools
import tempfile
import time
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import psutil
import pyarrow as pa
from record import Outcome, arguments, finish
from rescore import campaign_in
from sidebyside import clock, race
from threadpoolctl import threadpool_limits

from raylabel import runtime, schema
from raylabel.campaign import Campaign, EncoderRef, Pieces, in_sample
from raylabel.index import build, neighbours, open_index, search
from raylabel.index.add import Add, runs
from raylabel.index.device import threads
from raylabel.index.files import read_whole
from raylabel.index.pool import others
from raylabel.index.recall import NEAREST, Nearest, exact, recall_of
from raylabel.workspace import Part, Record, read_part, write_part
from raylabel.workspace.vectors import embeddings_of

DIM, INNER, SHARD_ROWS = 256, 32, 4_096
REPEATS = 3
AUTOFAISS = Path(__file__).resolve().parent.parent / ".venv" / "peers-autofaiss" / "bin" / "python"

Array = np.ndarray[Any, Any]


def vectors_of(start: int, count: int) -> Array:
    """(count, DIM) float16 unit vectors: loose clusters on a surface of 32 dimensions, and noise, as embeddings are."""
    fixed, rng = np.random.default_rng(0), np.random.default_rng([1, start])
    centres = fixed.standard_normal((1_000, INNER), dtype=np.float32)
    spread = fixed.standard_normal((INNER, DIM), dtype=np.float32)
    inner = centres[rng.integers(1_000, size=count)] + 0.5 * rng.standard_normal((count, INNER), dtype=np.float32)
    outer = np.tanh(inner @ spread / INNER**0.5) + 0.05 * rng.standard_normal((count, DIM), dtype=np.float32)
    found: Array = (outer / np.linalg.norm(outer, axis=1, keepdims=True)).astype(np.float16)
    return found


def embedded(campaign: Campaign, ref: EncoderRef, count: int) -> Pieces:
    """Embedding parts, samples and records of shards, as the pass that embeds leaves them."""
    columns = schema.embeddings(dim=DIM, backbone=ref.digest)
    parts: list[Part] = []
    spans: list[tuple[int, int]] = []
    for number, start in enumerate(range(0, count, SHARD_ROWS)):
        rows = np.arange(start, min(start + SHARD_ROWS, count))
        data = pa.py_buffer(np.ascontiguousarray(vectors_of(start, len(rows))))
        packed = pa.FixedSizeBinaryArray.from_buffers(columns.field("embedding").type, len(rows), [None, data])
        ids = pa.array([f"images/{row:09d}.jpg" for row in rows])
        table = pa.Table.from_arrays([pa.array(rows), ids, packed], schema=columns)
        parts.append(write_part(campaign.store, f"embeddings/{ref.digest}/part", table))
        sampled = table.filter(pa.array(in_sample(campaign, rows, num_rows=count)))
        sample = write_part(campaign.store, f"embeddings/{ref.digest}/sample", sampled)
        name = f"embeddings/{ref.digest}/shard-{number:06d}"
        campaign.records.commit(name, Record(parts={"embeddings": [parts[-1]], "sample": [sample]}))
        spans.append((start, int(rows[-1])))
    return Pieces(tuple(parts), tuple(spans))


class Product:
    """The matrix product that the limit is measured by: items with the centres of all cells."""

    def __init__(self, cells: int) -> None:
        rng = np.random.default_rng(2)
        self._items = rng.standard_normal((32_768, DIM), dtype=np.float32)
        self._centres = rng.standard_normal((cells, DIM), dtype=np.float32)
        self._out = np.empty((2_048, cells), dtype=np.float32)
        self.operations = 2 * len(self._items) * cells * DIM

    def __call__(self) -> None:
        """Multiply, block by block."""
        for start in range(0, len(self._items), len(self._out)):
            np.matmul(self._items[start : start + len(self._out)], self._centres.T, out=self._out)


class Raw:
    """FAISS by itself: the same trained index, filled from memory on all cores."""

    def __init__(self, campaign: Campaign, facts: Any, pieces: Pieces) -> None:
        self.index = read_whole(campaign.store, facts["trained"], facts["trained_sha256"])
        tables = (read_part(campaign.store, part, columns=["embedding"]) for part in pieces.parts)
        self.vectors = np.concatenate([embeddings_of(table) for table in tables])
        faiss.extract_index_ivf(self.index).nprobe = facts["nprobe"]

    def __call__(self) -> None:
        """Add everything to an index that is empty."""
        self.index.reset()
        with threads():
            for start in range(0, len(self.vectors), 65_536):
                self.index.add(self.vectors[start : start + 65_536].astype(np.float32))


def adding(campaign: Campaign, ref: EncoderRef, record: Record, pieces: Pieces, raw: Raw) -> dict[str, float]:
    """Items a second: the limit, raylabel's tasks and raw FAISS, in turns."""
    facts, versions = record.facts, itertools.count(1)
    product, trained = Product(facts["num_cells"]), (facts["trained"], facts["trained_sha256"])

    def ours() -> None:
        add = Add(campaign, ref, trained, next(versions), pieces.num_rows)
        assert sum(runtime.map_tasks(add, runs(pieces))) == pieces.num_rows

    seconds = clock({"limit": product, "raylabel": ours, "raw FAISS": raw}, repeats=REPEATS)
    limit = product.operations / seconds["limit"] / (2 * facts["num_cells"] * DIM)
    return {"limit": limit, **{name: pieces.num_rows / seconds[name] for name in ("raylabel", "raw FAISS")}}


def recalls(campaign: Campaign, record: Record, pieces: Pieces, raw: Raw) -> dict[str, float]:
    """Recall at 10 of raylabel's index and of raw FAISS at equal probes, against exact search."""
    [queries] = record.parts["queries"]
    table = read_part(campaign.store, queries)
    own, vectors = table.column("row").to_numpy(), embeddings_of(table).astype(np.float32)
    truth = exact(campaign, queries, runs(pieces))
    assert isinstance(truth, Nearest)
    found = {}
    for name, index in (("raylabel", open_index(campaign, record)), ("raw FAISS", raw.index)):
        _, rows = search(index, vectors, size=NEAREST + 1)
        found[name] = recall_of(np.take_along_axis(rows, others(rows, own), axis=1), truth)
    return found


def asking(campaign: Campaign, record: Record, queries: Array) -> tuple[dict[str, float], float]:
    """Queries a second in bulk and by plain search, one thread each as a task has, and in how many rows both agree."""
    index, found = open_index(campaign, record), {}

    def ask(name: str, how: Any) -> None:
        with threads(1), threadpool_limits(1):
            found[name] = how(index, queries, size=NEAREST)[1]

    seconds = clock(
        {"search": lambda: ask("search", search), "neighbours": lambda: ask("neighbours", neighbours)}, repeats=REPEATS
    )
    same = float((found["search"] == found["neighbours"]).mean())
    return {name: len(queries) / spent for name, spent in seconds.items()}, same


def autofaiss(raw: Raw, place: Path) -> dict[str, Any] | None:
    """What autofaiss makes of the same vectors and as much memory; None where it is not installed."""
    if not AUTOFAISS.exists():
        return None
    folder = place / "autofaiss"
    folder.mkdir()
    np.save(folder / "vectors.npy", raw.vectors.astype(np.float32))
    script = Path(__file__).parent / "peers" / "autofaiss_build.py"
    return race({"autofaiss": [str(AUTOFAISS), str(script), str(folder)]}, repeats=1)["autofaiss"]


def shorter(campaign: Campaign, count: int) -> list[dict[str, Any]]:
    """Build the indexes that are planned where memory holds 8 bits a dimension, and where it holds less than that."""
    found = []
    for codes, fits in (("8 bits", 1.5 * DIM), ("product quantizer", 0.5 * DIM)):
        ref = EncoderRef(f"benchmark, {codes}", DIM)
        pieces = embedded(campaign, ref, count)
        # The module, which the function of the same name hides.
        share = count * fits / psutil.virtual_memory().total
        vars(importlib.import_module("raylabel.index.build"))["MEMORY_SHARE"] = share
        began = time.perf_counter()
        facts = dict(build(campaign, ref, pieces).facts)
        found.append(facts | {"build_s": time.perf_counter() - began})
    return found


def main() -> None:
    """Build, compare and print."""
    options = arguments(__doc__ or "")
    count, num_queries = (100_000, 8_192) if options.quick else (1_000_000, 65_536)
    with tempfile.TemporaryDirectory(prefix="raylabel-index-", dir=options.work) as folder:
        campaign, ref = campaign_in(Path(folder) / "workspace"), EncoderRef("benchmark", DIM)
        pieces = embedded(campaign, ref, count)
        with runtime.session(campaign.config.compute):
            began = time.perf_counter()
            record = build(campaign, ref, pieces)
            build_s = time.perf_counter() - began
            raw = Raw(campaign, record.facts, pieces)
            rates = adding(campaign, ref, record, pieces, raw)
            recall = recalls(campaign, record, pieces, raw)
            for_less = shorter(campaign, count)
        speeds, same = asking(campaign, record, raw.vectors[:num_queries].astype(np.float32))
        peer = autofaiss(raw, Path(folder))
    facts = record.facts
    operations = rates["limit"] * 2 * facts["num_cells"] * DIM
    outcome = Outcome("index", ("", "rate", "÷ limit or plain", "recall at 10"))
    for name in ("raylabel", "raw FAISS"):
        ratio = rates[name] / rates["limit"]
        outcome.rows.append((f"add: {name}", f"{rates[name]:,.0f} items/s", f"{ratio:.2f}", f"{recall[name]:.3f}"))
    for name, speed in speeds.items():
        outcome.rows.append((name, f"{speed:,.0f} queries/s", f"{speed / speeds['search']:.2f}", ""))
    outcome.rows.append(("build, all in: raylabel", f"{count / build_s:,.0f} items/s", "", f"{recall['raylabel']:.3f}"))
    for other in for_less:
        built = f"{count / other['build_s']:,.0f} items/s"
        name = f"build, all in: raylabel, {other['factory']}, {other['nprobe']} cells"
        outcome.rows.append((name, built, "", f"{other['recall_at_10']:.3f}"))
    if peer is not None:
        built = f"{count / peer['build_s']:,.0f} items/s"
        outcome.rows.append((f"build, all in: autofaiss ({peer['factory']})", built, "", f"{peer['recall']:.3f}"))
    outcome.notes = [
        f"medians of {REPEATS} turns; {count:,} items, {facts['factory']}, {facts['nprobe']} cells looked into",
        f"the limit: {rates['limit']:,.0f} items/s, of {operations / 1e9:,.0f} GFLOP/s",
        f"{same:.4%} of the neighbours in bulk are those of plain search, rank by rank",
    ]
    if peer is None:
        outcome.notes.append("autofaiss is not installed (`make peers`): left out")
    outcome.ratios = {
        f"add {name} / limit": round(rates[name] / rates["limit"], 3) for name in ("raylabel", "raw FAISS")
    }
    outcome.ratios |= {"neighbours / search": round(speeds["neighbours"] / speeds["search"], 2)}
    outcome.ratios |= {f"recall {name}": round(value, 4) for name, value in recall.items()}
    outcome.ratios |= {f"recall {other['factory']}": round(other["recall_at_10"], 4) for other in for_less}
    outcome.limits = {name: round(value) for name, value in (rates | speeds).items()} | {"build_s": round(build_s, 1)}
    outcome.peers = {"autofaiss": peer} if peer is not None else {}
    finish(outcome, save=options.save)


if __name__ == "__main__":
    main()
