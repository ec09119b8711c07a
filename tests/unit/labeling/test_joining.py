from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest

from raylabel import schema
from raylabel.errors import AnswersError
from raylabel.labeling.answers import Answer, append, collect
from raylabel.labeling.joining import join, join_round

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


def agreed(*answers, method="majority"):
    return join(table(*answers), CLASSES, method=method).labels


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


def test_one_answer_an_item_is_the_same_whatever_the_method():
    votes = [answer(str(i), CLASSES[i % 7 % 3], annotator=str(i % 2)) for i in range(40)]
    skipped = answer("skipped", None, kind="cannot_tell")
    assert agreed(*votes, skipped, method="dawid_skene") == agreed(*votes, skipped)


def crowd():
    """Annotators a, b and c agree with each other on thirty items, d says "wasp" of everything."""
    found = []
    for item in range(30):
        pair = ("a", "b", "c")[item % 3], ("b", "c", "a")[item % 3]
        found += [answer(f"i{item}", CLASSES[item % 2], who) for who in (*pair, "d")[item % 2 :]]
        found += [answer(f"i{item}", "wasp", "d")] if item % 2 == 0 else []
    unique = {(a.id, a.annotator): a for a in found}
    return list(unique.values())


def test_dawid_skene_breaks_ties_that_the_majority_leaves():
    tie = [answer("x", "ant", "a"), answer("x", "wasp", "d")]
    assert agreed(*crowd(), *tie)["x"] == -1
    assert agreed(*crowd(), *tie, method="dawid_skene")["x"] == 0


def test_annotators_are_judged_where_others_answered_too():
    votes = [answer("x", "bee", "a"), answer("x", "bee", "b"), answer("x", "ant", "c"), answer("y", "ant", "c")]
    skips = [
        answer("x", None, "e", kind="skip"),
        answer("z", "ant", "d"),
        answer("z", None, "d", kind="retract", minute=1),
    ]
    found = join(table(*votes, *skips), CLASSES).annotators
    third = pytest.approx(1 / 3)
    assert found == {
        "a": {"num_answers": 1, "num_shared": 1, "error_rate": third},
        "b": {"num_answers": 1, "num_shared": 1, "error_rate": third},
        "c": {"num_answers": 2, "num_shared": 1, "error_rate": pytest.approx(2 / 3)},
    }
    assert join(table(answer("x", "ant")), CLASSES).annotators["ann"]["error_rate"] is None


@pytest.fixture
def people(begin):
    """Two rounds' questions: row 5 is trained on, 44 is audited; round 1 asks 5 again and 9 for the first time."""
    tiny = begin(labeling={"labeler": "files"})
    name = {row: tiny.ids[row] for row in (5, 44, 9)}

    def tell(number, row, label, annotator, *, kind="label", minute=0):
        classes = tiny.campaign.config.classes
        text = None if label is None else classes[label]
        said = answer(name[row], text, annotator, kind=kind, round=number, minute=minute)
        append(tiny.campaign, [said])

    def resolve(number, purposes):
        said = collect(tiny.campaign, number)
        labels, judged = join_round(tiny.campaign, number, said, {name[row]: why for row, why in purposes.items()})
        return {row: labels[name[row]] for row in purposes}, judged

    return tiny, tell, resolve


def test_second_look_of_the_same_annotator_replaces_the_answer(people):
    tiny, tell, resolve = people
    tell(0, 5, 2, "eve")
    assert resolve(0, {5: "train"})[0] == {5: 2}
    tiny.resolve(0, tiny.answered([5], labels=[2]))
    tell(1, 5, 3, "eve", minute=1)
    assert resolve(1, {5: "second_look"})[0] == {5: 3}


def test_second_look_of_others_is_joined_and_decides_a_tie(people):
    tiny, tell, resolve = people
    tell(0, 5, 2, "eve")
    tell(0, 5, 2, "adam")
    tiny.resolve(0, tiny.answered([5], labels=[2]))
    tell(1, 5, 3, "kim", minute=1)
    assert resolve(1, {5: "second_look"})[0] == {5: 2}
    tell(1, 5, 3, "joe", minute=2)
    assert resolve(1, {5: "second_look"})[0] == {5: 3}
    tell(1, 5, None, "joe", kind="cannot_tell", minute=3)
    tell(1, 5, None, "kim", kind="cannot_tell", minute=3)
    assert resolve(1, {5: "second_look"})[0] == {5: 2}


@pytest.mark.parametrize("purpose", ["audit", "gold"])
@pytest.mark.parametrize("label", [1, 2])
def test_other_answers_of_a_round_do_not_decide_a_second_look(begin, label, purpose):
    """Of row 5 eve and joe are in a tie, twice; who of them is right about other items makes no difference."""
    tiny = begin(labeling={"labeler": "files", "consensus": "dawid_skene"})
    classes, audit = tiny.campaign.config.classes, range(20, 50)
    append(tiny.campaign, [answer(tiny.ids[5], classes[2], "eve", round=0)])
    tiny.resolve(0, tiny.answered([5], labels=[2]))
    again = [answer(tiny.ids[5], classes[2], "eve", round=1), answer(tiny.ids[5], classes[1], "joe", round=1)]
    audited = [
        answer(tiny.ids[row], classes[said if who == "eve" else label], who, round=1, purpose=purpose)
        for row in audit
        for who, said in (("eve", 1), ("joe", label), ("kim", 1))
    ]
    append(tiny.campaign, again + audited)
    purposes = {tiny.ids[5]: "second_look"} | {tiny.ids[row]: purpose for row in audit}
    labels, _ = join_round(tiny.campaign, 1, collect(tiny.campaign, 1), purposes)
    assert labels[tiny.ids[5]] == -1


def test_the_later_round_is_the_latest_whatever_clocks_say(people):
    tiny, tell, resolve = people
    tell(0, 5, 2, "eve", minute=9)
    tiny.resolve(0, tiny.answered([5], labels=[2]))
    tell(1, 5, 3, "eve", minute=1)
    assert resolve(1, {5: "second_look"})[0] == {5: 3}


def test_training_and_audit_do_not_know_of_each_other(people):
    """Whatever is said of an audit item, nobody is judged by it on training items."""
    tiny, tell, resolve = people
    for who, label in (("eve", 1), ("adam", 2)):
        tell(0, 5, 1, who)
        tell(0, 44, label, who)
    labels, judged = resolve(0, {5: "train", 44: "audit"})
    assert labels == {5: 1, 44: -1}
    assert judged["training"]["eve"] == {"num_answers": 1, "num_shared": 1, "error_rate": 0}
    assert judged["audit"]["eve"] == {"num_answers": 1, "num_shared": 1, "error_rate": 0.5}
    tiny.resolve(0, tiny.answered([5, 44], purpose=["train", "audit"]))
    tell(1, 9, 3, "eve")
    labels, judged = resolve(1, {9: "train"})
    assert labels == {9: 3}
    assert judged["training"]["eve"]["num_answers"] == 2
    assert judged["audit"]["eve"]["num_answers"] == 1
