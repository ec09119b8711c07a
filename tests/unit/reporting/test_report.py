import io
import json

import pytest
from rich.console import Console

from raylabel.acceptance import Certificate, Withheld
from raylabel.reporting.accept import AuditView, quality
from raylabel.reporting.report import (
    beside_outcome,
    forecast_and_outcome,
    print_certificates,
    print_classes,
    print_rounds,
    round_facts,
    rounds_so_far,
    summary,
    write_report,
)
from raylabel.workspace import Record

CERTIFICATE = Certificate(0.8, 0.04, 0.05, 0.01, "auto", "by hand", 900, 90, 1, 700, 1000, "finite")
LABELS = {"folder": "labels", "num_uncovered": 0}
WITHHELD = Withheld("it is too early", 300, 0.05, 0.01, "auto", 100)


def audit():
    import numpy as np

    return quality(
        AuditView(np.array([0.9, 0.8, 0.7, 0.6], np.float32), np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1])),
        ("ant", "bee"),
    )


def model(accuracy=0.75, answers=50, unseen=()):
    return Record(
        facts={
            "num_answers": answers,
            "accuracy": accuracy,
            "unseen": list(unseen),
            "backbone": "b",
            "model": "b/h",
            "weak": None,
        }
    )


def verdict(of=CERTIFICATE, sample=None):
    certified = isinstance(of, Certificate)
    return Record(
        facts={
            "verdict": "certificate" if certified else "withheld",
            "num_auto": of.num_auto if certified else 0,
            "strata": [{"plan": 0, "audit": sample or audit(), "num_audited": (sample or audit())["num_audited"]}],
            "sentence": of.sentence(),
            "audit": sample or audit(),
        }
    )


def printed(function, *args):
    file = io.StringIO()
    function(Console(file=file, width=200), *args)
    return file.getvalue()


def test_round_facts():
    facts = round_facts(3, model(0.75, 50, ["wasp"]), verdict(), num_answers=150, plan=1)
    assert facts == {
        "round": 3,
        "plan": 1,
        "num_answers": 150,
        "num_training_answers": 50,
        "cross_fitted_accuracy": 0.75,
        "classes_without_answers": ["wasp"],
        "backbone": "b",
        "weak": None,
        "verdict": "certificate",
        "num_auto": 700,
        "strata": [{"plan": 0, "audit": audit(), "num_audited": 4}],
        "sentence": CERTIFICATE.sentence(),
        "audit_sample": audit(),
    }
    assert facts["audit_sample"]["accuracy"] == 0.75
    assert round_facts(0, model(), verdict(WITHHELD), num_answers=9, plan=0)["num_auto"] == 0


def test_write_report(tiny):
    rounds = [
        round_facts(0, model(0.5), verdict(WITHHELD), num_answers=100, plan=0),
        round_facts(1, model(), verdict(), num_answers=150, plan=0),
    ]
    labels = Record(facts={**LABELS, "num_human": 150, "num_auto": 700, "num_undecided": 149})
    pool = {"num_rows": 1000, "num_quarantined": 1, "num_unreadable_files": 0}
    report = write_report(tiny.campaign, rounds, labels, pool=pool, people={"num_doubts": 3}, stopped="budget used up")
    assert json.loads(tiny.campaign.store.read("report.json")) == report
    assert report["labels"] == {
        "num_uncovered": 0,
        "num_human": 150,
        "num_auto": 700,
        "num_undecided": 149,
        "coverage": pytest.approx(850 / 999),
        "verdict": "certificate",
        "sentence": CERTIFICATE.sentence(),
        "folder": f"{tiny.campaign.store.root}/labels",
    }
    assert (report["pool"], report["stopped"], report["quality"]) == (pool, "budget used up", audit())
    assert (report["rounds"], report["fingerprint"]) == (rounds, "f" * 64)
    assert report["workspace"] == tiny.campaign.store.root


def test_report_of_a_pool_that_grew_after_the_last_round(tiny):
    rounds = [round_facts(0, model(), verdict(), num_answers=150, plan=0)]
    facts = {"folder": "labels-0001", "num_human": 150, "num_auto": 700, "num_undecided": 200, "num_uncovered": 50}
    report = write_report(tiny.campaign, rounds, Record(facts=facts), pool={}, people={}, stopped="budget used up")
    assert report["labels"]["sentence"] == (
        f"{CERTIFICATE.sentence()} 50 items came into the pool later: no round was left to audit them, so that no "
        "certificate covers them."
    )
    assert report["labels"]["folder"] == f"{tiny.campaign.store.root}/labels-0001"
    assert report["labels"]["coverage"] == pytest.approx(850 / 1050)


def test_report_of_an_empty_result(tiny):
    rounds = [round_facts(0, model(), verdict(WITHHELD), num_answers=0, plan=0)]
    labels = Record(facts={**LABELS, "num_human": 0, "num_auto": 0, "num_undecided": 0})
    assert write_report(tiny.campaign, rounds, labels, pool={}, people={}, stopped="")["labels"]["coverage"] == 0.0


