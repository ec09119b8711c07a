import numpy as np
import pandas as pd
import pytest
from crowdkit.aggregation import DawidSkene
from votes import crowd, votes_of

from raylabel.acceptance import annotators
from raylabel.acceptance.annotators import confusion_counts, learn, typical


def test_confusion_counts_share_out_an_item_whose_class_is_uncertain():
    votes = votes_of((0, 0, 0), (0, 1, 1), (1, 0, 1), items=2, annotators=2, classes=2)
    probabilities = np.array([[0.75, 0.25], [0.0, 1.0]])
    found = confusion_counts(votes, probabilities, among=np.array([True, True, True]))
    assert found.tolist() == [[[0.75, 0], [0.25, 1]], [[0, 0.75], [0, 0.25]]]
    assert confusion_counts(votes, probabilities, among=np.array([False, True, False])).sum() == 1


def test_typical_starts_from_nine_right_in_ten():
    assert np.allclose(typical(np.zeros((5, 3, 3))), [[0.9, 0.05, 0.05], [0.05, 0.9, 0.05], [0.05, 0.05, 0.9]])
    counts = np.zeros((2, 2, 2))
    counts[0, 0], counts[1, 0] = (20, 0), (1, 9)
    assert np.allclose(typical(counts), [[30 / 40, 10 / 40], [0.1, 0.9]])  # (20 + 1 + 9, 9 + 1) of 40
    assert typical(np.zeros((2, 1, 1))).tolist() == [[1]]


def test_agrees_with_crowd_kit_where_nothing_is_shared(rng, monkeypatch):
    """With matrices of the annotators' own answers alone this is Dawid and Skene's model."""
    monkeypatch.setattr(annotators, "SHARED_ANSWERS", 1e-9)
    monkeypatch.setattr(annotators, "TOLERANCE", 1e-6)
    votes, _ = crowd(rng, [0.9, 0.8, 0.7, 0.6], items=2000, each=3, classes=3)
    table = pd.DataFrame({"task": votes.item_index, "worker": votes.annotator_index, "label": votes.label_index})
    theirs = DawidSkene(n_iter=60, tol=1e-9).fit(table)
    found, confusion = learn(votes)
    expected = theirs.probas_.reindex(range(2000))[[0, 1, 2]].to_numpy()
    assert np.abs(found - expected).max() < 0.02  # ours adds one item to each class's frequency
    for annotator in range(4):
        # Theirs has labels as rows and classes as columns.
        assert np.allclose(confusion[annotator], theirs.errors_.loc[annotator].loc[[0, 1, 2], [0, 1, 2]].T, atol=0.02)


def test_skill_of_each_annotator_is_found(rng):
    accuracy = [0.95, 0.85, 0.75, 0.55, 0.25]
    votes, truth = crowd(rng, accuracy, items=2000, each=3, classes=4)
    probabilities, confusion = learn(votes)
    assert np.allclose(np.einsum("akk->a", confusion) / 4, accuracy, atol=0.05)
    assert np.allclose(confusion.sum(axis=2), 1)
    assert np.allclose(probabilities.sum(axis=1), 1)
    assert (probabilities.argmax(axis=1) == truth).mean() > 0.9


def test_annotator_who_mistakes_one_class_for_another_is_seen_through(rng):
    """Annotator 0 calls every cat (1) a dog (2): with enough answers the matrix says so."""
    votes, truth = crowd(rng, [0.9] * 4, items=3000, each=3, classes=3)
    label = np.where((votes.annotator_index == 0) & (truth[votes.item_index] == 1), 2, votes.label_index)
    _, confusion = learn(type(votes)(votes.item_index, votes.annotator_index, label, 3000, 4, 3))
    assert confusion[0, 1, 2] > 0.8
    assert confusion[0, 0, 0] == pytest.approx(0.9, abs=0.05)
    assert confusion[1:, 1, 2].max() < 0.1


def test_one_class(rng):
    votes = votes_of((0, 0, 0), (0, 1, 0), (1, 0, 0), items=2, annotators=2, classes=1)
    probabilities, confusion = learn(votes)
    assert probabilities.tolist() == [[1], [1]]
    assert confusion.tolist() == [[[1]], [[1]]]
