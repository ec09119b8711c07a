import threading
import time
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest

from raylabel import schema
from raylabel.demo import DIGITS
from raylabel.errors import WaitingForPeople
from raylabel.labeling.answers import Answer, append, resolved_before, taken
from raylabel.labeling.asking import ask, resolve
from raylabel.workspace import Record, read_parts, write_part

ROWS = [8, 3, 50, 21]
AUDIT = np.array([3, 50])


def say(tiny, row, label, kind="label", annotator="eve"):
    name = tiny.ids[row]
    append(tiny.campaign, [Answer(name, kind, label, annotator, datetime.now(UTC), 0, "train", "file")])


def resolved(tiny, record):
    table = read_parts(tiny.campaign.store, record.parts["resolved"], schema=schema.RESOLVED)
    return {row["row"]: (row["id"], row["purpose"], row["label_index"]) for row in table.to_pylist()}


def test_oracle_answers_at_once(ray_session, tiny):
    record = ask(tiny.campaign, tiny.plan, 0, tiny.publish(0, ROWS), AUDIT)
    assert resolved(tiny, record) == {
        row: (tiny.ids[row], "audit" if row in (3, 50) else "train", tiny.truth[row]) for row in ROWS
    }
    assert record.facts["num_answered"] == 4
    table = read_parts(tiny.campaign.store, record.parts["resolved"], schema=schema.RESOLVED)
    assert set(table.column("round").to_pylist()) == {0}


def test_the_answers_that_counted_are_kept_by_name(tiny):
    """What is said later changes nothing of what they come to."""
    campaign = tiny.campaign
    shortlist = tiny.publish(0, ROWS)
    items = read_parts(campaign.store, shortlist.parts["shortlist"], schema=schema.SHORTLIST).to_pylist()
    for row in ROWS[:3]:
        say(tiny, row, "one")
    early = taken(campaign, 0)
    assert len(early) == 3
    found, annotators = resolve(campaign, 0, items, AUDIT, names=early)
    assert {name: each["num_answers"] for name, each in annotators["audit"].items()} == {"eve": 2}
    assert found.to_pylist() == [
        {"row": row, "id": tiny.ids[row], "purpose": purpose, "label_index": 1, "round": 0}
        for row, purpose in ((8, "train"), (3, "audit"), (50, "audit"))
    ]
    say(tiny, 21, "two")
    say(tiny, 8, "two", annotator="bob")
    assert resolve(campaign, 0, items, AUDIT, names=early)[0].equals(found)
    later, _ = resolve(campaign, 0, items, AUDIT, names=taken(campaign, 0))
    assert later.column("label_index").to_pylist() == [-1, 1, 1, 2]


def test_exit_while_answers_are_missing(begin):
    tiny = begin(labeling={"labeler": "files"})
    shortlist = tiny.publish(0, ROWS)
    say(tiny, 8, "eight")
    with pytest.raises(WaitingForPeople, match=r"round 0 waits for 3 of 4 answers: .*export.*import") as caught:
        ask(tiny.campaign, tiny.plan, 0, shortlist, AUDIT)
    assert caught.value.exit_code == 10
    assert tiny.campaign.records.find("rounds/0000/answered") is None


def test_files_round_by_hand(begin):
    """One answer of each kind; what nobody could tell is resolved too, as -1."""
    tiny = begin(labeling={"labeler": "files"})
    shortlist = tiny.publish(0, ROWS)
    say(tiny, 8, "two")
    say(tiny, 3, "seven")
    say(tiny, 50, None, kind="cannot_tell")
    say(tiny, 21, "one", annotator="eve")
    say(tiny, 21, "four", annotator="adam")
    record = ask(tiny.campaign, tiny.plan, 0, shortlist, AUDIT)
    assert resolved(tiny, record) == {
        8: (tiny.ids[8], "train", DIGITS.index("two")),
        3: (tiny.ids[3], "audit", DIGITS.index("seven")),
        50: (tiny.ids[50], "audit", -1),
        21: (tiny.ids[21], "train", -1),
    }
    table = resolved_before(tiny.campaign, 1)
    assert table.schema.equals(schema.RESOLVED)
    assert table.column("row").to_pylist() == ROWS


