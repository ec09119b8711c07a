from pathlib import Path

import numpy as np
import pytest

from raylabel.sampling import Candidates, Labeled, Round, find, select
from raylabel.sampling.auto import COVER_PER_CLASS, HERD_PER_CLASS, Choice, balance, choose

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


def predicted(*counts):
    """Sure predictions, as many of each class."""
    return np.eye(len(counts), dtype=np.float32)[np.repeat(np.arange(len(counts)), counts)]


CHOICE = Choice(LATE, "auto: because")


@pytest.mark.parametrize(
    ("counts", "balanced"),
    [
        ([2, 2, 2, 2, 2], None),  # even
        ([4, 3, 1, 1, 1], None),  # twice the even share, and no more
        ([5, 2, 1, 1, 1], "50%"),  # half
        ([45, 30, 10, 10, 5], "45%"),
        ([6, 1, 1, 1, 1], None),  # more than half: a background
        ([5, 5], None),  # of so few classes none is above twice its share and no background
        ([5, 2, 2, 1], None),
    ],
)
def test_balance_by_hand(counts, balanced):
    expected = Choice(f"balanced:{LATE}", f"auto: because, as much in each class: the largest is {balanced} of them")
    assert balance(CHOICE, predicted(*counts)) == (expected if balanced else CHOICE)


def pool(probabilities=None, count=60, seed=0):
    rng = np.random.default_rng(seed)
    return Candidates(rng.normal(size=(count, 3)).astype(np.float32), probabilities=probabilities)


def unsure(classes, count=60, seed=1):
    """Probabilities whose likeliest classes are about even."""
    return np.random.default_rng(seed).dirichlet(np.ones(classes), size=count)


def skewed(classes=6, count=60):
    """Probabilities of which 27 in 60 name class 0, and 6 or 7 each of the others."""
    likeliest = np.where(np.arange(count) < 27, 0, 1 + np.arange(count) % (classes - 1))
    return 0.5 * unsure(classes, count) + 0.5 * np.eye(classes)[likeliest]


@pytest.mark.parametrize(
    ("probabilities", "num_answers", "history", "strategy"),
    [
        (None, 0, (), "herding"),
        (unsure(4), FEW - 1, (), "herding"),
        (unsure(4), FEW, (), "uherding"),
        (unsure(4), SOME, (), LATE),
        (unsure(4), SOME, (0.1,), "herding"),
        (skewed(), 6 * HERD_PER_CLASS, (), f"balanced:{LATE}"),
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
    if strategy == f"balanced:{LATE}":
        choice = balance(choice, probabilities)
    assert choice.strategy == strategy
    assert choice.why.startswith("auto: ")
    assert found.reasons == tuple(f"{choice.why}; {reason}" for reason in direct.reasons)


def test_whatever_it_chooses_is_in_the_registry():
    for name in ("herding", "uherding", LATE, f"balanced:{LATE}"):
        assert set(find(name).needs) <= {"embeddings", "probabilities"}


def test_the_docs_say_the_limits():
    told = " ".join((Path(__file__).parents[3] / "docs" / "sampling.md").read_text().split())
    assert f"`herding` below {COVER_PER_CLASS} answers a class, `uherding` below {HERD_PER_CLASS}, and `{LATE}`" in told
