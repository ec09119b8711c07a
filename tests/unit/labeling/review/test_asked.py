import asyncio
from datetime import UTC, datetime

import pytest

from raylabel.errors import StorageError
from raylabel.labeling.answers import Answer, append, collect
from raylabel.labeling.asked import newest_asked
from raylabel.labeling.review.asked import AskedRound, Said


def open_round(asked):
    number, record = newest_asked(asked.campaign)
    return AskedRound(asked.campaign, number, record, asked.audit)


@pytest.fixture
def asked(asking):
    return asking(num_train=6, num_audit=4)


def said(row, label=1, kind="label", comment=None):
    return Said(row, kind, label if kind == "label" else None, comment)


def submit(opened, *items, who="ann", page="p", submission="s-1", seconds=2.0):
    return asyncio.run(opened.answer(who, page, submission, items, seconds=seconds))


def stored(asked):
    return sorted(collect(asked.campaign, 1).to_pylist(), key=lambda row: (row["answered_at"], row["id"]))


def test_an_answer_lies_in_the_workspace_as_it_was_said(asked):
    opened = open_round(asked)
    opened.next("ann", "p", size=9, single=True, keep=[])
    taken = submit(opened, said(45, 3, comment="blurred"), said(41, kind="cannot_tell"))
    assert (taken.saved, taken.refused) == ((45, 41), {})
    first, second = stored(asked)
    assert (first["id"], first["kind"], first["label"], first["purpose"]) == (
        "item-000041",
        "cannot_tell",
        None,
        "audit",
    )
    expected = {
        "label": "three",
        "annotator": "ann",
        "seconds": 2.0,
        "round": 1,
        "purpose": "train",
        "comment": "blurred",
    }
    assert {key: second[key] for key in expected} == expected
    assert second["source"] == "review" and first["answered_at"] == second["answered_at"]


def test_the_same_submission_again_changes_nothing(asked):
    opened = open_round(asked)
    for _ in range(2):
        taken = submit(opened, said(45), said(46))
        assert (taken.saved, taken.refused) == ((45, 46), {})
    assert len(stored(asked)) == 2
    again = open_round(asked)
    assert submit(again, said(45), said(46)).saved == (45, 46)
    assert len(stored(asked)) == 2


def test_nothing_is_asked_twice_after_a_restart(asked):
    opened = open_round(asked)
    submit(opened, said(45), said(41))
    again = open_round(asked)
    assert again.queue.num_open == 8
    rows = [q.row for q in again.next("ann", "p", size=20, single=True, keep=[]).questions]
    assert set(rows) == set(range(40, 50)) - {45, 41}


def test_two_people_on_one_item(asked):
    opened = open_round(asked)
    [row] = [q.row for q in opened.next("ann", "p", size=1, single=True, keep=[]).questions]
    taken = submit(opened, said(row), who="bob", page="q")
    assert taken.saved == () and taken.refused[row].startswith("ann has that item now")
    assert submit(opened, said(row)).saved == (row,)
    late = submit(opened, said(row), who="bob", page="q", submission="s-2")
    assert late.refused == {row: "that item has its answers already"}
    assert [answer["annotator"] for answer in stored(asked)] == ["ann"]


def test_undo_takes_back_the_last_submission_and_then_the_one_before(asked):
    opened = open_round(asked)
    submit(opened, said(45, 1), said(46, 2), submission="s-1")
    submit(opened, said(47, kind="skip"), submission="s-2")
    found = asyncio.run(opened.undo("ann", "p"))
    assert [(question.row, answer["kind"]) for question, answer in found] == [(47, "skip")]
    assert opened.queue.num_open == 8
    assert opened.queue.holder(47, 0.0).page == "p"
    found = asyncio.run(opened.undo("ann", "p"))
    assert [(question.row, answer["label"]) for question, answer in found] == [(45, "one"), (46, "two")]
    assert asyncio.run(opened.undo("ann", "p")) == []
    assert asyncio.run(opened.undo("bob", "q")) == []
    assert [row["kind"] for row in stored(asked)] == ["label", "label", "skip", "retract", "retract", "retract"]
    assert open_round(asked).queue.num_open == 10


def test_undo_works_after_a_restart_and_what_is_said_then_counts(asked):
    opened = open_round(asked)
    submit(opened, said(45, 1), submission="s-1")
    submit(opened, said(46, 1), submission="s-2")
    again = open_round(asked)
    [(question, _)] = asyncio.run(again.undo("ann", "p"))
    assert question.row == 46
    assert submit(again, said(46, 5), submission="s-3").saved == (46,)
    assert open_round(asked).queue.said_of(46)["ann"]["label"] == "five"


