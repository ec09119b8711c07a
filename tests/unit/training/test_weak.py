import numpy as np
import pyarrow as pa
import pytest

from raylabel import schema
from raylabel.acceptance import ABSTAIN, VoteCounts, fit_label_model
from raylabel.campaign import Pieces, priority_of
from raylabel.models.prior import fit_prior
from raylabel.training import weak
from raylabel.training.votes import Voted, count
from raylabel.training.weak import Weak, fit_weak, sample, votes_of
from raylabel.workspace import write_part

NAMES = ("lf.py:good", "lf.py:bad")


@pytest.fixture
def votes(tiny):
    """A function that is right of two digits in three and silent on each fourth, and one that says "nine"."""
    good = np.where(np.arange(60) % 3 == 0, (tiny.truth + 1) % 10, tiny.truth)
    good[::4] = ABSTAIN
    return np.stack([good, np.full(60, 9)], axis=1).astype(np.int16)


def voted_on(tiny, votes, audit=(), cuts=((0, 40), (40, 60))):
    """The votes as they lie in the workspace."""
    parts = []
    for start, end in cuts:
        columns = {
            "row": np.arange(start, end),
            "id": tiny.ids[start:end],
            **dict(zip(NAMES, votes[start:end].T, strict=True)),
        }
        parts.append(write_part(tiny.campaign.store, "votes/by-hand", pa.table(columns, schema=schema.votes(NAMES))))
    pieces = Pieces(tuple(parts), tuple((start, end - 1) for start, end in cuts))
    return Voted(NAMES, pieces, count(votes, NAMES), np.array(audit, dtype=np.int64))


def test_votes_of_a_table(tiny, votes):
    table = pa.table({name: votes[:, place] for place, name in enumerate(NAMES)})
    assert votes_of(table, NAMES[::-1]).tolist() == votes[:, ::-1].tolist()


def test_audit_items_are_neither_counted_nor_learned_from(tiny, votes, ray_session):
    audit, answered = [3, 5, 41], [1, 7, 50]
    found = sample(tiny.campaign, voted_on(tiny, votes, audit), np.array(answered))
    counted = VoteCounts.of(np.delete(votes, audit, axis=0))
    assert found.counts.patterns.tolist() == counted.patterns.tolist()
    assert found.counts.counts.tolist() == counted.counts.tolist()
    assert found.rows.tolist() == sorted(set(range(60)) - set(audit) - set(answered))


def test_the_sample_is_bounded_and_the_seeds(tiny, votes, ray_session, monkeypatch):
    """The items of highest priority for which a function votes, however the pool is cut."""
    votes[:, 1] = ABSTAIN
    monkeypatch.setattr(weak, "WEAK_ITEMS", 7)
    work = {
        cuts: weak._Sample(tiny.campaign, NAMES, np.array([2]), np.array([2, 3]), 1.0)
        for cuts in (((0, 40), (40, 60)), ((0, 10), (10, 11), (11, 60)))
    }
    spoken = [row for row in range(60) if votes[row, 0] != ABSTAIN and row not in (2, 3)]
    priority = priority_of(tiny.campaign, np.arange(60))
    expected = sorted(sorted(spoken, key=lambda row: -priority[row])[:7])
    for cuts, run in work.items():
        first, *others = (run(part) for part in voted_on(tiny, votes, cuts=cuts).pieces.parts)
        for other in others:
            first = first.merge(other)
        assert first.items.finish().tolist() == expected
        assert first.counts.counts.sum() == 59


def test_of_a_large_pool_some_votes_are_counted(tiny, votes):
    run = weak._Sample(tiny.campaign, NAMES, np.array([], int), np.array([], int), 0.5)
    part = voted_on(tiny, votes, cuts=((0, 60),)).pieces.parts[0]
    priority = priority_of(tiny.campaign, np.arange(60))
    assert run(part).counts.counts.sum() == (priority >= 0.5).sum()
    assert len(run(part).items.rows) == 60


def test_functions_that_never_vote_are_no_weak_labels(tiny, ray_session):
    silent = voted_on(tiny, np.full((60, 2), ABSTAIN, np.int16))
    assert sample(tiny.campaign, silent, np.array([], dtype=np.int64)) is None
    nothing = Voted(NAMES, Pieces((), ()), count(np.empty((0, 2), np.int16), NAMES), np.array([], dtype=np.int64))
    assert sample(tiny.campaign, nothing, np.array([], dtype=np.int64)) is None


def test_prior_and_facts(tiny, votes):
    """From arrays alone: the label model of the counts and the answers, the prior of its probabilities."""
    rows, known = np.setdiff1d(np.arange(20, 60), [25]), np.array([0, 1, 2, 4, 6])
    given = Weak(voted_on(tiny, votes), VoteCounts.of(votes), rows)
    embeddings = {row: tiny.embeddings[row] for row in range(60) if row != 30}  # one could not be read
    answers = tiny.answered(known[::-1])
    labeled = fit_weak(tiny.campaign.store, given, embeddings, known=answers, num_classes=10)
    model = fit_label_model(given.counts, num_classes=10, known=(votes[known], tiny.truth[known]))
    used = np.setdiff1d(rows, [30])
    prior = fit_prior(tiny.embeddings[used], model.probabilities(votes[used]))
    assert np.allclose(labeled.prior.weight, prior.weight)
    assert np.allclose(labeled.prior.bias, prior.bias)
    nines = int((votes[:, 0] == 9).sum())
    assert labeled.facts == {
        "functions": {
            # Of the answered ones it is silent on rows 0 and 4, and wrong of row 6.
            "lf.py:good": {
                "coverage": 0.75,
                "conflicts": pytest.approx((45 - nines) / 45),
                "accuracy": pytest.approx(model.accuracy[0]),
                "num_answered": 3,
                "num_right": 2,
            },
            "lf.py:bad": {
                "coverage": 1.0,
                "conflicts": pytest.approx((45 - nines) / 60),
                "accuracy": pytest.approx(model.accuracy[1]),
                "num_answered": 5,
                "num_right": int((tiny.truth[known] == 9).sum()),
            },
        },
        "num_covered": 60,
        "num_voted_on": 60,
        "num_items": 38,
    }


def test_nothing_to_learn_from(tiny, votes):
    """All items that a function votes for are answered, or could not be read; one function is always silent."""
    votes[:, 1] = ABSTAIN
    given = Weak(voted_on(tiny, votes), VoteCounts.of(votes), np.array([1, 2]))
    labeled = fit_weak(tiny.campaign.store, given, {}, known=tiny.answered([1, 2]), num_classes=10)
    assert (labeled.prior, labeled.facts["num_items"]) == (None, 0)
    bad = labeled.facts["functions"]["lf.py:bad"]
    assert (bad["accuracy"], bad["coverage"], bad["conflicts"], bad["num_answered"]) == (None, 0, 0, 0)
