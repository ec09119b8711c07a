"""Clustered embeddings, and how the pass that embeds leaves them in a workspace."""

import numpy as np
import pyarrow as pa

from raylabel import schema
from raylabel.campaign import Pieces, in_sample
from raylabel.workspace import Record, write_part

NUM, DIM = 6_000, 16


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