def test_consensus_of_the_config_is_taken_and_annotators_are_recorded(begin):
    """Eve and adam agree on three items, so that eve is believed where joe contradicts her."""
    votes = [(8, "eight", "eve"), (8, "eight", "adam"), (3, "three", "eve"), (3, "three", "adam"), (21, "one", "eve")]
    votes += [(8, "two", "joe"), (3, "two", "joe"), (21, "two", "joe")]
    for method, label in (("majority", -1), ("dawid_skene", DIGITS.index("one"))):
        tiny = begin(
            labeling={"labeler": "files", "consensus": method}, workspace=f"{begin().campaign.store.root}-{method}"
        )
        shortlist = tiny.publish(0, [8, 3, 21])
        for vote in votes:
            say(tiny, *vote[:2], annotator=vote[2])
        record = ask(tiny.campaign, tiny.plan, 0, shortlist, np.array([], dtype=np.int64))
        assert resolved(tiny, record)[21] == (tiny.ids[21], "train", label)
        judged = record.facts["annotators"]
        assert judged["audit"] == {}
        assert judged["training"]["adam"]["num_answers"] == 2
        assert judged["training"]["joe"]["error_rate"] > judged["training"]["adam"]["error_rate"]


def test_second_look_is_answered_anew_and_resolved_as_training(begin):
    tiny = begin(labeling={"labeler": "files"})
    first = tiny.publish(0, [8, 21])
    say(tiny, 8, "two")
    say(tiny, 21, "one")
    ask(tiny.campaign, tiny.plan, 0, first, AUDIT)
    again = tiny.publish(1, [8], strategy="second_look")
    with pytest.raises(WaitingForPeople, match="round 1 waits for 1 of 1 answers"):
        ask(tiny.campaign, tiny.plan, 1, again, AUDIT)
    name = tiny.ids[8]
    append(tiny.campaign, [Answer(name, "label", "eight", "eve", datetime.now(UTC), 1, "second_look", "file")])
    assert resolved(tiny, ask(tiny.campaign, tiny.plan, 1, again, AUDIT)) == {8: (name, "train", 8)}
    found = resolved_before(tiny.campaign, 2)
    assert dict(zip(found.column("row").to_pylist(), found.column("label_index").to_pylist(), strict=True)) == {
        8: 8,
        21: 1,
    }


def test_a_retracted_answer_is_waited_for(begin):
    tiny = begin(labeling={"labeler": "files"})
    shortlist = tiny.publish(0, ROWS[:1])
    say(tiny, 8, "eight")
    say(tiny, 8, None, kind="retract")
    with pytest.raises(WaitingForPeople, match="waits for 1 of 1"):
        ask(tiny.campaign, tiny.plan, 0, shortlist, AUDIT)


def test_later_answers_change_nothing(begin):
    tiny = begin(labeling={"labeler": "files"})
    shortlist = tiny.publish(0, ROWS[:1])
    say(tiny, 8, "eight")
    first = resolved(tiny, ask(tiny.campaign, tiny.plan, 0, shortlist, AUDIT))
    say(tiny, 8, "nine")
    assert resolved(tiny, ask(tiny.campaign, tiny.plan, 0, shortlist, AUDIT)) == first
    assert first[8][2] == 8


def test_poll_goes_on_when_the_answers_are_there(begin, capsys):
    tiny = begin(labeling={"labeler": "files", "wait": "poll", "poll_s": 0.02})
    shortlist = tiny.publish(0, ROWS[:2])
    say(tiny, 8, "eight")
    late = threading.Timer(0.5, say, (tiny, 3, "three"))
    began = time.monotonic()
    late.start()
    record = ask(tiny.campaign, tiny.plan, 0, shortlist, AUDIT)
    late.join()
    assert time.monotonic() - began >= 0.5
    assert resolved(tiny, record)[3] == (tiny.ids[3], "audit", 3)
    said = capsys.readouterr().err
    assert said.count("1 of 2 answers are missing") == 1  # many looks, one line


