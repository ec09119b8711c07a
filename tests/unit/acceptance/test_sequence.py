import numpy as np
import pytest
from scipy.stats import binom, hypergeom

from raylabel.acceptance.bounds import hypergeometric_upper
from raylabel.acceptance.sequence import Asked, PoolTests, SampleTests, last_passing


def pool_tests(num_passing, num_audited, num_wrong, num_auto, *, asked, num_pool=None):
    columns = np.broadcast_arrays(num_audited, num_wrong, num_passing, num_auto)
    audited, wrong, passing, auto = (np.atleast_1d(column).astype(np.int64) for column in columns)
    thresholds = np.linspace(0.9, 0, len(wrong))
    return PoolTests(asked, thresholds, audited, wrong, passing, auto, num_pool or int(passing.max()))


def asked(max_error=0.05, alpha=0.05, promise="auto", level=None):
    return Asked(max_error, alpha, promise, level or alpha, 100)


@pytest.mark.parametrize(
    ("population", "audited", "answered", "max_error"),
    [(200, 100, 0, 0.1), (300, 60, 0, 0.1), (200, 40, 50, 0.15), (60, 30, 0, 0.3), (500, 50, 20, 0.1)],
)
@pytest.mark.parametrize("promise", ["auto", "whole"])
def test_the_promise_breaks_in_at_most_alpha_of_all_draws(population, audited, answered, max_error, promise):
    """Every number of wrong items, every outcome of the draw, with its exact chance: no simulation."""
    alpha = 0.05
    outcomes = np.arange(audited + 1)
    auto = population - audited - answered
    pool = population + 20
    tests = pool_tests(population, audited, outcomes, auto, asked=asked(max_error, alpha, promise), num_pool=pool)
    passes = tests.passes(tests.num_wrong)
    chances_broken = []
    for total_wrong in range(population + 1):
        # At worst nobody answered a wrong item beside the audit.
        unseen = np.minimum(total_wrong - outcomes, auto)
        broken = unseen > max_error * (auto if promise == "auto" else pool)
        chance = hypergeom.pmf(outcomes, population, total_wrong, audited)
        chances_broken.append(chance[passes & broken].sum())
    assert max(chances_broken) <= alpha
    # It is not the test's caution that keeps it: some pool breaks it in a good part of alpha.
    assert max(chances_broken) > 0.015


