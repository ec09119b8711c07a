from collections import Counter

import numpy as np
import pytest

from raylabel.labeling.review.leases import LEASE_S
from raylabel.labeling.review.questions import Question
from raylabel.labeling.review.queue import Queue


def question(row, group=None, share=0.5):
    guesses = () if group is None else ((group, share), (group + 1, 0.1))
    return Question(row, f"id-{row}", "train" if group is not None else "audit", group, guesses)


def queue(questions, each=1, seed=0):
    return Queue(questions, each=each, rng=np.random.default_rng(seed))


def said(row, annotator="ann", label="cat", kind="label", source="review"):
    return {"id": f"id-{row}", "annotator": annotator, "kind": kind, "label": label, "source": source}


def rows(screen):
    return [question.row for question in screen.questions]


def test_one_by_one_follows_the_shortlist():
    asked = queue([question(5), question(3, 1), question(4, 0)])
    screen = asked.next("ann", "a", 0.0, size=2, single=True)
    assert (screen.kind, rows(screen)) == ("single", [5, 3])
    assert rows(asked.next("bob", "b", 0.0, size=2, single=True)) == [4]
    assert asked.next("eve", "e", 0.0, size=2, single=True).kind == "empty"


def test_a_group_is_shown_likeliest_first_and_the_largest_group_before_others():
    asked = queue([*(question(row, 7, 0.1 * row) for row in range(5)), *(question(row, 8) for row in range(10, 17))])
    first = asked.next("ann", "a", 0.0, size=10)
    assert (first.kind, first.group, rows(first)) == ("group", 8, list(range(10, 17)))
    second = asked.next("bob", "b", 0.0, size=3)
    assert (second.group, rows(second)) == (7, [4, 3, 2])


def test_a_page_stays_with_its_group():
    asked = queue([*(question(row, 7) for row in range(20)), *(question(row, 8) for row in range(20, 39))])
    held: list[int] = []
    for _ in range(4):
        screen = asked.next("ann", "a", 0.0, size=4, keep=held)
        held += rows(screen)
        assert screen.group == 7


def test_bare_screens_come_as_often_as_there_are_bare_items():
    kinds = Counter()
    for seed in range(400):
        asked = queue([*(question(row) for row in range(10)), *(question(row, 1) for row in range(10, 40))], seed=seed)
        kinds[asked.next("ann", "a", 0.0, size=4).kind] += 1
    assert kinds["bare"] == pytest.approx(100, abs=30)
    assert kinds.keys() == {"bare", "group"}


def test_small_groups_are_shown_one_by_one():
    asked = queue([question(1, 1), question(2, 2), question(3, 1), question(4, 3)])
    screen = asked.next("ann", "a", 0.0, size=9)
    assert (screen.kind, sorted(rows(screen))) == ("single", [1, 2, 3, 4])


def test_nobody_gets_anothers_item_until_its_page_is_silent():
    asked = queue([question(row) for row in range(3)])
    assert rows(asked.next("ann", "a", 0.0, size=2)) == [0, 1]
    asked.renew("ann", "a", 100.0, [])
    assert rows(asked.next("bob", "b", LEASE_S + 1, size=9)) == [2]
    assert rows(asked.next("bob", "b", 100.0 + LEASE_S, size=9, keep=[2])) == [0, 1]
    assert asked.holder(0, 100.0 + LEASE_S).annotator == "bob"


def test_what_a_page_no_longer_shows_is_open_again_before_all_others():
    asked = queue([question(row) for row in range(6)])
    assert rows(asked.next("ann", "a", 0.0, size=3)) == [0, 1, 2]
    assert rows(asked.next("ann", "a", 0.0, size=2, keep=[1])) == [0, 2]
    asked.give_back("a")
    assert rows(asked.next("bob", "b", 0.0, size=6)) == [0, 1, 2, 3, 4, 5]


def test_an_answer_closes_an_item_and_a_retraction_opens_it():
    asked = queue([question(0), question(1)])
    asked.next("ann", "a", 0.0, size=1)
    asked.hear(said(0))
    assert (asked.num_open, asked.said_of(0)["ann"]["label"]) == (1, "cat")
    assert rows(asked.next("bob", "b", 0.0, size=9)) == [1]
    asked.hear(said(0, kind="retract", label=None))
    assert (asked.num_open, asked.said_of(0)) == (2, {})
    assert rows(asked.next("eve", "e", 0.0, size=9)) == [0]


