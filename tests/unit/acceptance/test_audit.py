import tracemalloc

import numpy as np
import pytest
from scipy.stats import binom, norm

from raylabel.acceptance import draw, num_needed, power, smallest_audit
from raylabel.acceptance.audit import widened_for_pool, worth_in_pool

FIVE = {"max_error": 0.05, "alpha": 0.05}


def test_a_draw_is_sorted_without_repeats_and_repeatable():
    rows, probability = draw(1000, size=100, rng=np.random.default_rng(3))
    assert rows.dtype == np.int64
    assert (np.diff(rows) > 0).all()
    assert rows[0] >= 0
    assert rows[-1] < 1000
    assert probability == 0.1
    assert (draw(1000, size=100, rng=np.random.default_rng(3))[0] == rows).all()


@pytest.mark.parametrize(("num_rows", "size"), [(10, 3), (20_000, 200)])
def test_every_row_is_drawn_equally_often(num_rows, size):
    # 200 is a hundredth of 20,000: NumPy's way for few of many; 3 of 10 is its other one.
    rng = np.random.default_rng(0)
    counts = np.zeros(num_rows)
    num_draws = 2000
    for _ in range(num_draws):
        counts[draw(num_rows, size=size, rng=rng)[0]] += 1
    expected = num_draws * size / num_rows
    variance = expected * (1 - size / num_rows)
    assert counts.sum() == num_draws * size
    assert np.abs(counts - expected).max() < 6 * variance**0.5
    assert counts.var() == pytest.approx(variance, rel=0.1 if num_rows > 100 else 0.9)


def test_a_draw_from_a_huge_pool_takes_little_memory():
    tracemalloc.start()
    rows, probability = draw(10**12, size=1000, rng=np.random.default_rng(0))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000
    assert len(np.unique(rows)) == 1000
    assert probability == 1e-9


def test_draws_at_the_ends():
    assert draw(5, size=5, rng=np.random.default_rng(0))[0].tolist() == [0, 1, 2, 3, 4]
    for num_rows in (0, 5):
        rows, probability = draw(num_rows, size=0, rng=np.random.default_rng(0))
        assert (rows.tolist(), rows.dtype, probability) == ([], np.int64, 0.0)
    with pytest.raises(ValueError, match="size: got 6, expected at least 0 and at most 5 rows"):
        draw(5, size=6, rng=np.random.default_rng(0))
    with pytest.raises(ValueError, match="size: got -1"):
        draw(5, size=-1, rng=np.random.default_rng(0))


def test_the_smallest_audit_is_the_first_that_can_prove_it():
    assert smallest_audit(0.05, 0.05) == 59
    assert smallest_audit(0.01, 0.05) == 299
    for max_error, alpha in ((0.05, 0.05), (0.02, 0.1), (0.3, 0.01), (0.9, 0.5)):
        for num_wrong in (0, 1, 7):
            smallest = smallest_audit(max_error, alpha, num_wrong=num_wrong)
            assert binom.cdf(num_wrong, smallest, max_error) <= alpha < binom.cdf(num_wrong, smallest - 1, max_error)


def test_power_of_the_documented_budgets():
    # architecture.md: 1.8 % truly wrong, 90 % accepted.
    found = [power(n, **FIVE, error_rate=0.018, coverage=0.9) for n in (100, 200, 300)]
    assert [round(100 * value) for value in found] == [19, 59, 88]


def test_power_by_hand():
    # 59 pass, none may be wrong. 58 never prove it, nor does nothing.
    assert power(59, **FIVE, error_rate=0.01, coverage=1.0) == pytest.approx(0.99**59)
    assert power(58, **FIVE, error_rate=0.0, coverage=1.0) == 0
    assert power(0, **FIVE, error_rate=0.0, coverage=1.0) == 0
    assert power(118, **FIVE, error_rate=0.0, coverage=0.5) == 1
    # At the error rate itself the promise is broken: in at most alpha of the draws.
    assert 0.03 < power(1000, **FIVE, error_rate=0.05, coverage=1.0) <= 0.05


