import dataclasses
import re

import numpy as np
import pytest

from raylabel.sampling.arrays import Candidates, Labeled, Picks, Round

EMBEDDINGS = np.arange(6, dtype=np.float32).reshape(3, 2)
HALVES = np.full((3, 2), 0.5, np.float32)


def refused(message):
    return pytest.raises(ValueError, match=f"^{re.escape(message)}$")


def test_candidates_keep_what_they_are_given():
    candidates = Candidates(
        EMBEDDINGS,
        probabilities=HALVES,
        members=np.stack([HALVES, HALVES]),
        head=lambda embeddings: np.full((len(embeddings), 2), 0.5),
        neighbours=np.array([[1], [0], [-1]]),
        groups=np.array([7, 7, 9]),
    )
    assert len(candidates) == 3
    assert candidates.embeddings is EMBEDDINGS
    assert candidates.probabilities is HALVES


def test_some_of_the_candidates():
    """In the order asked for, along the axis of items; neighbours are positions into all, so they stay behind."""
    members = np.array([[[0.1, 0.9], [0.2, 0.8], [0.3, 0.7]], [[0.6, 0.4], [0.5, 0.5], [0.4, 0.6]]])
    candidates = Candidates(
        EMBEDDINGS,
        probabilities=members[0],
        members=members,
        head=len,
        neighbours=np.array([[1], [2], [0]]),
        groups=np.array([7, 8, 9]),
    )
    some = candidates.take(np.array([2, 0]))
    assert some.embeddings.tolist() == [[4.0, 5.0], [0.0, 1.0]]
    assert some.probabilities.tolist() == [[0.3, 0.7], [0.1, 0.9]]
    assert some.members.tolist() == [[[0.3, 0.7], [0.1, 0.9]], [[0.4, 0.6], [0.6, 0.4]]]
    assert some.groups.tolist() == [9, 7]
    assert some.head is len
    assert some.neighbours is None
    bare = Candidates(EMBEDDINGS).take(np.array([1]))
    assert len(bare) == 1
    assert (bare.probabilities, bare.members, bare.groups, bare.head) == (None, None, None, None)


def test_no_candidates_are_candidates():
    assert len(Candidates(np.zeros((0, 2), np.float32), probabilities=np.zeros((0, 4)))) == 0


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"embeddings": np.array([[0.0, np.nan]], np.float32)},
            "embeddings: got nan at [0, 1], expected finite values",
        ),
        ({"embeddings": EMBEDDINGS.astype(np.float64)}, "embeddings: got dtype float64, expected float32"),
        ({"embeddings": EMBEDDINGS[0]}, "embeddings: got shape (2,), expected (N, D)"),
        ({"embeddings": np.zeros((3, 0), np.float32)}, "embeddings: got 0 dimensions, expected at least 1"),
        ({"probabilities": HALVES[:2]}, "probabilities: got shape (2, 2), expected (3, K)"),
        (
            {"probabilities": HALVES * 4},
            "probabilities: got a row that sums to 4, expected rows that sum to 1",
        ),
        ({"members": HALVES}, "members: got shape (3, 2), expected (M, 3, K)"),
        (
            {"probabilities": HALVES, "members": np.full((5, 3, 4), 0.25)},
            "members: got shape (5, 3, 4), expected (M, 3, 2)",
        ),
        ({"head": HALVES}, "head: got ndarray, expected a callable"),
        ({"neighbours": np.zeros((2, 1), np.int64)}, "neighbours: got shape (2, 1), expected (3, k)"),
        ({"neighbours": np.array([[0], [1], [3]])}, "neighbours: got 3, expected at most 2"),
        ({"neighbours": np.array([[0], [1], [-2]])}, "neighbours: got -2, expected at least -1"),
        ({"groups": np.zeros(3, np.int32)}, "groups: got dtype int32, expected int64"),
    ],
)
def test_candidates_that_do_not_fit_are_refused(fields, message):
    with refused(message):
        Candidates(**{"embeddings": EMBEDDINGS, **fields})


def test_labeled_may_be_empty():
    labeled = Labeled(np.zeros((0, 2), np.float32), np.zeros(0, np.int32))
    assert len(labeled) == 0
    assert labeled.history == ()


def test_history_is_kept():
    history = (Round("herding", 20, None), Round("margin", 40, 0.75))
    labeled = Labeled(EMBEDDINGS, np.zeros(3, np.int32), history)
    assert labeled.history is history
    assert [(past.strategy, past.num_answers, past.accuracy) for past in labeled.history] == [
        ("herding", 20, None),
        ("margin", 40, 0.75),
    ]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"embeddings": np.full((3, 2), np.nan, np.float32)},
            "labeled embeddings: got nan at [0, 0], expected finite values",
        ),
        ({"label_index": np.zeros(2, np.int32)}, "label_index: got shape (2,), expected (3,)"),
        ({"label_index": np.zeros(3, np.int64)}, "label_index: got dtype int64, expected int32"),
        ({"label_index": np.array([0, -1, 2], np.int32)}, "label_index: got -1, expected at least 0"),
        ({"history": [Round("margin", 5, 0.5)]}, "history: got list, expected a tuple of Round"),
        ({"history": (Round("margin", 5, None), 1)}, "history: got tuple, expected a tuple of Round"),
    ],
)
def test_labeled_that_does_not_fit_is_refused(fields, message):
    with refused(message):
        Labeled(**{"embeddings": EMBEDDINGS, "label_index": np.zeros(3, np.int32), **fields})


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"positions": np.array([1, 0], np.int32)}, "positions: got dtype int32, expected int64"),
        ({"positions": np.array([1, -1])}, "positions: got -1, expected at least 0"),
        ({"positions": np.array([4, 4])}, "positions: got 4 more than once, expected no repeats"),
        ({"scores": np.zeros(3, np.float32)}, "scores: got shape (3,), expected (2,)"),
        (
            {"scores": np.array([1.0, np.inf], np.float32)},
            "scores: got inf at [1], expected finite values",
        ),
        ({"reasons": ("why",)}, "reasons: got a tuple of 1, expected a tuple of 2"),
        ({"reasons": ["why", "not"]}, "reasons: got a list of 2, expected a tuple of 2"),
    ],
)
def test_picks_that_do_not_fit_are_refused(fields, message):
    fitting = {
        "positions": np.array([1, 0]),
        "scores": np.zeros(2, np.float32),
        "reasons": ("why", "not"),
    }
    assert len(Picks(**fitting)) == 2
    with refused(message):
        Picks(**{**fitting, **fields})


@pytest.mark.parametrize("kind", [Candidates, Labeled, Picks])
def test_fields_cannot_be_replaced(kind):
    value = {
        Candidates: Candidates(EMBEDDINGS),
        Labeled: Labeled(EMBEDDINGS, np.zeros(3, np.int32)),
        Picks: Picks(np.array([0]), np.zeros(1, np.float32), ("why",)),
    }[kind]
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(value, dataclasses.fields(value)[0].name, None)
