from fractions import Fraction
from math import comb

import numpy as np
import pytest
from scipy.stats import hypergeom

from raylabel.acceptance.bounds import (
    binomial_upper,
    hypergeometric_at_most,
    hypergeometric_cdf,
    hypergeometric_upper,
    most_wrong,
)

# No probability of a small population has these as its value, so that no tie hides in the rounding.
ALPHAS = (0.0507, 0.3011, 0.6007)


def chance_of_at_most(num_wrong, population, wrong, sampled):
    ways = sum(comb(wrong, i) * comb(population - wrong, sampled - i) for i in range(num_wrong + 1))
    return Fraction(ways, comb(population, sampled))


def every_case(largest):
    for population in range(1, largest + 1):
        for sampled in range(population + 1):
            for wrong in range(sampled + 1):
                yield population, sampled, wrong


@pytest.mark.parametrize("alpha", ALPHAS)
def test_hypergeometric_upper_is_the_largest_likely_number(alpha):
    for population, sampled, wrong in every_case(9):
        likely = [
            total
            for total in range(population + 1)
            if chance_of_at_most(wrong, population, total, sampled) > Fraction(alpha)
        ]
        assert hypergeometric_upper(population, sampled, wrong, alpha=alpha) == max(likely)


def test_hypergeometric_upper_at_the_ends():
    assert hypergeometric_upper(100, 0, 0, alpha=0.05) == 100
    assert hypergeometric_upper(100, 100, 7, alpha=0.05) == 7
    assert hypergeometric_upper(100, 5, 5, alpha=0.05) == 100
    assert hypergeometric_upper(0, 0, 0, alpha=0.05) == 0
    # One item is drawn and right: of 10 at most 9 are wrong, and that has a chance of 1 in 10.
    assert hypergeometric_upper(10, 1, 0, alpha=0.0999) == 9
    assert hypergeometric_upper(10, 1, 0, alpha=0.1001) == 8


def test_hypergeometric_upper_of_a_large_population():
    # A pool of ten million: as good as infinite, where 210 wrong of 5,000 bound the rate by 0.0470.
    infinite = binomial_upper(np.array([5000]), np.array([210]), alpha=0.05)[0]
    upper = hypergeometric_upper(10_000_000, 5000, 210, alpha=0.05)
    assert infinite == pytest.approx(0.0470, abs=5e-5)
    assert upper / 10_000_000 == pytest.approx(infinite, rel=1e-3)


def test_hypergeometric_upper_never_falls_with_the_population():
    uppers = [hypergeometric_upper(population, 20, 2, alpha=0.05) for population in range(20, 200)]
    assert uppers == sorted(uppers)
    assert uppers[0] == 2 < uppers[-1]


def test_impossible_samples_are_refused():
    with pytest.raises(ValueError, match="num_wrong: got 3 wrong of 2 sampled of 10, expected 0 <= wrong"):
        hypergeometric_upper(10, 2, 3, alpha=0.05)
    with pytest.raises(ValueError, match="got 0 wrong of 11 sampled of 10"):
        hypergeometric_upper(10, 11, 0, alpha=0.05)
    with pytest.raises(ValueError, match=r"alpha: got 1\.0, expected"):
        hypergeometric_upper(10, 2, 1, alpha=1.0)


@pytest.mark.parametrize("alpha", ALPHAS)
def test_at_most_agrees_with_the_search_for_the_bound(alpha):
    cases = [(most, *case) for case in every_case(7) for most in range(case[2], case[0] + 3)]
    most, population, sampled, wrong = (np.array(column) for column in zip(*cases, strict=True))
    expected = [hypergeometric_upper(*case[1:], alpha=alpha) <= case[0] for case in cases]
    found = hypergeometric_at_most(most, population, sampled, wrong, alpha=alpha)
    assert found.tolist() == expected
    assert 0 < sum(expected) < len(expected)


def test_binomial_upper_by_hand():
    # None wrong of 59: (1 - p) ** 59 = 0.05. All wrong, or nothing sampled: 1. One right of one: p = 0.95.
    upper = binomial_upper(np.array([59, 4, 0, 1]), np.array([0, 4, 0, 0]), alpha=0.05)
    assert upper == pytest.approx([1 - 0.05 ** (1 / 59), 1, 1, 0.95])
    # One wrong of two: the chance of at most one is 1 - p ** 2.
    assert binomial_upper(np.array([2]), np.array([1]), alpha=0.05)[0] == pytest.approx(0.95**0.5)


def test_most_wrong_by_hand():
    # 58 cannot prove 5 % with none wrong, 59 can, 93 with one, 124 with two.
    assert most_wrong(np.array([0, 58, 59, 92, 93, 123, 124]), max_error=0.05, alpha=0.05).tolist() == [
        -1, -1, 0, 0, 1, 1, 2,
    ]  # fmt: skip


def test_most_wrong_is_what_the_binomial_bound_allows():
    sizes = np.arange(0, 400)
    allowed = most_wrong(sizes, max_error=0.03, alpha=0.1)
    assert (binomial_upper(sizes, np.maximum(allowed, 0), alpha=0.1)[allowed >= 0] <= 0.03).all()
    assert (binomial_upper(sizes, np.minimum(allowed + 1, sizes), alpha=0.1) > 0.03).all()
    assert allowed[-1] == 7


def test_hypergeometric_chances_of_small_populations_by_counting():
    cases = [
        (wrong, population, bad, sampled)
        for population, sampled, bad in every_case(8)
        for wrong in range(-1, sampled + 2)
    ]
    found = hypergeometric_cdf(*np.array(cases).T)
    expected = [
        float(chance_of_at_most(min(wrong, sampled), population, bad, sampled)) if wrong >= 0 else 0.0
        for wrong, population, bad, sampled in cases
    ]
    assert found == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("population", "largest_error"), [(50_000, 1e-9), (10_000_000, 2e-7)])
def test_hypergeometric_chances_are_scipys(population, largest_error):
    rng = np.random.default_rng(0)
    bad, sampled = rng.integers(1, population // 3, 100), rng.integers(1, 4000, 100)
    middle = bad * sampled // population
    for wrong in (middle // 2, middle, middle + 3, 2 * middle):
        expected = hypergeom.cdf(wrong, population, bad, sampled)
        found = hypergeometric_cdf(wrong, np.full(100, population), bad, sampled)
        assert found == pytest.approx(expected, rel=largest_error, abs=1e-250)


def test_chances_too_small_for_floating_point_are_told_by_their_side():
    many = np.full(2, 10_000_000)
    assert hypergeometric_cdf(np.array([10, 4000]), many, many // 2, np.full(2, 5000)).tolist() == [0, 1]
