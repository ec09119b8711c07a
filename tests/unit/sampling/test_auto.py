from pathlib import Path

import numpy as np
import pytest

from raylabel.sampling import Candidates, Labeled, Round, find, select
from raylabel.sampling.auto import COVER_PER_CLASS, HERD_PER_CLASS, REACH_PER_CLASS, Choice, adapt, choose

CLASSES = 4
FEW, SOME = COVER_PER_CLASS * CLASSES, HERD_PER_CLASS * CLASSES
"""Answers from which on they are some, and many."""
LAST, LATE = SOME - 1, "falcun"
"""The last number that is not many; what is taken from there on."""


def answers(count, classes=CLASSES):
    """As many of each class, or one more."""
    return (np.arange(count) % classes).astype(np.int32)


def chosen(label_index, *, history=(), has_model=True, num_classes=CLASSES):
    return choose(label_index, num_classes=num_classes, history=tuple(history), has_model=has_model)


def went(*accuracies):
    return [Round("herding", 10 * number, accuracy) for number, accuracy in enumerate(accuracies, start=1)]


def test_no_model():
    expected = Choice("herding", f"auto: {SOME} answers and no model yet, so cover the pool")
    assert chosen(answers(SOME), has_model=False) == expected
    nothing = chosen(answers(0), has_model=False)
    assert nothing == Choice("herding", "auto: 0 answers and no model yet, so cover the pool")


def test_answers_of_one_class_make_no_model():
    assert chosen(np.full(SOME, 2, np.int32)).strategy == "herding"


@pytest.mark.parametrize(
    ("count", "strategy", "told"),
    [
        (FEW - 1, "herding", f"auto: {FEW - 1} answers for 4 classes are few, so cover the pool"),
        (FEW, "uherding", f"auto: {FEW} answers for 4 classes are some, so cover what the model is unsure of"),
        (LAST, "uherding", f"auto: {LAST} answers for 4 classes are some, so cover what the model is unsure of"),
        (SOME, LATE, f"auto: {SOME} answers for 4 classes are many, so ask where the model is undecided"),
    ],
)
def test_the_limits_by_hand(count, strategy, told):
    assert 0 < COVER_PER_CLASS < HERD_PER_CLASS
    assert chosen(answers(count), history=went(0.9)) == Choice(strategy, told)


def test_classes_count_whether_or_not_they_were_seen():
    """Answers of two of a hundred classes are few; where nobody knows how many there are, those seen are all."""
    two = answers(FEW, classes=2)
    assert chosen(two, num_classes=100).strategy == "herding"
    assert chosen(answers(2 * HERD_PER_CLASS, classes=2), num_classes=None).strategy == LATE


@pytest.mark.parametrize(
    ("accuracies", "strategy"),
    [
        ([], LATE),  # nothing is known of how it went
        ([None], LATE),
        ([0.2, 0.26], LATE),  # the majority is one fourth
        ([0.9, 0.25], "herding"),  # no better is not better
        ([0.9, 0.1], "herding"),  # the last round counts
        ([0.1, None], "herding"),  # the last that could be judged
        ([0.1, 0.9, None], LATE),
    ],
)
def test_a_model_no_better_than_the_majority(accuracies, strategy):
    found = chosen(answers(SOME), history=went(*accuracies))
    assert found.strategy == strategy
    if strategy == "herding":
        last = [accuracy for accuracy in accuracies if accuracy is not None][-1]
        told = f"({last:.0%} right where one class is 25%)"
        assert found.why == f"auto: the last model knew little {told}, so cover the pool"


