import numpy as np
import pytest
from rounds import AUDIT, FLAT, KNOWN, free_rows, model_of

from raylabel import schema
from raylabel.errors import ConfigError
from raylabel.labeling import shortlist
from raylabel.labeling.shortlist import select
from raylabel.models.heads import fit_head, fit_members
from raylabel.sampling import STRATEGIES, Candidates, Labeled
from raylabel.sampling import select as pick
from raylabel.workspace import read_parts

SIZE = 6


def asked(tiny, record):
    return read_parts(tiny.campaign.store, record.parts["shortlist"], schema=schema.SHORTLIST).to_pylist()


def round_0(tiny, audit=AUDIT, indexed=FLAT):
    return select(tiny.campaign, 0, indexed, pieces=tiny.pieces, audit=audit, model=None)


def round_1(tiny, model, audit=AUDIT, indexed=FLAT):
    return select(tiny.campaign, 1, indexed, pieces=tiny.pieces, audit=audit, model=model)


def direct(tiny, head, rows, strategy, number=1):
    """The same choice, made of arrays alone: no two of the digits are near-duplicates."""
    embeddings = tiny.embeddings[rows]
    known = np.array(sorted(KNOWN))
    _, cross = fit_head(tiny.embeddings[KNOWN], tiny.truth[KNOWN], num_classes=10, seed=0)
    members = fit_members(
        tiny.embeddings[known],
        tiny.truth[known],
        num_classes=10,
        penalty=cross.penalty,
        temperature=head.temperature,
        num_members=shortlist.MEMBERS,
        rng=tiny.campaign.rng("members", number),
    )
    said = Candidates(
        embeddings.astype(np.float32),
        probabilities=head.probabilities(embeddings).astype(np.float32),
        members=np.stack([member.probabilities(embeddings).astype(np.float32) for member in members]),
        head=head.probabilities,
    )
    return pick(
        strategy,
        said,
        Labeled(tiny.embeddings[known].astype(np.float32), tiny.truth[known]),
        size=SIZE,
        rng=tiny.campaign.rng("select", number),
    )


def test_round_0_asks_the_audit_among_the_others(ray_session, tiny):
    record = round_0(tiny)
    items = asked(tiny, record)
    assert dict(record.facts) == {"strategy": "herding", "num_train": 6, "num_audit": 5}  # row 17 of the audit cannot be read
    assert [item["position"] for item in items] == list(range(11))
    assert all(item["id"] == tiny.ids[item["row"]] for item in items)
    audit = [item for item in items if item["strategy"] == "audit"]
    picked = [item for item in items if item["strategy"] == "herding"]
    assert sorted(item["row"] for item in audit) == [10, 11, 25, 40, 59]
    assert {(item["score"], item["reason"]) for item in audit} == {(0.0, "drawn at random over the pool")}
    assert len(picked) == 6
    assert not {item["row"] for item in picked} & {*AUDIT, tiny.broken}


def test_places_of_the_audit_are_random(ray_session, begin):
    """Neither first nor last nor in row order, and another seed gives others."""
    rows = np.arange(20, 40)
    places = []
    for seed in range(2):
        tiny = begin(seed=seed, workspace=f"{begin().campaign.store.root}-{seed}")
        items = asked(tiny, round_0(tiny, audit=rows))
        order = [item["row"] for item in items if item["strategy"] == "audit"]
        assert sorted(order) == rows.tolist() != order
        places.append([item["position"] for item in items if item["strategy"] == "audit"])
    assert places[0] != places[1]
    for found in places:
        assert found not in (list(range(20)), list(range(6, 26)))


@pytest.mark.parametrize("cold_start", [name for name in STRATEGIES if STRATEGIES[name].fits_cold_start])
def test_round_0_by_hand(ray_session, begin, cold_start):
    """The cold start's picks are those of a direct call on everything that is not of the audit."""
    tiny = begin(sampling={"cold_start": cold_start})
    items = asked(tiny, round_0(tiny))
    rows = np.array(sorted(np.setdiff1d(tiny.rows, AUDIT), key=lambda row: tiny.ids[row]))
    nothing = Labeled(np.empty((0, 64), np.float32), np.empty(0, np.int32))
    candidates = Candidates(tiny.embeddings[rows].astype(np.float32))
    picks = pick(cold_start, candidates, nothing, size=SIZE, rng=tiny.campaign.rng("select", 0))
    picked = {item["row"] for item in items if item["strategy"] == cold_start}
    assert picked == set(rows[picks.positions].tolist())


def test_shortlist_is_chosen_once(ray_session, tiny):
    first = asked(tiny, round_0(tiny))
    assert asked(tiny, round_0(tiny, audit=np.array([1, 2, 3]))) == first


