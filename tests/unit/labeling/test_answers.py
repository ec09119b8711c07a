from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest

from raylabel import schema
from raylabel.errors import AnswersError
from raylabel.labeling.answers import (
    Answer,
    Ledger,
    append,
    collect,
    index_of,
    latest_of,
    purpose_of,
    resolved_before,
    settled,
    standing,
    taken,
    wants_more,
)
from raylabel.workspace import Records

CLASSES = ("ant", "bee", "wasp")
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def answer(name, label, annotator="ann", *, minute=0, kind="label", **more):
    time = NOON + timedelta(minutes=minute)
    values = {"round": 0, "purpose": "train", "source": "file", **more}
    return Answer(name, kind, label if kind == "label" else None, annotator, time, **values)


def table(*answers):
    columns = {name: [getattr(a, name) for a in answers] for name in schema.ANSWERS.names}
    columns["answer_id"] = [a.key() for a in answers]
    return pa.table(columns, schema=schema.ANSWERS)


def test_key_is_made_of_what_is_said():
    assert answer("x", "ant", minute=0).key() == answer("x", "ant", minute=9).key()
    others = [
        answer("y", "ant"),
        answer("x", "bee"),
        answer("x", "ant", "other"),
        answer("x", "ant", source="oracle"),
        answer("x", None, kind="skip"),
        answer("x", None, kind="cannot_tell"),
        answer("x", "ant", round=1),
    ]
    assert len({answer("x", "ant").key(), *(other.key() for other in others)}) == 8
    assert answer("x", "ant", answer_id="mine").key() == "mine"


def test_append_twice_changes_nothing(tiny):
    answers = [answer("x", "ant", seconds=1.5, comment="blurred"), answer("y", None, kind="skip")]
    assert append(tiny.campaign, answers) == 2
    before = collect(tiny.campaign, 0)
    assert append(tiny.campaign, answers) == 0
    assert append(tiny.campaign, list(reversed(answers))) == 0
    assert collect(tiny.campaign, 0).equals(before)
    assert len(tiny.campaign.store.list("rounds/0000/answers")) == 2  # one part, one record

    found = {row["id"]: row for row in before.to_pylist()}
    assert found["x"] == {
        "answer_id": answers[0].key(),
        "id": "x",
        "kind": "label",
        "label": "ant",
        "annotator": "ann",
        "answered_at": NOON,
        "seconds": 1.5,
        "round": 0,
        "purpose": "train",
        "source": "file",
        "comment": "blurred",
    }
    assert found["y"]["kind"] == "skip"
    assert found["y"]["label"] is None
    assert found["y"]["seconds"] is None


def test_append_adds_only_what_is_new(tiny):
    append(tiny.campaign, [answer("x", "ant"), answer("y", "bee")])
    assert append(tiny.campaign, [answer("y", "bee"), answer("z", "wasp"), answer("z", "wasp", minute=5)]) == 1
    assert sorted(collect(tiny.campaign, 0).column("id").to_pylist()) == ["x", "y", "z"]


def test_answers_lie_in_their_round(tiny):
    assert append(tiny.campaign, [answer("x", "ant"), answer("y", "bee", round=3, purpose="audit")]) == 2
    assert collect(tiny.campaign, 0).column("id").to_pylist() == ["x"]
    assert collect(tiny.campaign, 3).select(["id", "round", "purpose"]).to_pylist() == [
        {"id": "y", "round": 3, "purpose": "audit"}
    ]
    assert collect(tiny.campaign, 1).num_rows == 0


def test_collect_gives_an_answer_once_that_two_writers_appended(tiny):
    """Two imports at the same moment see none of each other's answers: both write them."""
    both, store = answer("x", "ant"), tiny.campaign.store
    append(tiny.campaign, [both])
    hidden = store.list("rounds/0000/answers")[0]
    record = store.read(f"rounds/0000/answers/{hidden}")
    store.remove(f"rounds/0000/answers/{hidden}")
    assert append(tiny.campaign, [both, answer("y", "bee")]) == 2
    store.write(f"rounds/0000/answers/{hidden}", record)
    assert sorted(collect(tiny.campaign, 0).column("id").to_pylist()) == ["x", "y"]


def test_resolved_before_joins_the_rounds_before(tiny):
    tiny.resolve(0, tiny.answered([3, 1], purpose=["audit", "train"]))
    tiny.resolve(1, tiny.answered([8], labels=[-1], number=1))
    assert resolved_before(tiny.campaign, 0).num_rows == 0
    assert resolved_before(tiny.campaign, 1).column("row").to_pylist() == [3, 1]
    assert resolved_before(tiny.campaign, 2).to_pylist() == [
        {"row": 3, "id": tiny.ids[3], "purpose": "audit", "label_index": tiny.truth[3], "round": 0},
        {"row": 1, "id": tiny.ids[1], "purpose": "train", "label_index": tiny.truth[1], "round": 0},
        {"row": 8, "id": tiny.ids[8], "purpose": "train", "label_index": -1, "round": 1},
    ]


