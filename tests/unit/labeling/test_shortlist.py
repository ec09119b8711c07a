import numpy as np
import pytest
from celled import clustered, part_of, write_celled
from rounds import AUDIT, FLAT, KNOWN, free_rows, model_of, with_pool

from raylabel import runtime, schema
from raylabel.campaign import Pieces
from raylabel.demo import DIGITS
from raylabel.errors import ConfigError
from raylabel.labeling import narrowing, shortlist
from raylabel.labeling.gold import know_gold
from raylabel.labeling.shortlist import select
from raylabel.models.heads import fit_head, fit_members
from raylabel.sampling import STRATEGIES, Candidates, Labeled, Round, random_priority
from raylabel.sampling import select as pick
from raylabel.sampling.auto import COVER_PER_CLASS, HERD_PER_CLASS
from raylabel.workspace import Record, read_parts

SIZE = 6


def facts(strategy, *, num_audit, num_gold=0):
    """What a shortlist of `SIZE` picks and of so many others is recorded with."""
    found = {"strategy": strategy, "num_train": SIZE, "num_audit": num_audit, "num_second_looks": 0}
    return found | {"num_gold": num_gold}


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
    # Row 17 of the audit cannot be read.
    assert dict(record.facts) == facts("herding", num_audit=5)
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
    assert dict(record.facts) == facts(chosen, num_audit=0)
    assert [item["position"] for item in items] == list(range(SIZE))


def test_doubted_answers_are_asked_again_among_the_others(ray_session, begin):
    tiny = begin(sampling={"strategy": "margin"}, budget={"second_looks": 2})
    tiny.resolve(0, tiny.answered([*KNOWN, *AUDIT], purpose=["train"] * len(KNOWN) + ["audit"] * len(AUDIT)))
    head, model = model_of(tiny)
    tiny.doubt(0, {7: 0.9, 3: 0.8, 5: 0.6})
    record = round_1(tiny, model)
    items = asked(tiny, record)
    assert record.facts["num_second_looks"] == 2
    again = {item["row"]: item for item in items if item["strategy"] == "second_look"}
    assert {row: round(item["score"], 6) for row, item in again.items()} == {7: 0.9, 3: 0.8}
    assert {item["reason"] for item in again.values()} == {"the model doubts the answer"}
    assert sorted(item["position"] for item in items) == list(range(8))
    assert [item["strategy"] for item in items] != ["margin"] * 6 + ["second_look"] * 2
    others = [item["row"] for item in items if item["strategy"] == "margin"]
    rows = free_rows(tiny)
    assert set(others) == set(rows[direct(tiny, head, rows, "margin").positions].tolist())


def test_a_later_draw_is_asked_in_the_next_round(ray_session, begin):
    """Audit items without an answer come among the others; 17 cannot be read, and 10, 11 and 25 have their answers."""
    tiny = begin(sampling={"strategy": "margin"})
    tiny.resolve(0, tiny.answered([*KNOWN, 10, 11, 25], ["train"] * 12 + ["audit"] * 3))
    _, model = model_of(tiny)
    record = round_1(tiny, model)
    items = asked(tiny, record)
    assert dict(record.facts) == facts("margin", num_audit=2)
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
    with pytest.raises(ConfigError, match=r"round 1 wants 6 more items .* is answered, audited or gold; ask for fewer"):
        round_1(tiny, model)
    assert tiny.campaign.records.find("rounds/0001/shortlist") is None


def test_labeled_items_are_training_answers_alone(tiny):
    """What a strategy is told of labeled items: neither the audit nor what nobody could tell."""
    answered = tiny.answered([9, 4, 30, 12], purpose=["train", "audit", "train", "train"], labels=[3, 1, -1, 7])
    work = shortlist._Pick(tiny.campaign, 1, "k_center", tiny.pieces, None)
    known, rows = work._labeled(answered, 64)
    assert rows.tolist() == [9, 12]
    assert known.label_index.tolist() == [3, 7]
    assert np.array_equal(known.embeddings, tiny.embeddings[[9, 12]].astype(np.float32))


NUM_GROUPS = 20


@pytest.fixture
def copies(begin):
    """Twenty pictures, each three times but for a little noise: rows 20 and 40 apart are near-duplicates."""

    def make(size, **sampling):
        budget = {"train_answers": 2 * size, "rounds": 2}
        tiny = begin(budget=budget, sampling={"cold_start": "random", **sampling})
        rng = np.random.default_rng(0)
        vectors = np.tile(rng.normal(size=(NUM_GROUPS, 16)), (3, 1)) + 0.01 * rng.normal(size=(60, 16))
        part = part_of(tiny.campaign.store, vectors, np.arange(60))
        return with_pool(tiny, vectors, np.arange(60) % 2, Pieces((part,), ((0, 59),)))

    return make


