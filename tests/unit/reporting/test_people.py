import io

import pytest
from rich.console import Console

from raylabel.errors import RaylabelError
from raylabel.reporting.people import MOST_ANNOTATORS, MOST_DOUBTS, people_facts, print_people
from raylabel.workspace import Record

AGREED = {"num": 40, "share": 0.875, "kappa": 0.81, "by_class": {}}
SAID = {"num_answers": 30, "num_shared": 20, "error_rate": 0.125}
ALONE = {"num_answers": 7, "num_shared": 0, "error_rate": None}


def printed(people):
    console = Console(file=io.StringIO(), width=100)
    print_people(console, people)
    return console.file.getvalue()


def test_facts_are_those_of_the_last_round(tiny):
    judged = {"training": {"eve": SAID}, "audit": {}}
    tiny.campaign.records.commit("rounds/0001/answered", Record(facts={"annotators": judged}))
    tiny.campaign.records.commit("rounds/0000/shortlist", Record(facts={"num_second_looks": 0}))
    tiny.campaign.records.commit("rounds/0001/shortlist", Record(facts={"num_second_looks": 4}))
    scores = {row: 0.9 - row / 100 for row in range(30)}
    tiny.doubt(1, scores, agreement=AGREED)
    found = people_facts(tiny.campaign, {"round": 1, "audit_sample": {"agreement": None}})
    assert found["annotators"] == judged
    assert found["agreement"] == {"training": AGREED, "audit": None}
    assert (found["num_doubts"], found["num_second_looks"], len(found["doubts"])) == (30, 4, MOST_DOUBTS)
    classes = tiny.campaign.config.classes
    assert found["doubts"][1] == {
        "id": tiny.ids[1],
        "answer": classes[tiny.truth[1]],
        "machine": classes[(tiny.truth[1] + 1) % 10],
        "score": pytest.approx(0.89),
    }


def test_round_that_is_not_answered(tiny):
    with pytest.raises(RaylabelError, match="the round is not answered"):
        people_facts(tiny.campaign, {"round": 0, "audit_sample": {}})


def test_print_names_the_worst_annotators_first():
    worse = {**SAID, "error_rate": 0.5}
    annotators = {"training": {"eve": SAID, "": worse, "kim": ALONE}, "audit": {"eve": {**SAID, "error_rate": 0.2}}}
    agreement = {"training": AGREED, "audit": {**AGREED, "num": 1, "kappa": None}}
    text = printed({"annotators": annotators, "agreement": agreement, "num_doubts": 1200})
    assert "people and machine agree on 87.5% of 40 training answers, kappa 0.81" in text
    assert "agree on 87.5% of 1 audit answer\n" in text
    assert "1,200 training answers may be wrong" in text
    order = [text.index(rate) for rate in ("50.0%", "20.0%", "12.5%")]
    assert order == sorted(order)
    assert "(no name)" in text
    assert "kim" not in text


def test_print_of_one_annotator_an_item_has_no_table():
    people = {"annotators": {"training": {"eve": ALONE}}, "agreement": {"training": None}, "num_doubts": 0}
    assert printed(people) == ""


def test_print_stops_somewhere():
    crowd = {f"worker-{number}": SAID for number in range(50)}
    people = {"annotators": {"training": crowd}, "agreement": {}, "num_doubts": 0}
    assert printed(people).count("worker-") == MOST_ANNOTATORS
