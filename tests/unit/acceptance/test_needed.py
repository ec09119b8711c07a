import numpy as np
import pytest

from raylabel.acceptance import Certificate, certify
from raylabel.acceptance.audit import widened_for_pool
from raylabel.acceptance.needed import estimate_needed

FIVE = {"max_error": 0.05, "alpha": 0.05}


def audit_of(num, wrong_share, seed=0):
    """Confidence is the chance of being right, from wrong_share * 2 wrong at the bottom to none at the top."""
    rng = np.random.default_rng(seed)
    confidence = rng.uniform(1 - 2 * wrong_share, 1, num).astype(np.float32)
    return confidence, rng.random(num) < confidence


def test_it_is_more_than_there_were_and_grows_with_the_errors():
    needed = [estimate_needed(*audit_of(400, share), **FIVE, promise="auto") for share in (0.03, 0.15, 0.4)]
    assert 400 < needed[0] < needed[1] < needed[2] < 20_000


def test_an_audit_of_that_size_mostly_certifies():
    confidence, correct = audit_of(100, 0.15)
    needed = estimate_needed(confidence, correct, **FIVE, promise="auto")
    outcomes = [certify(*audit_of(needed, 0.15, seed), **FIVE, promise="auto") for seed in range(1, 41)]
    assert np.mean([isinstance(outcome, Certificate) for outcome in outcomes]) >= 0.5


def test_without_answers_a_quarter_of_the_promise_is_taken_for_the_error_rate():
    empty, none = np.zeros(0, np.float32), np.zeros(0, bool)
    auto = estimate_needed(empty, none, **FIVE, promise="auto")
    whole = estimate_needed(empty, none, **FIVE, promise="whole")
    # 59 is the least that could; a tenth of the pool at an error rate of 1.25 % is nearly always proven by that.
    assert 100 < auto < 800
    assert 59 <= whole < 70


def test_a_hopeless_model_gets_no_number():
    confidence, _ = audit_of(200, 0.2)
    assert estimate_needed(confidence, np.zeros(200, bool), **FIVE, promise="auto") is None
    # Half of the labels wrong whatever the confidence says.
    coin = np.arange(200) % 2 == 0
    assert estimate_needed(np.full(200, 0.9, np.float32), coin, **FIVE, promise="auto") is None


def test_a_small_pool_needs_more_and_a_smaller_one_has_no_number():
    confidence, correct = audit_of(100, 0.15)
    infinite = estimate_needed(confidence, correct, **FIVE, promise="auto")
    huge = estimate_needed(confidence, correct, **FIVE, promise="auto", num_pool=10**9)
    small = estimate_needed(confidence, correct, **FIVE, promise="auto", num_pool=6 * infinite)
    # Candidate sizes lie 3 to 8 % apart.
    assert huge == pytest.approx(infinite, rel=0.15)
    assert small > 1.02 * infinite
    assert small == pytest.approx(widened_for_pool(infinite, num_pool=6 * infinite, alpha=0.05), rel=0.1)
    assert estimate_needed(confidence, correct, **FIVE, promise="auto", num_pool=2 * infinite) is None
    assert estimate_needed(confidence, correct, **FIVE, promise="auto", num_pool=100) is None


def test_whole_needs_less_than_auto():
    audit = audit_of(400, 0.3)
    assert estimate_needed(*audit, **FIVE, promise="whole") == 401
    assert estimate_needed(*audit, **FIVE, promise="auto") > 1000
    assert 59 <= estimate_needed(*audit_of(40, 0.3), **FIVE, promise="whole") < 150