def test_the_majority_is_that_of_the_answers():
    """Three fourths of one class: 74 % right is less than a guess, 76 % is more."""
    skewed = np.repeat(np.array([1, 0, 2, 3], np.int32), [3 * SOME, SOME // 2, SOME // 4, SOME // 4])
    assert chosen(skewed, history=went(0.74)).strategy == "herding"
    assert chosen(skewed, history=went(0.76)).strategy == LATE


def expects(*shares, count=8):
    """Probabilities that differ from item to item and have these shares as their means."""
    even = np.tile(np.asarray(shares), (count, 1))
    even[::2, :2] += (0.05, -0.05)
    even[1::2, :2] -= (0.05, -0.05)
    return even


CHOICE = Choice(LATE, "auto: because")


@pytest.mark.parametrize(
    ("shares", "balanced"),
    [
        ((0.2, 0.2, 0.2, 0.2, 0.2), None),
        ((0.18, 0.34, 0.16, 0.16, 0.16), None),
        ((0.249, 0.251, 0.1, 0.1, 0.1, 0.1, 0.05, 0.05, 0.0, 0.0), "25%"),  # 2.5 times the even share is 25 %
        ((0.245, 0.245, 0.11, 0.1, 0.1, 0.1, 0.05, 0.05, 0.0, 0.0), None),
        ((0.49, 0.21, 0.1, 0.1, 0.05, 0.05), "49%"),
        ((0.51, 0.19, 0.1, 0.1, 0.05, 0.05), None),  # a background
        ((0.06, 0.94), None),  # of two classes none is above 2.5 times its share
    ],
)
def test_shares_by_hand(shares, balanced):
    found = adapt(CHOICE, expects(*shares), num_answers=100 * len(shares))
    told = f"auto: because, as much in each class: the largest class is some {balanced} of them"
    assert found == (Choice(f"balanced:{LATE}", told) if balanced else CHOICE)


def test_sure_names_of_a_young_head_are_no_shares():
    """Every item is likeliest to be of class 0, but none surely: nothing is out of balance."""
    probabilities = np.full((50, 10), 0.8 / 9)
    probabilities[:, 0] = 0.2
    assert adapt(CHOICE, probabilities, num_answers=10) == CHOICE


@pytest.mark.parametrize(("num_answers", "reaches"), [(6 * REACH_PER_CLASS - 1, True), (6 * REACH_PER_CLASS, False)])
def test_behind_a_background_the_first_answers_reach_far(num_answers, reaches):
    probabilities = expects(0.7, 0.1, 0.05, 0.05, 0.05, 0.05)
    told = f"auto: {num_answers} answers for 6 classes are few, so reach beyond the known ones: the largest class is "
    expected = Choice("k_center", told + "some 70% of them") if reaches else CHOICE
    assert adapt(CHOICE, probabilities, num_answers=num_answers) == expected


def pool(probabilities=None, count=60, seed=0):
    rng = np.random.default_rng(seed)
    return Candidates(rng.normal(size=(count, 3)).astype(np.float32), probabilities=probabilities)


def unsure(classes, count=60, seed=1):
    """Probabilities whose likeliest classes are about even."""
    return np.random.default_rng(seed).dirichlet(np.ones(classes), size=count)


def skewed(share, classes=6, count=60):
    """Probabilities that name class 0 for a share of the items, and the others evenly for the rest."""
    likeliest = np.where(np.arange(count) < share * count, 0, 1 + np.arange(count) % (classes - 1))
    return 0.2 * unsure(classes, count) + 0.8 * np.eye(classes)[likeliest]


@pytest.mark.parametrize(
    ("probabilities", "num_answers", "history", "strategy"),
    [
        (None, 0, (), "herding"),
        (unsure(4), FEW - 1, (), "herding"),
        (unsure(4), FEW, (), "uherding"),
        (unsure(4), SOME, (), LATE),
        (unsure(4), SOME, (0.1,), "herding"),
        (skewed(0.5), 6 * COVER_PER_CLASS - 1, (), "balanced:herding"),
        (skewed(0.5), 6 * COVER_PER_CLASS, (), "balanced:uherding"),
        (skewed(0.5), 6 * HERD_PER_CLASS, (), f"balanced:{LATE}"),
        (skewed(0.8), 6 * COVER_PER_CLASS, (), "k_center"),
        (skewed(0.8), 6 * REACH_PER_CLASS, (), "uherding"),
    ],
)
def test_the_picks_are_those_of_the_strategy_chosen(probabilities, num_answers, history, strategy):
    candidates = pool(probabilities)
    classes = 4 if probabilities is None else probabilities.shape[1]
    labels = answers(num_answers, classes)
    known = np.random.default_rng(2).normal(size=(num_answers, 3)).astype(np.float32)
    labeled = Labeled(known, labels, tuple(went(*history)))
    found = select("auto", candidates, labeled, size=9, rng=np.random.default_rng(5))
    direct = select(strategy, candidates, labeled, size=9, rng=np.random.default_rng(5))
    assert found.positions.tolist() == direct.positions.tolist()
    assert found.scores.tolist() == direct.scores.tolist()
    choice = choose(
        labels,
        num_classes=None if probabilities is None else classes,
        history=labeled.history,
        has_model=probabilities is not None,
    )
    if probabilities is not None:
        choice = adapt(choice, probabilities, num_answers=num_answers)
    assert choice.strategy == strategy
    assert choice.why.startswith("auto: ")
    assert found.reasons == tuple(f"{choice.why}; {reason}" for reason in direct.reasons)


def test_whatever_it_chooses_is_in_the_registry():
    for name in ("herding", "uherding", "k_center", LATE, "balanced:herding", f"balanced:{LATE}"):
        assert set(find(name).needs) <= {"embeddings", "probabilities"}


def test_the_docs_say_the_limits():
    told = " ".join((Path(__file__).parents[3] / "docs" / "sampling.md").read_text().split())
    assert f"`herding` below {COVER_PER_CLASS} answers a class, `uherding` below {HERD_PER_CLASS}, and `{LATE}`" in told
