import hashlib
from dataclasses import replace

import faiss
import numpy as np
import pyarrow as pa
import pytest

from raylabel import schema
from raylabel.campaign import Pieces
from raylabel.index import build as built
from raylabel.index import open_index, search
from raylabel.index.build import EXACT_ROWS, _Build, factory_of
from raylabel.workspace import write_part


@pytest.mark.parametrize(
    ("rows", "factory"),
    [
        (1, "SQfp16"),
        (EXACT_ROWS, "SQfp16"),
        (EXACT_ROWS + 1, "IVF2048,SQfp16"),  # 4 * 447 = 1789
        (1_000_000, "IVF4096,SQfp16"),  # 4 * 1000
        (16_000_000, "IVF16384,SQfp16"),  # 4 * 4000 = 16000
    ],
)
def test_factory(rows, factory):
    assert factory_of(rows) == factory


def test_index_holds_every_embedding_under_its_row(ray_session, tiny):
    record = built(tiny.campaign, tiny.ref, tiny.pieces)
    data = tiny.campaign.store.read(record.facts["index"])
    assert record.facts["sha256"] == hashlib.sha256(data).hexdigest()
    assert {name: record.facts[name] for name in ("factory", "num_rows", "dim")} == {
        "factory": "SQfp16",
        "num_rows": 59,
        "dim": 64,
    }
    index = faiss.deserialize_index(np.frombuffer(data, np.uint8))
    assert sorted(faiss.vector_to_array(index.id_map).tolist()) == tiny.rows.tolist()
    for row in (0, 24, 25, 59):
        assert np.array_equal(index.reconstruct(row), tiny.embeddings[row].astype(np.float32))


def test_index_is_built_once(ray_session, tiny):
    first = built(tiny.campaign, tiny.ref, tiny.pieces)
    again = built(tiny.campaign, tiny.ref, Pieces(tiny.pieces.parts[:1], tiny.pieces.spans[:1]))
    assert again.facts == first.facts
    assert len(tiny.campaign.store.list("index/tiny")) == 1


def test_training_sample_is_spread_over_the_pool(tiny):
    """Whole parts, first and last among them, no more than the cells need."""
    work = _Build(tiny.campaign, tiny.ref, tiny.pieces)
    first = work._sample("IVF0,SQfp16")
    assert np.array_equal(first, tiny.embeddings[[row for row in range(25) if row != tiny.broken]].astype(np.float32))
    both = work._sample("IVF1,SQfp16")  # 64 of 59 / 3 a part are more than there are
    assert len(both) == 59
    ends = _Build(tiny.campaign, tiny.ref, Pieces(tiny.pieces.parts * 2, tiny.pieces.spans * 2))._sample("SQfp16")
    assert np.array_equal(ends[-1], tiny.embeddings[59].astype(np.float32))


@pytest.fixture
def clustered(tiny):
    """3,000 vectors in 100 tight clusters, in four parts; rows count by tens."""
    rng = np.random.default_rng(0)
    vectors = (rng.normal(size=(100, 16))[rng.integers(100, size=3000)] + rng.normal(size=(3000, 16)) * 0.2).astype(
        np.float16
    )
    rows = np.arange(3000) * 10
    columns = schema.embeddings(dim=16, backbone="clusters")
    parts, spans = [], []
    for some in np.array_split(np.arange(3000), 4):
        data = pa.py_buffer(np.ascontiguousarray(vectors[some]))
        packed = pa.FixedSizeBinaryArray.from_buffers(columns.field("embedding").type, len(some), [None, data])
        arrays = [pa.array(rows[some]), pa.array([f"i{row}" for row in some]), packed]
        parts.append(write_part(tiny.campaign.store, "clusters/part", pa.Table.from_arrays(arrays, schema=columns)))
        spans.append((int(rows[some[0]]), int(rows[some[-1]])))
    ref = replace(tiny.ref, digest="clusters", dim=16)
    return ref, Pieces(tuple(parts), tuple(spans)), vectors, rows


def test_cells_above_the_exact_limit(tiny, clustered, monkeypatch):
    """Recall at 10 of at least 0.9, against brute force."""
    monkeypatch.setitem(factory_of.__globals__, "EXACT_ROWS", 1000)
    ref, pieces, vectors, rows = clustered
    record = _Build(tiny.campaign, ref, pieces)()
    assert record.facts["factory"] == "IVF256,SQfp16"
    assert record.facts["num_rows"] == 3000
    queries = vectors[::30].astype(np.float32)
    distances, found = search(open_index(tiny.campaign, record), queries, size=10)
    exact = ((queries[:, None] - vectors.astype(np.float32)[None]) ** 2).sum(axis=2)
    nearest = rows[np.argsort(exact, axis=1, kind="stable")[:, :10]]
    recall = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(found.tolist(), nearest.tolist(), strict=True)])
    assert recall >= 0.9
    assert (found[:, 0] == rows[::30]).all()
    assert np.allclose(distances[:, 0], 0, atol=1e-4)
