import numpy as np
import pytest

from raylabel.acceptance.another_round import PowerLaw, another_round
from raylabel.acceptance.forecast import SHARES

COUNTS = np.array([100, 200, 400], np.int64)


def test_a_power_law_is_found_again():
    law = PowerLaw.fit(COUNTS, 2.0 * COUNTS**-0.5)
    assert (law.scale, law.exponent, law.decay) == pytest.approx((2.0, 0.5, 0.0), abs=1e-6)
    assert law.of(1600) == pytest.approx(0.05)
    assert law.of(1) == 1.0  # an error rate is at most 1


def test_a_truncated_power_law_is_found_again():
    counts = np.array([100, 200, 400, 800], np.int64)
    law = PowerLaw.fit(counts, 3.0 * counts**-0.4 * np.exp(-counts / 1000))
    assert (law.scale, law.exponent, law.decay) == pytest.approx((3.0, 0.4, 0.001), rel=1e-4)


def test_two_rounds_fit_the_exponent_alone():
    law = PowerLaw.fit(COUNTS[:2], np.array([0.4, 0.2]))
    assert (law.exponent, law.decay) == (pytest.approx(1.0), 0.0)
    assert law.of(400) == pytest.approx(0.1)


def test_errors_that_rise_are_taken_as_flat():
    law = PowerLaw.fit(COUNTS, np.array([0.1, 0.2, 0.4]))
    assert (law.exponent, law.decay) == (0.0, 0.0)
    assert law.of(10_000) == pytest.approx(0.2)  # the geometric mean


def test_an_error_of_nothing_is_a_small_one():
    assert PowerLaw.fit(COUNTS[:2], np.zeros(2)).of(400) == pytest.approx(1e-4)


@pytest.mark.parametrize("counts", [[100], [100, 100]])
def test_one_number_of_answers_is_no_trend(counts):
    with pytest.raises(ValueError, match="expected two at least"):
        PowerLaw.fit(np.array(counts, np.int64), np.full(len(counts), 0.5))
    errors = np.full((len(counts), len(SHARES)), 0.5)
    more = {"num_more": 10, "num_answered": 100, "num_pool": 1000, "asked": (0.05, "auto")}
    assert another_round(np.array(counts, np.int64), errors, **more) is None


def rising(errors):
    """Rounds whose error is so much over the whole pool, and in proportion less over its surer parts."""
    return np.outer(errors, SHARES)


def test_it_pays_while_errors_fall_by_hand():
    """The error of all halves with each doubling: 20 % after 200 answers, 13.3 % after 300; it is as large as the part.

    At 5 % wrong, 25 % and 37.5 % of what is open keep the promise.
    """
    found = another_round(
        COUNTS[:2], rising([0.4, 0.2]), num_more=100, num_answered=500, num_pool=10_600, asked=(0.05, "auto")
    )
    assert (found.coverage, found.coverage_next) == (pytest.approx(0.25), pytest.approx(0.375, abs=1e-6))
    assert found.people_now == 500 + 0.75 * 10_100
    assert found.people_next == 600 + 0.625 * 10_000
    assert found.pays
    assert found.sentence() == (
        "One more round of 100 answers probably pays: it saves about 1,225 (machine labels 25.0% of what is open now, "
        "37.5% after it)."
    )
    assert found.to_dict()["pays"] is True


def test_it_does_not_pay_where_errors_stay():
    found = another_round(
        COUNTS, rising([0.2, 0.2, 0.2]), num_more=400, num_answered=1000, num_pool=2000, asked=(0.05, "auto")
    )
    assert found.coverage == found.coverage_next == pytest.approx(0.25)
    # 400 answers take 100 labels from the machine.
    assert (found.people_now, found.people_next) == (1750, 1850)
    assert not found.pays
    assert "does not pay: it costs about 100 more than it saves" in found.sentence()


def test_the_whole_result_may_hold_more_wrong_labels():
    """Of the whole pool part * part * error is wrong: 5 % at half of it where the error of all is 20 %."""
    found = another_round(
        COUNTS, rising([0.2, 0.2, 0.2]), num_more=1, num_answered=0, num_pool=10**6, asked=(0.05, "whole")
    )
    assert found.coverage == pytest.approx(0.5, abs=0.002)


def test_all_or_nothing():
    everything = another_round(
        COUNTS, rising([0.01] * 3), num_more=10, num_answered=100, num_pool=200, asked=(0.05, "auto")
    )
    assert (everything.coverage, everything.people_now, everything.people_next) == (1.0, 100, 110)
    nothing = another_round(
        COUNTS, np.full((3, len(SHARES)), 0.5), num_more=10, num_answered=100, num_pool=200, asked=(0.05, "auto")
    )
    assert (nothing.coverage, nothing.people_now, nothing.people_next) == (0.0, 200, 200)
    assert not nothing.pays


def test_no_more_is_asked_than_is_open():
    found = another_round(
        COUNTS, rising([0.4, 0.3, 0.2]), num_more=500, num_answered=100, num_pool=150, asked=(0.05, "auto")
    )
    assert (found.num_more, found.people_next) == (50, 150)