@pytest.mark.parametrize(("error_rate", "coverage"), [(0.0, 1.0), (0.018, 0.9), (0.01, 0.33), (0.03, 0.7)])
@pytest.mark.parametrize("wanted", [0.5, 0.8, 0.95])
def test_num_needed_is_the_smallest_with_the_power(error_rate, coverage, wanted):
    needed = num_needed(**FIVE, error_rate=error_rate, coverage=coverage, power=wanted)
    scanned = next(n for n in range(1, 5000) if power(n, **FIVE, error_rate=error_rate, coverage=coverage) >= wanted)
    assert needed == scanned


def test_num_needed_where_no_number_would_do():
    assert num_needed(**FIVE, error_rate=0.05, coverage=0.9) is None
    assert num_needed(**FIVE, error_rate=0.3, coverage=0.9) is None
    assert num_needed(**FIVE, error_rate=0.04999, coverage=0.001) is None
    assert num_needed(**FIVE, error_rate=0.045, coverage=1.0) == pytest.approx(12_000, rel=0.1)


def test_an_audit_of_a_small_pool_is_widened():
    assert widened_for_pool(300, num_pool=10**9, alpha=0.05) == 300 + 1
    assert widened_for_pool(300, num_pool=250, alpha=0.05) is None
    assert widened_for_pool(300, num_pool=700, alpha=0.05) is None
    widened = widened_for_pool(300, num_pool=1000, alpha=0.05)

    def enough(answers):
        # The slack of the test and the noise of the estimate, each at its finite size, within that of 300.
        rest = (1 - answers / 1000) ** 0.5
        z_alpha, z_power = norm.ppf(0.95), norm.ppf(0.8)
        return (z_alpha / rest + z_power * rest) / answers**0.5 <= (z_alpha + z_power) / 300**0.5

    assert widened == next(answers for answers in range(300, 1000) if enough(answers))
    assert 320 < widened < 450


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"max_error": 1.0}, "max_error: got 1.0"),
        ({"alpha": 0.0}, "alpha: got 0.0"),
        ({"error_rate": -0.1}, "error_rate: got -0.1"),
        ({"error_rate": float("nan")}, "error_rate: got nan"),
        ({"coverage": 0.0}, "coverage: got 0.0"),
        ({"coverage": 1.1}, "coverage: got 1.1"),
    ],
)
def test_rates_out_of_range_are_refused(change, message):
    rates = {**FIVE, "error_rate": 0.01, "coverage": 0.5} | change
    for call in (lambda: power(100, **rates), lambda: num_needed(**rates)):
        with pytest.raises(ValueError) as caught:
            call()
        assert str(caught.value).startswith(message)


def test_numbers_out_of_range_are_refused():
    with pytest.raises(ValueError, match="num_audit: got -1"):
        power(-1, **FIVE, error_rate=0.01, coverage=0.5)
    with pytest.raises(ValueError, match=r"power: got 1\.0"):
        num_needed(**FIVE, error_rate=0.01, coverage=0.5, power=1.0)
    with pytest.raises(ValueError, match="num_wrong: got -1"):
        smallest_audit(0.05, 0.05, num_wrong=-1)
    with pytest.raises(ValueError, match="max_error: got 0"):
        smallest_audit(0, 0.05)


@pytest.mark.parametrize(("answers", "num_pool"), [(300, 1000), (500, 20_000), (60, 400)])
def test_what_a_widened_audit_is_worth_is_what_it_was_widened_from(answers, num_pool):
    widened = widened_for_pool(answers, num_pool=num_pool, alpha=0.05)
    assert worth_in_pool(widened, num_pool=num_pool, alpha=0.05) == pytest.approx(answers, abs=2)
    assert worth_in_pool(answers, num_pool=10**9, alpha=0.05) in (answers - 1, answers)
    assert worth_in_pool(num_pool, num_pool=num_pool, alpha=0.05) == 0
