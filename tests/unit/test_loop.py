import pytest

from raylabel.loop import commit, end_reason, target_reason
from raylabel.reporting.report import round_facts
from raylabel.workspace import Record


@pytest.fixture
def campaign(begin):
    def make(rounds=6, **acceptance):
        return begin(budget={"rounds": rounds, "train_answers": 12}, acceptance=acceptance).campaign

    return make


def test_goes_on(campaign):
    assert end_reason(campaign(), [0.5], None) == ""
    assert end_reason(campaign(), [0.5, 0.6, 0.5], None) == ""


def test_budget_used_up(campaign):
    assert end_reason(campaign(rounds=3), [0.1, 0.2, 0.3], None) == "budget used up"
    assert end_reason(campaign(rounds=4), [0.1, 0.2, 0.3], None) == ""
    assert end_reason(campaign(rounds=4), [0.5] * 4, None) == "budget used up"  # flat as well, but that is not why
    assert end_reason(campaign(rounds=1), [0.9], None) == "budget used up"


@pytest.mark.parametrize(
    ("curve", "flat_rounds", "is_flat"),
    [
        ([0.5, 0.5, 0.5], 3, False),  # three rounds have nothing before them to be better than
        ([0.5, 0.5, 0.5, 0.5], 3, True),
        ([0.5, 0.4, 0.3, 0.51], 3, False),
        ([0.5, 0.6, 0.3, 0.3], 3, False),
        ([0.5, 0.6, 0.3, 0.3, 0.6], 3, True),
        ([0.5, 0.5], 1, True),
        ([0.5, 0.6], 1, False),
        ([0.9, 0.1, 0.5, 0.8, 0.85], 3, True),  # better than the last, but not than the best
    ],
)
def test_flat(campaign, curve, flat_rounds, is_flat):
    reason = f"flat: no better on held-out answers for {flat_rounds} rounds" if is_flat else ""
    assert end_reason(campaign(flat_rounds=flat_rounds), curve, None) == reason


def test_rounds_that_were_not_judged_are_not_flat(campaign):
    assert end_reason(campaign(), [None] * 5, None) == ""
    assert end_reason(campaign(), [None, 0.5, 0.4, 0.3], None) == ""  # three of them have one before them, two have not
    assert end_reason(campaign(), [None, 0.5, 0.4, 0.3, 0.2], None).startswith("flat")
    assert end_reason(campaign(rounds=2), [None, None], None) == "budget used up"


@pytest.mark.parametrize(
    ("curve", "pays", "ends"),
    [
        ([0.5, 0.6], False, False),  # through two rounds goes any curve
        ([0.5, 0.6, 0.7], False, True),
        ([0.5, 0.6, 0.7], True, False),
        ([0.5, 0.6, 0.7], None, False),
    ],
)
def test_a_round_that_does_not_pay(begin, curve, pays, ends):
    """It ends the loop where the config says so; otherwise it is told and the loop goes on."""
    outlook = None if pays is None else {"pays": pays, "sentence": "One more round does not pay."}
    for wanted in (True, False):
        budget = {"rounds": 6, "train_answers": 12, "end_when_unpaid": wanted}
        found = end_reason(begin(budget=budget).campaign, curve, outlook)
        assert found == ("unpaid: One more round does not pay." if ends and wanted else "")


@pytest.mark.parametrize(
    ("verdict", "num_auto", "num_answers", "target", "reason"),
    [
        ("certificate", 80, 10, 0.9, "target met: 90.0% of the pool is labeled"),
        ("certificate", 79, 10, 0.9, ""),
        ("certificate", 90, 10, 1.0, "target met: 100.0% of the pool is labeled"),
        ("certificate", 89, 10, 1.0, ""),
        ("certificate", 0, 95, 0.9, "target met: 95.0% of the pool is labeled"),
        ("withheld", 0, 95, 0.9, ""),  # without a certificate nothing is met
    ],
)
def test_target(campaign, verdict, num_auto, num_answers, target, reason):
    last = {"verdict": verdict, "num_auto": num_auto, "num_answers": num_answers}
    assert target_reason(campaign(target_coverage=target), last, 100) == reason


def test_round_is_committed_once(tiny):
    model = Record(facts={"num_answers": 6, "accuracy": 0.5, "unseen": [], "weak": None, "backbone": "tiny"})
    said = {"verdict": "withheld", "num_auto": 0, "sentence": "No.", "audit": {"num_audited": 0}, "strata": []}
    verdict = Record(facts=said)
    facts = round_facts(0, model, verdict, num_answers=26, plan=2)
    first = commit(tiny.campaign, {**facts, "another_round": None})
    assert (first["round"], first["plan"], first["num_answers"], first["num_training_answers"]) == (0, 2, 26, 6)
    assert tiny.campaign.records.find("rounds/0000/round").facts == first
    assert commit(tiny.campaign, {**facts, "num_answers": 99}) == first
