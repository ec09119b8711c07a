import itertools

import numpy as np
import pytest
from celled import clustered, index_of
from hypothesis import given, settings
from hypothesis import strategies as st

from raylabel.sampling import partitioned
from raylabel.sampling.cells import cells_of
from raylabel.sampling.distances import nearest_squared_distances
from raylabel.sampling.diversity import k_center_greedy
from raylabel.sampling.partitioned import FIRST, Search, centers, common_radius, num_centers

NONE = np.empty(0, np.int64)


def pool(seed=0, **sizes):
    vectors, centroids = clustered(seed, **sizes)
    rows = np.random.default_rng(seed + 1).permutation(3 * len(vectors))[: len(vectors)].astype(np.int64)
    return vectors, rows, centroids, cells_of(index_of(vectors, rows, centroids))


def squared(vectors, i, j):
    return ((vectors[i].astype(float) - vectors[j]) ** 2).sum()


def reference(vectors, rows, centroids, search, radius):
    """Greedy in every cell, in plain loops and float64; the best `limit` by distance, then row."""
    found = []
    cell_of = ((vectors[:, None].astype(float) - centroids[None]) ** 2).sum(axis=2).argmin(axis=1)
    for cell in range(len(centroids)):
        inside = sorted(np.flatnonzero(cell_of == cell).tolist(), key=lambda i: rows[i])
        near = [i for i in inside if rows[i] in search.covered]
        free = [i for i in inside if rows[i] not in search.barred]
        far = {
            i: min([((vectors[i].astype(float) - vectors[j]) ** 2).sum() for j in near], default=np.inf) for i in free
        }
        while far:
            if all(value == np.inf for value in far.values()):
                mean = vectors[free].mean(axis=0, dtype=float)
                pick, value = min(free, key=lambda i: ((vectors[i] - mean) ** 2).sum()), FIRST
            else:
                pick = max(far, key=lambda i: (far[i], -rows[i]))
                value = far[pick]
            if value <= radius:
                break
            del far[pick]
            for i in far:
                far[i] = min(far[i], squared(vectors, i, pick))
            found.append((-value, int(rows[pick])))
    return sorted(row for _, row in sorted(found)[: search.limit])


@pytest.mark.parametrize("limit", [30, 100, 400])
def test_same_centers_as_plain_loops(limit):
    vectors, rows, centroids, cells = pool(num=400)
    barred = np.sort(rows[:60])
    search = Search(limit, barred, barred[::2])
    radius = common_radius(cells, search)
    found = centers(cells, range(len(cells)), search, radius=radius)
    assert found.finish().tolist() == reference(vectors, rows, centroids, search, radius)
    assert not set(found.rows.tolist()) & set(barred.tolist())
    assert len(found.rows) == min(limit, 340)


@given(seed=st.integers(0, 50), cuts=st.lists(st.integers(0, 12), max_size=4), limit=st.sampled_from([8, 60, 300]))
@settings(max_examples=25, deadline=None)
def test_no_split_of_the_cells_and_no_order_changes_a_thing(seed, cuts, limit):
    vectors, rows, centroids, cells = pool(seed, num=300)
    rng = np.random.default_rng(seed)
    search = Search(limit, np.sort(rows[:20]), np.sort(rows[:10]))
    radius = common_radius(cells, search)
    whole = centers(cells, range(12), search, radius=radius)
    # The same pool, added in another order: its lists are other ones.
    other = rng.permutation(len(rows))
    again = cells_of(index_of(vectors[other], rows[other], centroids))
    assert common_radius(again, search) == radius
    edges = [0, *sorted(cuts), 12]
    parts = [centers(again, range(a, b), search, radius=radius) for a, b in itertools.pairwise(edges)]
    while len(parts) > 1:
        one, two = (parts.pop(int(rng.integers(len(parts)))) for _ in range(2))
        parts.append(one.merge(two))
    assert parts[0].rows.tolist() == whole.rows.tolist()
    assert parts[0].priority.tolist() == whole.priority.tolist()


