from itertools import combinations

import numpy as np
import pytest

from raylabel.acceptance.betting import BETS, betting_proves, betting_upper
from raylabel.acceptance.bounds import binomial_upper


def wealth(shares, wrong, error_rate):
    """Bet by bet and item by item."""
    found = []
    for bet in BETS:
        won = 1.0
        for share, lost in zip(shares, wrong, strict=True):
            won *= 1 - bet * share * (lost - error_rate) / (1 - error_rate)
        found.append(won)
    return np.mean(found)


@pytest.mark.parametrize("error_rate", [0.01, 0.05, 0.3])
def test_it_proves_where_the_wealth_reaches_one_over_alpha(error_rate):
    rng = np.random.default_rng(0)
    outcomes = set()
    for _ in range(200):
        num = int(rng.integers(1, 120))
        shares, wrong = rng.uniform(0.1, 1, num), rng.random(num) < error_rate / 3
        alpha = float(rng.uniform(0.02, 0.9))
        expected = wealth(shares, wrong, error_rate) >= 1 / alpha
        assert betting_proves(shares, wrong, error_rate=error_rate, alpha=alpha) == expected
        outcomes.add(bool(expected))
    assert outcomes == {True, False}


@pytest.mark.parametrize(("upper", "lower"), [((4, 2, 2), (4, 3, 1)), ((3, 1, 1), (5, 2, 2)), ((6, 3, 3), (2, 0, 1))])
def test_wealth_is_at_most_one_on_average_over_all_draws_of_two_strata(upper, lower):
    """Strata of (items, wrong ones, drawn), as many wrong as the null says: every draw, with its exact chance."""
    items, wrongs = upper[0] + lower[0], upper[1] + lower[1]
    weights = np.array([upper[0] / upper[2]] * upper[2] + [lower[0] / lower[2]] * lower[2])
    found = []
    for first in combinations(np.arange(upper[0]) < upper[1], upper[2]):
        for second in combinations(np.arange(lower[0]) < lower[1], lower[2]):
            found.append(wealth(weights / weights.max(), np.array([*first, *second]), wrongs / items))
    assert np.mean(found) <= 1 + 1e-12
    assert np.mean(found) > 0.5


def test_all_wrong_or_none_asked():
    shares, wrong = np.ones(100), np.zeros(100, bool)
    assert betting_proves(shares, wrong, error_rate=1.0, alpha=0.05)
    assert not betting_proves(shares, wrong, error_rate=0.0, alpha=0.05)
    assert betting_upper(shares[:0], wrong[:0], alpha=0.05) == 1
    assert betting_upper(shares, ~wrong, alpha=0.05) == 1


def test_the_bound_is_the_lowest_rate_that_is_proven():
    rng = np.random.default_rng(1)
    shares, wrong = rng.choice([0.2, 1.0], 300), rng.random(300) < 0.03
    upper = betting_upper(shares, wrong, alpha=0.05)
    assert betting_proves(shares, wrong, error_rate=upper, alpha=0.05)
    assert not betting_proves(shares, wrong, error_rate=upper - 1e-6, alpha=0.05)


@pytest.mark.parametrize(("num", "allowed", "exactly_allowed"), [(500, 12, 16), (1000, 31, 38), (5000, 202, 224)])
def test_it_is_weaker_than_the_exact_test_and_not_by_much(num, allowed, exactly_allowed):
    def proves(num_wrong):
        return betting_proves(np.ones(num), np.arange(num) < num_wrong, error_rate=0.05, alpha=0.05)

    assert proves(allowed) and not proves(allowed + 1)
    exact = binomial_upper(np.full(2, num), np.array([exactly_allowed, exactly_allowed + 1]), alpha=0.05)
    assert exact[0] <= 0.05 < exact[1]
