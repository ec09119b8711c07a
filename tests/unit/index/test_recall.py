import numpy as np
import pyarrow as pa
import pytest

from raylabel import schema
from raylabel.index import build
from raylabel.index.add import runs
from raylabel.index.recall import FindNearest, Measure, Nearest, exact, recall_of
from raylabel.workspace import write_part


def nearest(distances, rows):
    return Nearest(np.array(distances, dtype=np.float32), np.array(rows, dtype=np.int64))


def test_merging_keeps_the_nearest_and_the_lowest_of_equal_ones():
    a = nearest([[1, 3], [2, np.inf]], [[10, 30], [7, -1]])
    b = nearest([[2, 3], [0, 2]], [[20, 5], [9, 3]])
    merged = a.merge(b)
    assert merged.rows.tolist() == [[10, 20], [9, 3]]
    assert merged.distances.tolist() == [[1, 2], [0, 2]]
    assert b.merge(a).rows.tolist() == merged.rows.tolist()
    c = nearest([[3, 3], [9, 9]], [[4, 6], [1, 2]])
    assert a.merge(c).merge(b).rows.tolist() == a.merge(b.merge(c)).rows.tolist()


def test_recall_by_hand():
    """Five of six are found; a query with copies alone says nothing, and neighbours that do not exist are no loss."""
    truth = nearest([[1, 2, 3], [1, 1, 1], [0, 0, 0]], [[1, 2, 3], [4, 5, 6], [7, 8, 9]])
    found = np.array([[3, 2, 1], [9, 4, 6], [70, 80, 90]])
    assert recall_of(found, truth) == pytest.approx(5 / 6)
    few = nearest([[1, 2, np.inf]], [[1, 2, -1]])
    assert recall_of(np.array([[2, -1, -1]]), few) == 0.5
    assert recall_of(np.array([[70, 80, 90]]), nearest([[0, 0, 0]], [[7, 8, 9]])) == 1.0


def queries_of(pool, positions):
    data = pa.py_buffer(np.ascontiguousarray(pool.vectors[positions]))
    packed = pa.FixedSizeBinaryArray.from_buffers(pa.binary(2 * pool.ref.dim), len(positions), [None, data])
    arrays = [pa.array(pool.rows[positions]), pa.array(["x"] * len(positions)), packed]
    columns = schema.embeddings(dim=pool.ref.dim, backbone="clusters")
    return write_part(pool.campaign.store, "queries", pa.Table.from_arrays(arrays, schema=columns))


def test_exact_neighbours_over_parts_are_brute_force_without_the_item_itself(ray_session, pool_of):
    pool = pool_of(5)
    positions = np.arange(7, 6000, 300)
    part = queries_of(pool, positions)
    rows, distances = pool.exact(pool.vectors[positions], 11)
    assert (rows[:, 0] == pool.rows[positions]).all()
    for size in (1_000, 2_500, 100_000):
        found = exact(pool.campaign, part, runs(pool.pieces, rows=size))
        assert found.rows.tolist() == rows[:, 1:].tolist()
        assert np.allclose(found.distances, distances[:, 1:], atol=1e-3)


def test_a_part_smaller_than_what_is_asked_for(pool_of):
    pool = pool_of(3, vectors=np.eye(9, 16, dtype=np.float16))
    part = queries_of(pool, np.array([0, 8]))
    [run] = runs(type(pool.pieces)(pool.pieces.parts[:1], pool.pieces.spans[:1]))
    found = FindNearest(pool.campaign, part)(run)
    assert found.rows.tolist() == [[2, 4] + [-1] * 8, [0, 2, 4] + [-1] * 7]
    assert found.distances[:, :2].tolist() == [[2, 2], [2, 2]]


def test_probes_are_raised_until_recall_is_reached(ray_session, pool_of):
    pool = pool_of(2, vectors=np.random.default_rng(0).normal(size=(6000, 16)).astype(np.float16))
    record = build(pool.campaign, pool.ref, pool.pieces)
    [queries] = record.parts["queries"]
    truth = exact(pool.campaign, queries, runs(pool.pieces))
    recalls = {}
    for probes in (1, 2, 4, 8, 16, 32):
        measure = Measure(pool.campaign, {**record.facts, "nprobe": probes}, queries, truth)
        recalls[probes] = measure()
    enough = next(found for probes, found in recalls.items() if found[0] == probes and found[1] >= 0.95)
    assert recalls[1] == enough and enough[0] > 1
    assert recalls[32] == (32, 1.0), "all cells: exact, as the vectors are"
