from raylabel.labeling.second_look import second_looks

FACTS = {"num_answers": 12, "accuracy": 0.5}


def looks(tiny, number):
    return second_looks(tiny.campaign, number).column("row").to_pylist()


def test_those_most_in_doubt_as_far_as_the_budget_goes(begin):
    tiny = begin(budget={"second_looks": 3, "rounds": 3})
    assert looks(tiny, 0) == []
    tiny.doubt(0, {4: 0.6, 9: 0.9, 2: 0.7}, **FACTS)
    assert looks(tiny, 1) == [9, 2]
    assert looks(tiny, 2) == []  # the round before has no model yet


def test_nothing_is_asked_a_third_time(begin):
    tiny = begin(budget={"second_looks": 4, "rounds": 3})
    tiny.doubt(0, {4: 0.6, 9: 0.9, 2: 0.7}, **FACTS)
    tiny.publish(1, looks(tiny, 1), strategy="second_look")
    tiny.doubt(1, {9: 0.95, 4: 0.6, 2: 0.8, 11: 0.55}, **FACTS)
    assert looks(tiny, 2) == [4, 11]


def test_without_a_budget_nothing_is_asked_again(tiny):
    tiny.doubt(0, {4: 0.6}, **FACTS)
    assert looks(tiny, 1) == []
