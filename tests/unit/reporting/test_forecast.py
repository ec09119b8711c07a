from functools import reduce

import numpy as np
import pytest
from labeled import CONFIDENCE, HUMAN, answers, commit_round, last

from raylabel.acceptance import assumed, forecast, learned
from raylabel.acceptance.histogram import count_bins
from raylabel.errors import ConfigError
from raylabel.reporting.committed import find_round
from raylabel.reporting.forecast import ASSUMED, check_reachable, expect, expect_of, forecast_once, foresee, sentence
from raylabel.workspace import Record

HELD = [(0, 0.9, True), (41, 0.8, True), (33, 0.4, False), (3, 0.35, False), (5, 0.5, True), (6, 0.45, False)]


def fold(function, parts, merge):
    return reduce(merge, map(function, parts))


def test_the_forecast_is_kept_once(tiny, capsys):
    record = forecast_once(tiny.campaign, 60)
    config = tiny.campaign.config
    asked = (config.acceptance.max_error, config.alpha_per_look(), "auto")
    found = forecast(assumed(ASSUMED), num_pool=60, num_train=12, num_audit=20, asked=asked)
    assert {name: record.facts[name] for name in found.to_dict()} == found.to_dict()
    assert (record.facts["num_rows"], record.facts["num_train"]) == (60, 12)
    assert record.facts["num_open"] == 60 - 32 - round(60 * found.coverage)
    assert record.facts["assumption"].startswith("85% of the model's labels right")
    assert "forecast: 20 audit answers certify at most 30 % wrong in" in capsys.readouterr().err
    assert forecast_once(tiny.campaign, 10_000) == tiny.campaign.records.find("audit/forecast-0000")
    assert tiny.campaign.records.find("audit/forecast-0000").facts["num_rows"] == 60


def test_other_promises_and_audits(begin):
    config = begin(budget={"audit_answers": 25}).campaign.config
    perfect = assumed(0.999)
    found = expect(config, perfect, num_rows=10_000, max_error=0.1, num_audit=400)
    assert (found["max_error"], found["num_audit"], found["chance"]) == (0.1, 400, 1.0)
    assert expect(config, perfect, num_rows=10_000)["num_audit"] == 25


def test_an_audit_that_could_certify_nothing_of_its_pool(begin):
    def check(num_rows, audit=20, max_error=0.3):
        tiny = begin(budget={"audit_answers": audit}, acceptance={"max_error": max_error})
        check_reachable(tiny.campaign.config, num_rows)

    check(60)
    check(60, audit=0)
    with pytest.raises(ConfigError, match=r"20 of a pool of 60 cannot certify at most 5\.0% wrong with 97\.5%"):
        check(60, max_error=0.05)
    with pytest.raises(ConfigError, match="even if all agree \\(people have answered every item"):
        check(60, audit=48)


def test_a_targeted_audit_is_forecast_with_its_second_draw(begin):
    """And a pool that training and both draws answer whole is refused."""
    targeted = {"audit": "targeted", "looks": "last", "max_error": 0.05}
    config = begin(acceptance=targeted).campaign.config
    found = expect(config, assumed(0.8), num_rows=10_000, num_audit=350)
    asked = (0.05, 0.05, "auto")
    same = forecast(assumed(0.8), num_pool=10_000, num_train=12, num_audit=350, num_second=300, asked=asked)
    assert {name: found[name] for name in same.to_dict()} == same.to_dict()
    with pytest.raises(ConfigError, match="even if all agree"):
        check_reachable(
            begin(budget={"audit_answers": 48}, acceptance={**targeted, "max_error": 0.3}).campaign.config, 60
        )


def test_sentences(begin):
    config = begin(budget={"audit_answers": 0}).campaign.config
    assert sentence(expect(config, assumed(0.9), num_rows=100)) == "no audit answers, so no machine labels"
    facts = {"num_audit": 1200, "max_error": 0.015, "chance": 0.5, "coverage": 0.21, "attainable": 0.6}
    assert sentence(facts) == (
        "1,200 audit answers certify at most 1.5 % wrong in 50% of draws; 21% of the pool labeled by machine on "
        "average, 60% at most"
    )


def test_what_is_expected_sees_training_answers_and_the_open_items_alone(tiny):
    commit_round(tiny, last(tiny, number=0), held=HELD)
    done = find_round(tiny.campaign, 0)
    found = expect_of(tiny.campaign, done.model, done.predictions, answers(tiny), fold=fold)
    _, confidence, correct = zip(*HELD, strict=True)
    open_ = np.setdiff1d(tiny.rows, HUMAN)
    expected = learned(np.array(confidence, np.float32), np.array(correct), counts=count_bins(CONFIDENCE[open_]))
    assert found.confidence.tolist() == expected.confidence.tolist()
    assert found.chance.tolist() == expected.chance.tolist()
    assert found.share.sum() == pytest.approx(1)
    other = answers(tiny).set_column(3, "label_index", [np.zeros(9, np.int32)])
    again = expect_of(tiny.campaign, done.model, done.predictions, other, fold=fold)
    assert again.chance.tolist() == found.chance.tolist()  # what the audit says makes no difference


def test_one_more_round(tiny):
    """The first round shows no trend; the second does, from what both kept."""
    commit_round(tiny, last(tiny, number=0), held=HELD[:3])
    done = find_round(tiny.campaign, 0)
    first = foresee(tiny.campaign, 0, done.model, done.predictions, answers(tiny), fold=fold)
    assert (first["plan"], first["num_answers"], first["another_round"]) == (0, 3, None)
    tiny.campaign.records.commit("rounds/0000/forecast", Record(facts=first))
    commit_round(tiny, last(tiny, number=1), held=HELD)
    done = find_round(tiny.campaign, 1)
    second = foresee(tiny.campaign, 1, done.model, done.predictions, answers(tiny), fold=fold)
    assert second["num_answers"] == 6
    another = second["another_round"]
    assert another["num_more"] == 6  # a round of this budget, had it one more
    assert 9 <= another["people_now"] <= 59
    assert another["pays"] is (another["people_next"] < another["people_now"])
    assert another["sentence"].startswith("One more round of 6 answers probably ")


def test_nothing_held_out_foresees_nothing(tiny):
    commit_round(tiny, last(tiny, number=0))
    done = find_round(tiny.campaign, 0)
    found = foresee(tiny.campaign, 0, done.model, done.predictions, answers(tiny), fold=fold)
    assert found == {"plan": 0, "num_answers": None, "errors": None, "another_round": None}
