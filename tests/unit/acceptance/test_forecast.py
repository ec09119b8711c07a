import numpy as np
import pytest

from raylabel.acceptance import (
    Expected,
    assumed,
    certify,
    forecast,
    hopeless,
    learned,
    num_needed,
    plan_second_draw,
)
from raylabel.acceptance.certificate import Certificate
from raylabel.acceptance.curve import fit_error_curve
from raylabel.acceptance.forecast import SHARES, least_audit
from raylabel.acceptance.histogram import EDGES, ConfidenceHistogram, count_bins

FIVE = (0.05, 0.05, "auto")


def kinds(*rows):
    """Confidence, chance and share of each kind of items."""
    confidence, chance, share = zip(*rows, strict=True)
    return Expected(np.array(confidence, np.float32), np.array(chance), np.array(share))


TWO = kinds((0.9, 1.0, 0.5), (0.4, 0.5, 0.5))
"""Half of the pool is always right, of the other half every second label."""


def test_errors_and_what_is_attainable_by_hand():
    assert TWO.accuracy == 0.75
    assert TWO.errors(np.array([0.25, 0.5, 0.75, 1.0])) == pytest.approx([0, 0, 0.125 / 0.75, 0.25])
    # Kinds are accepted whole or not at all.
    assert TWO.attainable(0.24, promise="auto") == 0.5
    assert TWO.attainable(0.25, promise="auto") == 1.0
    three = kinds((0.9, 0.98, 0.4), (0.6, 0.8, 0.4), (0.2, 0.3, 0.2))
    # Wrong of the whole pool: 0.8, 8.8 and 22.8 %; of what is accepted: 2, 11 and 22.8 %.
    assert [three.attainable(eps, promise="auto") for eps in (0.01, 0.1, 0.11, 0.2)] == pytest.approx(
        [0, 0.4, 0.8, 0.8]
    )
    assert [three.attainable(eps, promise="whole") for eps in (0.005, 0.08, 0.09)] == pytest.approx([0, 0.4, 0.8])


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([(0.4, 0.5, 0.5), (0.9, 1.0, 0.5)], "confidence: got values that rise"),
        ([(0.9, 1.0, 0.5), (0.4, 0.5, 0.4)], "share: got values that sum to 0.9"),
        ([(0.9, 1.5, 1.0)], "chance: got 1.5"),
        ([(np.nan, 1.0, 1.0)], "confidence: got nan"),
    ],
)
def test_kinds_that_are_none(rows, message):
    with pytest.raises(ValueError, match=message):
        kinds(*rows)


def test_an_assumed_model_is_right_as_often_as_it_says():
    for accuracy in (0.6, 0.85, 0.99):
        found = assumed(accuracy)
        assert found.accuracy == pytest.approx(accuracy)
        assert found.chance == pytest.approx(found.confidence, abs=1e-6)
    # As ImageNet's classifier, 78.3 % right, with 0.59 at 5 % and 0.75 at 10 %.
    assert assumed(0.783).attainable(0.05, promise="auto") == pytest.approx(0.56, abs=0.01)
    assert assumed(0.783).attainable(0.1, promise="auto") == pytest.approx(0.77, abs=0.01)
    with pytest.raises(ValueError, match="accuracy: got 1"):
        assumed(1.0)


def test_learned_takes_the_pools_confidences_and_the_answers_rights():
    """Held-out answers are right in 1 of 2 cases at 0.5 and always at 0.95; the pool has mostly sure items."""
    rng = np.random.default_rng(0)
    confidence = np.where(np.arange(400) < 200, 0.5, 0.95).astype(np.float32)
    correct = np.where(np.arange(400) < 200, rng.random(400) < 0.5, rng.random(400) < 0.95)
    counts = count_bins(np.repeat(np.array([0.5, 0.95], np.float32), [100, 900]))
    found = learned(confidence, correct, counts=counts)
    assert found.share.tolist() == [0.9, 0.1]
    assert found.confidence == pytest.approx([0.95, 0.5], abs=2e-3)
    assert found.chance == pytest.approx([correct[200:].mean(), correct[:200].mean()], abs=0.02)
    assert found.accuracy == pytest.approx(0.9 * 0.95 + 0.1 * 0.5, abs=0.03)


