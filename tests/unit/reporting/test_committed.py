import pytest
from labeled import commit_round, last

from raylabel.errors import RaylabelError
from raylabel.reporting.committed import find_round, newest_round
from raylabel.workspace import Record


def test_nothing_before_the_first_commit(tiny):
    assert find_round(tiny.campaign, 0) is None
    assert newest_round(tiny.campaign) is None


def test_a_round_as_it_was_committed(tiny):
    made = last(tiny, number=0)
    commit_round(tiny, made)
    found = find_round(tiny.campaign, 0)
    assert found.predictions == made.predictions
    assert (found.number, found.model.facts["model"], found.verdict) == (0, "tiny/head", made.verdict)
    assert found.last == made
    assert newest_round(tiny.campaign) == found
    assert find_round(tiny.campaign, 1) is None


def test_the_newest_round_counts(tiny):
    for number in (0, 1):
        commit_round(tiny, last(tiny, number=number))
    assert newest_round(tiny.campaign).number == 1


def test_predictions_of_a_pool_that_has_grown_since(tiny):
    """The round knew the first plan; asked for the second it brings what was predicted later, with its rows."""
    made = last(tiny, number=0)
    commit_round(tiny, made)
    records, (first, second, third) = tiny.campaign.records, made.predictions.parts
    tree = tiny.plan.to_json()
    records.commit("pool/plan-0001", Record(facts={**tree, "starts": [0, 40]}))
    spans = [list(span) for span in tiny.pieces.spans]
    records.commit(f"embeddings/{tiny.ref.digest}-0001", Record({"spans": spans}, {"embeddings": tiny.pieces.parts}))
    records.commit("rounds/0000/predictions-0001", Record({"plan": 1}, {"predictions": [third]}))
    tiny.campaign.store.remove("rounds/0000/predictions.json")
    records.commit("rounds/0000/predictions", Record({"plan": 0}, {"predictions": [first, second]}))
    grown = find_round(tiny.campaign, 0, version=1).predictions
    assert (grown.parts, grown.starts, grown.version) == ((first, second, third), (0, 40), 1)
    assert grown.spans == tiny.pieces.spans


@pytest.mark.parametrize("name", ["model", "verdict", "predictions"])
def test_a_record_that_is_gone(tiny, name):
    commit_round(tiny, last(tiny, number=0))
    tiny.campaign.store.remove(f"rounds/0000/{name}.json")
    with pytest.raises(RaylabelError, match=f"round 0 was committed, but its {name} record is gone"):
        find_round(tiny.campaign, 0)
