import numpy as np
import pytest

from raylabel.errors import StorageError
from raylabel.index import build, open_index, search
from raylabel.index.search import checked_queries


@pytest.fixture
def record(ray_session, tiny):
    return build(tiny.campaign, tiny.ref, tiny.pieces)


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


def test_queries_that_cannot_be_asked(tiny, record):
    index = open_index(tiny.campaign, record)
    queries = tiny.embeddings[:6].astype(np.float32)
    queries[2, 5], queries[4, 0] = np.nan, np.inf
    with pytest.raises(ValueError, match=r"queries: 2 of 6 hold NaN or infinity, the first at position 2"):
        search(index, queries, size=3)
    with pytest.raises(ValueError, match=r"queries: got shape \(6, 63\), expected \(Q, 64\)"):
        search(index, queries[:, 1:], size=3)
    with pytest.raises(ValueError, match=r"queries: got shape \(64,\), expected"):
        search(index, queries[0], size=3)
    with pytest.raises(ValueError, match=r"size: got 0, expected at least 1"):
        checked_queries(index, queries, size=0)


def test_changed_or_lost_file_is_refused(tiny, record):
    store, name = tiny.campaign.store, record.facts["index"]
    data = bytearray(store.read(name))
    data[len(data) // 2] ^= 1
    store.write(name, bytes(data))
    with pytest.raises(StorageError, match=r"its sha256 is .*…, its record says .*; remove .*index and run again"):
        open_index(tiny.campaign, record)
    store.remove(name)
    with pytest.raises(StorageError, match=r"a record names this file, but it is gone"):
        open_index(tiny.campaign, record)


def test_index_of_a_stored_record(tiny, record):
    """The record as another process reads it."""
    found = tiny.campaign.records.find("index/tiny")
    assert open_index(tiny.campaign, found).ntotal == 59
