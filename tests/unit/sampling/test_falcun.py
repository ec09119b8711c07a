import re

import numpy as np
import pytest

from raylabel.sampling.falcun import GAMMA, falcun

# Margins 0, .2, 1 and .1: uncertainties 1, .8, 0 and .9.
ROWS = np.array([[0.5, 0.5, 0.0], [0.6, 0.4, 0.0], [1.0, 0.0, 0.0], [0.0, 0.45, 0.55]])


class Drawn:
    """A generator that gives numbers written down before."""

    def __init__(self, *numbers):
        self.numbers = list(numbers)

    def random(self):
        return self.numbers.pop(0)


def slow(probabilities, size, rng, gamma):
    """The paper's equations, item by item; the draw walks along the weights."""
    unsure = []
    for row in probabilities:
        second, first = sorted(row)[-2:]
        unsure.append(1 - (first - second))
    far, picked, relevances = list(unsure), [], []
    for _ in range(size):
        relevance = [u + d for u, d in zip(unsure, far, strict=True)]
        weights = [0.0 if row in picked else relevance[row] ** gamma for row in range(len(relevance))]
        left, row = rng.random() * sum(weights), 0
        while weights[row] <= left:
            left -= weights[row]
            row += 1
        picked.append(row)
        relevances.append(relevance[row])
        far = [
            min(d, sum(abs(a - b) for a, b in zip(one, probabilities[row], strict=True)))
            for d, one in zip(far, probabilities, strict=True)
        ]
        low, high = min(far), max(far)
        far = [(d - low) / (high - low) for d in far]
    return picked, relevances


@pytest.mark.parametrize("gamma", [0.0, 1.0, GAMMA])
@pytest.mark.parametrize("seed", range(3))
def test_the_equations_of_the_paper(seed, gamma):
    probabilities = np.random.default_rng(seed).dirichlet(np.ones(5), size=50)
    picks = falcun(probabilities, size=20, rng=np.random.default_rng(seed), gamma=gamma)
    picked, relevances = slow(probabilities, 20, np.random.default_rng(seed), gamma)
    assert picks.positions.tolist() == picked
    np.testing.assert_allclose(picks.relevance, relevances, rtol=1e-5)


def test_by_hand():
    """Relevance is 2, 1.6, 0, 1.8 at first. After item 0, L1 distances are 0, .2, 1 and 1.1, of which .2 and .9 stay
    below what was, over their most: 0, .2 / .9, 0 and 1."""
    picks = falcun(ROWS, size=3, rng=Drawn(0.0, 0.999, 0.0), gamma=1.0)
    # Weights 2, 1.6, 0, 1.8: a draw of 0 is item 0. Then .8 + .222, 0 and .9 + 1: nearly all of it is item 3.
    assert picks.positions.tolist() == [0, 3, 1]
    np.testing.assert_allclose(picks.relevance[:2], [2.0, 1.9], rtol=1e-6)


def test_weight_decides_as_often_as_it_should():
    """With gamma 1 the first is drawn as 2 : 1.6 : 0 : 1.8."""
    rng = np.random.default_rng(0)
    first = [int(falcun(ROWS, size=1, rng=rng, gamma=1.0).positions[0]) for _ in range(4000)]
    # Shares 2, 1.6 and 1.8 of 5.4; a standard deviation is 31.
    assert abs(np.bincount(first, minlength=4) - [1481, 1185, 0, 1333]).max() < 130


@pytest.mark.filterwarnings("error")
def test_sure_of_everything():
    """Nothing is uncertain, all are alike: each is still drawn, once."""
    picks = falcun(np.tile([[1.0, 0.0]], (9, 1)), size=9, rng=np.random.default_rng(0))
    assert sorted(picks.positions.tolist()) == list(range(9))
    assert picks.relevance.tolist() == [0.0] * 9


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"size": 5}, "size: 5 requested / 4 available, expected 1 to 4"),
        ({"gamma": -1.0}, "gamma: got -1.0, expected at least 0"),
        ({"gamma": float("nan")}, "gamma: got nan, expected at least 0"),
        ({"probabilities": 2 * ROWS}, "probabilities: got a row that sums to 2, expected rows that sum to 1"),
    ],
)
def test_what_does_not_fit_is_refused(changed, message):
    given = {"probabilities": ROWS, "size": 2, "rng": np.random.default_rng(0), **changed}
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        falcun(given.pop("probabilities"), **given)
