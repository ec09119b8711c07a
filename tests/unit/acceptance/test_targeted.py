import numpy as np
import pyarrow.parquet as pq
import pytest

from raylabel.acceptance import Certificate, ConfidenceHistogram, SecondDraw, certify, plan_second_draw
from raylabel.acceptance.histogram import EDGES
from raylabel.errors import UnknownName

FIVE = {"max_error": 0.05, "alpha": 0.05}


@pytest.fixture(scope="module")
def imagenet(data):
    table = pq.read_table(data / "predictions" / "imagenet.parquet", columns=["confidence", "correct"])
    return table["confidence"].to_numpy(), table["correct"].to_numpy()


def calibrated(num, seed=0):
    """Labels that are wrong as often as their confidence says, half of them nearly surely right."""
    rng = np.random.default_rng(seed)
    confidence = np.where(rng.random(num) < 0.5, rng.uniform(0.98, 1, num), rng.uniform(0.3, 1, num)).astype(np.float32)
    return confidence, rng.random(num) < confidence


def histogram(confidence, human):
    return ConfidenceHistogram.of(confidence, human=np.isin(np.arange(len(confidence)), human))


def plan(confidence, correct, pilot, *, size, promise="auto", **asked):
    pool = histogram(confidence, pilot)
    return plan_second_draw(
        confidence[pilot], correct[pilot], pool=pool, size=size, promise=promise, **{**FIVE, **asked}
    )


def test_it_reaches_as_far_as_the_answers_could_certify():
    confidence, correct = calibrated(100_000)
    found = plan(confidence, correct, np.zeros(0, np.int64), size=400)
    above = confidence >= found.threshold
    assert found.num_open == above.sum()
    assert found.inclusion_probability == 400 / above.sum()
    assert np.float32(found.threshold) in EDGES
    # 0.05 - (1.645 - 0.674) * sqrt(0.05 * 0.95 / 400)
    assert (1 - confidence[above]).mean() == pytest.approx(0.0394, abs=5e-4)


@pytest.mark.parametrize("promise", ["auto", "whole"])
def test_more_answers_reach_further(promise):
    confidence, correct = calibrated(100_000)
    pilot = np.arange(100)
    reach = [plan(confidence, correct, pilot, size=size, promise=promise).threshold for size in (200, 1000, 5000)]
    assert reach[0] > reach[1] > reach[2]
    assert plan(confidence, correct, pilot, size=200, promise="whole").threshold <= reach[0]


def test_a_pilot_full_of_errors_draws_higher_up():
    confidence, correct = calibrated(100_000)
    pilot = np.arange(200)
    wrong = np.where(np.isin(np.arange(100_000), pilot[::4]), False, correct)
    assert plan(confidence, wrong, pilot, size=400).threshold > plan(confidence, correct, pilot, size=400).threshold


def test_a_hopeless_pilot_still_leaves_items_to_draw_from():
    confidence, _ = calibrated(10_000)
    found = plan(confidence, np.zeros(10_000, bool), np.arange(100), size=400)
    # Twice as many as are drawn, as nearly as bins can tell.
    assert 800 <= found.num_open < 830
    everything = plan(confidence, np.ones(10_000, bool), np.arange(100), size=9_900)
    assert (everything.threshold, everything.num_open, everything.inclusion_probability) == (0.0, 9_900, 1.0)


def test_answered_items_are_not_drawn_from():
    confidence, correct = calibrated(100_000)
    answered = np.argsort(-confidence, kind="stable")[:20_000]
    pool = histogram(confidence, answered)
    found = plan_second_draw(confidence[:0], correct[:0], pool=pool, size=400, promise="auto", **FIVE)
    assert found.num_open == (confidence >= found.threshold).sum() - 20_000


@pytest.mark.parametrize(("num", "wanted"), [(500, 0.33), (1000, 0.45)])
def test_imagenet_certifies_more_and_keeps_its_promise(imagenet, num, wanted):
    """60 draws, a broken promise at a true rate of 5 %: more than 8 would come up in 1 of 1,000 runs."""
    confidence, correct = imagenet
    rng, broken, coverage = np.random.default_rng(0), 0, []
    for _ in range(60):
        pilot = rng.choice(50_000, round(0.15 * num), replace=False)
        found = plan(confidence, correct, pilot, size=num - len(pilot))
        second = rng.choice(
            np.setdiff1d(np.flatnonzero(confidence >= found.threshold), pilot), found.size, replace=False
        )
        everyone = np.concatenate([pilot, second])
        weights = np.full(found.size, 1 / found.inclusion_probability)
        pool = histogram(confidence, everyone)
        result = certify(confidence[second], correct[second], **FIVE, promise="auto", weights=weights, pool=pool)
        coverage.append(0.0)
        if isinstance(result, Certificate):
            auto = np.delete(confidence >= result.threshold, everyone)
            assert auto.sum() == result.num_auto
            broken += np.delete(~correct, everyone)[auto].mean() > 0.05
            coverage[-1] = (confidence >= result.threshold).mean()
            assert result.threshold > found.threshold
    assert broken <= 8
    assert np.mean(coverage) > wanted


def test_what_cannot_be_planned_is_refused():
    confidence, correct = calibrated(1000)
    pilot = np.arange(100)
    for size in (0, 901):
        with pytest.raises(ValueError, match=f"size: got {size}, expected 1 to 900 items without an answer"):
            plan(confidence, correct, pilot, size=size)
    with pytest.raises(ValueError, match=r"max_error: got 0"):
        plan(confidence, correct, pilot, size=10, max_error=0)
    with pytest.raises(ValueError, match=r"alpha: got 1"):
        plan(confidence, correct, pilot, size=10, alpha=1)
    with pytest.raises(UnknownName, match="unknown promise 'all'"):
        plan(confidence, correct, pilot, size=10, promise="all")
    with pytest.raises(ValueError, match="size: got 5, expected 1 to 4"):
        SecondDraw(threshold=0.5, num_open=4, size=5)
    with pytest.raises(ValueError, match=r"threshold: got 1\.5"):
        SecondDraw(threshold=1.5, num_open=4, size=2)
