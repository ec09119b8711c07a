import numpy as np
import pytest

from raylabel.acceptance import ConfidenceHistogram, smallest_audit
from raylabel.acceptance.histogram import EDGES
from raylabel.acceptance.thresholds import NUM_STEPS, pool_positions, ranked_thresholds, start_coverage

FIVE = {"max_error": 0.05, "alpha": 0.05}


def pool_of(confidence, num_human=0):
    return ConfidenceHistogram.of(confidence, human=np.arange(len(confidence)) < num_human)


def spread_pool(num=20_000, num_human=0):
    return pool_of((np.arange(num) / num).astype(np.float32), num_human)


def test_start_coverage_by_hand():
    start = {"num_clean": 59, "max_error": 0.05, "promise": "auto"}
    # 0.85 * sqrt(59 * 1000) = 206.5 expected items; 0.85 * sqrt(59 * 5000) = 461.7.
    assert start_coverage(1000, **start) == pytest.approx(0.2065, abs=1e-4)
    assert start_coverage(5000, **start) == pytest.approx(0.09233, abs=1e-5)
    # The floor: 59 + 1.5 * sqrt(59 * 0.41) = 66.4 of 100.
    assert start_coverage(100, **start) == pytest.approx(0.6638, abs=1e-4)
    assert start_coverage(59, **start) == 1.0
    assert start_coverage(10, **start) == 1.0
    assert start_coverage(10, num_clean=59, max_error=0.05, promise="whole") == 0.1
    assert start_coverage(10, num_clean=59, max_error=0.6, promise="whole") == 1.0


@pytest.mark.parametrize("promise", ["auto", "whole"])
def test_pool_thresholds_fall_in_equal_steps_to_the_whole_pool(promise):
    pool = spread_pool()
    positions = pool_positions(pool, num_audit=1000, **FIVE, promise=promise, num_steps=40)
    passing = pool.num_passing()[positions] / pool.num_items
    assert positions.dtype == np.int64
    assert (np.diff(EDGES[positions]) < 0).all()
    assert (np.diff(passing) > 0).all()
    assert passing[-1] == 1
    start = 0.1 if promise == "whole" else 0.2065
    # A bin in the middle holds up to 24 / 4095 / 4 of this pool.
    assert passing[0] == pytest.approx(start, abs=0.006)
    assert len(positions) == 40
    assert passing == pytest.approx(np.linspace(start, 1, 40), abs=0.006)


def test_a_pool_threshold_is_the_highest_that_enough_items_pass():
    # Two confidences, two thresholds, however many steps.
    confidence = np.repeat(np.array([0.9, 0.3], np.float32), [30_000, 70_000])
    pool = pool_of(confidence)
    positions = pool_positions(pool, num_audit=1000, **FIVE, promise="auto", num_steps=NUM_STEPS)
    assert pool.num_passing()[positions].tolist() == [30_000, 100_000]
    assert (EDGES[positions] <= np.array([0.9, 0.3], np.float32)).all()
    assert (EDGES[positions + 1] > np.array([0.9, 0.3], np.float32)).all()


def test_pool_thresholds_depend_on_how_many_answered_but_not_on_which():
    confidence = (np.arange(20_000) / 20_000).astype(np.float32)
    chosen = {"num_audit": 1000, **FIVE, "promise": "auto", "num_steps": NUM_STEPS}
    low = ConfidenceHistogram.of(confidence, human=confidence < 0.25)
    high = ConfidenceHistogram.of(confidence, human=confidence >= 0.75)
    assert low.num_human == high.num_human == 5000
    assert (pool_positions(low, **chosen) == pool_positions(high, **chosen)).all()


def test_a_largely_audited_pool_starts_lower():
    # With half of the pool audited, 59 right ones no longer prove 5 % of the other half: about 86 are needed,
    # (1 - 1/2) ** (c + 1) <= 0.05 for the c + 1 = 5 wrong ones, 5 % of 80 to 100 auto-labels.
    pool = spread_pool(2000, num_human=1000)
    first = pool_positions(pool, num_audit=1000, **FIVE, promise="auto", num_steps=NUM_STEPS)[0]
    expected = pool.num_passing()[first] / 2000
    assert expected == pytest.approx(0.85 * (80 * 1000) ** 0.5 / 1000, abs=0.01)


def test_an_audit_that_cannot_prove_it_is_tested_on_the_whole_pool():
    pool = spread_pool(1000)
    positions = pool_positions(pool, num_audit=40, **FIVE, promise="auto", num_steps=NUM_STEPS)
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
    assert passing[-1] == 1000 and thresholds[-1] == 0
    # Every other threshold is the next float32 above an audited confidence, which does not pass.
    below = np.nextafter(thresholds[:-1].astype(np.float32), np.float32(0))
    assert np.isin(below, confidence).all()


def test_ranked_thresholds_skip_ties():
    confidence = np.array([1.0] * 600 + [0.5] * 300 + [0.1] * 100, np.float32)
    thresholds = ranked_thresholds(confidence, **FIVE, promise="auto")
    above = [float(np.nextafter(np.float32(value), np.float32(1))) for value in (0.5, 0.1)]
    assert thresholds.tolist() == [*above, 0.0]


def test_ranked_thresholds_of_one_item_and_of_float64():
    assert ranked_thresholds(np.array([0.7], np.float32), **FIVE, promise="auto").tolist() == [0.0]
    confidence = np.linspace(0.1, 0.9, 200)
    thresholds = ranked_thresholds(confidence, **FIVE, promise="auto")
    assert np.isin(np.nextafter(thresholds[:-1], 0), confidence).all()
    assert len(thresholds) > 50