def rows_of(tiny, record, *, audit=False):
    return sorted(item["row"] for item in asked(tiny, record) if (item["strategy"] == "audit") == audit)


def lowest_ids(groups, barred=()):
    """Of each group the free row whose id comes first: ids are compared as text."""
    free = [set(range(group, 60, NUM_GROUPS)) - set(barred) for group in groups]
    return sorted(min(rows, key=lambda row: f"item-{row}") for rows in free)


def test_one_of_each_group_of_near_duplicates(ray_session, copies):
    """Where as many groups are left as items are wanted, it is one each; the audit keeps all that were drawn for it."""
    tiny = copies(NUM_GROUPS - 1)
    audit = np.array([0, 7, 20, 27, 47])  # two of one group, and all of another
    record = round_0(tiny, audit=audit)
    assert rows_of(tiny, record, audit=True) == audit.tolist()
    assert rows_of(tiny, record) == lowest_ids(set(range(NUM_GROUPS)) - {7}, barred=audit)


def test_none_of_a_group_that_is_answered(ray_session, copies):
    """For training: what the audit was told is no answer that selection knows of."""
    tiny = copies(NUM_GROUPS - 2)
    tiny.resolve(0, tiny.answered([3, 36, 25], purpose=["train", "train", "audit"], labels=[1, 1, 1]))
    record = round_1(tiny, None, audit=np.array([25]))
    assert rows_of(tiny, record) == lowest_ids(set(range(NUM_GROUPS)) - {3, 16}, barred=[25])


def test_all_candidates_where_too_few_groups_are_left(ray_session, copies):
    """21 of 20 groups: drawn at random from all 59 that are free, as if nobody had looked for near-duplicates."""
    tiny = copies(NUM_GROUPS + 1)
    record = round_0(tiny, audit=np.array([5]))
    free = sorted(set(range(60)) - {5}, key=lambda row: f"item-{row}")
    drawn = pick(
        "random",
        Candidates(tiny.embeddings[free].astype(np.float32)),
        Labeled(np.empty((0, 16), np.float32), np.empty(0, np.int32)),
        size=NUM_GROUPS + 1,
        rng=tiny.campaign.rng("select", 0),
    )
    assert rows_of(tiny, record) == sorted(free[position] for position in drawn.positions)


def test_a_threshold_of_1_leaves_near_duplicates_alone(ray_session, copies):
    tiny = copies(15, near_duplicate=1.0)
    picked = rows_of(tiny, round_0(tiny))
    assert len({row % NUM_GROUPS for row in picked}) < len(picked) == 15


MANY, LATE = 2 * HERD_PER_CLASS, "falcun"
"""Answers of two classes that are many to `auto`, and the strategy it then takes."""


@pytest.fixture
def two_classes(begin):
    """A pool of two classes, of which `MANY` are answered."""

    def make(**sampling):
        vectors, _ = clustered(num=3 * MANY)
        rows = np.arange(len(vectors))
        tiny = begin(classes=["even", "odd"], sampling=sampling)
        part = part_of(tiny.campaign.store, vectors, rows)
        tiny = with_pool(tiny, vectors, rows % 2, Pieces((part,), ((0, len(rows) - 1),)))
        known = rows[:MANY]
        tiny.resolve(0, tiny.answered(known))
        return tiny, model_of(tiny, known)

    return make


