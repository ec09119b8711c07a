import numpy as np
import pytest

from raylabel.acceptance.bounds import hypergeometric_upper, most_wrong
from raylabel.acceptance.histogram import EDGES, count_bins
from raylabel.acceptance.sequence import Asked, PoolTests, SampleTests
from raylabel.acceptance.thresholds import NUM_STEPS, choose, pool_candidates, sample_candidates, start_size

FIVE = {"max_error": 0.05, "alpha": 0.05}


def sample_tests(num, promise="auto"):
    """An audit of as many confidences, no two alike; candidate r has r + 1 items above it."""
    sizes = np.arange(1, num + 1)
    asked = Asked(0.05, 0.05, promise, 0.05, NUM_STEPS)
    return SampleTests(asked, 1 - sizes / num, sizes, np.zeros(num, np.int64), num_drawn=num)


def pool_tests(num_audit, *, num_pool, human=0, num_steps=NUM_STEPS, promise="auto"):
    """An evenly spread audit; `human` items above the first candidate are answered beside it."""
    sizes = np.arange(1, num_audit + 1)
    passing = sizes * num_pool // num_audit
    asked = Asked(0.05, 0.05, promise, 0.05, num_steps)
    auto = np.maximum(passing - sizes - human, 0)
    return PoolTests(asked, 1 - sizes / num_audit, sizes, np.zeros(num_audit, np.int64), passing, auto, num_pool)


def test_start_size_by_hand():
    # 0.6 * sqrt(59 * 1000) and 0.6 * sqrt(59 * 5000); no fewer than 59, no more than there are.
    sizes = start_size(np.array([1000, 5000, 100, 59, 10]), 59)
    assert sizes == pytest.approx([145.7, 325.9, 59, 59, 10], abs=0.1)


def test_pool_candidates_are_the_edges_above_audited_bins():
    audited = np.zeros(len(EDGES), np.int64)
    audited[[3, 7, 20]] = [1, 2, 5]
    # Above bin 7 the 5 of bin 20 pass, above bin 3 two more; nothing is audited above bin 20.
    assert pool_candidates(audited, with_rest=True).tolist() == [8, 4, 0]
    assert pool_candidates(audited, with_rest=False).tolist() == [8, 4]
    confidence = np.array([0.9, 0.9, 0.5, 0.1], np.float32)
    edges = EDGES[pool_candidates(count_bins(confidence), with_rest=True)]
    assert [(confidence >= edge).sum() for edge in edges] == [2, 3, 4]
    assert pool_candidates(count_bins(confidence[:2]), with_rest=True).tolist() == [0]
    assert pool_candidates(count_bins(confidence[:2]), with_rest=False).tolist() == []


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sample_candidates_lie_just_above_an_audited_confidence(dtype):
    confidence = np.array([0.5, 0.9, 0.5, 0.1], dtype)
    thresholds = sample_candidates(confidence, with_rest=True)
    assert thresholds.dtype == np.float64
    assert thresholds.tolist() == [np.nextafter(dtype(0.5), dtype(1)), np.nextafter(dtype(0.1), dtype(1)), 0.0]
    assert [(confidence >= threshold).sum() for threshold in thresholds] == [1, 3, 4]
    assert sample_candidates(confidence[:1], with_rest=True).tolist() == [0.0]
    assert sample_candidates(confidence[:1], with_rest=False).tolist() == []


def test_auto_is_tested_where_one_more_wrong_answer_is_allowed():
    chosen = choose(sample_tests(500), num_audit=500, num_steps=NUM_STEPS)
    sizes = chosen + 1
    # 59, 93, 124, 153, 181 are the least sizes for 0 to 4 wrong; 0.6 * sqrt(59 * 500) is 103.
    assert sizes[:3].tolist() == [124, 153, 181]
    assert sizes[-1] == 500
    allowed = most_wrong(sizes, **FIVE)
    assert allowed[:-1].tolist() == list(range(2, 2 + len(sizes) - 1))
    assert (most_wrong(sizes[:-1] - 1, **FIVE) == allowed[:-1] - 1).all()


def test_a_pool_is_tested_where_its_own_allowance_rises():
    tests = pool_tests(500, num_pool=2000)
    sizes = choose(tests, num_audit=500, num_steps=NUM_STEPS) + 1

    def bound(size, wrong):
        passing = size * 2000 // 500
        return (hypergeometric_upper(passing, size, wrong, alpha=0.05) - wrong) / (passing - size)

    for wrong, size in enumerate(sizes[:-1], start=int(tests.take(sizes[:1] - 1).passes(np.array([2]))[0]) + 1):
        assert bound(size, wrong) <= 0.05 < bound(size - 1, wrong)
    # A quarter is audited: it takes more than the 124 of an endless pool to allow two.
    assert sizes[0] > 124
    assert len(sizes) > 10


def test_no_more_tests_than_steps_and_they_are_spread():
    for num_steps in (2, 10, 40):
        chosen = choose(sample_tests(5000), num_audit=5000, num_steps=num_steps)
        assert len(chosen) == num_steps
        assert chosen[-1] == 4999
    gaps = np.diff(chosen[:-1])
    assert gaps.max() < 1.5 * gaps.min()
    assert chosen[0] + 1 == 336  # the least size for 9 wrong, next above 0.6 * sqrt(59 * 5000)


def test_where_people_answered_all_above_the_sequence_starts_below():
    free = choose(pool_tests(1000, num_pool=20_000), num_audit=1000, num_steps=NUM_STEPS)
    answered = choose(pool_tests(1000, num_pool=20_000, human=4000), num_audit=1000, num_steps=NUM_STEPS)
    # 4,000 of the most confident items leave no auto-labels above candidate 210.
    assert free[0] < 200
    assert answered[0] > 211
    assert len(answered) > 5


def test_an_audit_that_cannot_prove_it_is_tested_once():
    assert choose(sample_tests(58), num_audit=58, num_steps=NUM_STEPS).tolist() == [57]
    assert choose(pool_tests(40, num_pool=1000), num_audit=40, num_steps=NUM_STEPS).tolist() == [39]


@pytest.mark.parametrize("make", [sample_tests, lambda num, promise: pool_tests(num, num_pool=50_000, promise=promise)])
def test_whole_falls_in_equal_steps_from_twice_the_error(make):
    chosen = choose(make(1000, promise="whole"), num_audit=1000, num_steps=91)
    assert chosen.tolist() == list(range(99, 1000, 10))
    assert choose(make(5, promise="whole"), num_audit=5, num_steps=100).tolist() == [0, 1, 2, 3, 4]
