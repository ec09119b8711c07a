import itertools

import faiss
import numpy as np
import pytest
from celled import clustered, index_of
from hypothesis import given
from hypothesis import strategies as st

from raylabel.sampling import random_priority
from raylabel.sampling.cells import cells_of, count_free, draw, holds, quotas


@pytest.fixture(scope="module")
def pool():
    vectors, centers = clustered()
    rows = np.random.default_rng(1).permutation(5000)[: len(vectors)].astype(np.int64)
    return vectors, rows, centers, index_of(vectors, rows, centers)


def plain_cells(vectors, rows, centers):
    """Rows of each cell by brute force."""
    nearest = ((vectors[:, None].astype(float) - centers[None]) ** 2).sum(axis=2).argmin(axis=1)
    return [np.sort(rows[nearest == cell]).tolist() for cell in range(len(centers))]


def test_cells_hold_their_rows_and_vectors(pool):
    vectors, rows, centers, index = pool
    cells, expected = cells_of(index), plain_cells(vectors, rows, centers)
    assert len(cells) == 12
    assert cells.sizes().tolist() == [len(some) for some in expected]
    where = {row: place for place, row in enumerate(rows.tolist())}
    for cell, some in enumerate(expected):
        assert cells.rows(cell).tolist() == some
        found, decoded = cells.vectors(cell)
        assert found.tolist() == some
        assert decoded.tolist() == vectors[[where[row] for row in some]].tolist()


def test_cells_of_a_mapped_file_and_behind_a_rotation(pool, tmp_path):
    vectors, rows, _, index = pool
    faiss.write_index(index, str(tmp_path / "index.faiss"))
    mapped = cells_of(faiss.read_index(str(tmp_path / "index.faiss"), faiss.IO_FLAG_MMAP_IFC))
    assert mapped.vectors(3)[1].tolist() == cells_of(index).vectors(3)[1].tolist()
    rotated = faiss.index_factory(8, "RR8,IVF4,SQfp16", faiss.METRIC_L2)
    rotated.train(vectors)
    rotated.add_with_ids(vectors, rows)
    where = {row: place for place, row in enumerate(rows.tolist())}
    found, decoded = cells_of(rotated).vectors(0)
    original = vectors[[where[row] for row in found.tolist()]]
    turned = np.linalg.norm(decoded[:, None] - decoded[None], axis=2)
    assert np.allclose(turned, np.linalg.norm(original[:, None] - original[None], axis=2), atol=0.05)


def test_a_flat_index_has_no_cells_and_a_map_of_ids_is_refused(pool):
    flat = faiss.index_factory(8, "IDMap2,SQfp16", faiss.METRIC_L2)
    assert cells_of(flat) is None
    with pytest.raises(ValueError, match="its ids lie in a map beside the cells, expected inverted lists"):
        cells_of(faiss.index_factory(8, "IDMap2,IVF4,SQfp16", faiss.METRIC_L2))


def test_quotas_by_hand():
    # One place each, and 4 of the 7 that are left: shares of 4 * (0, 1, 6) / 7 = 0, 0.57, 3.43.
    assert quotas(np.array([1, 2, 7]), 7).tolist() == [1, 2, 4]
    # Equal remainders go to the lower cell; an empty one gets nothing.
    assert quotas(np.array([5, 0, 5, 5]), 7).tolist() == [3, 0, 2, 2]
    assert quotas(np.array([3, 0, 2]), 10).tolist() == [3, 0, 2]
    # More cells than places: shares of 2 * (1, 4, 1, 3) / 9 = 0.22, 0.89, 0.22, 0.67.
    assert quotas(np.array([1, 4, 1, 3]), 2).tolist() == [0, 1, 0, 1]
    assert quotas(np.array([], np.int64), 3).tolist() == []


@given(sizes=st.lists(st.integers(0, 50), max_size=30), limit=st.integers(0, 200))
def test_quotas_fit(sizes, limit):
    sizes = np.array(sizes, np.int64)
    found = quotas(sizes, limit)
    assert found.sum() == min(limit, sizes.sum())
    assert (found <= sizes).all() and (found >= 0).all()
    if (sizes > 0).sum() <= limit:
        assert (found[sizes > 0] >= 1).all()
    # Larger cells never get less.
    order = np.argsort(sizes, kind="stable")
    assert all(found[a] <= found[b] for a, b in itertools.pairwise(order) if sizes[a] < sizes[b])


def test_quotas_refuse():
    with pytest.raises(ValueError, match="limit: got -1, expected at least 0"):
        quotas(np.array([2]), -1)
    with pytest.raises(ValueError, match="sizes: got -2, expected at least 0"):
        quotas(np.array([-2]), 1)


def test_draw_takes_the_highest_priority_of_what_is_free(pool):
    vectors, rows, centers, index = pool
    cells, barred = cells_of(index), np.sort(rows[::3])
    expected, free_of = [], []
    for some in plain_cells(vectors, rows, centers):
        free = np.array([row for row in some if row not in set(barred.tolist())], np.int64)
        order = np.argsort(-random_priority(free, seed=5, round_number=2))
        expected += free[order[:4]].tolist()
        free_of.append(len(free))
    assert count_free(cells, range(12), barred=barred).tolist() == free_of
    found = draw(cells, range(12), places=np.full(12, 4), barred=barred, seed=5, round_number=2)
    assert sorted(found.tolist()) == sorted(expected)
    assert len(found) == sum(min(count, 4) for count in free_of)
    assert draw(cells, range(0), places=np.empty(0, np.int64), barred=barred, seed=5, round_number=2).tolist() == []


def test_holds():
    assert holds(np.array([2, 5, 9]), np.array([1, 2, 9, 10, 5])).tolist() == [False, True, True, False, True]
    assert holds(np.array([], np.int64), np.array([1])).tolist() == [False]
