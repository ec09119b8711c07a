import numpy as np
import pytest
from scipy.special import softmax as scipy_softmax

from raylabel.acceptance import fit_temperature, softmax


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
