from dataclasses import replace

import numpy as np
import pytest

from raylabel import schema
from raylabel.acceptance import draw
from raylabel.campaign import Pieces
from raylabel.errors import ConfigError, RaylabelError
from raylabel.inference.predict import _Score
from raylabel.labeling import shortlist
from raylabel.labeling.shortlist import Model, draw_audit, find_audit, select
from raylabel.models.heads import fit_head, fit_members
from raylabel.sampling import STRATEGIES, Candidates, Labeled, random_priority
from raylabel.sampling import select as pick
from raylabel.workspace import read_parts

SIZE = 6
KNOWN = np.array([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 30, 31])  # asked in round 0: every class at least once
AUDIT = np.array([10, 11, 17, 25, 40, 59])


def asked(tiny, record):
    return read_parts(tiny.campaign.store, record.parts["shortlist"], schema=schema.SHORTLIST).to_pylist()


def model_of(tiny):
    """A head of the known items and its predictions."""
    head, cross = fit_head(tiny.embeddings[KNOWN], tiny.truth[KNOWN], num_classes=10, seed=0)
    name = "rounds/0000/head.safetensors"
    tiny.campaign.store.write(name, head.to_bytes())
    parts = tuple(_Score(tiny.campaign, 0, name)(list(tiny.pieces.parts)))
    return head, Model(name, cross.penalty, Pieces(parts, tiny.pieces.spans))


def free_rows(tiny):
    """What round 1 may still ask about, sorted by id."""
    free = np.setdiff1d(tiny.rows, np.concatenate([KNOWN, AUDIT]))
    return np.array(sorted(free, key=lambda row: tiny.ids[row]))


def direct(tiny, head, rows, strategy, number=1):
    """The same choice, made of arrays alone."""
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


def test_audit_is_drawn_over_the_whole_pool(ray_session, tiny):
    rows = draw_audit(tiny.campaign, tiny.plan)
    expected, _ = draw(60, size=20, rng=tiny.campaign.rng("audit"))
    assert rows.tolist() == expected.tolist() == sorted(set(rows.tolist()))
    record = tiny.campaign.records.find("audit/draw-0000")
    table = read_parts(tiny.campaign.store, record.parts["audit"], schema=schema.AUDIT)
    assert table.schema.equals(schema.AUDIT)
    for row in table.to_pylist():
        assert row == {
            "row": row["row"],
            "id": tiny.ids[row["row"]],
            "stratum": "pool",
            "inclusion_probability": pytest.approx(1 / 3),
            "draw": 0,
            "seed": 0,
        }


def test_audit_is_drawn_once(ray_session, tiny):
    rows = draw_audit(tiny.campaign, tiny.plan)
    other = replace(tiny.campaign, config=tiny.campaign.config.model_copy(update={"seed": 5}))
    assert draw(60, size=20, rng=other.rng("audit"))[0].tolist() != rows.tolist()
    assert draw_audit(other, tiny.plan).tolist() == find_audit(other).tolist() == rows.tolist()


def test_audit_that_was_not_drawn(tiny):
    """Whoever only looks draws none."""
    with pytest.raises(RaylabelError, match="no audit sample is drawn yet; `raylabel run` begins"):
        find_audit(tiny.campaign)
    assert tiny.campaign.store.list("audit") == []


def test_shard_that_can_no_longer_be_read_stays_in_the_draw(ray_session, tiny):
    """Leaving its rows out would make the rest likelier than the certificate thinks."""
    gone = replace(tiny.plan.shards[1], path="gone.parquet")
    plan = replace(tiny.plan, shards=(tiny.plan.shards[0], gone))
    rows = draw_audit(tiny.campaign, plan)
    assert rows.tolist() == draw(60, size=20, rng=tiny.campaign.rng("audit"))[0].tolist()
    record = tiny.campaign.records.find("audit/draw-0000")
    ids = read_parts(tiny.campaign.store, record.parts["audit"], schema=schema.AUDIT).column("id").to_pylist()
    assert ids == [tiny.ids[row] if row < 40 else None for row in rows]
    assert None in ids


def test_no_audit(begin):
    tiny = begin(budget={"audit_answers": 0})
    assert draw_audit(tiny.campaign, tiny.plan).tolist() == []


def test_budget_over_the_pool(begin):
    tiny = begin(budget={"train_answers": 41, "audit_answers": 20})
    with pytest.raises(ConfigError, match="41 training and 20 audit answers are more than the 60 items"):
        draw_audit(tiny.campaign, tiny.plan)
    assert tiny.campaign.store.list("audit") == []


def test_round_0_asks_the_audit_among_the_others(ray_session, tiny):
    record = select(tiny.campaign, 0, tiny.pieces, AUDIT, None)
    items = asked(tiny, record)
    assert dict(record.facts) == {"num_train": 6, "num_audit": 5}  # row 17 of the audit cannot be read
    assert [item["position"] for item in items] == list(range(11))
    assert all(item["id"] == tiny.ids[item["row"]] for item in items)
    audit = [item for item in items if item["strategy"] == "audit"]
    picked = [item for item in items if item["strategy"] == "random"]
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
        items = asked(tiny, select(tiny.campaign, 0, tiny.pieces, rows, None))
        order = [item["row"] for item in items if item["strategy"] == "audit"]
        assert sorted(order) == rows.tolist() != order
        places.append([item["position"] for item in items if item["strategy"] == "audit"])
    assert places[0] != places[1]
    for found in places:
        assert found not in (list(range(20)), list(range(6, 26)))


