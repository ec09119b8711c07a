from functools import partial

import numpy as np
import pandas as pd
import pytest
from crowdkit.aggregation import MajorityVote
from votes import crowd, votes_of

from raylabel.acceptance import dawid_skene, majority

BOTH = pytest.mark.parametrize("join", [majority, dawid_skene])


def test_majority_and_ties():
    votes = votes_of((0, 0, 1), (0, 1, 1), (0, 2, 0), (1, 0, 2), (1, 1, 0), (2, 2, 2), items=4, annotators=3, classes=3)
    found = majority(votes)
    assert found.label_index.tolist() == [1, -1, 2, -1]
    third = 1 / 3
    expected = [[third, 2 * third, 0], [0.5, 0, 0.5], [0, 0, 1], [third] * 3]
    assert np.allclose(found.probabilities, expected)
    assert found.label_index.dtype == np.int32


def test_majority_judges_where_others_answered_too():
    """Annotator 0 stood with the two thirds and in a tie, 2 with the third; nobody else saw what 3 answered."""
    votes = votes_of((0, 0, 1), (0, 1, 1), (0, 2, 0), (1, 0, 0), (1, 1, 1), (2, 3, 0), items=3, annotators=4, classes=2)
    found = majority(votes)
    assert np.allclose(found.error_rate[:3], [(1 / 3 + 1 / 2) / 2, (1 / 3 + 1 / 2) / 2, 2 / 3])
    assert np.isnan(found.error_rate[3])
    assert found.num_shared.tolist() == [2, 2, 1, 0]


def test_majority_agrees_with_crowd_kit_where_there_is_no_tie(rng):
    votes, _ = crowd(rng, [0.8] * 6, items=300, each=5, classes=4)
    table = pd.DataFrame({"task": votes.item_index, "worker": votes.annotator_index, "label": votes.label_index})
    theirs, ours = MajorityVote().fit_predict(table).reindex(range(300)).to_numpy(), majority(votes).label_index
    clear = ours >= 0
    assert 200 < clear.sum() < 300
    assert (ours == theirs)[clear].all()


@BOTH
def test_one_answer_an_item_is_taken_as_it_is(rng, join):
    """Whatever the classes' frequencies are: nothing can be held against a single answer."""
    labels = rng.choice(4, p=[0.9, 0.05, 0.03, 0.02], size=200)
    votes = votes_of(
        *zip(range(200), rng.integers(3, size=200), labels, strict=True), items=200, annotators=3, classes=4
    )
    found = join(votes)
    assert (found.label_index == labels).all()
    assert np.isnan(found.error_rate).all()
    assert found.num_shared.tolist() == [0, 0, 0]


@BOTH
def test_answers_that_agree_stand(rng, join):
    votes, _ = crowd(rng, [0.9, 0.9, 0.3, 0.3, 0.3], items=300, each=3, classes=3)
    counts = votes.counts()
    agreed = counts.max(axis=1) == 3
    assert agreed.sum() > 20
    assert (join(votes).label_index == counts.argmax(axis=1))[agreed].all()


@BOTH
def test_items_without_answers_and_no_answers_at_all(join):
    found = join(votes_of((1, 0, 1), (1, 1, 1), items=3, annotators=2, classes=2))
    assert found.label_index.tolist() == [-1, 1, -1]
    assert join(votes_of(items=2, annotators=1, classes=2)).label_index.tolist() == [-1, -1]
    assert join(votes_of(items=0, annotators=0, classes=2)).label_index.shape == (0,)


@BOTH
def test_one_class_only(join):
    found = join(votes_of((0, 0, 0), (0, 1, 0), (1, 0, 0), items=2, annotators=2, classes=1))
    assert found.label_index.tolist() == [0, 0]
    assert found.error_rate.tolist() == [0, 0]


@BOTH
def test_numbering_of_annotators_and_order_of_answers_do_not_matter(rng, join):
    votes, _ = crowd(rng, [0.9, 0.8, 0.6, 0.5], items=200, each=2, classes=3)
    order, names = rng.permutation(400), rng.permutation(4)
    again = type(votes)(
        votes.item_index[order], names[votes.annotator_index[order]], votes.label_index[order], 200, 4, 3
    )
    one, other = join(votes), join(again)
    assert np.allclose(one.probabilities, other.probabilities)
    assert np.allclose(one.error_rate, other.error_rate[names])
    if join is dawid_skene:
        assert np.allclose(one.confusion, other.confusion[names])


def test_dawid_skene_breaks_a_tie_for_the_better_annotator(rng):
    """Annotators 0 to 3 agree nearly always, 4 with nobody: against 4, each of the others is right."""
    votes, _ = crowd(rng, [0.95, 0.95, 0.95, 0.95, 0.3], items=400, each=3, classes=3)
    item, people, label = votes.item_index, votes.annotator_index, votes.label_index
    more = partial(np.append, axis=0)
    votes = type(votes)(more(item, [400, 400]), more(people, [0, 4]), more(label, [1, 2]), 401, 5, 3)
    assert majority(votes).label_index[400] == -1
    found = dawid_skene(votes)
    assert found.label_index[400] == 1
    assert found.probabilities[400, 1] > 0.9


def test_two_equals_who_contradict_each_other_are_a_tie_still():
    votes = votes_of((0, 0, 0), (0, 1, 1), (1, 0, 1), (1, 1, 0), items=2, annotators=2, classes=2)
    found = dawid_skene(votes)
    assert found.label_index.tolist() == [-1, -1]
    assert np.allclose(found.probabilities, 0.5)


def test_dawid_skene_beats_the_majority_where_annotators_differ(rng):
    accuracy = [0.95] * 4 + [0.8] * 8 + [0.25] * 8
    votes, truth = crowd(rng, accuracy, items=600, each=3, classes=4)
    found = dawid_skene(votes)
    assert (found.label_index == truth).mean() > (majority(votes).label_index == truth).mean() + 0.1
    assert np.corrcoef(found.error_rate, 1 - np.array(accuracy))[0, 1] > 0.95