@pytest.mark.parametrize("strategy", [*STRATEGIES, "balanced:margin", "balanced:bald"])
def test_same_picks_as_a_direct_choice(ray_session, begin, strategy):
    """Without narrowing, the pass over the pool changes nothing; asked and audited items never come again."""
    tiny = begin(sampling={"strategy": strategy})
    tiny.resolve(0, tiny.answered([*KNOWN, *AUDIT], purpose=["train"] * len(KNOWN) + ["audit"] * len(AUDIT)))
    head, model = model_of(tiny)
    record = round_1(tiny, model)
    items = asked(tiny, record)
    rows = free_rows(tiny)
    expected = direct(tiny, head, rows, strategy)
    assert [item["row"] for item in items] == rows[expected.positions].tolist()
    assert [item["score"] for item in items] == expected.scores.tolist()
    assert [item["reason"] for item in items] == list(expected.reasons)
    assert {item["strategy"] for item in items} == {strategy}
    chosen = "herding" if strategy == "auto" else strategy  # 12 answers for 10 classes
    assert dict(record.facts) == {"strategy": chosen, "num_train": SIZE, "num_audit": 0}
    assert [item["position"] for item in items] == list(range(SIZE))


def test_a_later_draw_is_asked_in_the_next_round(ray_session, begin):
    """Audit items without an answer come among the others; 17 cannot be read, and 10, 11 and 25 have their answers."""
    tiny = begin(sampling={"strategy": "margin"})
    tiny.resolve(0, tiny.answered([*KNOWN, 10, 11, 25], ["train"] * 12 + ["audit"] * 3))
    _, model = model_of(tiny)
    record = round_1(tiny, model)
    items = asked(tiny, record)
    assert dict(record.facts) == {"strategy": "margin", "num_train": 6, "num_audit": 2}
    assert {item["row"] for item in items if item["strategy"] == "audit"} == {40, 59}
    assert [item["position"] for item in items] == list(range(8))
    assert [item["strategy"] for item in items] != ["margin"] * 6 + ["audit"] * 2


def test_a_later_round_without_a_model_begins_again(ray_session, begin):
    """As long as all answers name one class: the cold start picks, what is known counts as covered, the reason says it.

    Farthest from the known one, then from both; drawn at random is nothing.
    """
    tiny = begin(sampling={"strategy": "margin", "cold_start": "k_center"})
    tiny.resolve(0, tiny.answered([30, *AUDIT], ["train"] + ["audit"] * 6))
    items = asked(tiny, round_1(tiny, None))
    rows = np.array(sorted(np.setdiff1d(tiny.rows, [30, *AUDIT]), key=lambda row: tiny.ids[row]))
    far = [np.linalg.norm(tiny.embeddings[rows].astype(float) - tiny.embeddings[30].astype(float), axis=1)]
    expected = []
    for _ in range(SIZE):
        expected.append(int(rows[np.argmax(np.min(far, axis=0))]))
        far.append(np.linalg.norm(tiny.embeddings[rows].astype(float) - tiny.embeddings[expected[-1]], axis=1))
    assert [item["row"] for item in items] == expected
    assert {item["strategy"] for item in items} == {"k_center"}
    assert all(
        item["reason"].endswith(
            " to the nearest labeled or picked item; cold start again: all training answers name one class"
        )
        for item in items
    )


def test_fewer_items_than_asked_for(ray_session, tiny):
    """The last round takes what is left."""
    left = np.array([3, 21])
    tiny.resolve(0, tiny.answered(np.setdiff1d(tiny.rows, left)))
    _, model = model_of(tiny)
    record = round_1(tiny, model)
    assert sorted(item["row"] for item in asked(tiny, record)) == [3, 21]
    assert (record.facts["num_train"], record.facts["num_audit"]) == (2, 0)


def test_nothing_left_to_ask(ray_session, tiny):
    tiny.resolve(0, tiny.answered(np.setdiff1d(tiny.rows, AUDIT)))
    _, model = model_of(tiny)
    with pytest.raises(ConfigError, match=r"round 1 wants 6 more items .* is answered or audited; ask for fewer"):
        round_1(tiny, model)
    assert tiny.campaign.records.find("rounds/0001/shortlist") is None


def test_labeled_items_are_training_answers_alone(tiny):
    """What a strategy is told of labeled items: neither the audit nor what nobody could tell."""
    answered = tiny.answered([9, 4, 30, 12], purpose=["train", "audit", "train", "train"], labels=[3, 1, -1, 7])
    work = shortlist._Pick(tiny.campaign, 1, "k_center", tiny.pieces, None)
    known = work._labeled(answered, 64)
    assert known.label_index.tolist() == [3, 7]
    assert np.array_equal(known.embeddings, tiny.embeddings[[9, 12]].astype(np.float32))
