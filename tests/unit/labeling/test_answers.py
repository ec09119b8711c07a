from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest

from raylabel import schema
from raylabel.errors import AnswersError
from raylabel.labeling.answers import Answer, append, collect, consensus, index_of, resolved_before

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


def agreed(*answers):
    return consensus(table(*answers), CLASSES)


def test_majority_of_annotators():
    votes = [answer("x", "bee", "a"), answer("x", "ant", "b"), answer("x", "bee", "c")]
    assert agreed(*votes, answer("y", "wasp")) == {"x": 1, "y": 2}


def test_tie_is_nobody_could_tell():
    assert agreed(answer("x", "bee", "a"), answer("x", "ant", "b")) == {"x": -1}
    three = [answer("x", name, annotator) for name, annotator in zip(CLASSES, "abc", strict=True)]
    assert agreed(*three) == {"x": -1}


def test_a_tie_behind_the_winner_does_not_matter():
    votes = [answer("x", label, str(i)) for i, label in enumerate(["ant", "wasp", "wasp", "bee"])]
    assert agreed(*votes) == {"x": 2}


def test_latest_answer_of_an_annotator_counts_whatever_the_order_of_the_rows():
    first, last = answer("x", "ant", minute=1), answer("x", "bee", minute=2)
    assert agreed(first, last) == agreed(last, first) == {"x": 1}


def test_one_annotator_has_one_vote():
    votes = [answer("x", "ant", "a", minute=1), answer("x", "ant", "a", minute=2, answer_id="again")]
    assert agreed(*votes, answer("x", "bee", "b"), answer("x", "bee", "c")) == {"x": 1}


def test_retracted_answer_is_none_at_all():
    said, back = answer("x", "ant", minute=1), answer("x", None, minute=2, kind="retract")
    assert agreed(said, back) == {}
    assert agreed(said, back, answer("x", "wasp", "other")) == {"x": 2}
    assert agreed(said, back, answer("x", "bee", minute=3)) == {"x": 1}


@pytest.mark.parametrize("kind", ["skip", "cannot_tell"])
def test_skips_alone_are_nobody_could_tell(kind):
    assert agreed(answer("x", None, kind=kind)) == {"x": -1}
    assert agreed(answer("x", None, "a", kind=kind), answer("x", "bee", "b")) == {"x": 1}


def test_annotator_who_comes_to_skip_takes_the_label_back():
    assert agreed(answer("x", "ant", minute=1), answer("x", None, minute=2, kind="skip")) == {"x": -1}


def test_no_answers():
    assert agreed() == {}


def test_unknown_class_names_item_and_nearest():
    with pytest.raises(AnswersError, match=r"the answer for x: unknown class 'wsp': did you mean wasp\?"):
        agreed(answer("x", "wsp"))
    with pytest.raises(AnswersError, match="here: unknown class"):
        index_of("Ant!", {"zebra": 0}, where="here")


def test_key_is_made_of_what_is_said():
    assert answer("x", "ant", minute=0).key() == answer("x", "ant", minute=9).key()
    others = [
        answer("y", "ant"),
        answer("x", "bee"),
        answer("x", "ant", "other"),
        answer("x", "ant", source="oracle"),
        answer("x", None, kind="skip"),
        answer("x", None, kind="cannot_tell"),
    ]
    assert len({answer("x", "ant").key(), *(other.key() for other in others)}) == 7
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
        assert consensus(collect(tiny.campaign, 0), classes) == {name: classes.index(label)}
    assert append(tiny.campaign, [answer(name, classes[1], minute=9)]) == 0
