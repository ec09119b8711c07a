"""The audit: drawing it, and how large it must be to prove anything.

Knows counts, rates and a random generator; knows nothing of rows' meaning, of storage or of certificates.
Planning rests on one exact binomial test at the accepted fraction; `certify` does better on a small pool only
by knowing how small it is.
"""

from __future__ import annotations

import math

import numpy as np
import scipy  # its parts come when they are first used: few processes wait for them
from numpy.typing import NDArray

from raylabel.acceptance.bounds import most_wrong
from raylabel.acceptance.checks import check_open_unit

# Beyond this nobody answers; a larger audit is no advice.
MOST_ANSWERS = 10_000_000


def draw(num_rows: int, *, size: int, rng: np.random.Generator) -> tuple[NDArray[np.int64], float]:
    """Draw the audit sample uniformly over the pool, without replacement.

    Args:
        num_rows: rows of the pool plan; the sample indexes them.
        size: how many to draw, at most `num_rows`.
        rng: derived from (seed, round, purpose).

    Returns:
        (size,) int64 rows in rising order without repeats, and the inclusion probability of every row.

    Raises:
        ValueError: `size` is negative or exceeds `num_rows`.

    Cost: O(size) time and memory, whatever `num_rows` is: NumPy draws with Floyd's method and turns to a
        shuffle of all rows only where `size` is over a twentieth of them.
    """
    if not 0 <= size <= num_rows:
        raise ValueError(f"size: got {size}, expected at least 0 and at most {num_rows} rows")
    if num_rows == 0:
        return np.zeros(0, np.int64), 0.0
    rows: NDArray[np.int64] = np.sort(rng.choice(num_rows, size, replace=False, shuffle=False))
    return rows.astype(np.int64), size / num_rows


def smallest_audit(max_error: float, alpha: float, *, num_wrong: int = 0) -> int:
    """Return how many audited items must pass the threshold for `num_wrong` wrong ones to certify.

    With none wrong this is the least that any audit needs: 59 at 5 % and 5 %. A budget below it is hopeless.

    Args:
        max_error: the error rate to promise.
        alpha: the chance that the promise may be broken.
        num_wrong: wrong ones among them.

    Returns:
        The smallest m with P(Binomial(m, max_error) <= num_wrong) <= alpha.

    Raises:
        ValueError: `max_error` or `alpha` is not between 0 and 1, or `num_wrong` is negative.
    """
    check_open_unit("max_error", max_error)
    check_open_unit("alpha", alpha)
    if num_wrong < 0:
        raise ValueError(f"num_wrong: got {num_wrong}, expected at least 0")
    return int(smallest_passing(np.array([num_wrong]), max_error=max_error, alpha=alpha)[0])


def power(num_audit: int, *, max_error: float, alpha: float, error_rate: float, coverage: float) -> float:
    """Return the chance that an audit certifies the accepted fraction, by one exact binomial test.

    Args:
        num_audit: audit answers.
        max_error: the error rate to promise.
        alpha: the chance that the promise may be broken.
        error_rate: how often an accepted label is truly wrong.
        coverage: the fraction of the pool that is accepted; `num_audit * coverage`, rounded, audited items pass.

    Raises:
        ValueError: a rate is out of its range, or `num_audit` is negative.

    Example:
        >>> round(power(200, max_error=0.05, alpha=0.05, error_rate=0.018, coverage=0.9), 2)
        0.59
    """
    _check_rates(max_error, alpha, error_rate, coverage)
    if num_audit < 0:
        raise ValueError(f"num_audit: got {num_audit}, expected at least 0")
    num_passing = np.array([round(num_audit * coverage)])
    allowed = most_wrong(num_passing, max_error=max_error, alpha=alpha)
    return float(scipy.stats.binom.cdf(allowed, num_passing, error_rate)[0])


