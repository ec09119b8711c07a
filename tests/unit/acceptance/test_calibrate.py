import json

import numpy as np
import pytest
from sklearn.isotonic import IsotonicRegression

from raylabel.acceptance import MonotoneCalibration


def test_isotonic_by_hand():
    # Right: no, yes, no, yes. The middle two are out of order and pool to one half.
    confidence = np.array([0.2, 0.4, 0.6, 0.9], np.float32)
    calibration = MonotoneCalibration.fit(confidence, np.array([False, True, False, True]))
    found = calibration.apply(np.array([0.0, 0.2, 0.3, 0.4, 0.5, 0.6, 0.75, 0.9, 1.0], np.float32))
    assert found.dtype == np.float32
    assert found == pytest.approx([0, 0, 0.25, 0.5, 0.5, 0.5, 0.75, 1, 1], abs=1e-6)


def test_items_of_one_confidence_share_their_accuracy():
    confidence = np.array([0.5, 0.5, 0.5, 0.5], np.float32)
    calibration = MonotoneCalibration.fit(confidence, np.array([True, False, True, True]))
    assert calibration.apply(np.array([0.0, 0.5, 1.0], np.float32)).tolist() == [0.75, 0.75, 0.75]


def test_calibration_agrees_with_scikit_learn_and_keeps_the_order():
    rng = np.random.default_rng(0)
    confidence = rng.random(500).astype(np.float32)
    correct = rng.random(500) < confidence**2
    calibration = MonotoneCalibration.fit(confidence, correct)
    grid = np.linspace(0, 1, 1001)
    peer = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(confidence.astype(float), correct)
    found = calibration.apply(grid)
    assert found == pytest.approx(peer.predict(grid), abs=1e-6)
    assert (np.diff(found) >= 0).all()
    assert found[0] < 0.1 and found[-1] > 0.8
    # The means agree on the data it was fitted on.
    assert calibration.apply(confidence).mean() == pytest.approx(correct.mean(), abs=1e-6)


def test_json_and_back():
    calibration = MonotoneCalibration((0.25, 0.5), (0.0, 0.75))
    assert calibration.to_dict() == {"confidence": [0.25, 0.5], "accuracy": [0.0, 0.75]}
    assert MonotoneCalibration.from_dict(json.loads(json.dumps(calibration.to_dict()))) == calibration
    with pytest.raises(ValueError, match=r"knots: got fields \['confidence'\]"):
        MonotoneCalibration.from_dict({"confidence": [0.5]})


@pytest.mark.parametrize(
    ("confidence", "accuracy", "message"),
    [
        ((), (), "knots: got 0 confidences and 0 accuracies"),
        ((0.5,), (0.5, 0.6), "knots: got 1 confidences and 2 accuracies"),
        ((0.5, 0.5), (0.5, 0.6), "confidence: got knots that do not rise"),
        ((0.5, 0.6), (0.6, 0.5), "accuracy: got values that fall"),
        ((0.5, 1.6), (0.5, 0.6), "confidence: got 1.6 at [1]"),
        ((0.5, 0.6), (0.5, float("nan")), "accuracy: got nan at [1]"),
    ],
)
def test_knots_that_make_no_monotone_map_are_refused(confidence, accuracy, message):
    with pytest.raises(ValueError) as caught:
        MonotoneCalibration(confidence, accuracy)
    assert str(caught.value).startswith(message)


def test_input_that_will_not_do_is_refused():
    one = np.array([0.5], np.float32)
    with pytest.raises(ValueError, match="confidence: got 0 audited items"):
        MonotoneCalibration.fit(one[:0], np.zeros(0, bool))
    with pytest.raises(ValueError, match="correct: got 2 values, expected 1"):
        MonotoneCalibration.fit(one, np.array([True, False]))
    with pytest.raises(ValueError, match="confidence: got nan"):
        MonotoneCalibration.fit(one * np.nan, np.array([True]))
    with pytest.raises(ValueError, match=r"confidence: got 1\.5"):
        MonotoneCalibration.fit(one, np.array([True])).apply(one * 3)
