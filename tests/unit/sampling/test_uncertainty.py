import math

import numpy as np
import pytest
from skactiveml.pool import uncertainty_scores

from raylabel.sampling.uncertainty import bald, entropy, least_confidence, margin

# One sure row, one torn between two classes, one that knows nothing, one in between and out of order.
ROWS = [[1.0, 0.0, 0.0, 0.0], [0.5, 0.0, 0.0, 0.5], [0.25, 0.25, 0.25, 0.25], [0.125, 0.625, 0.25, 0.0]]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("score", "by_hand"),
    [
        (least_confidence, [0.0, 0.5, 0.75, 0.375]),
        (margin, [0.0, 1.0, 1.0, 0.625]),
        (
            entropy,
            [
                0.0,
                math.log(2),
                math.log(4),
                (math.log(8) / 8) + (math.log(4) / 4) + (5 * math.log(8 / 5) / 8),
            ],
        ),
    ],
)
def test_scores_by_hand(score, by_hand, dtype):
    scores = score(np.array(ROWS, dtype))
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, by_hand, rtol=1e-6, atol=0)


@pytest.mark.parametrize(
    ("score", "method"), [(least_confidence, "least_confident"), (margin, "margin_sampling"), (entropy, "entropy")]
)
def test_the_scores_of_scikit_activeml(score, method):
    probabilities = np.concatenate([np.random.default_rng(0).dirichlet(np.full(7, 0.3), size=500), np.eye(7)])
    np.testing.assert_allclose(score(probabilities), uncertainty_scores(probabilities, method=method), atol=1e-6)


def test_two_classes_rank_alike_by_all_three():
    likeliest = np.array([0.9, 0.51, 0.7, 0.99, 0.6])
    probabilities = np.stack([likeliest, 1 - likeliest], axis=1)
    for score in (least_confidence, margin, entropy):
        assert np.argsort(-score(probabilities)).tolist() == [1, 4, 2, 0, 3]


def test_margin_reads_the_two_greatest_wherever_they_stand():
    rows = np.array([[0.1, 0.3, 0.6], [0.6, 0.1, 0.3], [0.3, 0.6, 0.1]])
    np.testing.assert_allclose(margin(rows), [0.7, 0.7, 0.7], rtol=1e-6)


@pytest.mark.parametrize("score", [least_confidence, margin, entropy])
def test_score_of_a_row_depends_on_that_row_alone(score):
    rng = np.random.default_rng(3)
    probabilities = rng.dirichlet(np.full(37, 0.2), size=101).astype(np.float32)
    whole = score(probabilities)
    in_parts = np.concatenate([score(probabilities[:7]), score(probabilities[7:])])
    assert whole.tobytes() == in_parts.tobytes()
    assert whole.tobytes() == score(np.asfortranarray(probabilities)).tobytes()


@pytest.mark.parametrize("score", [least_confidence, margin, entropy])
def test_what_is_no_distribution_is_refused(score):
    with pytest.raises(ValueError, match="probabilities: got 1 classes, expected at least 2"):
        score(np.ones((3, 1), np.float32))
    with pytest.raises(ValueError, match=r"probabilities: got shape \(3,\), expected \(N, K\)"):
        score(np.ones(3, np.float32))
    with pytest.raises(ValueError, match=r"probabilities: got nan at \[1, 0\]"):
        score(np.array([[1.0, 0.0], [np.nan, 1.0]]))
    with pytest.raises(ValueError, match="got a row that sums to 7, expected rows that sum to 1"):
        score(np.array([[3.0, 4.0]]))


@pytest.mark.parametrize("score", [least_confidence, margin, entropy])
def test_no_items_give_no_scores(score):
    assert score(np.zeros((0, 3), np.float32)).shape == (0,)


def test_bald_by_hand():
    """Two members: agreeing and sure, agreeing and unsure, each sure of another class, one sure and one unsure."""
    one = np.array([[1.0, 0.0], [0.5, 0.5], [1.0, 0.0], [1.0, 0.0]])
    other = np.array([[1.0, 0.0], [0.5, 0.5], [0.0, 1.0], [0.5, 0.5]])
    mixed = 0.75 * math.log(4 / 3) + 0.25 * math.log(4) - 0.5 * math.log(2)
    scores = bald(np.stack([one, other]))
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, [0.0, 0.0, math.log(2), mixed], rtol=1e-6, atol=1e-12)


def test_one_member_disagrees_with_nobody():
    members = np.random.default_rng(0).dirichlet(np.ones(5), size=(1, 50))
    assert bald(members).tolist() == [0.0] * 50


def test_bald_wants_members():
    with pytest.raises(ValueError, match=r"members: got shape \(3, 2\), expected \(M, N, K\)"):
        bald(np.full((3, 2), 0.5))