def test_round_0_by_hand(ray_session, tiny):
    """The cold start's picks are those of a direct call on everything that is not of the audit."""
    items = asked(tiny, select(tiny.campaign, 0, tiny.pieces, AUDIT, None))
    rows = np.array(sorted(np.setdiff1d(tiny.rows, AUDIT), key=lambda row: tiny.ids[row]))
    nothing = Labeled(np.empty((0, 64), np.float32), np.empty(0, np.int32))
    candidates = Candidates(tiny.embeddings[rows].astype(np.float32))
    picks = pick("random", candidates, nothing, size=SIZE, rng=tiny.campaign.rng("select", 0))
    picked = {item["row"] for item in items if item["strategy"] == "random"}
    assert picked == set(rows[picks.positions].tolist())


def test_shortlist_is_chosen_once(ray_session, tiny):
    first = asked(tiny, select(tiny.campaign, 0, tiny.pieces, AUDIT, None))
    assert asked(tiny, select(tiny.campaign, 0, tiny.pieces, np.array([1, 2, 3]), None)) == first


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_same_picks_as_a_direct_choice(ray_session, begin, strategy):
    """Without narrowing, the pass over the pool changes nothing; asked and audited items never come again."""
    tiny = begin(sampling={"strategy": strategy})
    tiny.resolve(0, tiny.answered([*KNOWN, *AUDIT], purpose=["train"] * len(KNOWN) + ["audit"] * len(AUDIT)))
    head, model = model_of(tiny)
    items = asked(tiny, select(tiny.campaign, 1, tiny.pieces, AUDIT, model))
    rows = free_rows(tiny)
    expected = direct(tiny, head, rows, strategy)
    assert [item["row"] for item in items] == rows[expected.positions].tolist()
    assert [item["score"] for item in items] == expected.scores.tolist()
    assert [item["reason"] for item in items] == list(expected.reasons)
    assert {item["strategy"] for item in items} == {strategy}
    assert [item["position"] for item in items] == list(range(SIZE))


@pytest.mark.parametrize("strategy", ["margin", "entropy", "least_confidence"])
def test_narrowing_keeps_the_picks(ray_session, begin, strategy):
    """The likeliest to be picked stay, whatever part of the pool they lie in."""
    tiny = begin(sampling={"strategy": strategy, "max_candidates": SIZE + 1})
    tiny.resolve(0, tiny.answered(KNOWN))
    head, model = model_of(tiny)
    items = asked(tiny, select(tiny.campaign, 1, tiny.pieces, AUDIT, model))
    rows = free_rows(tiny)
    expected = rows[direct(tiny, head, rows, strategy).positions].tolist()
    assert [item["row"] for item in items] == expected
    assert len({next(i for i, (_, last) in enumerate(tiny.pieces.spans) if row <= last) for row in expected}) > 1


@pytest.mark.parametrize("strategy", ["random", "k_center"])
def test_narrowing_at_random(ray_session, begin, strategy):
    tiny = begin(sampling={"strategy": strategy, "max_candidates": SIZE})
    tiny.resolve(0, tiny.answered(KNOWN))
    _, model = model_of(tiny)
    items = asked(tiny, select(tiny.campaign, 1, tiny.pieces, AUDIT, model))
    rows = free_rows(tiny)
    priority = random_priority(rows, seed=0, round_number=1)
    assert {item["row"] for item in items} == set(rows[np.argsort(-priority)[:SIZE]].tolist())


def test_fewer_items_than_asked_for(ray_session, tiny):
    """The last round takes what is left."""
    left = np.array([3, 21])
    tiny.resolve(0, tiny.answered(np.setdiff1d(tiny.rows, np.concatenate([left, AUDIT]))))
    _, model = model_of(tiny)
    record = select(tiny.campaign, 1, tiny.pieces, AUDIT, model)
    assert sorted(item["row"] for item in asked(tiny, record)) == [3, 21]
    assert dict(record.facts) == {"num_train": 2, "num_audit": 0}


def test_nothing_left_to_ask(ray_session, tiny):
    tiny.resolve(0, tiny.answered(np.setdiff1d(tiny.rows, AUDIT)))
    _, model = model_of(tiny)
    with pytest.raises(ConfigError, match=r"round 1 wants 6 more items .* is answered or audited; ask for fewer"):
        select(tiny.campaign, 1, tiny.pieces, AUDIT, model)
    assert tiny.campaign.records.find("rounds/0001/shortlist") is None


def test_labeled_items_are_training_answers_alone(tiny):
    """What a strategy is told of labeled items: neither the audit nor what nobody could tell."""
    answered = tiny.answered([9, 4, 30, 12], purpose=["train", "audit", "train", "train"], labels=[3, 1, -1, 7])
    work = shortlist._Pick(tiny.campaign, 1, "k_center", tiny.pieces, None)
    known = work._labeled(answered, 64)
    assert known.label_index.tolist() == [3, 7]
    assert np.array_equal(known.embeddings, tiny.embeddings[[9, 12]].astype(np.float32))
