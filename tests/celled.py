"""Small pools whose index has cells, made by hand."""

import hashlib

import faiss
import numpy as np
import pyarrow as pa

from raylabel import schema
from raylabel.campaign import Pieces
from raylabel.workspace import write_part


def index_of(vectors, rows, centroids):
    """An IVF index whose cells are those of the nearest centroid; its ids are `rows`, added in the order given."""
    quantizer = faiss.IndexFlatL2(centroids.shape[1])
    quantizer.add(centroids)
    kind = faiss.ScalarQuantizer.QT_fp16
    index = faiss.IndexIVFScalarQuantizer(quantizer, centroids.shape[1], len(centroids), kind, faiss.METRIC_L2, False)
    quantizer.this.disown()
    index.own_fields = True
    index.train(centroids)
    index.add_with_ids(vectors, rows)
    return index


def clustered(seed=0, *, num=600, dim=8, cells=12):
    """(num, dim) float32 that float16 holds exactly, and (cells, dim) centroids; the last cell stays empty."""
    rng = np.random.default_rng(seed)
    centers = (4 * rng.normal(size=(cells, dim))).astype(np.float16).astype(np.float32)
    centers[-1] = 1000
    around = centers[rng.integers(cells - 1, size=num)] + rng.normal(size=(num, dim))
    return around.astype(np.float16).astype(np.float32), centers


def part_of(store, vectors, rows):
    """One embedding part, written as the pipeline does."""
    columns = schema.embeddings(dim=vectors.shape[1], backbone="celled")
    data = pa.py_buffer(np.ascontiguousarray(vectors.astype(np.float16)))
    packed = pa.FixedSizeBinaryArray.from_buffers(columns.field("embedding").type, len(rows), [None, data])
    ids = pa.array([f"item-{row}" for row in rows.tolist()])
    return write_part(store, "embeddings/celled/part", pa.table([pa.array(rows), ids, packed], schema=columns))


def write_celled(campaign, vectors, rows, centroids, *, order=None, cuts=3, nprobe=4):
    """Write parts and an index of such a pool, shards in some order; gives the facts of its record and the pieces."""
    shards = np.array_split(np.arange(len(rows)), cuts)
    order = list(range(cuts)) if order is None else order
    parts = {shard: part_of(campaign.store, vectors[shards[shard]], rows[shards[shard]]) for shard in order}
    added = np.concatenate([shards[shard] for shard in order])
    index = faiss.serialize_index(index_of(vectors[added], rows[added], centroids)).tobytes()
    campaign.store.write("index/celled.faiss", index)
    facts = {"index": "index/celled.faiss", "sha256": hashlib.sha256(index).hexdigest(), "data": None}
    facts |= {"num_rows": len(rows), "dim": vectors.shape[1], "num_cells": len(centroids), "nprobe": nprobe}
    spans = tuple((int(rows[shard[0]]), int(rows[shard[-1]])) for shard in shards)
    return {**facts, "backbone": "celled"}, Pieces(tuple(parts[shard] for shard in range(cuts)), spans)
