import numpy as np

from raylabel.campaign import priority_of
from raylabel.labeling.asked import newest_asked
from raylabel.labeling.review.questions import questions_of


def of(asked):
    number, record = newest_asked(asked.campaign)
    return questions_of(asked.campaign, number, record, asked.audit)


def test_audit_items_and_as_many_training_items_are_shown_bare(asking):
    asked = asking()
    found = of(asked)
    assert sorted(q.row for q in found) == list(range(40, 120))
    assert [q.row for q in found] != sorted(q.row for q in found)
    assert {q.row for q in found if q.purpose == "audit"} == set(asked.audit.tolist())
    bare = [q for q in found if q.group is None]
    assert all((q.guesses, q.neighbours) == ((), ()) for q in bare)
    assert sum(q.purpose == "audit" for q in bare) == 20
    train = np.arange(60, 120)
    drawn = train[np.argsort(priority_of(asked.campaign, train))[:20]]
    assert {q.row for q in bare if q.purpose == "train"} == set(drawn.tolist())


def test_others_show_guesses_and_answered_neighbours(asking):
    asked = asking()
    for found in of(asked):
        if found.group is None:
            continue
        wrong = found.row % 10 == 9
        guess = (asked.truth[found.row] + wrong) % 10
        assert found.group == guess == found.guesses[0][0]
        assert found.guesses[0][1] > found.guesses[1][1]
        near = np.flatnonzero(asked.truth[:40] == guess)[:3]
        assert found.neighbours == tuple((int(row), int(guess)) for row in near)


def test_with_more_audit_than_training_items_all_are_bare(asking):
    assert {q.group for q in of(asking(num_train=10, num_audit=30))} == {None}


def test_without_a_model_there_are_clusters_and_no_guesses(asking):
    asked = asking(has_model=False, num_audit=5)
    found = [q for q in of(asked) if q.group is not None]
    assert len(found) == 55
    assert all((q.guesses, q.neighbours) == ((), ()) for q in found)
    assert all(q.group == asked.truth[q.row] // 2 for q in found)


def test_gold_items_are_bare_and_as_many_training_items_with_them(asking):
    found = of(asking(num_gold=5))
    bare = [q for q in found if q.group is None]
    assert {q.row for q in bare if q.purpose == "gold"} == set(range(120, 125))
    assert all((q.guesses, q.neighbours) == ((), ()) for q in bare)
    assert sum(q.purpose == "train" for q in bare) == 25
    assert sum(q.purpose == "audit" for q in bare) == 20
