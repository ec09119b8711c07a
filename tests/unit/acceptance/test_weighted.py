import numpy as np
import pytest

from raylabel.acceptance.betting import betting_proves, betting_upper
from raylabel.acceptance.sequence import Asked, PoolTests, SampleTests
from raylabel.acceptance.weighted import WeightedTests

SHARES = np.array([1.0] * 100 + [0.25] * 300)


def asked(promise="auto", max_error=0.05, level=0.05):
    return Asked(max_error, 0.05, promise, level, 20)


def pool_tests(wrong, sizes=(200, 400), promise="auto", **changes):
    """A pool of 10,000: 100 audited with weight 40 above 300 with weight 10; every other audited item from 50 on."""
    audited = np.array(sizes)
    passing = np.where(audited <= 100, 40 * audited, 3000 + 10 * audited)
    counted = np.array([wrong[:size].sum() for size in sizes])
    thresholds = 1 - audited / 400
    counts = PoolTests(asked(promise), thresholds, audited, counted, passing, passing - audited, 10_000)
    return WeightedTests(counts, SHARES, wrong, **changes)


def some_wrong(*at):
    return np.isin(np.arange(400), at)


def test_a_pool_test_refutes_one_wrong_item_more_than_is_allowed():
    tests = pool_tests(some_wrong(150, 390))
    # Of 5,000 pass 4,800 auto-labels, of which 240 may be wrong; 1 audited one is: 242 must be refuted.
    assert tests.num_wrong.tolist() == [1, 2]
    expected = betting_proves(SHARES[:200], some_wrong(150)[:200], error_rate=242 / 5000, alpha=0.05)
    assert tests.passed[0] == expected
    for promise in ("auto", "whole"):
        both = pool_tests(some_wrong(150, 390), promise=promise)
        for at in range(2):
            assert (both.bound(at) <= 0.05) == both.passed[at]


def test_bound_is_the_most_wrong_items_that_are_not_refuted():
    tests = pool_tests(some_wrong(3, 150))
    for at, size, passing in ((0, 200, 5000), (1, 400, 7000)):
        upper = betting_upper(SHARES[:size], some_wrong(3, 150)[:size], alpha=0.05)
        unrefuted = int(np.ceil(upper * passing - 1e-5)) - 1
        assert tests.bound(at) == (unrefuted - 2) / (passing - size)


def test_passable_is_what_an_audit_without_errors_would_pass():
    wrong = np.ones(400, bool)
    tests = pool_tests(wrong, sizes=(5, 50, 100, 400))
    assert tests.passed.tolist() == [False] * 4
    # None wrong among m of full weight proves 5 % from about 59 on, and the mixture of bets wants some more.
    assert tests.passable.tolist() == [False, False, True, True]


def test_an_infinite_population_counts_all_draws_for_the_whole():
    wrong = some_wrong(10, 380)
    sizes, thresholds = np.array([200, 400]), np.array([0.5, 0.0])
    for promise in ("auto", "whole"):
        counts = SampleTests(asked(promise), thresholds, sizes, np.array([1, 2]), num_drawn=400)
        tests = WeightedTests(counts, SHARES, wrong)
        counted = (SHARES[:200], wrong[:200]) if promise == "auto" else (SHARES, some_wrong(10))
        assert tests.bound(0) == betting_upper(*counted, alpha=0.05)
        assert tests.passed[0] == betting_proves(*counted, error_rate=0.05, alpha=0.05)


def test_certificates_name_the_test():
    tests = pool_tests(some_wrong())
    certificate = tests.certificate(1)
    assert certificate.method == "betting test of a weighted audit, fixed sequence"
    assert (certificate.num_passing, certificate.num_audited, certificate.num_auto) == (7000, 400, 6600)
    assert certificate.bound == tests.bound(1) <= 0.05
    assert tests.has_labels.all()
    assert (tests.thresholds == tests.counts.thresholds).all()
    assert tests.num_audited.tolist() == [200, 400]


@pytest.mark.parametrize("promise", ["auto", "whole"])
def test_the_promise_breaks_in_at_most_alpha_of_stratified_draws(promise):
    """Two strata, all wrong items in the one that is drawn less often; one threshold, which everything passes."""
    rng, broken, draws, level = np.random.default_rng(0), 0, 1000, 0.3
    upper, lower = np.arange(2000) < 165, np.zeros(1000, bool)
    for _ in range(draws):
        wrong = np.concatenate([rng.choice(upper, 30, replace=False), rng.choice(lower, 40, replace=False)])
        columns = (np.array([number]) for number in (70, wrong.sum(), 3000, 2930))
        counts = PoolTests(asked(promise, level=level), np.zeros(1), *columns, 3000)
        tests = WeightedTests(counts, np.array([1.0] * 30 + [0.375] * 40), wrong)
        unseen = 165 - wrong.sum()
        broken += bool(tests.passed[0]) and unseen > 0.05 * (2930 if promise == "auto" else 3000)
    # None wrong among 30 is seen in 7.5 % of the draws, and proves it at this level.
    assert 0.05 * draws < broken <= level * draws
