import numpy as np
import pytest

from raylabel.sampling.diversity import farthest_first, k_center_greedy


def triple_loop(pool, covered, size, first=None):
    """Sener and Savarese, Algorithm 1, as plainly as it can be written; exact for whole numbers."""
    centers = [list(map(float, center)) for center in covered]
    picked = []
    while len(picked) < size:
        best, best_distance = None, -1.0
        for position, point in enumerate(pool):
            if position in picked:
                continue
            distance = min(
                (sum((float(a) - b) ** 2 for a, b in zip(point, center, strict=True)) for center in centers),
                default=np.inf,
            )
            if distance > best_distance:
                best, best_distance = position, distance
        if not centers:
            best = first
        picked.append(best)
        centers.append(list(map(float, pool[best])))
    return picked


def line(*places):
    return np.array(places, np.float32)[:, None]


NOTHING = np.zeros((0, 1), np.float32)


def test_picks_and_distances_by_hand():
    # Covered at 0: 10 is farthest (10), then 4 (4 from 0, 6 from 10), then 7 (3 from both its sides), then 1.
    picks = farthest_first(line(1, 4, 7, 10), covered=line(0), size=4, rng=np.random.default_rng(0))
    assert picks.positions.tolist() == [3, 1, 2, 0]
    assert picks.distances.tolist() == [10.0, 4.0, 3.0, 1.0]
    assert picks.positions.dtype == np.int64
    assert picks.distances.dtype == np.float32


@pytest.mark.parametrize("seed", range(8))
def test_matches_a_triple_loop_with_ties(seed):
    rng = np.random.default_rng(seed)
    # Few distinct whole numbers, so that distances are exact and ties are many.
    pool = rng.integers(0, 4, size=(40, 3)).astype(np.float32)
    covered = rng.integers(0, 4, size=(seed % 4, 3)).astype(np.float32)
    positions = k_center_greedy(pool, covered=covered, size=15, rng=np.random.default_rng(seed))
    first = int(np.random.default_rng(seed).integers(40))
    assert positions.tolist() == triple_loop(pool, covered, 15, first)


def test_ties_break_by_lowest_position():
    pool = line(5, -5, 5, -5, 0)
    positions = k_center_greedy(pool, covered=line(0), size=5, rng=np.random.default_rng(0))
    assert positions.tolist() == [0, 1, 2, 3, 4]


def test_equal_points_are_each_picked_once():
    pool = np.ones((5, 3), np.float32)
    positions = k_center_greedy(pool, covered=pool[:1], size=5, rng=np.random.default_rng(0))
    assert positions.tolist() == [0, 1, 2, 3, 4]


def test_first_pick_is_drawn_where_nothing_is_covered():
    pool = line(0, 1, 2, 3)
    firsts = {
        int(k_center_greedy(pool, covered=NOTHING, size=1, rng=np.random.default_rng(seed))[0]) for seed in range(40)
    }
    assert firsts == {0, 1, 2, 3}


def test_nothing_is_drawn_where_something_is_covered():
    rng = np.random.default_rng(0)
    before = rng.bit_generator.state
    k_center_greedy(line(0, 1, 2), covered=line(1), size=2, rng=rng)
    assert rng.bit_generator.state == before


def test_drawn_first_pick_carries_the_radius_it_leaves():
    picks = farthest_first(line(0, 1, 2, 9), covered=NOTHING, size=2, rng=np.random.default_rng(1))
    first = int(picks.positions[0])
    farthest = max(abs(place - (0, 1, 2, 9)[first]) for place in (0, 1, 2, 9))
    assert picks.distances.tolist() == [farthest, farthest]
    alone = farthest_first(line(7), covered=NOTHING, size=1, rng=np.random.default_rng(1))
    assert (alone.positions.tolist(), alone.distances.tolist()) == ([0], [0.0])


def test_same_seed_same_picks_and_layout_does_not_matter():
    pool = np.random.default_rng(2).standard_normal((200, 24)).astype(np.float32)
    nothing = pool[:0]
    one = k_center_greedy(pool, covered=nothing, size=30, rng=np.random.default_rng(9))
    two = k_center_greedy(np.asfortranarray(pool), covered=nothing, size=30, rng=np.random.default_rng(9))
    assert one.tolist() == two.tolist()
    assert len(set(one.tolist())) == 30


def test_radius_shrinks_and_beats_random():
    rng = np.random.default_rng(4)
    pool = rng.standard_normal((300, 4)).astype(np.float32)
    picks = farthest_first(pool, covered=pool[:0], size=20, rng=rng)
    assert (np.diff(picks.distances) <= 0).all()

    def radius(positions):
        return np.linalg.norm(pool[:, None] - pool[positions][None], axis=2).min(axis=1).max()

    random = [radius(rng.choice(300, 20, replace=False)) for _ in range(20)]
    assert radius(picks.positions) < min(random)


def test_errors():
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="size: 4 requested / 3 available"):
        k_center_greedy(line(0, 1, 2), covered=NOTHING, size=4, rng=rng)
    with pytest.raises(ValueError, match="size: 0 requested / 3 available"):
        k_center_greedy(line(0, 1, 2), covered=NOTHING, size=0, rng=rng)
    with pytest.raises(ValueError, match=r"covered: got shape \(0, 2\), expected \(M, 1\)"):
        k_center_greedy(line(0, 1, 2), covered=np.zeros((0, 2), np.float32), size=1, rng=rng)
    with pytest.raises(ValueError, match=r"pool: got nan at \[1, 0\], expected finite values"):
        k_center_greedy(line(0, np.nan), covered=NOTHING, size=1, rng=rng)
    with pytest.raises(ValueError, match="pool: got dtype float64, expected float32"):
        k_center_greedy(np.zeros((2, 1)), covered=NOTHING, size=1, rng=rng)
