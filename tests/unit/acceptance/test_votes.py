import numpy as np
import pytest
from votes import votes_of

from raylabel.acceptance.votes import Votes


def test_counts():
    votes = votes_of((0, 0, 1), (0, 1, 1), (2, 0, 0), (0, 2, 2), items=3, annotators=3, classes=3)
    assert votes.counts().tolist() == [[0, 2, 1], [0, 0, 0], [1, 0, 0]]


def test_no_answers_at_all():
    assert votes_of(items=2, annotators=0, classes=2).counts().tolist() == [[0, 0], [0, 0]]


def test_two_answers_of_one_annotator_contradict_or_count_twice():
    for label in (1, 2):
        with pytest.raises(ValueError, match="annotator 1 answers item 3 more than once; keep one of them"):
            votes_of((3, 1, 1), (3, 0, 1), (3, 1, label), items=4, annotators=2, classes=3)


@pytest.mark.parametrize(
    ("answer", "match"),
    [
        ((4, 0, 0), r"item_index: got 0\.\.4, expected indices in 0\.\.3"),
        ((0, 2, 0), r"annotator_index: got 0\.\.2, expected indices in 0\.\.1"),
        ((0, 1, 3), r"label_index: got 0\.\.3, expected indices in 0\.\.2"),
        ((0, 1, -1), r"label_index: got -1\.\.0, expected indices in 0\.\.2"),
    ],
)
def test_unknown_item_annotator_or_class(answer, match):
    with pytest.raises(ValueError, match=match):
        votes_of((0, 0, 0), answer, items=4, annotators=2, classes=3)


def test_arrays_that_are_no_votes():
    index = np.array([0, 1])
    with pytest.raises(ValueError, match="label_index: got dtype float64, expected integers"):
        Votes(index, index, index / 1, 2, 2, 2)
    with pytest.raises(ValueError, match=r"annotator_index: got shape \(1,\), expected a NumPy array of shape \(v,\)"):
        Votes(index, index[:1], index, 2, 2, 2)
    with pytest.raises(ValueError, match="item_index: got list"):
        Votes([0, 1], index, index, 2, 2, 2)
    with pytest.raises(ValueError, match="num_classes: got 0"):
        Votes(index[:0], index[:0], index[:0], 0, 0, 0)
