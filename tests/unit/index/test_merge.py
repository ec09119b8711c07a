import faiss
import numpy as np
import pytest

from raylabel.errors import RaylabelError, StorageError
from raylabel.index.add import Add, is_query, name_of_run, runs
from raylabel.index.merge import AddExact, Merge
from raylabel.index.plan import plan_index
from raylabel.index.train import Train
from raylabel.workspace import read_part
from raylabel.workspace.indexes import open_index


@pytest.fixture
def added(pool_of):
    """A pool of four shards with two runs added; what it takes to merge them, and the facts of the trained index."""
    pool = pool_of(4)
    facts = Train(pool.campaign, pool.ref, plan_index(6000, 16, memory_bytes=10**9), 6000, 11_998)().facts
    trained = (facts["trained"], facts["trained_sha256"])
    add = Add(pool.campaign, pool.ref, trained, 0, 6000)
    for run in runs(pool.pieces, rows=3_000):
        add(run)
    return pool, trained, Merge(pool.campaign, pool.ref, trained, 0, 2, 6000, None)


def test_merged_lists_are_those_of_one_index(added):
    """List by list the rows and codes of a plain FAISS index to which everything was added in row order."""
    pool, trained, merge = added
    record = merge()
    facts = {**record.facts, "dim": 16, "nprobe": 4, "backbone": "clusters", "factory": "IVF32,SQfp16"}
    merged = open_index(pool.campaign.store, facts)
    plain = faiss.read_index(pool.campaign.store.uri(trained[0]))
    plain.add_with_ids(pool.vectors.astype(np.float32), pool.rows)
    assert isinstance(faiss.downcast_InvertedLists(merged.invlists), faiss.OnDiskInvertedLists)
    for cell in range(32):
        for_one, for_two = (
            [
                faiss.rev_swig_ptr(found.get_ids(cell), found.list_size(cell)).tolist(),
                faiss.rev_swig_ptr(found.get_codes(cell), found.list_size(cell) * 32).tolist(),
            ]
            for found in (plain.invlists, merged.invlists)
        )
        assert for_one == for_two
    [queries] = record.parts["queries"]
    asked = read_part(pool.campaign.store, queries).column("row").to_pylist()
    assert asked == pool.rows[is_query(pool.campaign, pool.rows, num_rows=6000)].tolist()


def test_lists_that_were_changed_or_lost(added):
    pool, _, merge = added
    store = pool.campaign.store
    name = pool.campaign.records.find(name_of_run("clusters", 0, pool.pieces.num_rows, 1)).facts["lists"]
    data = store.read(name)
    store.write(name, data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(StorageError, match=rf"{name}: its sha256 is"):
        merge()
    assert not [file for file in store.list("index/clusters") if file.startswith("part")], "nothing half is left"
    store.remove(f"{name_of_run('clusters', 0, pool.pieces.num_rows, 1)}.json")
    with pytest.raises(RaylabelError, match=r"add-0000-\d+-000001 are gone; run again"):
        merge()


def test_an_exact_index_grows(tiny):
    """Its ids are rows, its vectors those that are stored, bit by bit."""
    [first] = runs(type(tiny.pieces)(tiny.pieces.parts[:1], tiny.pieces.spans[:1]))
    [rest] = runs(tiny.pieces, first=1)
    small = AddExact(tiny.campaign, tiny.ref, "SQfp16", None)(first)
    assert small.facts["num_rows"] == 24
    grown = AddExact(tiny.campaign, tiny.ref, "SQfp16", small)(rest)
    assert grown.facts["index"] != small.facts["index"]
    facts = {**grown.facts, "dim": 64, "nprobe": 0, "backbone": "tiny"}
    index = open_index(tiny.campaign.store, facts)
    assert sorted(faiss.vector_to_array(index.id_map).tolist()) == tiny.rows.tolist()
    for row in (0, 24, 25, 59):
        assert np.array_equal(index.reconstruct(row), tiny.embeddings[row].astype(np.float32))
