import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import softmax as scipy_softmax

from raylabel.acceptance import VectorScaling, fit_temperature, softmax


def test_softmax_by_hand():
    found = softmax(np.log(np.array([[1.0, 3.0], [2.0, 2.0]])))
    assert found.dtype == np.float64
    assert found == pytest.approx(np.array([[0.25, 0.75], [0.5, 0.5]]))
    # At temperature 1/2 odds are squared: 1 to 9.
    assert softmax(np.log(np.array([[1.0, 3.0]])), 0.5) == pytest.approx(np.array([[0.1, 0.9]]))


def test_softmax_of_huge_logits_is_stable():
    found = softmax(np.array([[1e6, 1e6, -1e6], [-1e300, 0.0, -1e300]]), 0.01)
    assert found == pytest.approx(np.array([[0.5, 0.5, 0.0], [0.0, 1.0, 0.0]]))


def test_temperature_of_two_classes_by_hand():
    # Logit gap 4 everywhere and right in 3 of 4: the likelihood is largest where sigmoid(4 / T) = 3 / 4.
    logits = np.tile([4.0, 0.0], (4, 1))
    assert fit_temperature(logits, np.array([0, 0, 1, 0])) == pytest.approx(4 / np.log(3), rel=1e-6)


def test_temperature_undoes_a_scale():
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (20_000, 5))
    chances = scipy_softmax(logits, axis=1)
    labels = (chances.cumsum(axis=1) > rng.random((20_000, 1))).argmax(axis=1).astype(np.int32)
    calibrated = fit_temperature(logits, labels)
    assert calibrated == pytest.approx(1, abs=0.03)
    assert fit_temperature(3 * logits, labels) == pytest.approx(3 * calibrated, rel=1e-5)
    assert fit_temperature(logits / 3, labels) == pytest.approx(calibrated / 3, rel=1e-5)
    assert fit_temperature(logits + 1000, labels) == pytest.approx(calibrated, rel=1e-5)


def test_temperature_stays_within_its_bounds():
    logits = np.array([[5.0, 0.0], [0.0, 5.0]])
    assert fit_temperature(logits, np.array([0, 1])) == pytest.approx(0.01, rel=0.05)
    assert fit_temperature(logits, np.array([1, 0])) == pytest.approx(100, rel=0.05)


@pytest.mark.parametrize(
    ("logits", "message"),
    [
        (np.zeros(3), "logits: got shape (3,)"),
        (np.zeros((3, 1)), "logits: got shape (3, 1), expected (n, K) with at least 2 classes"),
        (np.zeros((3, 2), np.float32), "logits: got dtype float32, expected float64"),
        (np.full((3, 2), np.nan), "logits: got NaN or infinity"),
        (np.full((3, 2), np.inf), "logits: got NaN or infinity"),
    ],
)
def test_logits_that_will_not_do_are_refused(logits, message):
    for call in (lambda: softmax(logits), lambda: fit_temperature(logits, np.zeros(3, np.int64))):
        with pytest.raises(ValueError) as caught:
            call()
        assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.zeros(2, np.int64), "label_index: got int64 of shape (2,), expected integers of shape (3,)"),
        (np.zeros(3), "label_index: got float64 of shape (3,)"),
        (np.array([0, 1, 2]), "label_index: got a value outside 0..1"),
        (np.array([0, -1, 1]), "label_index: got a value outside 0..1"),
    ],
)
def test_labels_that_will_not_do_are_refused(labels, message):
    with pytest.raises(ValueError) as caught:
        fit_temperature(np.zeros((3, 2)), labels)
    assert str(caught.value).startswith(message)


def test_nothing_to_fit_and_no_temperature_are_refused():
    with pytest.raises(ValueError, match="logits: got 0 rows"):
        fit_temperature(np.zeros((0, 2)), np.zeros(0, np.int64))
    for temperature in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match=f"temperature: got {temperature}"):
            softmax(np.zeros((1, 2)), temperature)


def test_vector_scaling_by_hand():
    """Logits 1 and 3 become 2 * 1 + 1 and 0.5 * 3 - 0.5: odds of e ** 2."""
    scaling = VectorScaling(np.array([2.0, 0.5]), np.array([1.0, -0.5]))
    assert scaling.probabilities(np.array([[1.0, 3.0]])) == pytest.approx(
        np.array([[np.e**2 / (np.e**2 + 1), 1 / (np.e**2 + 1)]])
    )


def test_vector_scaling_is_the_most_likely_one_under_its_prior():
    """Beside a search that knows no slopes and no bounds."""
    rng = np.random.default_rng(3)
    logits, labels = rng.normal(0, 3, (60, 3)), rng.integers(0, 3, 60)
    temperature = fit_temperature(logits, labels)
    found = VectorScaling.fit(logits, labels, temperature=temperature)

    def loss(values):
        scale, shift = values[:3], values[3:]
        chances = scipy_softmax(scale * logits / temperature + shift, axis=1)[np.arange(60), labels]
        return -np.log(chances).sum() + (((scale - 1) ** 2).sum() + (shift**2).sum()) / 2

    expected = minimize(loss, np.concatenate([np.ones(3), np.zeros(3)]), method="Nelder-Mead", tol=1e-9).x
    assert found.weight * temperature == pytest.approx(expected[:3], abs=1e-3)
    assert found.bias == pytest.approx(expected[3:], abs=1e-3)


def test_vector_scaling_undoes_what_was_done_to_one_class():
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (20_000, 3))
    labels = (scipy_softmax(logits, axis=1).cumsum(axis=1) > rng.random((20_000, 1))).argmax(axis=1)
    bent = logits * [1.0, 2.0, 1.0] + [0.0, 0.0, 1.5]
    found = VectorScaling.fit(bent, labels, temperature=1.0)
    assert found.weight == pytest.approx([1.0, 0.5, 1.0], abs=0.05)
    assert found.bias - found.bias[0] == pytest.approx([0.0, 0.0, -1.5], abs=0.1)


def test_vector_scaling_leaves_a_class_without_answers_at_0():
    logits = np.array([[4.0, 0.0, -1e4], [0.0, 4.0, -1e4], [4.0, 0.0, -1e4], [0.0, 3.0, -1e4]])
    found = VectorScaling.fit(logits, np.array([0, 1, 1, 1]), temperature=2.0)
    assert (found.weight[2], found.bias[2]) == (0.5, 0.0)
    assert found.probabilities(logits)[:, 2].tolist() == [0.0] * 4


def test_vector_scaling_that_will_not_do_is_refused():
    ones = np.ones(2)
    for weight, bias, message in (
        (np.array([1.0, 0.0]), ones, "weight: got 0, expected values above 0"),
        (ones, np.ones(3), r"bias: got float64 of shape \(3,\), expected float64"),
        (ones.astype(np.float32), ones, "weight: got float32"),
        (ones, np.array([np.nan, 0.0]), "bias: got NaN"),
    ):
        with pytest.raises(ValueError, match=message):
            VectorScaling(weight, bias)
    with pytest.raises(ValueError, match="temperature: got 0"):
        VectorScaling.fit(np.zeros((3, 2)), np.zeros(3, np.int64), temperature=0.0)
    with pytest.raises(ValueError, match="logits: got 0 rows"):
        VectorScaling.fit(np.zeros((0, 2)), np.zeros(0, np.int64), temperature=1.0)
