"""A pool of 6,000 clustered vectors in as many shards as asked for, as the embedding pass leaves it."""

from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pytest

from raylabel import schema
from raylabel.campaign import Campaign, EncoderRef, Pieces, in_sample
from raylabel.workspace import Record, Store, write_part

NUM, DIM, EXACT = 6_000, 16, 1_000


@dataclass(frozen=True)
class Clustered:
    """The campaign, its backbone, its parts, and what is known of its pool; rows count by twos."""

    campaign: Campaign
    ref: EncoderRef
    pieces: Pieces
    vectors: np.ndarray
    rows: np.ndarray

    def exact(self, queries, size):
        """Rows and squared distances of brute force, in float64."""
        stored = self.vectors.astype(np.float64)
        distances = ((queries.astype(np.float64)[:, None] - stored[None]) ** 2).sum(axis=2)
        order = np.argsort(distances, axis=1, kind="stable")[:, :size]
        return self.rows[order], np.take_along_axis(distances, order, axis=1)


def vectors_of(num=NUM, dim=DIM, seed=0):
    """(num, dim) float16 in sixty loose clusters."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(60, dim))
    return (centres[rng.integers(60, size=num)] + 0.4 * rng.normal(size=(num, dim))).astype(np.float16)


def write_shards(campaign, ref, vectors, rows, *, shards, first_shard=0, pool_rows=None):
    """Write embedding parts and the records of their shards, the training sample among them; gives the pieces."""
    columns = schema.embeddings(dim=ref.dim, backbone=ref.digest)
    parts, spans = [], []
    for number, some in enumerate(np.array_split(np.arange(len(rows)), shards), start=first_shard):
        data = pa.py_buffer(np.ascontiguousarray(vectors[some]))
        packed = pa.FixedSizeBinaryArray.from_buffers(columns.field("embedding").type, len(some), [None, data])
        arrays = [pa.array(rows[some]), pa.array([f"item-{row}" for row in rows[some]]), packed]
        table = pa.Table.from_arrays(arrays, schema=columns)
        part = write_part(campaign.store, f"embeddings/{ref.digest}/part", table)
        sampled = pa.array(in_sample(campaign, rows[some], num_rows=pool_rows or len(rows)))
        sample = write_part(campaign.store, f"embeddings/{ref.digest}/sample", table.filter(sampled))
        record = Record(parts={"embeddings": [part], "sample": [sample], "quarantine": []})
        campaign.records.commit(f"embeddings/{ref.digest}/shard-{number:06d}", record)
        parts.append(part)
        spans.append((int(rows[some[0]]), int(rows[some[-1]])))
    return Pieces(tuple(parts), tuple(spans))


@pytest.fixture
def pool_of(tiny, tmp_path, monkeypatch):
    """Make a pool in a workspace of its own; small as it is, it gets an index of cells."""
    monkeypatch.setattr("raylabel.index.plan.EXACT_ROWS", EXACT)

    def make(shards=4, *, name="clusters", vectors=None, root=None) -> Clustered:
        vectors = vectors_of() if vectors is None else vectors
        store = Store(root or str(tmp_path / f"ws-{name}-{shards}"))
        campaign = replace(tiny.campaign, store=store)
        ref = EncoderRef(name, vectors.shape[1])
        rows = np.arange(len(vectors), dtype=np.int64) * 2
        pieces = write_shards(campaign, ref, vectors, rows, shards=shards)
        return Clustered(campaign, ref, pieces, vectors, rows)

    return make


@pytest.fixture
def small_runs(monkeypatch):
    """A task adds 1,000 rows, not 65,536: several run."""
    monkeypatch.setattr("raylabel.index.build.RUN_ROWS", 1_000)
    monkeypatch.setattr("raylabel.index.build.ROWS_PER_CELL_OF_RUN", 1)