def test_answers_of_items_that_were_not_asked_pass_by():
    asked = queue([question(0)])
    asked.hear(said(99))
    assert asked.num_open == 1


def test_two_answers_an_item_by_two_people_and_a_third_where_they_differ():
    asked = queue([question(0, 1), question(1, 1)], each=2)
    asked.next("ann", "a", 0.0, size=9)
    asked.hear(said(0))
    asked.hear(said(1))
    assert (asked.num_open, asked.num_open_to("ann"), asked.num_open_to("bob")) == (2, 0, 2)
    assert asked.next("ann", "a", 0.0, size=9).kind == "empty"
    again = asked.next("bob", "b", 0.0, size=9)
    assert sorted(rows(again)) == [0, 1]
    # Whoever judges after somebody else judges without help.
    assert all((q.group, q.guesses) == (None, ()) for q in again.questions)
    asked.hear(said(0, "bob"))
    asked.hear(said(1, "bob", "dog"))
    assert asked.num_open == 1
    assert rows(asked.next("eve", "e", 0.0, size=9)) == [1]
    asked.hear(said(1, "eve", "cow"))
    assert asked.num_open == 0


def test_cannot_tell_goes_on_to_somebody_else_once():
    asked = queue([question(0), question(1)])
    asked.hear(said(0, kind="cannot_tell", label=None))
    assert asked.num_open_to("ann") == 1
    assert rows(asked.next("bob", "b", 0.0, size=9)) == [1, 0]
    asked.hear(said(0, "bob", kind="cannot_tell", label=None))
    asked.hear(said(1, "bob", kind="skip", label=None))
    assert asked.num_open == 0


def test_enough_leaves_the_bare_items_that_have_no_answer():
    asked = queue([question(0), question(1, 5), question(2), question(3, 5)])
    asked.next("ann", "a", 0.0, size=1, single=True)
    asked.hear(said(2, kind="cannot_tell", label=None))
    assert asked.num_open == 4
    asked.shorten()
    assert asked.num_open == 1
    assert rows(asked.next("ann", "a", 0.0, size=9)) == [0]
    asked.hear(said(0))
    assert asked.num_open == 0
    asked.hear(said(0, kind="retract", label=None))
    assert asked.num_open == 1


def test_why_an_answer_is_refused():
    asked = queue([question(row) for row in range(4)])
    asked.next("ann", "a", 0.0, size=1, single=True)
    asked.next("bob", "b", 0.0, size=1, single=True)
    assert asked.refuse(0, "ann", "a", 1.0) == ""
    assert "this round does not ask" in asked.refuse(77, "ann", "a", 1.0)
    assert asked.refuse(1, "ann", "a", 1.0).startswith("bob has that item now")
    assert asked.refuse(1, "ann", "a", LEASE_S) == ""  # nobody was given it in the meantime
    assert asked.refuse(0, "ann", "other", 1.0) == "another of your pages shows that item"
    asked.hear(said(2))
    assert asked.refuse(2, "bob", "b", 1.0) == "that item has its answers already"
    assert asked.refuse(2, "ann", "a", 1.0) == ""  # a correction of one's own


def test_what_is_undone_is_leased_again_unless_somebody_has_it():
    asked = queue([question(row) for row in range(2)], each=2)
    for row in (0, 1):
        asked.hear(said(row))
    assert rows(asked.next("bob", "b", 0.0, size=1)) == [0]
    for row in (0, 1):
        asked.hear(said(row, kind="retract", label=None))
    asked.take("ann", "a", 0.0, [0, 1])
    assert asked.holder(0, 0.0).annotator == "bob"
    assert asked.holder(1, 0.0).annotator == "ann"


def test_after_a_crash_pages_say_what_they_show():
    """The queue is new, the pages are not: what one shows is its own, unless somebody else said so first."""
    asked = queue([question(row) for row in range(5)])
    asked.hear(said(4))
    asked.renew("ann", "a", 0.0, [0, 1, 4, 99])
    asked.renew("bob", "b", 0.0, [1, 2])
    assert [asked.holder(row, 0.0) and asked.holder(row, 0.0).annotator for row in range(5)] == [
        "ann",
        "ann",
        "bob",
        None,
        None,
    ]
    assert rows(asked.next("eve", "e", 0.0, size=9)) == [3]