def test_a_pool_test_passes_exactly_where_its_bound_keeps_the_promise():
    rng = np.random.default_rng(0)
    passing = rng.integers(50, 400, 300)
    audited = rng.integers(0, passing // 2 + 1)
    wrong = rng.binomial(audited, 0.04)
    auto = rng.integers(1, passing - audited + 1)
    for promise in ("auto", "whole"):
        tests = pool_tests(passing, audited, wrong, auto, asked=asked(0.1, 0.05, promise), num_pool=500)
        passes = tests.passes(tests.num_wrong)
        assert passes.tolist() == [tests.bound(at) <= 0.1 for at in range(300)]
        assert 20 < passes.sum() < 280


def test_bound_by_hand():
    tests = pool_tests(1000, 200, 4, 700, asked=asked(), num_pool=2000)
    upper = hypergeometric_upper(1000, 200, 4, alpha=0.05)
    assert upper == 42
    assert tests.bound(0) == 38 / 700
    assert not tests.passes(tests.num_wrong)[0]
    whole = pool_tests(1000, 200, 4, 700, asked=asked(promise="whole"), num_pool=2000)
    assert whole.bound(0) == 38 / 2000
    assert whole.passes(whole.num_wrong)[0]
    # No more auto-labels can be wrong than there are: 2 at 3 unseen wrong ones.
    few = pool_tests(10, 5, 0, 2, asked=asked(promise="whole"), num_pool=2000)
    assert hypergeometric_upper(10, 5, 0, alpha=0.05) > 2
    assert few.bound(0) == 2 / 2000


def test_a_number_allowed_is_never_rounded_up():
    # 0.07 * 100 is 7.000000000000001 in floating point, 0.29 * 100 is 28.999999999999996.
    for max_error in (0.07, 0.29, 0.57, 0.58):
        tests = pool_tests(1000, 900, np.arange(60), 100, asked=asked(max_error))
        passes = tests.passes(tests.num_wrong)
        assert passes.tolist() == [tests.bound(at) <= max_error for at in range(60)]


def test_a_share_of_alpha_is_what_each_test_is_run_at():
    full = pool_tests(1000, 300, 5, 700, asked=asked(alpha=0.05))
    share = pool_tests(1000, 300, 5, 700, asked=asked(alpha=0.05, level=0.0005))
    assert share.bound(0) == (hypergeometric_upper(1000, 300, 5, alpha=0.0005) - 5) / 700
    assert share.bound(0) > full.bound(0)
    certificate = pool_tests(1000, 300, 0, 700, asked=asked(alpha=0.05, level=0.0005)).certificate(0)
    assert certificate.method == "exact hypergeometric test, each threshold at 1/100 of alpha"
    assert certificate.alpha == 0.05


def test_sample_tests_are_clopper_pearson():
    tests = SampleTests(asked(), np.array([0.5, 0.0]), np.array([59, 100]), np.array([0, 3]), num_drawn=100)
    assert tests.passes(tests.num_wrong).tolist() == [True, False]
    assert tests.bound(0) == pytest.approx(1 - 0.05 ** (1 / 59))
    assert binom.cdf(3, 100, tests.bound(1)) == pytest.approx(0.05)
    # "whole": none of 100 is wrong and accepted at the first threshold.
    whole = SampleTests(
        asked(promise="whole"), np.array([0.5, 0.0]), np.array([10, 100]), np.array([0, 3]), num_drawn=100
    )
    assert whole.passes(whole.num_wrong).tolist() == [True, False]
    assert whole.bound(0) == pytest.approx(1 - 0.05 ** (1 / 100))


def last(tests):
    return last_passing(tests.passed, tests.has_labels)


def test_the_sequence_stops_at_the_first_failure():
    wrong = np.array([0, 1, 30, 0, 0])
    tests = pool_tests(1000, 150, wrong, 850, asked=asked())
    assert tests.passed.tolist() == [True, True, False, True, True]
    assert tests.passable.tolist() == [True] * 5
    assert last(tests) == 1
    assert last(tests.take(np.arange(2, 5))) is None
    assert last(tests.take(np.arange(3, 5))) == 1


def test_thresholds_without_auto_labels_are_passed_over_and_never_certified():
    first = pool_tests(1000, 150, [5, 5, 0, 50], [0, 0, 850, 850], asked=asked())
    assert last(first) == 2
    # Nothing but thresholds without auto-labels before the first failure.
    assert last(pool_tests(1000, 150, [0, 0, 50], [0, 0, 850], asked=asked())) is None
    assert last(pool_tests(1000, 150, [0, 0, 0], [0, 0, 0], asked=asked())) is None


def test_some_of_the_tests_are_the_same_tests():
    tests = pool_tests([500, 800, 1000], [100, 160, 200], [0, 3, 1], [400, 640, 790], asked=asked(), num_pool=3000)
    some = tests.take(np.array([2, 1]))
    assert some.passed.tolist() == tests.passed[[2, 1]].tolist()
    assert some.certificate(0) == tests.certificate(2)
    assert tests.coverage.tolist() == [500 / 3000, 800 / 3000, 1000 / 3000]
    assert tests.allowed.tolist() == [20, 32, 39]
    sample = SampleTests(asked(), np.array([0.5, 0.0]), np.array([59, 100]), np.array([0, 3]), num_drawn=100)
    assert sample.take(np.array([1])).bound(0) == sample.bound(1)
    assert sample.coverage.tolist() == [0.59, 1.0]
    assert sample.passable.tolist() == [True, True]


def test_certificates_carry_the_counts_of_their_threshold():
    tests = pool_tests([500, 1000], [100, 200], [0, 1], [400, 790], asked=asked(), num_pool=3000)
    certificate = tests.certificate(1)
    counts = (certificate.num_passing, certificate.num_audited, certificate.num_wrong, certificate.num_auto)
    assert counts == (1000, 200, 1, 790)
    assert (certificate.threshold, certificate.num_pool, certificate.population) == (0.0, 3000, "finite")
    assert certificate.bound == tests.bound(1)
    sample = SampleTests(asked(), np.array([0.5]), np.array([80]), np.array([0]), num_drawn=100).certificate(0)
    assert (sample.num_passing, sample.num_auto, sample.num_pool, sample.population) == (None, None, None, "infinite")
    assert (sample.num_audited, sample.num_wrong, sample.threshold) == (80, 0, 0.5)
