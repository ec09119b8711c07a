import numpy as np
import pytest
from scipy.special import expit, softmax
from sklearn.linear_model import LogisticRegression

from raylabel.acceptance import LearnedScore, log_odds
from raylabel.acceptance.score import LARGEST, why_not


def test_log_odds_by_hand():
    """Probabilities 0.6, 0.3, 0.1: odds of 6 to 4 and 1 to 9."""
    logits = np.log(np.array([[0.6, 0.3, 0.1]] * 2)) + 17.0
    assert log_odds(logits, np.array([0, 2])) == pytest.approx([np.log(6 / 4), np.log(1 / 9)])


def test_log_odds_of_certainties_are_cut():
    logits = np.array([[0.0, -np.inf], [0.0, -np.inf], [900.0, 0.0]])
    assert log_odds(logits, np.array([0, 1, 0])).tolist() == [LARGEST, -LARGEST, LARGEST]


def test_log_odds_are_those_of_the_softmax():
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(0, 3, (200, 5)), rng.integers(0, 5, 200)
    chances = softmax(logits, axis=1)[np.arange(200), labels]
    assert log_odds(logits, labels) == pytest.approx(np.log(chances / (1 - chances)))


def test_score_by_hand():
    """0.5 * 2 - 1 * 3 + 2 = 0, and 0.5 * 0 - 1 * 1 + 2 = 1."""
    score = LearnedScore((0.5, -1.0), 2.0)
    assert score.apply(np.array([[2.0, 3.0], [0.0, 1.0]])) == pytest.approx([0.5, expit(1.0)])
    loss = score.log_loss(np.array([[2.0, 3.0], [0.0, 1.0]]), np.array([True, False]))
    assert loss == pytest.approx(-(np.log(0.5) + np.log(1 - expit(1.0))) / 2)
    assert score.apply(np.empty((0, 2))).shape == (0,)


def test_score_is_scikit_learns_logistic_regression():
    rng = np.random.default_rng(1)
    features = rng.normal(size=(300, 2)) * [5.0, 0.1] + [3.0, -1.0]
    correct = rng.random(300) < expit(features @ [0.3, 4.0] + 3.0)
    found = LearnedScore.fit(features, correct)
    scaled = (features - features.mean(axis=0)) / features.std(axis=0)
    expected = LogisticRegression(tol=1e-10, max_iter=5000).fit(scaled, correct).predict_proba(scaled)[:, 1]
    assert found.apply(features) == pytest.approx(expected, abs=1e-5)
    assert found.coefficients == pytest.approx((0.3, 4.0), rel=0.5)


def test_a_feature_that_never_differs_says_nothing():
    features = np.stack([np.arange(40.0), np.full(40, 7.0)], axis=1)
    found = LearnedScore.fit(features, np.arange(40) % 3 > 0)
    assert found.coefficients[1] == 0.0


def test_too_few_of_either_are_refused():
    assert why_not(10, 10) == ""
    assert why_not(9, 100).startswith("9 of the answers held out were right and 100 wrong; a score is learned from")
    features = np.arange(60.0)[:, np.newaxis]
    for correct in (np.arange(60) >= 9, np.arange(60) < 9, np.ones(60, bool)):
        with pytest.raises(ValueError, match="a score is learned from at least 10 of each"):
            LearnedScore.fit(features, correct)
    assert LearnedScore.fit(features, np.arange(60) >= 10).coefficients[0] > 0


def test_bad_input_is_refused():
    correct = np.arange(40) % 2 > 0
    for features, message in (
        (np.zeros((40, 2), np.float32), "features: got float32"),
        (np.full((40, 2), np.nan), "expected finite float64"),
        (np.zeros((39, 2)), "correct: got 40 values, expected 39"),
    ):
        with pytest.raises(ValueError, match=message):
            LearnedScore.fit(features, correct)
    with pytest.raises(ValueError, match=r"got shape \(4, 3\), expected \(n, 2\)"):
        LearnedScore((1.0, 1.0), 0.0).apply(np.zeros((4, 3)))
    for logits, message in (
        (np.zeros((3, 1)), "K at least 2"),
        (np.zeros((2, 2)), r"got shapes \(2, 2\) and \(3,\)"),
        (np.full((3, 2), np.nan), "logits: got NaN"),
        (np.full((3, 2), -np.inf), "a row of minus infinity"),
    ):
        with pytest.raises(ValueError, match=message):
            log_odds(logits, np.zeros(3, np.int64))