def test_answers_of_a_sheet_close_items_too(asked):
    opened = open_round(asked)
    now = datetime.now(UTC)
    append(asked.campaign, [Answer("item-000045", "label", "one", "bob", now, 1, "train", "file")])
    asyncio.run(opened.look())
    assert opened.queue.num_open == 9
    assert opened.figures.summary(0.0)["people"][0]["name"] == "bob"
    assert asyncio.run(opened.undo("bob", "q")) == []  # a sheet's answers are undone by a sheet


def test_an_older_answer_that_is_heard_of_late_changes_nothing(asked):
    opened = open_round(asked)
    submit(opened, said(45, 3))
    long_ago = datetime(2020, 1, 1, tzinfo=UTC)
    append(asked.campaign, [Answer("item-000045", "skip", None, "ann", long_ago, 1, "train", "file", answer_id="old")])
    asyncio.run(opened.look())
    assert opened.queue.said_of(45)["ann"]["label"] == "three"


def test_a_submission_is_later_than_all_before(asked):
    opened = open_round(asked)
    future = datetime(2100, 1, 1, tzinfo=UTC)
    append(asked.campaign, [Answer("item-000045", "label", "one", "ann", future, 1, "train", "review", answer_id="f")])
    again = open_round(asked)
    submit(again, said(45, 7))
    assert open_round(asked).queue.said_of(45)["ann"]["label"] == "seven"
    assert opened.queue.num_open == 10


def test_whether_there_is_anything_to_learn_from(asked):
    opened = open_round(asked)
    submit(opened, said(41), submission="s-1")  # of the audit
    submit(opened, said(45, kind="skip"), submission="s-2")
    assert not opened.has_training_label()
    submit(opened, said(46), submission="s-3")
    assert opened.has_training_label()


def test_which_pictures_a_page_may_show(asked):
    opened = open_round(asked)
    near = {row for question in opened.queue.by_row.values() for row, _ in question.neighbours}
    assert near and near < set(range(40))
    assert [row for row in range(60) if opened.shows(row)] == sorted(near | set(range(40, 50)))


def test_undo_shows_no_more_than_the_screen_did(asking):
    """Ann judges after bob, without help; taking it back must not bring the guess, nor count it as agreed with."""
    asked = asking(num_train=6, num_audit=4, answers_per_item=2)
    opened = open_round(asked)
    row = next(row for row, question in opened.queue.by_row.items() if question.guesses)
    submit(opened, said(row), who="bob", page="q", submission="b-1")
    before = {person["name"]: person for person in opened.figures.summary(0.0)["people"]}
    submit(opened, said(row), submission="a-1")
    [(question, _)] = asyncio.run(opened.undo("ann", "p"))
    assert (question.row, question.guesses, question.neighbours, question.group) == (row, (), (), None)
    assert opened.queue.by_row[row].guesses
    after = {person["name"]: person for person in opened.figures.summary(0.0)["people"]}
    assert after["bob"] == before["bob"]


def test_two_undos_at_once_take_back_two_submissions(asked):
    opened = open_round(asked)
    submit(opened, said(45), submission="s-1")
    submit(opened, said(46), submission="s-2")

    async def both():
        return await asyncio.gather(opened.undo("ann", "p"), opened.undo("ann", "p"))

    assert sorted(question.row for found in asyncio.run(both()) for question, _ in found) == [45, 46]


def test_an_undo_that_the_store_refuses_can_be_done_again(asked, monkeypatch):
    opened = open_round(asked)
    submit(opened, said(45))

    async def away(answers):
        raise StorageError("away")

    with monkeypatch.context() as broken:
        broken.setattr(opened.commits, "add", away)
        with pytest.raises(StorageError, match="away"):
            asyncio.run(opened.undo("ann", "p"))
    assert [question.row for question, _ in asyncio.run(opened.undo("ann", "p"))] == [45]


def test_an_item_is_held_while_its_answer_is_written(asked, monkeypatch):
    """The tab is closed in that moment, and somebody else asks for all there is."""
    opened = open_round(asked)
    [row] = [q.row for q in opened.next("ann", "p", size=1, single=True, keep=[]).questions]
    given, add = [], opened.commits.add

    async def slow(answers):
        opened.queue.give_back("p")
        given.extend(q.row for q in opened.next("bob", "q", size=20, single=True, keep=[]).questions)
        return await add(answers)

    monkeypatch.setattr(opened.commits, "add", slow)
    assert submit(opened, said(row)).saved == (row,)
    assert sorted([row, *given]) == list(range(40, 50))
    assert opened.queue.num_open == 9
