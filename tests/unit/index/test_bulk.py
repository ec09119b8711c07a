import faiss
import numpy as np
import pytest

from raylabel.index import neighbours, search


def index_of(factory, vectors, rows):
    index = faiss.index_factory(vectors.shape[1], factory)
    index.train(vectors)
    index.add_with_ids(vectors, rows)
    if "IVF" in factory:
        faiss.extract_index_ivf(index).nprobe = 6
    return index


@pytest.mark.parametrize("factory", ["IDMap2,SQfp16", "IVF32,SQfp16", "IVF32,SQ8", "OPQ4_16,IVF32_HNSW32,PQ4"])
def test_many_at_once_are_plain_search(pool_of, factory):
    """Up to ties: what is found at each rank lies as near."""
    pool = pool_of(1)
    vectors = pool.vectors.astype(np.float32)
    index = index_of(factory, vectors, pool.rows)
    distances, rows = neighbours(index, vectors[::3], size=10)
    plain, plain_rows = search(index, vectors[::3], size=10)
    assert rows.shape == plain_rows.shape and rows.dtype == np.int64
    assert np.allclose(distances, plain, atol=2e-3)
    clear = np.abs(np.diff(plain, axis=1, prepend=-1.0)) > 1e-2
    clear &= np.abs(np.diff(plain, axis=1, append=1e9)) > 1e-2
    assert clear.mean() > 0.3
    assert (rows == plain_rows)[clear].all()


@pytest.mark.parametrize("factory", ["IDMap2,SQfp16", "IVF4,SQfp16"])
def test_more_neighbours_than_items(factory):
    vectors = np.random.default_rng(0).normal(size=(40, 8)).astype(np.float32)
    index = index_of(factory, vectors, np.arange(40) * 3)
    _, rows = neighbours(index, vectors[:25], size=50)
    assert all(sorted(found[:40].tolist()) == list(range(0, 120, 3)) for found in rows)
    assert (rows[:, 40:] == -1).all()


def test_an_exact_index_of_several_blocks(monkeypatch):
    monkeypatch.setattr("raylabel.index.bulk._BLOCK", 7)
    vectors = np.random.default_rng(0).normal(size=(40, 8)).astype(np.float16).astype(np.float32)
    _, rows = neighbours(index_of("IDMap2,SQfp16", vectors, np.arange(40) * 3), vectors, size=9)
    exact = ((vectors[:, None].astype(np.float64) - vectors[None]) ** 2).sum(axis=2)
    assert rows.tolist() == (np.argsort(exact, axis=1)[:, :9] * 3).tolist()


def test_queries_that_cannot_be_asked():
    vectors = np.eye(8, dtype=np.float32)
    index = index_of("IDMap2,SQfp16", vectors, np.arange(8))
    with pytest.raises(ValueError, match=r"queries: 8 of 8 hold NaN or infinity"):
        neighbours(index, vectors * np.nan, size=2)
    with pytest.raises(ValueError, match=r"expected \(Q, 8\)"):
        neighbours(index, vectors[:, :4], size=2)
