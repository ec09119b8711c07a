from collections import Counter

import numpy as np

from raylabel.labeling.review.measuring import Measuring
from raylabel.labeling.review.questions import Question


def measuring(*gold, every=4):
    questions = [Question(row, f"id-{row}", "gold" if row in gold else "audit") for row in range(20)]
    return Measuring(questions, every=every, rng=np.random.default_rng(0))


def test_knows_its_items():
    found = measuring(3, 7)
    assert found.rows == [3, 7]
    assert 3 in found and 4 not in found and 99 not in found


def test_one_of_so_many_answers_is_lacking_until_it_is_given():
    found = measuring(3, 7)
    lacking = []
    for row in (0, 1, 2, 4, 3, 5, 6, 8, 9):
        found.count(row, "ann", 1)
        lacking.append(found.lacking("ann"))
    # The fifth answer is of gold item 3; the eighth one makes another due.
    assert lacking == [0, 0, 0, 1, 0, 0, 0, 1, 1]
    found.count(9, "ann", -1)
    found.count(8, "ann", -1)
    assert (found.lacking("ann"), found.lacking("bob")) == (0, 0)
    found.count(3, "ann", -1)
    assert found.lacking("ann") == 1


def test_more_gold_than_wanted_is_not_lacking():
    found = measuring(3, 7)
    for row in (3, 7, 0, 1):
        found.count(row, "ann", 1)
    assert found.lacking("ann") == 0


def test_gold_takes_the_place_of_the_last_items_and_others_keep_their_order():
    found = measuring(10, 11, 12)
    mixed = found.mixed([0, 1, 2, 3, 4], [10, 11, 12], size=5, lacking=2)
    assert len(mixed) == 5 and {10, 11} < set(mixed)
    assert [row for row in mixed if row < 10] == [0, 1, 2]
    # A screen that is not full gets longer.
    assert sorted(found.mixed([0], [10, 11, 12], size=5, lacking=2)) == [0, 10, 11]


def test_gold_that_the_screen_has_already_counts():
    found = measuring(10, 11, 12)
    assert found.mixed([0, 10, 1], [10, 11], size=9, lacking=1) == [0, 10, 1]
    assert sorted(found.mixed([0, 10, 1], [10, 11], size=9, lacking=2)) == [0, 1, 10, 11]


def test_no_more_than_half_of_a_screen():
    found = measuring(10, 11, 12, 13)
    assert len(set(found.mixed([0, 1, 2, 3], [10, 11, 12, 13], size=4, lacking=9)) & {10, 11, 12, 13}) == 2
    assert len(set(found.mixed([0, 1, 2], [10, 11, 12, 13], size=3, lacking=9)) & {10, 11, 12, 13}) == 2
    assert found.mixed([0], [10], size=1, lacking=1) == [10]


def test_every_place_is_as_likely():
    found, places = measuring(10), Counter()
    for _ in range(4000):
        places[found.mixed([0, 1, 2, 3], [10], size=4, lacking=1).index(10)] += 1
    # 1,000 each; four standard deviations are 110.
    assert set(places) == {0, 1, 2, 3}
    assert all(abs(count - 1000) < 110 for count in places.values())


def test_nothing_lacking_changes_nothing():
    assert measuring(10).mixed([0, 1], [10], size=4, lacking=0) == [0, 1]