def test_learned_from_answers_that_are_all_right_or_all_wrong():
    counts = count_bins(np.full(10, 0.7, np.float32))
    some = np.full(9, 0.7, np.float32)
    known = EDGES[np.flatnonzero(counts)]
    for correct in (np.ones(9, bool), np.zeros(9, bool)):
        wrong = fit_error_curve(some, correct)(known)
        assert learned(some, correct, counts=counts).chance.tolist() == (1 - wrong).tolist()
    assert 0.8 < learned(some, np.ones(9, bool), counts=counts).accuracy < 1
    assert 0 < learned(some, np.zeros(9, bool), counts=counts).accuracy < 0.4
    with pytest.raises(ValueError, match="got 0 held-out answers and 10 items"):
        learned(some[:0], np.ones(0, bool), counts=counts)
    with pytest.raises(ValueError, match="got 9 held-out answers and 0 items"):
        learned(some, np.ones(9, bool), counts=np.zeros(len(EDGES), np.int64))


def test_a_model_that_is_always_right_is_certified_whole():
    found = forecast(kinds((0.9, 1.0, 1.0)), num_pool=10_000, num_train=100, num_audit=200, asked=FIVE)
    assert (found.chance, found.attainable) == (1.0, 1.0)
    assert found.coverage == found.low == found.high == pytest.approx(0.97)
    assert (found.max_error, found.num_audit) == (0.05, 200)


@pytest.mark.parametrize("num_audit", [0, 58])
def test_too_few_answers_certify_nothing(num_audit):
    found = forecast(kinds((0.9, 1.0, 1.0)), num_pool=10_000, num_train=100, num_audit=num_audit, asked=FIVE)
    assert (found.chance, found.coverage, found.high) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize(("num_audit", "eps"), [(400, 0.1), (1000, 0.05)])
def test_the_forecast_is_what_certify_does_of_such_a_pool(num_audit, eps):
    """Beside twenty audits of a pool of 20,000 items: a little lower, as it knows less of how small the pool is."""
    expected, num_pool = assumed(0.85), 20_000
    found = forecast(expected, num_pool=num_pool, num_train=0, num_audit=num_audit, asked=(eps, 0.05, "auto"))
    rng, coverages = np.random.default_rng(0), []
    for _ in range(20):
        confidence = rng.choice(expected.confidence, num_pool)
        correct = rng.random(num_pool) < confidence
        audit = np.zeros(num_pool, bool)
        audit[rng.choice(num_pool, num_audit, replace=False)] = True
        pool = ConfidenceHistogram.of(confidence, human=audit)
        verdict = certify(confidence[audit], correct[audit], max_error=eps, alpha=0.05, promise="auto", pool=pool)
        coverages.append(verdict.num_auto / num_pool if isinstance(verdict, Certificate) else 0.0)
    assert found.coverage == pytest.approx(np.mean(coverages), abs=0.1)
    assert found.low <= found.coverage <= found.high <= found.attainable


def test_a_targeted_audit_is_forecast_as_it_is_drawn():
    """Beside twenty pilots and second draws of a pool of 20,000; few answers certify more than of a uniform audit."""
    expected, num_pool, asked = assumed(0.8), 20_000, {"max_error": 0.05, "alpha": 0.05, "promise": "auto"}
    sizes = {"num_pool": num_pool, "num_train": 0, "num_audit": 350}
    found = forecast(expected, **sizes, num_second=300, asked=FIVE)
    rng, coverages = np.random.default_rng(0), []
    for _ in range(20):
        confidence = rng.choice(expected.confidence, num_pool)
        correct = rng.random(num_pool) < confidence
        pilot = rng.choice(num_pool, 50, replace=False)
        seen = np.isin(np.arange(num_pool), pilot)
        pool = ConfidenceHistogram.of(confidence, human=seen)
        plan = plan_second_draw(confidence[pilot], correct[pilot], pool=pool, size=300, **asked)
        second = rng.choice(np.flatnonzero((confidence >= np.float32(plan.threshold)) & ~seen), 300, replace=False)
        pool = ConfidenceHistogram.of(confidence, human=seen | np.isin(np.arange(num_pool), second))
        weights = np.full(300, 1 / plan.inclusion_probability)
        verdict = certify(confidence[second], correct[second], pool=pool, weights=weights, **asked)
        coverages.append(verdict.num_auto / num_pool if isinstance(verdict, Certificate) else 0.0)
    assert found.coverage == pytest.approx(np.mean(coverages), abs=0.1)
    assert found.coverage > forecast(expected, **sizes, asked=FIVE).coverage
    assert found == forecast(expected, **sizes, num_second=300, asked=FIVE)


