"""The betting bound: how often items are wrong, from an audit whose items count unequally.

Knows weights and wrongs; knows nothing of thresholds or promises.

Somebody bets against "a part theta of the population is wrong, or more": with y 1 where an audited item is wrong, w its
weight (1 / inclusion probability), b a bet in (0, 1] and B = b / ((1 - theta) * max w), the wealth

    product of 1 - B * w * (y - theta) over the audited items

is at most 1 on average if that is true. Averaged over several bets it still is, so that it reaches 1 / alpha in at most
alpha of all draws (Markov); the bound is the lowest theta at which it does. It is at most 1 on average for draws of a
fixed size without replacement within strata (Maclaurin's inequality within each, then 1 + x <= exp x), for
independent draws with replacement and for Poisson sampling. The order of the items makes no difference.

Beside the exact tests it is weaker wherever those can be run: at 5 % and 5 % it allows 12 wrong of 500 where an exact
test allows 16, 202 of 5,000 for 224. So uniform draws are tested exactly, and only unequal weights by this: decided by
the weights, before an answer is seen.

Source: Waudby-Smith and Ramdas 2024, Estimating means of bounded random variables by betting, with a mixture of fixed
bets in place of their predictable ones.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from raylabel.acceptance.checks import BoolArray

FloatArray = NDArray[np.float64]

# The best bet is 1 - (true error rate) / theta: from hopeful ones to cautious ones.
BETS = np.arange(1, 9) / 8


def betting_proves(shares: FloatArray, wrong: BoolArray, *, error_rate: float, alpha: float) -> bool:
    """Test whether less than a part `error_rate` of the population is wrong.

    Args:
        shares: (m,) weights of the audited items divided by the largest weight of the audit, in (0, 1].
        wrong: (m,) bool.
        error_rate: theta; 1 and more is always proven, 0 never.
        alpha: the level of the test.

    Returns:
        Whether the wealth reaches 1 / alpha.
    """
    if error_rate >= 1:
        return True
    if error_rate <= 0:
        return False
    bets = BETS[:, np.newaxis]
    with np.errstate(divide="ignore"):  # the boldest bet loses everything on the first wrong one of full weight
        lost = np.log1p(-bets * shares[wrong]).sum(axis=1)
    won = np.log1p(bets * shares[~wrong] * (error_rate / (1 - error_rate))).sum(axis=1)
    wealth = float(logsumexp(lost + won)) - float(np.log(len(BETS)))
    return bool(wealth >= -np.log(alpha))


def betting_upper(shares: FloatArray, wrong: BoolArray, *, alpha: float) -> float:
    """Return the upper confidence bound on the part of the population that is wrong, to 1e-9.

    Args:
        shares: as in `betting_proves`.
        wrong: (m,) bool.
        alpha: the chance that the bound may be too low.

    Returns:
        The lowest rate that is proven; 1 without a sample.

    Cost: 30 tests.
    """
    low, high = 0.0, 1.0
    while high - low > 1e-9:
        middle = (low + high) / 2
        if betting_proves(shares, wrong, error_rate=middle, alpha=alpha):
            high = middle
        else:
            low = middle
    return high
