"""Exact upper bounds on how many are wrong, from a sample: hypergeometric and binomial.

Knows counts; knows nothing of thresholds or promises.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv
from scipy.stats import binom, hypergeom

from raylabel.acceptance.checks import BoolArray, check_open_unit

CountArray = NDArray[np.int64]


def hypergeometric_upper(num_population: int, num_sampled: int, num_wrong: int, *, alpha: float) -> int:
    """Return the upper confidence bound on the wrong items of a population, from a sample of it.

    Args:
        num_population: items in the population (N).
        num_sampled: items drawn from it uniformly without replacement (n).
        num_wrong: wrong items among those drawn (k).
        alpha: the chance that the bound may be too low.

    Returns:
        The largest K with P(Hypergeometric(N, K, n) <= k) > alpha: at least k, at most N - (n - k); N without a
        sample.

    Raises:
        ValueError: not 0 <= k <= n <= N, or `alpha` outside (0, 1).
    """
    check_open_unit("alpha", alpha)
    if not 0 <= num_wrong <= num_sampled <= num_population:
        got = f"{num_wrong} wrong of {num_sampled} sampled of {num_population}"
        raise ValueError(f"num_wrong: got {got}, expected 0 <= wrong <= sampled <= population")
    low, high = num_wrong, num_population - (num_sampled - num_wrong)
    while low < high:
        middle = (low + high + 1) // 2
        if hypergeom.cdf(num_wrong, num_population, middle, num_sampled) > alpha:
            low = middle
        else:
            high = middle - 1
    return low


def hypergeometric_at_most(
    most: CountArray, num_population: CountArray, num_sampled: CountArray, num_wrong: CountArray, *, alpha: float
) -> BoolArray:
    """Test at many populations at once whether at most so many of them are wrong.

    Args:
        most: (L,) int64, the number of wrong items to test for, at least `num_wrong`.
        num_population: (L,) int64, at least 1.
        num_sampled: (L,) int64.
        num_wrong: (L,) int64, wrong items among those sampled.
        alpha: the level of each test.

    Returns:
        (L,) bool: `hypergeometric_upper(...) <= most`, for the price of one probability instead of a search.
    """
    certain = most >= num_population - (num_sampled - num_wrong)
    one_more = np.minimum(most + 1, num_population)
    proven: BoolArray = hypergeom.cdf(num_wrong, num_population, one_more, num_sampled) <= alpha
    return certain | proven


def binomial_upper(num_sampled: CountArray, num_wrong: CountArray, *, alpha: float) -> NDArray[np.float64]:
    """Return the Clopper-Pearson upper bound on an error rate, 1 where nothing was sampled or all is wrong.

    Args:
        num_sampled: (L,) int64.
        num_wrong: (L,) int64, at most `num_sampled`.
        alpha: the chance that the bound may be too low.
    """
    right = num_sampled - num_wrong
    upper: NDArray[np.float64] = betaincinv(num_wrong + 1, np.maximum(right, 1), 1 - alpha)
    upper[right == 0] = 1.0
    return upper


def most_wrong(num_sampled: CountArray, *, max_error: float, alpha: float) -> CountArray:
    """Return how many of a sample may be wrong for the binomial bound to stay at or below `max_error`.

    Args:
        num_sampled: (L,) int64 sizes of samples.
        max_error: the error rate to prove.
        alpha: the level of the test.

    Returns:
        (L,) int64: the largest k with P(Binomial(num_sampled, max_error) <= k) <= alpha; -1 where none is.
    """
    wrong: CountArray = binom.ppf(alpha, num_sampled, max_error).astype(np.int64)
    too_many: BoolArray = binom.cdf(wrong, num_sampled, max_error) > alpha
    return wrong - too_many
