from dataclasses import replace

import faiss
import numpy as np
import pytest
from clusters import vectors_of, write_shards

from raylabel.campaign import Pieces
from raylabel.errors import StorageError
from raylabel.index import build, latest, open_index, search


def found_in(pool, record, size=10):
    return search(open_index(pool.campaign, record), pool.vectors[::20].astype(np.float32), size=size)


def first_parts(pieces, count):
    return Pieces(pieces.parts[:count], pieces.spans[:count])


def test_a_small_pool_gets_an_exact_index(ray_session, tiny):
    record = build(tiny.campaign, tiny.ref, tiny.pieces)
    expected = {"factory": "SQfp16", "num_rows": 59, "dim": 64, "num_cells": 0, "nprobe": 0, "recall_at_10": 1.0}
    expected |= {"backbone": "tiny", "data": None, "data_sha256": None, "version": 0, "num_parts": 3}
    assert {name: record.facts[name] for name in expected} == expected
    assert tiny.campaign.store.list("index/tiny") == [record.facts["index"].rsplit("/", 1)[-1]]
    assert build(tiny.campaign, tiny.ref, tiny.pieces).facts == record.facts


def test_one_and_four_shards_give_equal_results(ray_session, pool_of, small_runs):
    found = []
    for shards in (1, 4, 12):
        pool = pool_of(shards)
        record = build(pool.campaign, pool.ref, pool.pieces)
        assert record.facts["factory"] == "IVF32,SQfp16"
        found.append((found_in(pool, record), record.facts["nprobe"], record.facts["recall_at_10"]))
    for (distances, rows), probes, recall in found[1:]:
        assert np.array_equal(rows, found[0][0][1])
        assert np.array_equal(distances, found[0][0][0])
        assert (probes, recall) == found[0][1:]


def test_one_worker_gives_what_several_at_once_do(ray_session, pool_of, small_runs, monkeypatch, tmp_path):
    """Here in one process, the last run first."""
    pool, other = pool_of(6), pool_of(6, root=str(tmp_path / "other"))
    several = build(pool.campaign, pool.ref, pool.pieces)
    monkeypatch.setattr("raylabel.runtime.map_tasks", lambda function, items: [function(i) for i in [*items][::-1]])
    alone = build(other.campaign, other.ref, other.pieces)
    for one, two in zip(found_in(pool, several), found_in(other, alone), strict=True):
        assert np.array_equal(one, two)
    assert several.facts["recall_at_10"] == alone.facts["recall_at_10"]


def test_recall_of_an_index_of_cells(ray_session, pool_of, small_runs):
    pool = pool_of(6)
    record = build(pool.campaign, pool.ref, pool.pieces)
    assert record.facts["recall_at_10"] >= 0.95
    exact, _ = pool.exact(pool.vectors[::20], 10)
    _, rows = found_in(pool, record)
    recall = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(rows.tolist(), exact.tolist(), strict=True)])
    assert abs(recall - record.facts["recall_at_10"]) < 0.03
    index = open_index(pool.campaign, record)
    assert (index.nlist, index.nprobe) == (record.facts["num_cells"], record.facts["nprobe"])
    left = pool.campaign.store.list("index/clusters")
    assert sorted({name.split("-")[0] for name in left}) == ["part", "queries", "trained"], "no run is left"


def test_a_build_that_was_stopped_goes_on(ray_session, pool_of, small_runs, monkeypatch):
    """What was trained and added stays; only the merge is done when it is run again."""
    pool = pool_of(6)

    def stop(self):
        raise StorageError("stopped")

    with monkeypatch.context() as patch, pytest.raises(StorageError, match="stopped"):
        patch.setattr("raylabel.index.merge.Merge.__call__", stop)
        patch.setattr("raylabel.runtime.call", lambda function, *args, **_: function(*args))
        build(pool.campaign, pool.ref, pool.pieces)
    store = pool.campaign.store
    before = {name: store.read(f"index/clusters/{name}") for name in store.list("index/clusters")}
    assert sum(name.endswith(".lists") for name in before) == 6
    assert latest(pool.campaign, "clusters") is None
    with monkeypatch.context() as patch:
        patch.setattr("raylabel.index.train.Train.__call__", stop)
        patch.setattr("raylabel.runtime.call", lambda function, *args, **_: function(*args))
        record = build(pool.campaign, pool.ref, pool.pieces)
    assert store.read(record.facts["trained"]) == before[record.facts["trained"].rsplit("/", 1)[-1]]
    whole = pool_of(1)
    assert np.array_equal(found_in(pool, record)[1], found_in(whole, build(whole.campaign, whole.ref, whole.pieces))[1])