def test_every_row_is_within_the_radius_of_a_center():
    vectors, rows, _, cells = pool(num=2000, dim=16)
    search = Search(500, NONE, NONE)
    found = centers(cells, range(12), search, radius=common_radius(cells, search))
    assert len(found.rows) == 500
    where = {row: place for place, row in enumerate(rows.tolist())}
    picked = vectors[[where[row] for row in found.rows.tolist()]]
    left = nearest_squared_distances(vectors, np.ascontiguousarray(picked))
    # What the next center would have had is no more than the last one's priority.
    assert left.max() <= found.priority[-1]
    # Eleven cells hold something: each keeps its first center.
    assert (found.priority == FIRST).sum() == 11


def test_a_radius_that_leaves_about_as_many_as_wanted():
    _, _, _, cells = pool(num=2000, dim=16)
    for limit in (100, 500, 1000):
        radius = common_radius(cells, Search(limit, NONE, NONE))
        count = len(centers(cells, range(12), Search(2000, NONE, NONE), radius=radius).rows)
        # All cells are sampled here: 1.2 times as many, and the first center of each.
        assert 1.2 * limit <= count <= 1.2 * limit + 15
    assert common_radius(cells, Search(1900, NONE, NONE)) == -1.0


def test_nearly_as_good_as_exact_greedy():
    vectors, rows, _, cells = pool(num=4000, dim=16)
    search = Search(num_centers(100, num_cells=12, most=50_000), NONE, NONE)
    union = centers(cells, range(12), search, radius=common_radius(cells, search)).finish()
    where = {row: place for place, row in enumerate(rows.tolist())}
    among = vectors[[where[row] for row in union.tolist()]]
    nothing = np.empty((0, 16), np.float32)
    exact = vectors[k_center_greedy(vectors, covered=nothing, size=100, rng=np.random.default_rng(0))]
    ours = among[k_center_greedy(among, covered=nothing, size=100, rng=np.random.default_rng(0))]
    radii = [np.sqrt(nearest_squared_distances(vectors, picks).max()) for picks in (ours, exact)]
    assert len(union) == 1500
    assert radii[0] <= 1.08 * radii[1]


def test_copies_fill_a_cell():
    """All rows are one point: its cell still gives each of them, the lowest rows first."""
    centroids = np.array([[0, 0], [9, 9]], np.float32)
    cells = cells_of(index_of(np.zeros((20, 2), np.float32), np.arange(20, dtype=np.int64)[::-1].copy(), centroids))
    found = centers(cells, range(2), Search(5, NONE, NONE), radius=-1.0)
    assert found.rows.tolist() == [0, 1, 2, 3, 4]
    assert found.priority.tolist() == [FIRST, 0, 0, 0, 0]
    assert len(centers(cells, range(2), Search(5, NONE, NONE), radius=0.0).rows) == 1


def test_more_cells_than_centers_keeps_the_widest():
    # Cells of two points each, 2, 4 and 6 apart: the first center, the lower row of equals, leaves that distance.
    centroids = np.array([[0, 0], [100, 0], [200, 0]], np.float32)
    vectors = np.array([[-1, 0], [1, 0], [98, 0], [102, 0], [197, 0], [203, 0]], np.float32)
    cells = cells_of(index_of(vectors, np.arange(6, dtype=np.int64), centroids))
    found = centers(cells, range(3), Search(2, NONE, NONE), radius=20.0)
    assert found.rows.tolist() == [4, 5]
    assert found.priority.tolist() == [36, 36]


def test_everything_barred_and_nothing_sampled():
    _, rows, _, cells = pool(num=100)
    search = Search(10, np.sort(rows), np.sort(rows))
    assert common_radius(cells, search) == -1.0
    assert centers(cells, range(12), search, radius=-1.0).finish().tolist() == []


def test_how_many_centers():
    assert num_centers(100, num_cells=1000, most=50_000) == 4000
    assert num_centers(2000, num_cells=1000, most=50_000) == 30_000
    assert num_centers(10_000, num_cells=1000, most=50_000) == 50_000


def test_a_bounded_sample_of_cells(monkeypatch):
    """Not every cell is looked at, and which ones does not depend on the order of anything."""
    monkeypatch.setattr(partitioned, "SAMPLE_ROWS", 50)
    _, _, _, cells = pool(num=2000)
    looked = []
    read = type(cells).vectors
    monkeypatch.setattr(type(cells), "vectors", lambda self, cell: looked.append(cell) or read(self, cell))
    assert common_radius(cells, Search(200, NONE, NONE)) > 0
    assert 1 <= len(looked) < 11