def test_what_comes_next_is_known():
    asked = queue([*(question(row) for row in range(4)), *(question(row, 1) for row in range(10, 14))])
    asked.next("ann", "a", 0.0, size=1, single=True)
    coming = asked.coming(2)
    assert coming[:2] == [1, 2]
    assert {1, 2, 10, 11} == set(coming)


def test_twenty_people_at_random_never_share_an_item_and_answer_every_one():
    """Against a record of who was given what, kept here."""
    rng = np.random.default_rng(3)
    asked = queue([question(row, None if row % 3 else row % 5) for row in range(300)])
    given: dict[int, str] = {}
    shown: dict[str, list[int]] = {}
    clock, answered = 0.0, set()
    while asked.num_open:
        clock += 1.0
        who = f"p{rng.integers(20)}"
        for page in shown:
            asked.renew(page, page, clock, [])
        move = rng.integers(3)
        if move == 0:
            for row in shown.pop(who, []):
                del given[row]
            screen = asked.next(who, who, clock, size=int(rng.integers(1, 9)), single=bool(rng.integers(2)))
            shown[who] = rows(screen)
            for row in shown[who]:
                assert row not in given and row not in answered
                given[row] = who
        elif shown.get(who):
            row = shown[who].pop()
            del given[row]
            assert asked.refuse(row, who, who, clock) == ""
            asked.hear(said(row, who))
            answered.add(row)
    assert answered == set(range(300))


def test_what_was_taken_back_may_be_said_anew_after_enough_was_said():
    """The item wants no answer any more, but the page that took its own back holds it."""
    asked = queue([question(5, 1), question(6)])
    asked.hear(said(5))
    asked.shorten()
    asked.hear(said(5, kind="retract"))
    asked.take("ann", "a", 0.0, [5])
    assert asked.refuse(5, "ann", "a", 1.0) == ""
    assert asked.refuse(5, "bob", "b", 1.0).startswith("ann has that item now")


def test_an_item_whose_answer_is_being_written_is_given_to_nobody():
    """The tab may be closed in that moment."""
    asked = queue([question(row) for row in range(3)], each=2)
    asked.next("ann", "a", 0.0, size=1)
    with asked.writing([0]):
        asked.give_back("a")
        assert rows(asked.next("bob", "b", 0.0, size=9)) == [1, 2]
        asked.hear(said(0))
        assert rows(asked.next("cat", "c", 0.0, size=9)) == []
    assert rows(asked.next("cat", "c", 0.0, size=9)) == [0]  # two people answer each


def test_an_item_whose_answer_could_not_be_written_is_given_out_again_first():
    asked = queue([question(row) for row in range(3)])
    asked.next("ann", "a", 0.0, size=1)
    with asked.writing([0]):
        asked.give_back("a")
    assert rows(asked.next("bob", "b", 0.0, size=9)) == [0, 1, 2]


def test_writing_leaves_a_lease_alone():
    asked = queue([question(row) for row in range(3)])
    asked.next("ann", "a", 0.0, size=1)
    with asked.writing([0]):
        pass
    assert rows(asked.next("bob", "b", 0.0, size=9)) == [1, 2]


def test_two_people_may_write_of_one_item_at_once():
    asked = queue([question(0), question(1)], each=3)
    asked.next("ann", "a", 0.0, size=1)
    with asked.writing([0]):
        asked.give_back("a")
        with asked.writing([0]):
            pass
        assert rows(asked.next("cat", "c", 0.0, size=9)) == [1]


def test_an_item_whose_lease_ran_out_is_held_while_its_answer_is_written():
    asked = queue([question(row) for row in range(3)])
    asked.next("ann", "a", 0.0, size=1)
    late = LEASE_S + 1
    asked.sweep(late)
    assert asked.refuse(0, "ann", "a", late) == ""
    with asked.writing([0]):
        assert rows(asked.next("bob", "b", late, size=9)) == [1, 2]
        asked.hear(said(0))
    assert asked.num_open == 2