def num_needed(*, max_error: float, alpha: float, error_rate: float, coverage: float, power: float = 0.8) -> int | None:
    """Return the smallest audit that certifies the accepted fraction with the given `power`.

    The power of an exact test is a sawtooth in the number of answers: a few answers more than this may certify
    a little less often, until one more wrong answer is allowed.

    Args:
        max_error: the error rate to promise.
        alpha: the chance that the promise may be broken.
        error_rate: how often an accepted label is truly wrong.
        coverage: the fraction of the pool that is accepted.
        power: the chance of a certificate that is wanted.

    Returns:
        The number of audit answers; None where `error_rate` is not below `max_error`, or where it is so close
        that more than `MOST_ANSWERS` would be needed.

    Raises:
        ValueError: a rate is out of its range.
    """
    _check_rates(max_error, alpha, error_rate, coverage)
    check_open_unit("power", power)
    if error_rate >= max_error:
        return None
    first, block = 0, 32
    while True:
        num_wrong = np.arange(first, first + block)
        passing = smallest_passing(num_wrong, max_error=max_error, alpha=alpha)
        enough = np.flatnonzero(scipy.stats.binom.cdf(num_wrong, passing, error_rate) >= power)
        if enough.size:
            needed = _answers_for(int(passing[enough[0]]), coverage)
            return needed if needed <= MOST_ANSWERS else None
        if passing[-1] > MOST_ANSWERS * coverage:
            return None
        first, block = first + block, 2 * block


def widened_for_pool(answers: int, *, num_pool: int, alpha: float, power: float = 0.8) -> int | None:
    """Return the audit of a finite pool that does what `answers` would do in an infinite one.

    Every audit answer also takes an item away from the auto-labels that the promise is about, so that a
    large part of a small pool proves less about its rest than the same number would about a large pool.

    Returns:
        The number of audit answers, at least `answers`; None where no part of the pool would do.

    Source: normal approximation; f = audited part: m = answers * ((z_a / sqrt(1 - f) + z_b sqrt(1 - f)) /
        (z_a + z_b)) ** 2, solved for m.
    """
    z_alpha, z_power = -scipy.stats.norm.ppf(alpha), scipy.stats.norm.ppf(power)
    needed = answers
    for _ in range(100):
        if needed >= num_pool:
            return None
        rest = math.sqrt(1 - needed / num_pool)
        wider = math.ceil(answers * ((z_alpha / rest + z_power * rest) / (z_alpha + z_power)) ** 2)
        if wider <= needed:
            return needed
        needed = wider
    return None


def worth_in_pool(num_audit: int, *, num_pool: int, alpha: float, power: float = 0.8) -> int:
    """Return how many answers do in an infinite population what `num_audit` do in a pool: `widened_for_pool` inverted.

    Source: as there: answers = m * ((z_a + z_b) / (z_a / sqrt(1 - f) + z_b sqrt(1 - f))) ** 2, f = m / num_pool.
    """
    left = math.sqrt(1 - num_audit / num_pool)
    if left == 0:
        return 0
    z_alpha, z_power = -scipy.stats.norm.ppf(alpha), scipy.stats.norm.ppf(power)
    return int(num_audit * ((z_alpha + z_power) / (z_alpha / left + z_power * left)) ** 2)


def smallest_passing(num_wrong: NDArray[np.int64], *, max_error: float, alpha: float) -> NDArray[np.int64]:
    """Return how many audited items must pass the threshold to certify with so many wrong ones, for each number."""
    # k wrong pass among m items iff the (k + 1)th wrong one comes after m trials with a chance of at most alpha.
    passing: NDArray[np.int64] = (scipy.stats.nbinom.isf(alpha, num_wrong + 1, max_error) + num_wrong + 1).astype(
        np.int64
    )
    return passing


def _answers_for(num_passing: int, coverage: float) -> int:
    answers = max(1, math.floor((num_passing - 0.5) / coverage) - 1)
    while round(answers * coverage) < num_passing:
        answers += 1
    return answers


def _check_rates(max_error: float, alpha: float, error_rate: float, coverage: float) -> None:
    check_open_unit("max_error", max_error)
    check_open_unit("alpha", alpha)
    if not 0 <= error_rate <= 1:
        raise ValueError(f"error_rate: got {error_rate}, expected a number in [0, 1]")
    if not 0 < coverage <= 1:
        raise ValueError(f"coverage: got {coverage}, expected a number above 0, at most 1")
