import numpy as np
import pytest
from scipy.stats import binom
from sklearn.metrics import accuracy_score, precision_recall_fscore_support

from raylabel.reporting.metrics import Confusion, Reliability, binomial_interval, coverage


def labels(num, num_classes, seed=0):
    """Class 0 never occurs, class 1 is never predicted, the last neither."""
    rng = np.random.default_rng(seed)
    true = rng.integers(1, num_classes - 1, num).astype(np.int32)
    predicted = np.where(rng.random(num) < 0.6, true, rng.integers(0, num_classes - 1, num)).astype(np.int32)
    predicted[predicted == 1] = 2
    return true, predicted


def test_quality_by_hand():
    quality = Confusion.of(np.array([0, 0, 0, 1, 1]), np.array([0, 0, 1, 1, 2]), num_classes=3).finish()
    assert quality.precision == pytest.approx((1, 1 / 2, 0))
    assert quality.recall == pytest.approx((2 / 3, 1 / 2, 0))
    assert quality.f1 == pytest.approx((4 / 5, 1 / 2, 0))
    assert quality.support == (3, 2, 0)
    assert quality.macro_f1 == pytest.approx((4 / 5 + 1 / 2) / 3)
    assert quality.accuracy == quality.micro_f1 == pytest.approx(3 / 5)


def test_quality_agrees_with_scikit_learn_where_classes_are_absent():
    true, predicted = labels(400, 7)
    quality = Confusion.of(true, predicted, num_classes=7).finish()
    per_class = precision_recall_fscore_support(true, predicted, labels=range(7), average=None, zero_division=0)
    assert quality.precision == pytest.approx(per_class[0])
    assert quality.recall == pytest.approx(per_class[1])
    assert quality.f1 == pytest.approx(per_class[2])
    assert quality.support == tuple(per_class[3])
    assert quality.support[0] == 0 < quality.support[1]
    assert quality.recall[1] == 0 and quality.precision[1] == 0
    # scikit-learn averages over the classes that occur in either; so the last one does not count.
    macro = precision_recall_fscore_support(true, predicted, average="macro", zero_division=0)
    assert (quality.macro_precision, quality.macro_recall, quality.macro_f1) == pytest.approx(macro[:3])
    micro = precision_recall_fscore_support(true, predicted, average="micro", zero_division=0)
    assert (quality.micro_precision, quality.micro_recall, quality.micro_f1) == pytest.approx(micro[:3])
    assert quality.accuracy == pytest.approx(accuracy_score(true, predicted))


def test_confusion_counts_rows_by_truth():
    table = Confusion.of(np.array([0, 0, 1], np.int8), np.array([1, 1, 0]), num_classes=2)
    assert table.counts.tolist() == [[0, 2], [1, 0]]
    assert table.counts.dtype == np.int64


def test_merged_confusions_are_the_whole():
    true, predicted = labels(100, 5)
    whole = Confusion.of(true, predicted, num_classes=5)
    parts = [
        Confusion.of(true[at], predicted[at], num_classes=5) for at in (slice(0, 30), slice(30, 30), slice(30, 100))
    ]
    merged = parts[2].merge(parts[0]).merge(parts[1])
    assert (merged.counts == whole.counts).all()
    assert merged.finish() == whole.finish()
    with pytest.raises(ValueError, match="other: got 4 classes, expected 5"):
        whole.merge(Confusion.of(true[:0], predicted[:0], num_classes=4))


@pytest.mark.parametrize(
    ("true", "predicted", "num_classes", "message"),
    [
        (np.array([0]), np.array([0, 1]), 2, "predicted: got int64 of shape (2,), expected integers of shape (1,)"),
        (np.array([0.0]), np.array([0]), 2, "true: got float64 of shape (1,)"),
        (np.array([[0]]), np.array([0]), 2, "true: got int64 of shape (1, 1)"),
        (np.array([2]), np.array([0]), 2, "true: got a label outside 0..1"),
        (np.array([0]), np.array([-1]), 2, "predicted: got a label outside 0..1"),
        (np.array([0]), np.array([0]), 0, "num_classes: got 0"),
    ],
)
def test_labels_that_will_not_do_are_refused(true, predicted, num_classes, message):
    with pytest.raises(ValueError) as caught:
        Confusion.of(true, predicted, num_classes=num_classes)
    assert str(caught.value).startswith(message)


def test_tables_that_will_not_do_are_refused():
    with pytest.raises(ValueError, match=r"counts: got shape \(2, 3\)"):
        Confusion(np.zeros((2, 3), np.int64))
    with pytest.raises(ValueError, match="counts: got float64 values"):
        Confusion(np.zeros((2, 2)))
    with pytest.raises(ValueError, match="counts: got int64 values, expected int64 of at least 0"):
        Confusion(np.full((2, 2), -1))
    with pytest.raises(ValueError, match="counts: got 0 items"):
        Confusion.of(np.zeros(0, np.int64), np.zeros(0, np.int64), num_classes=2).finish()


