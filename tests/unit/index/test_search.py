import numpy as np
import pytest

from raylabel.errors import StorageError
from raylabel.index import open_index, search
from raylabel.index.build import _Build
from raylabel.workspace import Record


@pytest.fixture
def record(tiny):
    return _Build(tiny.campaign, tiny.ref, tiny.pieces)()


def test_neighbours_are_those_of_brute_force(tiny, record):
    """On the vectors as they are stored, in float16; ids are rows of the pool."""
    stored = tiny.embeddings[tiny.rows].astype(np.float32)
    queries = np.concatenate([stored[[0, 30]], np.random.default_rng(0).random((3, 64), dtype=np.float32)])
    distances, rows = search(open_index(tiny.campaign, record), queries, size=7)
    exact = ((queries[:, None].astype(np.float64) - stored[None]) ** 2).sum(axis=2)
    order = np.argsort(exact, axis=1, kind="stable")[:, :7]
    assert rows.tolist() == tiny.rows[order].tolist()
    assert np.allclose(distances, np.take_along_axis(exact, order, axis=1), rtol=1e-4, atol=1e-5)
    assert rows[:2, 0].tolist() == tiny.rows[[0, 30]].tolist()
    assert tiny.broken not in rows


def test_alike_digits_lie_near_each_other(tiny, record):
    """What the index is for: most nearest neighbours share the class."""
    _, rows = search(open_index(tiny.campaign, record), tiny.embeddings[tiny.rows].astype(np.float32), size=2)
    assert (tiny.truth[rows[:, 1]] == tiny.truth[tiny.rows]).mean() > 0.7


def test_more_neighbours_than_items(tiny, record):
    _, rows = search(open_index(tiny.campaign, record), tiny.embeddings[:1].astype(np.float32), size=70)
    assert sorted(rows[0, :59].tolist()) == tiny.rows.tolist()
    assert rows[0, 59:].tolist() == [-1] * 11


def test_queries_of_another_layout(tiny, record):
    index = open_index(tiny.campaign, record)
    queries = tiny.embeddings[:6].astype(np.float32)
    expected = search(index, queries, size=3)
    for other in (np.asfortranarray(queries), queries.astype(np.float64), queries.astype(np.float16)):
        distances, rows = search(index, other, size=3)
        assert np.array_equal(rows, expected[1])
        assert np.array_equal(distances, expected[0])


@pytest.mark.parametrize("change", ["byte", "cut", "other"])
def test_changed_file_is_refused_before_faiss_reads_it(tiny, record, monkeypatch, change):
    store, name = tiny.campaign.store, record.facts["index"]
    data = bytearray(store.read(name))
    if change == "byte":
        data[len(data) // 2] ^= 1
    store.write(name, {"byte": bytes(data), "cut": bytes(data[:-10]), "other": b"not an index"}[change])
    read = []
    monkeypatch.setattr("faiss.deserialize_index", read.append)
    with pytest.raises(StorageError, match=r"its sha256 is .*…, its record says .*; remove the index folder"):
        open_index(tiny.campaign, record)
    assert read == []


def test_lost_file(tiny, record):
    tiny.campaign.store.remove(record.facts["index"])
    with pytest.raises(StorageError, match=r"a record names this file, but it is gone"):
        open_index(tiny.campaign, record)


def test_index_of_a_stored_record(tiny, record):
    """The record as another process reads it."""
    tiny.campaign.records.commit("index/tiny", record)
    found = tiny.campaign.records.find("index/tiny")
    assert isinstance(found, Record)
    assert open_index(tiny.campaign, found).ntotal == 59