def test_several_answers_of_each_item_are_waited_for(begin):
    tiny = begin(labeling={"labeler": "files", "answers_per_item": 2})
    shortlist = tiny.publish(0, [8, 3])
    say(tiny, 8, "eight")
    say(tiny, 3, "three")
    with pytest.raises(WaitingForPeople, match="waits for 2 of 2"):
        ask(tiny.campaign, tiny.plan, 0, shortlist, AUDIT)
    say(tiny, 8, "eight", annotator="adam")
    say(tiny, 3, "eight", annotator="adam")
    with pytest.raises(WaitingForPeople, match="waits for 1 of 2"):
        ask(tiny.campaign, tiny.plan, 0, shortlist, AUDIT)
    say(tiny, 3, "three", annotator="joe")
    assert resolved(tiny, ask(tiny.campaign, tiny.plan, 0, shortlist, AUDIT)) == {
        8: (tiny.ids[8], "train", 8),
        3: (tiny.ids[3], "audit", 3),
    }


def test_enough_waits_for_the_audit_alone(begin):
    tiny = begin(labeling={"labeler": "files"})
    shortlist = tiny.publish(0, ROWS)
    say(tiny, 8, "eight")
    say(tiny, 3, "three")
    tiny.campaign.records.commit("rounds/0000/enough", Record())
    with pytest.raises(WaitingForPeople, match="waits for 1 of 4"):
        ask(tiny.campaign, tiny.plan, 0, shortlist, AUDIT)
    say(tiny, 50, None, kind="cannot_tell")
    assert resolved(tiny, ask(tiny.campaign, tiny.plan, 0, shortlist, AUDIT)) == {
        8: (tiny.ids[8], "train", 8),
        3: (tiny.ids[3], "audit", 3),
        50: (tiny.ids[50], "audit", -1),
    }


def test_gold_items_are_waited_for_and_measure_who_answers(begin):
    tiny = begin(labeling={"labeler": "files", "gold": "gold.csv"})
    gold = pa.table({"row": [21], "id": [tiny.ids[21]], "label_index": [1]}, schema=schema.GOLD)
    part = write_part(tiny.campaign.store, "gold/known-0000", gold)
    tiny.campaign.records.commit("gold/known-0000", Record(parts={"gold": [part]}))
    columns = {
        "row": [8, 21],
        "id": [tiny.ids[8], tiny.ids[21]],
        "position": [0, 1],
        "strategy": ["random", "gold"],
        "score": [0.0, 0.0],
        "reason": ["", ""],
    }
    part = write_part(tiny.campaign.store, "rounds/0000/shortlist", pa.table(columns, schema=schema.SHORTLIST))
    shortlist = tiny.campaign.records.commit("rounds/0000/shortlist", Record(parts={"shortlist": [part]}))
    say(tiny, 8, "eight")
    with pytest.raises(WaitingForPeople, match="waits for 1 of 2"):
        ask(tiny.campaign, tiny.plan, 0, shortlist, AUDIT)
    answers = [("eve", "two"), ("adam", "one")]
    when = datetime.now(UTC)
    append(
        tiny.campaign,
        [Answer(tiny.ids[21], "label", label, who, when, 0, "gold", "file") for who, label in answers],
    )
    record = ask(tiny.campaign, tiny.plan, 0, shortlist, AUDIT)
    assert resolved(tiny, record) == {8: (tiny.ids[8], "train", 8)}
    judged = record.facts["annotators"]
    assert judged["gold"] == {
        "adam": {"num_answers": 1, "num_shared": 1, "error_rate": 0},
        "eve": {"num_answers": 1, "num_shared": 1, "error_rate": 1},
    }
    # Who answered gold items together is not judged by that.
    assert judged["training"] == {"eve": {"num_answers": 1, "num_shared": 0, "error_rate": None}}
    assert judged["audit"] == {}
    # The audit's second draw may hold a gold item: it is asked anew, and what was said of it as gold is no vote.
    again = tiny.publish(1, [21], strategy="audit")
    append(tiny.campaign, [Answer(tiny.ids[21], "label", "three", "adam", when, 1, "audit", "file")])
    record = ask(tiny.campaign, tiny.plan, 1, again, np.array([21]))
    assert resolved(tiny, record) == {21: (tiny.ids[21], "audit", 3)}
    assert list(record.facts["annotators"]["audit"]) == ["adam"]
    assert record.facts["annotators"]["gold"] == judged["gold"]
