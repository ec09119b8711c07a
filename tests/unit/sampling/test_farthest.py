import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skactiveml.pool import CoreSet

from raylabel.sampling import farthest
from raylabel.sampling.distances import nearest_squared_distances
from raylabel.sampling.diversity import farthest_first
from raylabel.sampling.farthest import approach, farthest_first_by_blocks, squared_lengths

NOTHING = np.empty((0, 17), np.float32)


def blobs(seed, num, dim=17):
    rng = np.random.default_rng(seed)
    centers = rng.normal(scale=4, size=(9, dim))
    return (centers[rng.integers(9, size=num)] + rng.normal(size=(num, dim))).astype(np.float32)


def both(pool, covered, size, seed=0):
    return [
        find(pool, covered=covered, size=size, rng=np.random.default_rng(seed))
        for find in (farthest_first, farthest_first_by_blocks)
    ]


def test_the_picks_of_scikit_activeml():
    """Its CoreSet, begun from the same labeled items."""
    pool, covered = blobs(3, 400), blobs(4, 5)
    labels = np.concatenate([np.full(400, np.nan), np.zeros(5)])
    theirs = CoreSet(random_state=0).query(np.concatenate([pool, covered]), labels, batch_size=60)
    for picks in both(pool, covered, 60):
        assert picks.positions.tolist() == theirs.tolist()


@pytest.mark.parametrize(("num", "num_covered", "size"), [(1, 0, 1), (700, 0, 700), (3000, 0, 500), (3000, 1100, 300)])
def test_picks_and_distances_are_those_of_the_plain_greedy(num, num_covered, size):
    plain, blocked = both(blobs(1, num), blobs(2, num_covered) if num_covered else NOTHING, size)
    assert blocked.positions.tolist() == plain.positions.tolist()
    assert blocked.distances.tolist() == plain.distances.tolist()


@given(seed=st.integers(0, 9999), num=st.integers(1, 60), covered=st.integers(0, 5), copies=st.booleans())
@settings(max_examples=60, deadline=None)
def test_ties_and_copies_break_by_lowest_position(seed, num, covered, copies):
    """Small whole numbers: most distances tie, and their squares are exact."""
    rng = np.random.default_rng(seed)
    pool = rng.integers(0, 2 if copies else 5, size=(num, 3)).astype(np.float32)
    known = rng.integers(0, 5, size=(covered, 3)).astype(np.float32)
    windows, farthest.WINDOWS = farthest.WINDOWS, (2, 8)
    try:
        plain, blocked = both(pool, known, int(rng.integers(1, num + 1)), seed)
    finally:
        farthest.WINDOWS = windows
    assert blocked.positions.tolist() == plain.positions.tolist()
    assert blocked.distances.tolist() == plain.distances.tolist()


def test_near_copies_far_from_the_origin():
    """What a product of float32 cannot tell apart: differences of 1e-3 at a length of 1e3."""
    rng = np.random.default_rng(0)
    pool = (1000 / np.sqrt(17) + 1e-3 * rng.normal(size=(400, 17))).astype(np.float32)
    plain, blocked = both(pool, NOTHING, 200)
    assert blocked.positions.tolist() == plain.positions.tolist()
    assert blocked.distances.tolist() == plain.distances.tolist()


def test_approach_by_hand():
    rows = np.array([[0, 0], [3, 4], [10, 0]], np.float32)
    nearest = np.array([np.inf, 4, np.inf], np.float32)
    approach(nearest, rows, np.array([[0, 1], [9, 0]], np.float32), lengths=squared_lengths(rows))
    assert nearest.tolist() == [1, 4, 1]
    approach(nearest, rows, np.empty((0, 2), np.float32), lengths=squared_lengths(rows))
    assert nearest.tolist() == [1, 4, 1]


def test_approach_is_the_nearest_of_all():
    rows, points = blobs(3, 2000), blobs(4, 1300)
    nearest = np.full(2000, np.inf, np.float32)
    approach(nearest, rows, points, lengths=squared_lengths(rows))
    assert nearest.tolist() == nearest_squared_distances(rows, points).tolist()


SCRIPT = """
import hashlib, numpy as np
from raylabel.sampling.farthest import farthest_first_by_blocks
pool = np.random.default_rng(0).normal(size=(4000, 48)).astype(np.float32)
picks = farthest_first_by_blocks(pool, covered=pool[:7], size=900, rng=np.random.default_rng(0))
print(hashlib.sha256(picks.positions.tobytes() + picks.distances.tobytes()).hexdigest())
"""


def test_any_number_of_threads_gives_the_same_bytes(monkeypatch):
    found = []
    for threads in ("1", "2", "5"):
        for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
            monkeypatch.setenv(name, threads)
        found.append(subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, check=True).stdout)
    assert len(found[0]) == 65
    assert found[0] == found[1] == found[2]


def test_errors():
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="size: 6 requested / 5 available"):
        farthest_first_by_blocks(blobs(0, 5), covered=NOTHING, size=6, rng=rng)
    with pytest.raises(ValueError, match=r"covered: got shape \(0, 3\), expected \(M, 17\)"):
        farthest_first_by_blocks(blobs(0, 5), covered=np.empty((0, 3), np.float32), size=1, rng=rng)
    with pytest.raises(ValueError, match="pool: got nan"):
        farthest_first_by_blocks(blobs(0, 5) * np.float32(np.nan), covered=NOTHING, size=1, rng=rng)