@pytest.mark.parametrize(
    ("accuracy", "strategy", "why"),
    [
        (0.75, LATE, f"auto: {MANY} answers for 2 classes are many, so ask where the model is undecided"),
        (0.5, "herding", "auto: the last model knew little (50% right where one class is 50%), so cover the pool"),
        (None, LATE, f"auto: {MANY} answers for 2 classes are many, so ask where the model is undecided"),
    ],
)
def test_auto_knows_how_the_rounds_went(ray_session, two_classes, accuracy, strategy, why):
    tiny, (head, model) = two_classes(near_duplicate=1.0)  # its clusters lie so far out that all of one are alike
    tiny.campaign.records.commit("rounds/0000/shortlist", Record(facts={"strategy": "herding"}))
    tiny.campaign.records.commit("rounds/0000/model", Record(facts={"num_answers": MANY, "accuracy": accuracy}))
    record = round_1(tiny, model, audit=np.array([MANY]))
    items = [item for item in asked(tiny, record) if item["strategy"] != "audit"]
    assert record.facts["strategy"] == strategy
    assert {item["strategy"] for item in items} == {"auto"}
    assert all(item["reason"].startswith(f"{why}; ") for item in items)
    free = np.array(sorted(range(MANY + 1, 3 * MANY), key=lambda row: f"item-{row}"))
    embeddings = tiny.embeddings[free]
    direct = pick(
        strategy,
        Candidates(embeddings.astype(np.float32), probabilities=head.probabilities(embeddings).astype(np.float32)),
        Labeled(tiny.embeddings[:MANY].astype(np.float32), tiny.truth[:MANY]),
        size=SIZE,
        rng=tiny.campaign.rng("select", 1),
    )
    assert {item["row"] for item in items} == set(free[direct.positions].tolist())


def test_history_is_that_of_rounds_with_a_model(tiny):
    """Round 1 had none, as all answers named one class; the round in question has no past of its own."""
    commit = tiny.campaign.records.commit
    for number, (strategy, accuracy) in enumerate([("herding", 0.5), ("typiclust", None), ("margin", 0.75)]):
        commit(f"rounds/{number:04d}/shortlist", Record(facts={"strategy": strategy}))
        if number != 1:
            facts = {"num_answers": 20 * (number + 1), "accuracy": accuracy}
            commit(f"rounds/{number:04d}/model", Record(facts=facts))
    past = (Round("herding", 20, 0.5), Round("margin", 60, 0.75))
    assert shortlist._history(tiny.campaign, 0) == ()
    assert shortlist._history(tiny.campaign, 2) == past[:1]
    assert shortlist._history(tiny.campaign, 3) == past


RARE = np.array([0, 3, 6, 300])
"""Answered rows of the pool below: three of class 0, and one, the last, of class 1."""


@pytest.fixture
def celled(begin, tmp_path):
    """A pool of 900 vectors, whose rows count by threes, with an index of twelve cells, all of them searched."""
    vectors, centroids = clustered(num=900, dim=16)
    made = []

    def make(order=None, cuts=3, known=RARE, **sampling):
        made.append(1)
        tiny = begin(classes=["a", "b"], sampling=sampling, workspace=str(tmp_path / f"ws-{len(made)}"))
        rows = 3 * np.arange(900)
        facts, pieces = write_celled(tiny.campaign, vectors, rows, centroids, order=order, cuts=cuts, nprobe=12)
        tiny = with_pool(tiny, np.repeat(vectors, 3, axis=0), np.repeat(np.arange(900) % 2, 3), pieces)
        tiny.truth[RARE] = [0, 0, 0, 1]
        tiny.resolve(0, tiny.answered(known))
        return tiny, Record(facts=facts), model_of(tiny, known)

    return make


@pytest.mark.parametrize("flat", [False, True])
def test_rare_looks_around_what_is_known_of_the_class(ray_session, celled, flat):
    """With cells: among the nearest to the one item of the rare class. Without: among a random draw."""
    tiny, indexed, (head, model) = celled(strategy="rare", max_candidates=50, near_duplicate=1.0)
    audit = np.array([303, 1500])
    rows = np.setdiff1d(3 * np.arange(900), [*RARE, *audit])
    if flat:
        order = np.argsort(-random_priority(rows, seed=0, round_number=1))
    else:
        order = np.argsort(((tiny.embeddings[rows].astype(float) - tiny.embeddings[300]) ** 2).sum(axis=1))
    near = np.array(sorted(rows[order[:50]], key=lambda row: f"item-{row}"))
    likely = head.probabilities(tiny.embeddings[near])[:, 1].astype(np.float32)
    expected = near[np.argsort(-likely, kind="stable")[:SIZE]]
    record = round_1(tiny, model, audit=audit, indexed=FLAT if flat else indexed)
    items = [item for item in asked(tiny, record) if item["strategy"] == "rare"]
    assert sorted(item["row"] for item in items) == sorted(expected.tolist())
    assert all(item["reason"].endswith("of class 1, of which 1 is known") for item in items)


