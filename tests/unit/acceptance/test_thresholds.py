import numpy as np
import pytest

from raylabel.acceptance import ConfidenceHistogram, smallest_audit
from raylabel.acceptance.histogram import EDGES, count_bins
from raylabel.acceptance.thresholds import NUM_STEPS, pool_positions, ranked_thresholds, start_size

FIVE = {"max_error": 0.05, "alpha": 0.05}


def spread(num):
    return (np.arange(num) / num).astype(np.float32)


def positions_of(confidence, audited, answered=None, *, promise="auto", num_steps=NUM_STEPS):
    """The pool and the positions, for masks of the audited and of those answered beside them."""
    human = audited if answered is None else audited | answered
    pool = ConfidenceHistogram.of(confidence, human=human)
    return pool, pool_positions(pool, count_bins(confidence[audited]), **FIVE, promise=promise, num_steps=num_steps)


def every(step, num):
    return np.arange(num) % step == 0


def test_start_size_by_hand():
    clean = np.array([59.0])
    # 0.85 * sqrt(59 * 1000) and 0.85 * sqrt(59 * 5000).
    assert start_size(1000, clean) == pytest.approx(206.5, abs=0.1)
    assert start_size(5000, clean) == pytest.approx(461.7, abs=0.1)
    # The floor: 59 + 1.5 * sqrt(59 * 0.41) of 100.
    assert start_size(100, clean) == pytest.approx(66.4, abs=0.1)
    assert start_size(59, clean) == 59
    assert start_size(10, clean) == 10


@pytest.mark.parametrize(("promise", "start"), [("auto", 0.2065), ("whole", 0.1)])
def test_pool_thresholds_fall_in_equal_steps_to_the_whole_pool(promise, start):
    pool, positions = positions_of(spread(100_000), every(100, 100_000), promise=promise, num_steps=40)
    passing = pool.num_passing()[positions] / 100_000
    assert positions.dtype == np.int64
    assert (np.diff(EDGES[positions]) < 0).all()
    assert passing[-1] == 1
    assert len(positions) == 40
    # A bin in the middle holds 24 / 4095 / 4 of this pool; 59.9 rather than 59 clean ones for a normal pool.
    assert passing == pytest.approx(np.linspace(start, 1, 40), abs=0.006)


def test_a_pool_threshold_is_the_highest_that_enough_items_pass():
    # Two confidences, two thresholds, however many steps.
    confidence = np.repeat(np.array([0.9, 0.3], np.float32), [30_000, 70_000])
    pool, positions = positions_of(confidence, every(100, 100_000))
    assert pool.num_passing()[positions].tolist() == [30_000, 100_000]
    assert (EDGES[positions] <= np.array([0.9, 0.3], np.float32)).all()
    assert (EDGES[positions + 1] > np.array([0.9, 0.3], np.float32)).all()


def test_pool_thresholds_do_not_depend_on_where_the_audit_lies():
    confidence = spread(20_000)
    low, high = confidence < 0.05, confidence >= 0.95
    assert low.sum() == high.sum() == 1000
    answered = (confidence > 0.4) & (confidence < 0.6)
    expected = positions_of(confidence, low, answered)[1]
    assert (positions_of(confidence, high, answered)[1] == expected).all()
    assert len(expected) > 50


def test_a_largely_audited_pool_starts_lower():
    # Half is audited. Where 559 pass, 13 of 279 auto-labels may be wrong, and none wrong among m proves that from
    # (1 - m / 559) ** 14 <= 0.05 on, m = 108. In an endless pool 59 do.
    pool, positions = positions_of(spread(2000), every(2, 2000))
    first = pool.num_passing()[positions[0]]
    assert first / 2 == pytest.approx(0.85 * (108 * 1000) ** 0.5, rel=0.02)
    assert first / 2 > 1.3 * start_size(1000, np.array([59.0]))


def test_where_people_answered_nearly_all_above_the_sequence_starts_below():
    confidence = spread(20_000)
    audited = every(20, 20_000)
    answered = (confidence >= 0.7) & ~audited
    pool, positions = positions_of(confidence, audited, answered)
    auto = pool.num_passing()[positions[0]] - 6000
    # None wrong in m proves 5 % of the auto-labels only once there are enough of those, far below 0.7.
    assert 1000 < auto < 6000
    free = positions_of(confidence, audited)[1]
    assert EDGES[positions[0]] < 0.6 < EDGES[free[0]]


def test_an_audit_that_cannot_prove_it_is_tested_on_the_whole_pool():
    pool, positions = positions_of(spread(1000), every(25, 1000))
    assert pool.num_passing()[positions].tolist() == [1000]


def test_ranked_thresholds_lie_just_above_an_item():
    confidence = np.random.default_rng(0).permutation(np.arange(1000) / 1000).astype(np.float32)
    thresholds = ranked_thresholds(confidence, **FIVE, promise="auto")
    passing = (confidence >= thresholds[:, np.newaxis]).sum(axis=1)
    assert thresholds.dtype == np.float64
    assert len(thresholds) == NUM_STEPS
    assert (np.diff(thresholds) < 0).all()
    clean = smallest_audit(**FIVE)
    assert passing[0] == np.ceil(0.85 * (clean * 1000) ** 0.5)
    assert (np.diff(passing) >= 7).all() and (np.diff(passing) <= 9).all()
    assert passing[-1] == 1000 and thresholds[-1] == 0
    # Every other threshold is the next float32 above an audited confidence, which does not pass.
    below = np.nextafter(thresholds[:-1].astype(np.float32), np.float32(0))
    assert np.isin(below, confidence).all()


def test_ranked_thresholds_take_in_all_items_of_a_confidence():
    confidence = np.array([1.0] * 600 + [0.5] * 300 + [0.1] * 100, np.float32)
    thresholds = ranked_thresholds(confidence, **FIVE, promise="auto")
    above = [float(np.nextafter(np.float32(value), np.float32(1))) for value in (0.5, 0.1)]
    assert thresholds.tolist() == [*above, 0.0]
    assert (confidence >= thresholds[:, np.newaxis]).sum(axis=1).tolist() == [600, 900, 1000]
    assert ranked_thresholds(np.full(200, 0.75, np.float32), **FIVE, promise="auto").tolist() == [0.0]


def test_ranked_thresholds_of_one_item_and_of_float64():
    assert ranked_thresholds(np.array([0.7], np.float32), **FIVE, promise="auto").tolist() == [0.0]
    confidence = np.linspace(0.1, 0.9, 200)
    thresholds = ranked_thresholds(confidence, **FIVE, promise="auto")
    assert np.isin(np.nextafter(thresholds[:-1], 0), confidence).all()
    assert len(thresholds) > 50