def test_calibration_error_by_hand():
    # Bin 14: confidences 1 and 0.95, one right: gap |1.95 - 1|. Bin 7: 0.5 and right: gap 0.5. Bin 0: 0, wrong: 0.
    confidence = np.array([1.0, 0.95, 0.5, 0.0])
    correct = np.array([True, False, True, False])
    reliability = Reliability.of(confidence, correct)
    assert reliability.num_items.tolist() == [1] + [0] * 6 + [1] + [0] * 6 + [2]
    assert reliability.num_correct.tolist() == [0] * 7 + [1] + [0] * 6 + [1]
    assert reliability.finish() == pytest.approx((0.95 + 0.5) / 4)


def test_gaps_cancel_within_a_bin_and_not_between_bins():
    assert Reliability.of(np.array([0.98, 0.94]), np.array([True, True])).finish() == pytest.approx(0.04)
    assert Reliability.of(np.array([0.5, 0.5]), np.array([True, False])).finish() == 0
    assert Reliability.of(np.array([0.25, 0.75]), np.array([True, False])).finish() == pytest.approx(0.75)


def test_merged_reliabilities_are_the_whole_to_the_last_digit():
    rng = np.random.default_rng(0)
    confidence = rng.random(1000).astype(np.float32)
    correct = rng.random(1000) < confidence
    whole = Reliability.of(confidence, correct)
    parts = [
        Reliability.of(c, k) for c, k in zip(np.split(confidence, [1, 400]), np.split(correct, [1, 400]), strict=True)
    ]
    forward = parts[0].merge(parts[1]).merge(parts[2])
    backward = parts[2].merge(parts[1].merge(parts[0]))
    assert forward.finish() == backward.finish() == whole.finish()
    bins = np.minimum((confidence.astype(float) * 15).astype(int), 14)
    gaps = [abs((confidence[bins == i].astype(float) - correct[bins == i]).sum()) for i in range(15)]
    assert whole.finish() == pytest.approx(sum(gaps) / 1000, abs=1e-8)


def test_reliabilities_that_will_not_do_are_refused():
    one = np.array([0.5])
    with pytest.raises(ValueError, match=r"correct: got bool of shape \(2,\), expected bool of shape \(1,\)"):
        Reliability.of(one, np.array([True, False]))
    with pytest.raises(ValueError, match="correct: got int64"):
        Reliability.of(one, np.array([1]))
    for value in (np.nan, 1.01, -0.01):
        with pytest.raises(ValueError, match="confidence: got NaN or a value outside"):
            Reliability.of(np.array([value]), np.array([True]))
    with pytest.raises(ValueError, match="num_items: got 0 items"):
        Reliability.of(one[:0], np.zeros(0, bool)).finish()
    bins = np.zeros(15, np.int64)
    with pytest.raises(ValueError, match="num_correct: got a bin outside"):
        Reliability(bins, bins + 1, bins)
    with pytest.raises(ValueError, match=r"bins: got int64 of shape \(14,\)"):
        Reliability(bins, bins[:14], bins)


def test_coverage():
    assert coverage(3, 4) == 0.75
    assert coverage(0, 4) == 0
    for num_auto, num_pool in ((5, 4), (-1, 4), (0, 0)):
        with pytest.raises(ValueError, match=f"num_auto: got {num_auto} of {num_pool}"):
            coverage(num_auto, num_pool)


def test_binomial_interval_by_hand():
    # None of 10: the upper end p has (1 - p) ** 10 = 0.025.
    assert binomial_interval(0, 10, alpha=0.05) == pytest.approx((0, 1 - 0.025**0.1))
    assert binomial_interval(10, 10, alpha=0.05) == pytest.approx((0.025**0.1, 1))
    low, high = binomial_interval(7, 50, alpha=0.1)
    assert binom.cdf(7, 50, high) == pytest.approx(0.05)
    assert binom.sf(6, 50, low) == pytest.approx(0.05)


def test_binomial_interval_misses_in_at_most_alpha():
    ends = np.array([binomial_interval(k, 30, alpha=0.1) for k in range(31)])
    for rate in np.linspace(0.01, 0.99, 99):
        missed = (rate < ends[:, 0]) | (rate > ends[:, 1])
        assert binom.pmf(np.arange(31), 30, rate)[missed].sum() <= 0.1


def test_intervals_of_nothing_are_refused():
    for num_wrong, num in ((0, 0), (4, 3), (-1, 3)):
        with pytest.raises(ValueError, match=f"num_wrong: got {num_wrong} of {num}"):
            binomial_interval(num_wrong, num, alpha=0.05)
    with pytest.raises(ValueError, match=r"alpha: got 1\.0"):
        binomial_interval(1, 3, alpha=1.0)