def test_the_same_every_time_and_more_with_more_answers():
    sizes = (100, 300, 1000)
    first, again = (
        [forecast(assumed(0.9), num_pool=10**6, num_train=0, num_audit=n, asked=FIVE, num_draws=30) for n in sizes]
        for _ in range(2)
    )
    assert first == again
    assert first[0].coverage < first[1].coverage < first[2].coverage
    assert first[0].chance < first[1].chance <= first[2].chance
    assert len({found.num_needed for found in first}) == 1


def test_a_small_pool_is_worth_less():
    huge, small = (
        forecast(assumed(0.9), num_pool=n, num_train=0, num_audit=150, asked=FIVE).chance for n in (10**6, 300)
    )
    assert small < huge


def test_least_audit_is_the_test_at_the_easiest_part():
    # Without an error the largest part that has none is the cheapest: 59 of it, half of what is drawn.
    by_hand = [
        num_needed(max_error=0.05, alpha=0.05, error_rate=float(error), coverage=float(share))
        for share, error in zip(SHARES[:10], TWO.errors()[:10], strict=True)
    ]
    assert min(by_hand) == by_hand[9] == least_audit(TWO, max_error=0.05, alpha=0.05, promise="auto")
    assert by_hand[9] == pytest.approx(118, abs=1)
    near = kinds((0.9, 0.953, 1.0))
    assert least_audit(near, max_error=0.05, alpha=0.05, promise="auto") == num_needed(
        max_error=0.05, alpha=0.05, error_rate=0.047, coverage=1.0
    )
    assert least_audit(TWO, max_error=0.05, alpha=0.05, promise="whole") == 59
    hard = kinds((0.9, 0.5, 1.0))
    assert least_audit(hard, max_error=0.05, alpha=0.05, promise="auto") is None


def test_hopeless_says_why():
    pool = {"num_train": 50, "asked": FIVE}
    # 0.95 ** 58 = 0.0510 > 0.05 >= 0.95 ** 59 = 0.0485.
    assert hopeless(num_pool=10_000, num_audit=60, **pool) is None
    assert "58 audit answers are too few" in hopeless(num_pool=10_000, num_audit=58, **pool)
    assert "10 audit answers are too few" in hopeless(num_pool=10_000, num_audit=10, **pool)
    assert hopeless(num_pool=10_000, num_audit=200, **pool) is None
    # 5 % of the few that are left is less than one: all of them would have to be known.
    assert "too few" in hopeless(num_pool=200, num_audit=140, **pool)
    assert "people have answered every item" in hopeless(num_pool=200, num_audit=150, **pool)
    assert "there are no audit answers" in hopeless(num_pool=200, num_audit=0, **pool)


@pytest.mark.parametrize(("num_audit", "alpha"), [(400, 0.01), (100, 0.05)])
def test_training_items_below_every_threshold_leave_a_chance(num_audit, alpha):
    """Where confidences are spread a threshold leaves the training items out; in one bin none does."""
    asked = (0.05, alpha, "auto")
    assert hopeless(num_pool=1000, num_train=500, num_audit=num_audit, asked=asked) is None
    train = np.arange(1000) < 500
    audit = np.zeros(1000, bool)
    audit[500 + np.random.default_rng(0).choice(500, num_audit, replace=False)] = True

    def verdict(confidence):
        pool = ConfidenceHistogram.of(confidence, human=audit | train)
        right = np.ones(num_audit, bool)
        return certify(confidence[audit], right, max_error=0.05, alpha=alpha, promise="auto", pool=pool)

    spread = np.where(train, 0.01, np.linspace(0, 1, 1000)).astype(np.float32)
    assert isinstance(verdict(spread), Certificate)
    assert not isinstance(verdict(np.full(1000, 0.9, np.float32)), Certificate)


def test_more_answers_than_items():
    with pytest.raises(ValueError, match="num_pool: got 100, expected at least 50 \\+ 60 answers"):
        forecast(TWO, num_pool=100, num_train=50, num_audit=60, asked=FIVE)


def test_forecast_as_json():
    found = forecast(TWO, num_pool=1000, num_train=10, num_audit=100, asked=FIVE, num_draws=3)
    assert set(found.to_dict()) == {
        "max_error",
        "num_audit",
        "chance",
        "coverage",
        "low",
        "high",
        "attainable",
        "num_needed",
    }
