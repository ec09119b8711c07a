"""Exact upper bounds on how many are wrong, from a sample: hypergeometric and binomial.

Knows counts; knows nothing of thresholds or promises.
"""

from __future__ import annotations

import numpy as np
import scipy  # its parts come when they are first used: few processes wait for them
from numpy.typing import NDArray
from scipy.special import betaincinv, gammaln

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
        counts = (np.array([count]) for count in (num_wrong, num_population, middle, num_sampled))
        if hypergeometric_cdf(*counts)[0] > alpha:
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
    proven: BoolArray = hypergeometric_cdf(num_wrong, num_population, one_more, num_sampled) <= alpha
    return certain | proven


def hypergeometric_cdf(
    num_wrong: CountArray, num_population: CountArray, num_bad: CountArray, num_sampled: CountArray
) -> NDArray[np.float64]:
    """Return the chances that samples without replacement hold at most so many wrong items.

    Args:
        num_wrong: (L,) int64, wrong items in the sample (k).
        num_population: (L,) int64 (N).
        num_bad: (L,) int64, wrong items in the population (K).
        num_sampled: (L,) int64 (n).

    Returns:
        (L,) P(Hypergeometric(N, K, n) <= k), to 1e-7 of itself at 10 million items. `scipy.stats.hypergeom.cdf` is as
        good; the tests of one certificate would take it a tenth of a second, and this two thousandths.

    Cost: O(L * max k).
    """
    most, least = np.minimum(num_bad, num_sampled), np.maximum(0, num_sampled + num_bad - num_population)
    top = np.clip(num_wrong, least, most)
    anchor = _log_choose(num_bad, top) + _log_choose(num_population - num_bad, num_sampled - top)
    anchor -= _log_choose(num_population, num_sampled)
    # Further out than floating point reaches, the side decides.
    far = anchor < -600
    # From k down: P(j - 1) / P(j), 0 once j is the least that can be.
    below = np.maximum(top[:, np.newaxis] - np.arange(int(top.max(initial=0)), dtype=np.float64), 0)
    population, bad, sampled = (each[:, np.newaxis] for each in (num_population, num_bad, num_sampled))
    ratios = below * np.maximum(population - bad - sampled + below, 0)
    ratios /= (bad - below + 1) * (sampled - below + 1)
    ratios[far] = 0
    chances = np.exp(anchor) * (1 + np.cumprod(ratios, axis=1).sum(axis=1))
    above = num_wrong * num_population > num_bad * num_sampled
    chances = np.where(far, above, np.minimum(chances, 1))
    found: NDArray[np.float64] = np.where(num_wrong >= most, 1.0, np.where(num_wrong < least, 0.0, chances))
    return found


def _log_choose(of: CountArray, num: CountArray) -> NDArray[np.float64]:
    chosen: NDArray[np.float64] = gammaln(of + 1) - gammaln(num + 1) - gammaln(of - num + 1)
    return chosen


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
    wrong: CountArray = scipy.stats.binom.ppf(alpha, num_sampled, max_error).astype(np.int64)
    too_many: BoolArray = scipy.stats.binom.cdf(wrong, num_sampled, max_error) > alpha
    return wrong - too_many