def test_the_forecast_stands_beside_the_outcome(tiny):
    kept = {"num_rows": 1000, "chance": 0.6, "coverage": 0.5, "num_open": 300}
    rounds = [round_facts(0, model(), verdict(), num_answers=150, plan=0)]
    labels = Record(facts={**LABELS, "num_human": 150, "num_auto": 700, "num_undecided": 150})
    report = write_report(tiny.campaign, rounds, labels, pool={}, people={}, stopped="")
    assert report["forecast"] is None
    assert forecast_and_outcome(report) == []
    tiny.campaign.records.commit("audit/forecast-0000", Record(facts=kept))
    rounds[0]["another_round"] = {"sentence": "One more round pays."}
    report = write_report(tiny.campaign, rounds, labels, pool={}, people={}, stopped="")
    outcome = {"num_train": 50, "num_audit": 4, "coverage": 0.7, "num_open": 150}
    assert report["forecast"] == {**kept, "outcome": outcome}
    assert forecast_and_outcome(report) == [
        "Forecast when it began, of the 1,000 images of the first plan: 50.0% of the pool labeled by machine (a "
        "certificate in 60% of draws), 300 left open; outcome: 70.0%, 150.",
        "One more round pays.",
    ]


def test_the_outcome_of_a_pool_that_grew_is_that_of_all_its_items_and_audits(tiny):
    tiny.campaign.records.commit("audit/forecast-0000", Record(facts={"num_rows": 1000}))
    rounds = [round_facts(0, model(), verdict(), num_answers=150, plan=1)]
    rounds[0]["strata"] = [{"num_audited": 4}, {"num_audited": 3}, {"num_audited": 0}]
    labels = Record(facts={**LABELS, "num_human": 300, "num_auto": 1500, "num_undecided": 200})
    outcome = {"num_train": 50, "num_audit": 7, "coverage": 0.75, "num_open": 200}
    assert beside_outcome(tiny.campaign, rounds, labels) == {"num_rows": 1000, "outcome": outcome}


def test_rounds_so_far(tiny):
    assert rounds_so_far(tiny.campaign) == []
    facts = round_facts(0, model(), verdict(), num_answers=100, plan=0)
    tiny.campaign.records.commit("rounds/0000/round", Record(facts=facts))
    tiny.campaign.records.commit("rounds/0001/verdict", verdict())  # a round without its record does not exist
    assert rounds_so_far(tiny.campaign) == [facts]


def test_printed_rounds():
    low, high = audit()["accuracy_interval"]
    rounds = [
        round_facts(0, model(0.5), verdict(WITHHELD), num_answers=1234, plan=0),
        round_facts(1, model(0.756), verdict(), num_answers=2000, plan=0),
        round_facts(2, model(None), verdict(WITHHELD, {"num_audited": 0}), num_answers=3, plan=0),
    ]
    lines = [[cell.strip() for cell in line.split("│")[1:-1]] for line in printed(print_rounds, rounds).splitlines()]
    cells = [line for line in lines if line]
    on_audit = f"75.0% [{low:.1%}, {high:.1%}]"
    macro = f"{audit()['macro']['f1']:.3f}"
    assert cells == [
        ["0", "1,234", "50.0%", on_audit, macro, "none"],
        ["1", "2,000", "75.6%", on_audit, macro, "700"],
        ["2", "3", "not judged", "no audit", "", "none"],
    ]


def test_printed_classes():
    lines = printed(print_classes, audit()).splitlines()
    cells = [[cell.strip() for cell in line.split("│")[1:-1]] for line in lines if "│" in line]
    # Truth ant bee bee bee, predicted ant ant bee bee.
    assert cells == [["ant", "0.500", "1.000", "0.667", "1"], ["bee", "1.000", "0.667", "0.800", "3"]]
    assert "on the audit sample" in lines[0]
    assert printed(print_classes, {"num_audited": 0}) == ""


def test_summary():
    report = {
        "labels": {"num_human": 1500, "num_auto": 7000, "num_undecided": 1490, "sentence": "It holds."},
        "pool": {"num_rows": 10000, "num_quarantined": 10},
    }
    assert summary(report) == (
        "10,000 images: 1,500 labeled by people, 7,000 by machine, 1,490 left undecided, 10 unreadable. It holds."
    )
    report["pool"]["num_quarantined"] = 0
    assert "unreadable" not in summary(report)


def test_certificates_by_class_are_printed_with_what_the_others_lack():
    classes = {
        "ant": {"verdict": "certificate", "details": CERTIFICATE.to_dict()},
        "bee": {"verdict": "withheld", "details": WITHHELD.to_dict()},
    }
    text = printed(print_certificates, {"strata": [{"plan": 0, "classes": classes}, {"plan": 1, "classes": classes}]})
    assert "certificates by class" in text and "of what plan 1 added" in text
    [ant, bee] = [line for line in text.splitlines() if "ant" in line or "bee" in line][:2]
    assert "700" in ant and "0.8" in ant
    assert "it is too early; about 300 would do" in bee
    assert printed(print_certificates, {"strata": [{"plan": 0, "classes": None}]}) == ""
