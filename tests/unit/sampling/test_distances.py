import numpy as np
import pytest

from raylabel.sampling import distances
from raylabel.sampling.distances import Rows, condensed_distances, nearest_squared_distances, squared_distances


def test_squared_distances_by_hand():
    rows = np.array([[0, 0], [3, 4], [-1, 1], [1, 0]], np.float32)
    squared = squared_distances(np.array([1, 0], np.float32), rows)
    assert squared.dtype == np.float32
    assert squared.tolist() == [1.0, 20.0, 5.0, 0.0]


def test_rows_measure_one_point_after_another_into_one_array():
    rows = Rows(np.array([[0, 0], [3, 4]], np.float32))
    first = rows.from_point(np.array([0, 4], np.float32))
    assert first.tolist() == [16.0, 9.0]
    second = rows.from_point(rows.rows[1])
    assert second is first and first.tolist() == [25.0, 0.0]


@pytest.mark.parametrize("dimensions", [1, 2, 4, 7, 8, 12, 16, 33, 384])
def test_equal_rows_have_equal_distances_wherever_they_stand(dimensions):
    rng = np.random.default_rng(dimensions)
    rows = np.repeat(rng.standard_normal((1, dimensions)).astype(np.float32), 67, axis=0)
    point = rng.standard_normal(dimensions).astype(np.float32)
    squared = squared_distances(point, rows)
    assert len(np.unique(squared)) == 1
    np.testing.assert_allclose(squared[0], ((rows[0].astype(float) - point) ** 2).sum(), rtol=1e-5)
    assert not squared_distances(rows[0].copy(), rows).any()


def test_near_duplicates_far_from_the_origin_keep_their_distance():
    # |a|² + |b|² - 2ab in float32 is off by more than 1 here: the squares are 2**24 and more.
    point = np.full(16, 1024, np.float32)
    rows = point + np.array([[0.0], [0.125], [0.25]], np.float32)
    assert squared_distances(point, rows).tolist() == [0.0, 0.25, 1.0]


@pytest.mark.parametrize("block_bytes", [1, 40, 1 << 20])
def test_nearest_matches_a_triple_loop(monkeypatch, block_bytes):
    monkeypatch.setattr(distances, "BLOCK_BYTES", block_bytes)
    rng = np.random.default_rng(5)
    rows = rng.integers(-9, 10, size=(23, 5)).astype(np.float32)
    points = rng.integers(-9, 10, size=(6, 5)).astype(np.float32)
    expected = [min(sum((a - b) ** 2 for a, b in zip(row, point, strict=True)) for point in points) for row in rows]
    assert nearest_squared_distances(rows, points).tolist() == expected


def test_nearest_of_nothing_is_infinitely_far():
    nearest = nearest_squared_distances(np.zeros((2, 3), np.float32), np.zeros((0, 3), np.float32))
    assert nearest.tolist() == [np.inf, np.inf]


def test_condensed_distances_by_hand():
    rows = np.array([[0, 0], [3, 4], [0, 1], [6, 8]], np.float32)
    #           0-1   0-2        0-3   1-2           1-3  2-3
    squared = [25.0, 1.0, 100.0, 18.0, 25.0, 85.0]
    condensed = condensed_distances(rows)
    assert condensed.dtype == np.float64
    assert condensed.tolist() == np.sqrt(squared).tolist()


def test_strided_rows_are_refused_rather_than_misread():
    rows = np.zeros((4, 6), np.float32)
    with pytest.raises(AssertionError):
        squared_distances(np.zeros(3, np.float32), rows[:, ::2])