@pytest.mark.parametrize("at", ["index.merge.Merge.__call__", "index.recall.Measure.__call__"])
def test_a_pool_that_grew_after_a_build_was_stopped(ray_session, pool_of, small_runs, monkeypatch, at):
    """What was added or merged of the smaller pool is left alone: the index has every row of the larger one."""
    pool = pool_of(6)

    def stop(self):
        raise StorageError("stopped")

    with monkeypatch.context() as patch, pytest.raises(StorageError, match="stopped"):
        patch.setattr(f"raylabel.{at}", stop)
        patch.setattr("raylabel.runtime.call", lambda function, *args, **_: function(*args))
        build(pool.campaign, pool.ref, first_parts(pool.pieces, 5))
    record = build(pool.campaign, pool.ref, pool.pieces)
    assert record.facts["num_rows"] == 6000
    assert found_in(pool, record)[1][:, 0].tolist() == pool.rows[::20].tolist()
    assert not [name for name in pool.campaign.store.list("index/clusters") if name.startswith("add-")]


def test_a_grown_pool_is_added_without_touching_what_is_there(ray_session, pool_of, small_runs):
    pool = pool_of(6)
    first = build(pool.campaign, pool.ref, first_parts(pool.pieces, 4))
    store = pool.campaign.store
    before = {name: store.read(first.facts[name]) for name in ("index", "data", "trained")}
    grown = build(pool.campaign, pool.ref, pool.pieces)
    assert (first.facts["num_rows"], grown.facts["num_rows"]) == (4000, 6000)
    assert (first.facts["version"], grown.facts["version"], grown.facts["num_parts"]) == (0, 1, 6)
    assert grown.facts["trained"] == first.facts["trained"]
    assert {name: store.read(first.facts[name]) for name in before} == before
    assert build(pool.campaign, pool.ref, first_parts(pool.pieces, 4)).facts == first.facts
    assert latest(pool.campaign, "clusters").facts == grown.facts
    assert pool.campaign.records.find("index/clusters-0001").facts == grown.facts
    scratch = faiss.read_index(store.uri(first.facts["trained"]))
    scratch.add_with_ids(pool.vectors.astype(np.float32), pool.rows)
    scratch.nprobe = grown.facts["nprobe"]
    distances, rows = scratch.search(pool.vectors[::20].astype(np.float32), 10)
    assert np.array_equal(found_in(pool, grown)[1], rows)
    assert np.array_equal(found_in(pool, grown)[0], distances)
    assert grown.facts["recall_at_10"] >= 0.95


def test_an_exact_index_grows_and_is_outgrown(ray_session, pool_of):
    """500, then 1,000 items are compared one by one; with 6,000 there are cells, as if they had been there at first."""
    pool = pool_of(12)
    small = build(pool.campaign, pool.ref, first_parts(pool.pieces, 1))
    more = build(pool.campaign, pool.ref, first_parts(pool.pieces, 2))
    assert [record.facts["num_rows"] for record in (small, more)] == [500, 1000]
    assert [record.facts["factory"] for record in (small, more)] == ["SQfp16", "SQfp16"]
    exact = np.argsort(
        ((pool.vectors[:1000, None].astype(float) - pool.vectors[None, 20].astype(float)) ** 2).sum(2)[:, 0]
    )
    _, rows = search(open_index(pool.campaign, more), pool.vectors[20:21].astype(np.float32), size=5)
    assert rows[0].tolist() == pool.rows[exact[:5]].tolist()
    grown = build(pool.campaign, pool.ref, pool.pieces)
    assert (grown.facts["factory"], grown.facts["version"]) == ("IVF32,SQfp16", 2)
    whole = pool_of(1)
    assert np.array_equal(found_in(pool, grown)[1], found_in(whole, build(whole.campaign, whole.ref, whole.pieces))[1])


def test_an_index_of_other_embeddings(ray_session, pool_of):
    pool = pool_of(4)
    build(pool.campaign, pool.ref, first_parts(pool.pieces, 2))
    other = write_shards(pool.campaign, replace(pool.ref, digest="else"), vectors_of(seed=1), pool.rows, shards=4)
    with pytest.raises(StorageError, match=r"was built of other embeddings than those that are there; remove .*index"):
        build(pool.campaign, pool.ref, other)
    with pytest.raises(StorageError, match=r"was built of other embeddings"):
        build(pool.campaign, pool.ref, first_parts(pool.pieces, 1))


def test_in_an_object_store(ray_session, pool_of, small_runs, s3_prefix):
    pool, local = pool_of(4, root=s3_prefix), pool_of(4)
    record = build(pool.campaign, pool.ref, pool.pieces)
    expected = build(local.campaign, local.ref, local.pieces)
    assert np.array_equal(found_in(pool, record)[1], found_in(local, expected)[1])
    assert record.facts["recall_at_10"] == expected.facts["recall_at_10"]


def test_copies_filling_the_pool(ray_session, pool_of):
    """Any copy is as near as another: recall is not a question, and search finds distance 0."""
    pool = pool_of(3, vectors=np.repeat(vectors_of(num=1), 6000, axis=0))
    record = build(pool.campaign, pool.ref, pool.pieces)
    assert record.facts["recall_at_10"] == 1.0
    distances, rows = found_in(pool, record)
    assert (distances == 0).all() and (rows >= 0).all()