def test_a_correction_back_is_a_new_answer(tiny):
    """cat, dog, cat again: the last word counts, and saying it once more changes nothing."""
    name = tiny.ids[0]
    classes = tiny.campaign.config.classes
    for minute, label in enumerate((classes[1], classes[2], classes[1])):
        assert append(tiny.campaign, [answer(name, label, minute=minute)]) == 1
        (latest,) = latest_of(collect(tiny.campaign, 0)).values()
        assert latest["label"] == label
    assert append(tiny.campaign, [answer(name, classes[1], minute=9)]) == 0


def test_an_item_resolved_again_counts_once_as_it_was_last_resolved(tiny):
    tiny.resolve(0, tiny.answered([3, 1, 8]))
    tiny.resolve(1, tiny.answered([9, 1], labels=[4, 5]))
    assert resolved_before(tiny.campaign, 1).column("label_index").to_pylist() == tiny.truth[[3, 1, 8]].tolist()
    found = resolved_before(tiny.campaign, 2)
    assert found.column("row").to_pylist() == [3, 1, 8, 9]
    assert found.column("label_index").to_pylist() == [tiny.truth[3], 5, tiny.truth[8], 4]


def test_standing_answers():
    said, back = answer("x", "ant", minute=1), answer("x", None, minute=2, kind="retract")
    skipped, other = answer("y", None, kind="skip"), answer("x", "bee", "other")
    assert standing(table(said, skipped)) == {"x", "y"}
    assert standing(table(said, back, skipped)) == {"y"}
    assert standing(table(said, back, other)) == {"x"}
    assert standing(table()) == set()


def test_purpose_of_a_question():
    for strategy, purposes in (
        ("margin", ("audit", "train")),
        ("second_look", ("audit", "second_look")),
        ("gold", ("gold", "gold")),
    ):
        found = tuple(purpose_of({"row": row, "strategy": strategy}, {7}) for row in (7, 8))
        assert found == purposes


def test_unknown_class_names_the_nearest():
    with pytest.raises(AnswersError, match=r"here: unknown class 'wsp': did you mean wasp\?"):
        index_of("wsp", {"ant": 0, "wasp": 1}, where="here")
    assert index_of("wasp", {"ant": 0, "wasp": 1}, where="here") == 1


def row(label="ant", annotator="ann", kind="label", source="review"):
    return {"label": label if kind == "label" else None, "annotator": annotator, "kind": kind, "source": source}


UNSURE, SKIP = row(kind="cannot_tell"), row(kind="skip")


@pytest.mark.parametrize(
    ("each", "answers", "more"),
    [
        (1, [], True),
        (1, [row()], False),
        (1, [SKIP], False),
        (1, [UNSURE], True),
        (1, [row(kind="cannot_tell", source="file")], False),
        (1, [UNSURE, UNSURE], False),
        (1, [UNSURE, row()], False),
        (2, [row()], True),
        (2, [row(), row()], False),
        (2, [row(), row("bee")], True),
        (2, [row(), row("bee"), row("wasp")], False),
        (2, [row(), UNSURE], False),
        (2, [UNSURE, SKIP], True),
        (2, [SKIP, SKIP], False),
        (3, [row(), row("bee"), row()], False),
        (3, [row(), row("bee"), row("wasp")], True),
        (3, [row(), row("bee"), UNSURE], True),
    ],
)
def test_who_is_asked_next(each, answers, more):
    """Tied labels want one more, and so does an item that nobody could tell on the page; then it is enough."""
    assert wants_more(answers, each=each) == more


def test_settled_items():
    said, back = answer("x", "ant", minute=1), answer("x", None, minute=2, kind="retract")
    unsure = answer("y", None, kind="cannot_tell", source="review")
    assert settled(latest_of(table(said, unsure)), each=1) == {"x"}
    assert settled(latest_of(table(said, back)), each=1) == set()
    assert settled(latest_of(table(said, answer("x", "ant", "bob"))), each=2) == {"x"}


def test_a_ledger_reads_each_record_once(tiny, monkeypatch):
    append(tiny.campaign, [answer("x", "ant")])
    ledger = Ledger(tiny.campaign, 0)
    assert ledger.latest["x", "ann"]["label"] == "ant"
    append(tiny.campaign, [answer("y", "bee", "bob")])
    read = []
    find = Records.find

    def counted(records, name):
        read.append(name)
        return find(records, name)

    monkeypatch.setattr(Records, "find", counted)
    assert [each["id"] for each in ledger.refresh()] == ["y"]
    assert len(read) == 1
    assert ledger.refresh() == []
    assert [each["id"] for each in ledger.append([answer("z", "wasp")])] == ["z"]
    assert ledger.refresh() == []
    assert len(read) == 1


def test_a_ledger_appends_what_is_new_and_lasts(tiny):
    ledger = Ledger(tiny.campaign, 0)
    first = answer("x", "ant", answer_id="mine")
    found = ledger.append([first, answer("x", "bee", "bob")])
    assert (found[0]["answer_id"], len(found)) == ("mine", 2)
    assert ledger.knows("mine") and not ledger.knows("yours")
    assert ledger.append([first]) == []
    assert ledger.append([]) == []
    ledger.append([answer("x", "wasp", minute=-5)])  # said before what is known
    assert ledger.latest["x", "ann"]["label"] == "ant"
    again = Ledger(tiny.campaign, 0)
    assert again.latest == ledger.latest and again.names == ledger.names == set(taken(tiny.campaign, 0))
