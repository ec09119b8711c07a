import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit, logit

from raylabel.acceptance.curve import fit_error_curve


def test_without_answers_confidence_is_taken_at_its_word():
    curve = fit_error_curve(np.zeros(0, np.float32), np.zeros(0, bool))
    assert curve(np.array([0.2, 0.75, 0.99])) == pytest.approx([0.8, 0.25, 0.01])


def test_it_is_the_maximum_of_the_posterior():
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.05, 0.999, 80)
    correct = rng.random(80) < confidence**2
    scores = logit(1 - confidence)

    def loss(at):
        chances = expit(at[0] + at[1] * scores)
        likelihood = np.log(np.where(correct, 1 - chances, chances)).sum()
        return -likelihood + at[0] ** 2 / 2 + 4 * (at[1] - 1) ** 2 / 2

    best = minimize(loss, [0.0, 1.0], tol=1e-10).x
    asked = np.array([0.1, 0.5, 0.9, 0.99])
    assert fit_error_curve(confidence, correct)(asked) == pytest.approx(
        expit(best[0] + best[1] * logit(1 - asked)), 1e-4
    )


def test_many_answers_override_the_model():
    rng = np.random.default_rng(1)
    confidence = rng.uniform(0.5, 1, 50_000).astype(np.float32)
    # Wrong five times as often as it says, on the odds.
    chances = expit(logit(1 - confidence.astype(float)) + np.log(5))
    curve = fit_error_curve(confidence, rng.random(50_000) > chances)
    assert curve(np.array([0.9, 0.99], np.float32)) == pytest.approx([5 / 14, 5 / 104], rel=0.05)


@pytest.mark.parametrize("value", [0.0, 1.0])
@pytest.mark.parametrize("right", [True, False])
def test_one_confidence_and_one_outcome_end(value, right):
    curve = fit_error_curve(np.full(1000, value, np.float32), np.full(1000, right))
    found = curve(np.array([0.0, 0.5, 1.0], np.float32))
    assert np.isfinite(found).all()
    assert (curve(np.array([value], np.float32))[0] < 0.05) == right


def test_input_that_will_not_do_is_refused():
    with pytest.raises(ValueError, match=r"confidence: got nan at \[0\]"):
        fit_error_curve(np.array([np.nan]), np.ones(1, bool))
    with pytest.raises(ValueError, match="correct: got 2 values, expected 1"):
        fit_error_curve(np.ones(1), np.ones(2, bool))
