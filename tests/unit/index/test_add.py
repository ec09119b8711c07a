import faiss
import numpy as np
import pytest

from raylabel.campaign import Pieces, priority_of
from raylabel.index.add import Add, Adder, is_query, name_of_run, runs
from raylabel.index.files import read_whole
from raylabel.index.plan import plan_index
from raylabel.index.train import Train
from raylabel.workspace import Part, read_part

DIM = 8
VECTORS = np.random.default_rng(0).standard_normal((2_000, DIM)).astype(np.float16).astype(np.float32)


def parts_of(*rows):
    parts = tuple(Part(f"p{i}", count, "") for i, count in enumerate(rows))
    return Pieces(parts, tuple((i, i) for i in range(len(rows))))


@pytest.mark.parametrize(
    ("counts", "first", "expected"),
    [
        ((4, 4, 4, 4, 4), 0, [["p0", "p1", "p2"], ["p3", "p4"]]),
        ((10, 1, 30, 2), 0, [["p0"], ["p1", "p2"], ["p3"]]),
        ((4, 4, 4, 4, 4), 3, [["p3", "p4"]]),
        ((4, 4), 2, []),
    ],
)
def test_runs(counts, first, expected):
    found = list(runs(parts_of(*counts), first=first, rows=10))
    assert [[part.name for part in run.parts] for run in found] == expected
    assert [run.number for run in found] == list(range(len(expected)))
    assert [span for run in found for span in run.spans] == [(i, i) for i in range(first, len(counts))]


@pytest.mark.parametrize("factory", ["IVF16,SQfp16", "IVF16_HNSW32,SQ8", "OPQ4_8,IVF16,PQ4x4", "IVF16,Flat"])
def test_adding_is_what_faiss_does(factory):
    """Cell by cell, the same ids and the same codes in the same order as by the index's own method."""
    plain = faiss.index_factory(DIM, factory)
    plain.train(VECTORS)
    ours = faiss.clone_index(plain)
    rows = np.arange(2_000, dtype=np.int64) * 3
    plain.add_with_ids(VECTORS, rows)
    adder = Adder(ours)
    for some in np.array_split(np.arange(2_000), 3):
        adder.add(VECTORS[some], rows[some])
    lists = [faiss.extract_index_ivf(index).invlists for index in (plain, ours)]
    for cell in range(16):
        ids = [faiss.rev_swig_ptr(found.get_ids(cell), found.list_size(cell)).tolist() for found in lists]
        assert ids[0] == ids[1]
        codes = [
            faiss.rev_swig_ptr(found.get_codes(cell), found.list_size(cell) * found.code_size).tolist()
            for found in lists
        ]
        assert codes[0] == codes[1]


def test_queries_are_few_and_not_among_what_is_trained_on(tiny):
    rows = np.arange(100_000)
    chosen = is_query(tiny.campaign, rows, num_rows=100_000)
    assert 400 < chosen.sum() < 600
    assert priority_of(tiny.campaign, rows)[chosen].max() < 0.005
    fewer = is_query(tiny.campaign, rows, num_rows=200_000)
    assert not (fewer & ~chosen).any() and 200 < fewer.sum() < 300


def test_a_run_is_committed_once(pool_of):
    pool = pool_of(4)
    facts = Train(pool.campaign, pool.ref, plan_index(6000, 16, memory_bytes=10**9), 6000, 11_998)().facts
    add = Add(pool.campaign, pool.ref, (facts["trained"], facts["trained_sha256"]), 0, 6000)
    first, second = runs(pool.pieces, rows=3_000)
    assert (add(first), add(second)) == (3000, 3000)
    record = pool.campaign.records.find(name_of_run("clusters", 0, pool.pieces.num_rows, 1))
    path = pool.campaign.store.uri(record.facts["lists"])
    lists = faiss.read_InvertedLists(faiss.FileIOReader(path))
    ids = [faiss.rev_swig_ptr(lists.get_ids(cell), lists.list_size(cell)).copy() for cell in range(32)]
    assert sorted(np.concatenate(ids).tolist()) == pool.rows[3000:].tolist()
    index = read_whole(pool.campaign.store, facts["trained"], facts["trained_sha256"])
    nearest = index.quantizer.search(pool.vectors[3000:].astype(np.float32), 1)[1][:, 0]
    assert all((nearest[ids[cell] // 2 - 3000] == cell).all() for cell in range(32))
    [queries] = record.parts["queries"]
    asked = read_part(pool.campaign.store, queries).column("row").to_pylist()
    assert asked == pool.rows[3000:][is_query(pool.campaign, pool.rows[3000:], num_rows=6000)].tolist()
    assert add(second) == 3000
    assert pool.campaign.records.find(name_of_run("clusters", 0, pool.pieces.num_rows, 1)).facts == record.facts
