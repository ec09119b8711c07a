import json
import os
import socket
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from raylabel.acceptance import Withheld
from raylabel.labeling.answers import Answer, append
from raylabel.reporting.report import round_facts, write_report
from raylabel.status import look
from raylabel.workspace import Record, hold


def plan(tiny):
    tiny.campaign.records.commit("pool/plan-0000", Record(facts=tiny.plan.to_json()))


def facts_of_a_round(tiny):
    withheld = Withheld("too few", None, 0.3, 0.05, "auto", 0)
    verdict = Record(
        facts={
            "verdict": "withheld",
            "num_auto": 0,
            "strata": [],
            "sentence": withheld.sentence(),
            "audit": {"num_audited": 0},
        }
    )
    model = Record(facts={"num_answers": 6, "accuracy": 0.5, "unseen": [], "weak": None, "backbone": "tiny"})
    return round_facts(0, model, verdict, num_answers=26, plan=0)


def test_before_the_plan(tiny):
    found = look(tiny.campaign)
    assert found == {
        "workspace": tiny.campaign.store.root,
        "num_rows": None,
        "num_shards": None,
        "rounds": [],
        "num_rounds": 2,
        "questions": None,
        "driver": None,
        "labels": None,
        "lines": [f"{tiny.campaign.store.root}: the pool is not planned yet; `raylabel run` begins"],
    }


def test_planned(tiny):
    plan(tiny)
    found = look(tiny.campaign)
    assert (found["num_rows"], found["num_shards"]) == (60, 2)
    assert found["lines"] == ["60 images in 2 shards; 0 of at most 2 rounds done"]


def test_a_pool_that_has_grown(tiny):
    """The newest plan counts, and its labels are not written yet, whatever was written before."""
    plan(tiny)
    tiny.campaign.records.commit("labels/labels", Record())
    tiny.campaign.store.write("report.json", b'{"labels": {"sentence": "old"}}')
    more = replace(tiny.plan.shards[1], index=2, path="more.parquet", first_row=60)
    grown = replace(tiny.plan, shards=(*tiny.plan.shards, more), starts=(0, 60))
    tiny.campaign.records.commit("pool/plan-0001", Record(facts=grown.to_json()))
    found = look(tiny.campaign)
    assert (found["num_rows"], found["num_shards"], found["labels"]) == (80, 3, None)


def test_one_is_no_plural(begin):
    tiny = begin(budget={"rounds": 1})
    one = replace(tiny.plan, shards=(replace(tiny.plan.shards[0], rows=1),))
    tiny.campaign.records.commit("pool/plan-0000", Record(facts=one.to_json()))
    assert look(tiny.campaign)["lines"] == ["1 image in 1 shard; 0 of at most 1 round done"]


def test_open_questions(tiny):
    plan(tiny)
    tiny.publish(0, [4, 9, 30])
    append(tiny.campaign, [Answer(tiny.ids[9], "skip", None, "a", datetime.now(UTC), 0, "train", "file")])
    found = look(tiny.campaign)
    assert found["questions"] == {"round": 0, "asked": 3, "missing": 2}
    assert found["lines"][1] == "round 0: 2 of 3 answers are missing"
    # What was left out by "train now" is missed no more once the campaign is done.
    tiny.campaign.records.commit("labels/labels", Record())
    sentence = {"num_human": 1, "num_auto": 0, "num_undecided": 59, "sentence": "No certificate."}
    tiny.campaign.store.write("report.json", json.dumps({"labels": sentence}).encode())
    assert not any("missing" in line for line in look(tiny.campaign)["lines"])


def test_rounds_done(tiny):
    plan(tiny)
    tiny.publish(0, [4])
    facts = facts_of_a_round(tiny)
    tiny.campaign.records.commit("rounds/0000/round", Record(facts=facts))
    tiny.publish(1, [5, 6])
    found = look(tiny.campaign)
    assert found["rounds"] == [facts]
    assert found["questions"] == {"round": 1, "asked": 2, "missing": 2}
    assert found["lines"][0] == "60 images in 2 shards; 1 of at most 2 rounds done"
    assert found["lines"][-1].startswith("so far, provisional: 0 labeled by machine. No certificate that at most 30 %")


def test_whether_one_more_round_pays(tiny):
    plan(tiny)
    facts = {**facts_of_a_round(tiny), "another_round": {"sentence": "One more round of 6 answers probably pays."}}
    tiny.campaign.records.commit("rounds/0000/round", Record(facts=facts))
    assert look(tiny.campaign)["lines"][-1] == "One more round of 6 answers probably pays."


def test_driver(tiny):
    plan(tiny)
    with hold(tiny.campaign.store):
        found = look(tiny.campaign)
    assert found["driver"] == {"host": socket.gethostname(), "pid": os.getpid()}
    assert f"a driver is at work: process {os.getpid()} on {socket.gethostname()}" in found["lines"]
    assert look(tiny.campaign)["driver"] is None


def test_result(tiny):
    plan(tiny)
    counts = {"num_human": 20, "num_auto": 1030, "num_undecided": 9, "num_uncovered": 0}
    labels = Record(facts={"folder": "labels", **counts})
    facts = facts_of_a_round(tiny)
    tiny.campaign.records.commit("labels/labels", labels)
    assert look(tiny.campaign)["labels"] is None  # written, but not reported yet
    report = write_report(tiny.campaign, [facts], labels, pool={}, people={}, stopped="budget used up")
    found = look(tiny.campaign)
    assert found["labels"] == report["labels"]
    assert found["lines"][-1] == (
        f"done: 20 labeled by people, 1,030 by machine, 9 undecided. {report['labels']['sentence']}"
    )


def test_looking_changes_nothing(tiny):
    plan(tiny)
    store = tiny.campaign.store
    before = {name: store.list(name) for name in ("", "rounds/0000", "driver.lease", "pool")}
    look(tiny.campaign)
    assert {name: store.list(name) for name in before} == before


def test_workspace_of_another_campaign_is_refused(tiny):
    from raylabel.errors import FingerprintError

    plan(tiny)
    with pytest.raises(FingerprintError):
        look(replace(tiny.campaign, fingerprint="0" * 64))
