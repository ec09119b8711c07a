import pytest
from labeled import commit_round, last

from raylabel.errors import ConfigError
from raylabel.outlook import ASSUMED, MAX_ERRORS, look_ahead
from raylabel.workspace import Record

HELD = [(row, 0.5 + row / 200, row % 7 > 0) for row in range(40)]


@pytest.fixture
def known(tiny, monkeypatch):
    """The tiny campaign with a round that is done and answered."""
    commit_round(tiny, last(tiny, number=0), held=HELD)
    tiny.resolve(0, tiny.answered([0, 1, 2]))
    monkeypatch.setattr("raylabel.outlook.find_campaign", lambda config: tiny.campaign)
    return tiny


def test_before_anything_is_begun(ray_session, begin):
    """The pool is planned aside; three models are assumed; the workspace stays empty."""
    config = begin(budget={"audit_answers": 20}).campaign.config
    config = config.model_copy(update={"workspace": config.workspace + "-none"})
    facts = look_ahead(config)
    assert (facts["num_rows"], facts["num_train"], facts["num_audit"]) == (60, 12, 20)
    assert {(round(f["accuracy"], 6), f["max_error"], f["num_audit"]) for f in facts["forecasts"]} == {
        (accuracy, eps, size)
        for accuracy in ASSUMED
        for eps in (*MAX_ERRORS, 0.3)
        for size in (20, 40)  # five times the budget is more than the pool has
    }
    assert all(f["basis"].startswith("assumed: ") for f in facts["forecasts"])
    assert facts["machine"]["seconds"] is None and "raylabel bench throughput" in facts["machine"]["basis"]


def test_after_a_round_what_it_learned_counts(known):
    facts = look_ahead(known.campaign.config)
    assert {f["basis"] for f in facts["forecasts"]} == {
        "round 0: 40 training answers held out from it, the pool's own confidences"
    }
    assert len({f["accuracy"] for f in facts["forecasts"]}) == 1
    assert facts["machine"] == {
        "images_per_s": 30.0,
        "seconds": 2.0,
        "basis": "this pool is embedded, at that speed",
    }


def test_a_round_that_held_nothing_out_is_no_knowledge(tiny, monkeypatch):
    commit_round(tiny, last(tiny, number=0))
    monkeypatch.setattr("raylabel.outlook.find_campaign", lambda config: tiny.campaign)
    assert {f["basis"].split(":")[0] for f in look_ahead(tiny.campaign.config)["forecasts"]} == {"assumed"}


def test_a_speed_that_was_measured(known):
    facts = look_ahead(known.campaign.config, images_per_s=120.0)
    assert (facts["machine"]["images_per_s"], facts["machine"]["seconds"]) == (120.0, 0.5)


def test_budgets_that_cannot_do(begin, monkeypatch):
    def look(**budget):
        tiny = begin(budget=budget)
        tiny.campaign.records.commit("backbones/first", Record(facts={"digest": "none"}))
        tiny.campaign.records.commit("pool/plan-0000", Record(facts=tiny.plan.to_json()))
        monkeypatch.setattr("raylabel.outlook.find_campaign", lambda config: tiny.campaign)
        return look_ahead(tiny.campaign.config)

    with pytest.raises(ConfigError, match=r"5 cannot certify at most 30\.0% wrong"):
        look(audit_answers=5)
    with pytest.raises(ConfigError, match="12 training and 50 audit answers are more than the 60 items"):
        look(audit_answers=50)
    with pytest.raises(ConfigError, match="48 of a pool of 60 cannot certify"):
        look(audit_answers=48)


def test_without_an_audit_some_sizes_are_forecast(begin, monkeypatch, known):
    config = begin(budget={"audit_answers": 0}).campaign.config
    monkeypatch.setattr("raylabel.outlook.SIZE", 10)
    assert {f["num_audit"] for f in look_ahead(config)["forecasts"]} == {10, 20}