def test_rare_class_without_an_answer_is_left_to_the_cold_start(ray_session, begin):
    """No training answer names the last class: the round says so, and goes on."""
    tiny = begin(sampling={"strategy": "rare:nine", "cold_start": "random"})
    known = np.array([row for row in KNOWN if tiny.truth[row] != 9])
    tiny.resolve(0, tiny.answered(known))
    _, model = model_of(tiny, known=known)
    items = asked(tiny, select(tiny.campaign, 1, FLAT, pieces=tiny.pieces, audit=AUDIT, model=model))
    picked = [item for item in items if item["strategy"] == "random"]
    assert len(picked) == SIZE
    assert all(item["reason"].endswith("; cold start again: no training answer names 'nine' yet") for item in picked)


@pytest.mark.parametrize(("num_known", "strategy"), [(0, "herding"), (2 * COVER_PER_CLASS, "uherding"), (MANY, LATE)])
def test_shard_orders_and_workers_change_no_shortlist_of_auto(ray_session, celled, monkeypatch, num_known, strategy):
    """One worker and three, shards in two orders and of two sizes, whatever `auto` chooses."""
    monkeypatch.setattr(narrowing, "TASK_ROWS", 150)
    known = 3 * np.arange(num_known) + 6 if num_known else RARE
    found = []
    for workers, order, cuts in ((1, [0, 1, 2, 3], 4), (3, [2, 0, 3, 1], 4), (3, [4, 1, 0, 3, 2], 5)):
        monkeypatch.setattr(runtime, "IN_FLIGHT", workers)
        # A third of a core each, so that three of them fit on any machine.
        monkeypatch.setitem(runtime.map_tasks.__kwdefaults__, "num_cpus", 1 / workers)
        tiny, indexed, (_, model) = celled(order, cuts, known, max_candidates=200)
        if num_known:
            record = round_1(tiny, model, audit=np.array([1500, 0]), indexed=indexed)
        else:
            record = round_0(tiny, audit=np.array([1500, 0]), indexed=indexed)
        found.append((record.facts, asked(tiny, record)))
    assert found[0][0]["strategy"] == strategy
    assert len(found[0][1]) == SIZE + 2
    assert found[0] == found[1] == found[2]


def test_people_get_hints_with_what_was_picked_and_none_with_the_audit(ray_session, begin):
    tiny = begin(labeling={"labeler": "files"})
    known = tiny.answered(KNOWN)
    tiny.resolve(0, known)
    head, model = model_of(tiny)
    record = round_1(tiny, model)
    found = read_parts(tiny.campaign.store, record.parts["hints"], schema=schema.HINTS).to_pylist()
    picked = [item["row"] for item in asked(tiny, record) if item["strategy"] != "audit"]
    assert sorted(hint["row"] for hint in found) == sorted(picked)
    for hint in found:
        vector = tiny.embeddings[hint["row"]]
        assert hint["group"] == hint["top_index"][0] == head.probabilities(vector[None])[0].argmax()
        distances = np.linalg.norm(tiny.embeddings[KNOWN].astype(float) - vector.astype(float), axis=1)
        assert set(hint["neighbours"]) == set(KNOWN[np.argsort(distances)[:6]].tolist())


def test_an_oracle_gets_no_hints(ray_session, tiny):
    assert set(round_0(tiny).parts) == {"shortlist"}


def test_gold_items_are_asked_among_the_others_and_never_picked(ray_session, begin, tmp_path):
    sheet = tmp_path / "gold.csv"
    gold = [0, 1, 2, 3, 4, 5, 6, 7]
    probe = begin()
    sheet.write_text("id,label\n" + "".join(f"{probe.ids[row]},{DIGITS[probe.truth[row]]}\n" for row in gold))
    tiny = begin(labeling={"labeler": "files", "gold": str(sheet), "gold_every": 5}, workspace=str(tmp_path / "w"))
    know_gold(tiny.campaign, tiny.plan, AUDIT)
    record = round_0(tiny)
    items = asked(tiny, record)
    # 6 that herding picks and 5 of the audit: one gold item for each 4 of them.
    assert dict(record.facts) == facts("herding", num_audit=5, num_gold=3)
    asked_gold = {item["row"] for item in items if item["strategy"] == "gold"}
    assert len(asked_gold) == 3 and asked_gold < set(gold)
    assert not {item["row"] for item in items if item["strategy"] == "herding"} & set(gold)
    hints = read_parts(tiny.campaign.store, record.parts["hints"], schema=schema.HINTS)
    assert not set(hints.column("row").to_pylist()) & set(gold)
    assert [item["position"] for item in items] == list(range(14))
