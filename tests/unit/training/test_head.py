import hashlib
from dataclasses import replace

import numpy as np
import pytest

from raylabel import schema
from raylabel.acceptance import find_label_errors, softmax
from raylabel.demo import DIGITS
from raylabel.errors import RaylabelError, StorageError
from raylabel.models.confidence import Learned, Softmax, fit_confidence, load
from raylabel.models.heads import Head, fit_head
from raylabel.training.head import HeadActor, HeadTrainer, train
from raylabel.training.votes import vote
from raylabel.training.weak import fit_weak, sample
from raylabel.workspace import read_parts

ROWS = np.array([51, 3, 22, 8, 17, 40, 1, 30, 12, 9, 44, 2, 27, 35, 58, 20])  # 17 cannot be read

FEW = "{} of the answers held out were right and {} wrong; a score is learned from at least 10 of each"


@pytest.fixture
def trainer(ray_session):
    found = HeadTrainer()
    yield found
    found.close()


def expected(tiny, rows, number=0):
    """The same head, from arrays alone: rows in the order of their ids."""
    rows = sorted((row for row in rows if row != tiny.broken), key=lambda row: tiny.ids[row])
    seed = tiny.campaign.seed("folds", number)
    return fit_head(tiny.embeddings[rows], tiny.truth[rows], num_classes=10, seed=seed)


def counted(cross, tiny, rows):
    """Right and wrong ones of the answers that judge."""
    rows = sorted((row for row in rows if row != tiny.broken), key=lambda row: tiny.ids[row])
    right = (cross.logits.argmax(axis=1) == tiny.truth[rows])[cross.judged]
    return int(right.sum()), int((~right).sum())


def test_head_and_its_facts(tiny):
    record = HeadActor(tiny.campaign).fit(1, tiny.ref, tiny.pieces, tiny.answered(ROWS))
    head, cross = expected(tiny, ROWS, number=1)
    data = tiny.campaign.store.read(record.facts["head"])
    assert data == head.to_bytes(Softmax(head.temperature).arrays())
    digest = hashlib.sha256(data).hexdigest()[:16]
    counts = np.bincount(tiny.truth[ROWS[ROWS != 17]], minlength=10)
    agreed = record.facts["agreement"]
    assert dict(record.facts) == {
        "head": f"rounds/0001/head-{digest}.safetensors",
        "model": f"tiny/{digest}",
        "backbone": "tiny",
        "accuracy": cross.accuracy,
        "penalty": cross.penalty,
        "temperature": head.temperature,
        "confidence": {"asked": "learned", "used": "temperature", "reason": FEW.format(*counted(cross, tiny, ROWS))},
        "agreement": agreed,
        "weak": None,
        "num_answers": 15,
        "num_judged": 15,
        "answers_by_class": counts.tolist(),
        "num_seen_classes": int((counts > 0).sum()),
        "unseen": [DIGITS[index] for index in range(10) if counts[index] == 0],
    }
    assert record.facts["unseen"]
    assert Head.from_bytes(data).probabilities(tiny.embeddings[:1])[0, counts == 0].max() == 0


def test_learned_confidence_is_kept_beside_the_head(tiny, capsys):
    """Of 55 digits enough are held out right and wrong, where a sixth of the answers is mistaken."""
    rows = tiny.rows[:55]
    labels = tiny.truth[rows].copy()
    labels[::6] = (labels[::6] + 1) % 10
    record = HeadActor(tiny.campaign).fit(1, tiny.ref, tiny.pieces, tiny.answered(rows, labels=labels))
    assert record.facts["confidence"] == {"asked": "learned", "used": "learned", "reason": ""}
    order = np.argsort([tiny.ids[row] for row in rows])
    given = {"embeddings": tiny.embeddings[rows][order], "label_index": labels[order]}
    seed = tiny.campaign.seed("folds", 1)
    head, cross = fit_head(*given.values(), num_classes=10, seed=seed)
    expected = fit_confidence("learned", head, cross, **given).confidence
    found = load(tiny.campaign.store.read(record.facts["head"]))
    assert isinstance(found, Learned)
    assert (found.score, found.concentration) == (expected.score, expected.concentration)
    assert np.array_equal(found.embeddings, given["embeddings"])


@pytest.mark.parametrize("kind", ["softmax", "temperature", "vector"])
def test_confidence_is_the_kind_that_the_config_names(begin, kind):
    tiny = begin(acceptance={"max_error": 0.3, "confidence": kind})
    record = HeadActor(tiny.campaign).fit(1, tiny.ref, tiny.pieces, tiny.answered(ROWS))
    assert record.facts["confidence"] == {"asked": kind, "used": kind, "reason": ""}
    names = {"softmax": ["temperature"], "temperature": ["temperature"], "vector": ["weight", "bias"]}
    kept = load(tiny.campaign.store.read(record.facts["head"])).arrays()
    assert list(kept) == [f"confidence_{name}" for name in names[kind]]
    if kind != "vector":
        expected = 1.0 if kind == "softmax" else record.facts["temperature"]
        assert kept["confidence_temperature"].tolist() == [expected]


def test_doubts_and_agreement_are_those_of_what_was_held_out(tiny):
    """Five answers of sixty are wrong; an answer whose class no other one names is not judged."""
    rows = np.setdiff1d(np.arange(60), [17])
    labels = tiny.truth[rows].copy()
    wrong = [3, 14, 25, 36, 47]
    labels[wrong] = (labels[wrong] + 1) % 9
    labels[50] = 9
    labels[np.flatnonzero(labels == 9)] = 8
    labels[50] = 9
    record = HeadActor(tiny.campaign).fit(0, tiny.ref, tiny.pieces, tiny.answered(rows, labels=labels))
    table = read_parts(tiny.campaign.store, record.parts["doubts"], schema=schema.DOUBTS)
    order = np.array(sorted(range(59), key=lambda position: tiny.ids[rows[position]]))
    _, cross = fit_head(
        tiny.embeddings[rows[order]], labels[order], num_classes=10, seed=tiny.campaign.seed("folds", 0)
    )
    judged = order != 50
    held_out = softmax(cross.logits, record.facts["temperature"])[judged]
    found = find_label_errors(held_out, labels[order][judged], embeddings=tiny.embeddings[rows[order]][judged])
    ranked, kept = found.ranked(), order[judged]
    assert table.column("row").to_pylist() == rows[kept][ranked].tolist()
    assert table.column("id").to_pylist() == [tiny.ids[row] for row in rows[kept][ranked]]
    assert table.column("label_index").to_pylist() == labels[kept][ranked].tolist()
    assert table.column("suggested_index").to_pylist() == found.suggested[ranked].tolist()
    assert np.allclose(table.column("score").to_numpy(), found.score[ranked])
    assert 50 not in table.column("row").to_pylist()
    assert len(set(rows[wrong]) & set(table.column("row").to_pylist())) >= 3
    agreed = record.facts["agreement"]
    assert agreed["num"] == 58
    assert agreed["share"] == (held_out.argmax(axis=1) == labels[kept]).mean()


def test_nothing_is_doubted_where_all_answers_name_one_class(tiny):
    rows = np.array([1, 2, 3])
    record = HeadActor(tiny.campaign).fit(0, tiny.ref, tiny.pieces, tiny.answered(rows, labels=[4, 4, 4]))
    assert record.facts["agreement"] is None
    assert read_parts(tiny.campaign.store, record.parts["doubts"], schema=schema.DOUBTS).num_rows == 0


def test_order_of_the_answers_makes_no_difference(tiny):
    first = HeadActor(tiny.campaign).fit(0, tiny.ref, tiny.pieces, tiny.answered(ROWS))
    other = HeadActor(tiny.campaign).fit(0, tiny.ref, tiny.pieces, tiny.answered(ROWS[::-1]))
    assert first.facts == other.facts


def test_embeddings_are_read_once(tiny):
    """What was answered in an earlier round is kept; another backbone's is read anew."""
    actor, store, rows = HeadActor(tiny.campaign), tiny.campaign.store, np.setdiff1d(ROWS, [tiny.broken])
    first = actor.fit(0, tiny.ref, tiny.pieces, tiny.answered(rows[:12]))
    actor.fit(1, tiny.ref, tiny.pieces, tiny.answered(rows))
    for part in tiny.pieces.parts:
        store.remove(part.name)
    again = actor.fit(0, tiny.ref, tiny.pieces, tiny.answered(rows[:12]))
    assert again.facts == first.facts
    with pytest.raises(StorageError, match="it is gone"):
        actor.fit(1, replace(tiny.ref, digest="tuned"), tiny.pieces, tiny.answered(rows))


def test_another_backbone_forgets_the_first(tiny, begin):
    actor = HeadActor(tiny.campaign)
    first = actor.fit(0, tiny.ref, tiny.pieces, tiny.answered(ROWS))
    second = actor.fit(0, replace(tiny.ref, digest="tuned"), tiny.pieces, tiny.answered(ROWS))
    third = actor.fit(0, tiny.ref, tiny.pieces, tiny.answered(ROWS))
    assert first.facts == third.facts
    assert second.facts["model"] == first.facts["model"].replace("tiny/", "tuned/")


def test_no_usable_answer(tiny):
    for rows in ([], [tiny.broken]):
        with pytest.raises(RaylabelError, match="round 2: no training answer names a class; answer some"):
            HeadActor(tiny.campaign).fit(2, tiny.ref, tiny.pieces, tiny.answered(rows))


def test_training_leaves_the_audit_alone(trainer, tiny, capsys):
    """Neither audit answers nor those that nobody could tell reach the model, whatever they say."""
    purpose = ["train"] * 12 + ["audit"] * 4
    labels = tiny.truth[ROWS].copy()
    labels[5] = -1
    answered = tiny.answered(ROWS, purpose, labels)
    record = train(tiny.campaign, 0, trainer, ref=tiny.ref, pieces=tiny.pieces, answered=answered)
    used = np.delete(ROWS[:12], 5)
    head, cross = expected(tiny, used)
    assert record.facts["num_answers"] == 10  # 12, less row 17 and the one of nobody
    assert tiny.campaign.store.read(record.facts["head"]) == head.to_bytes(Softmax(head.temperature).arrays())
    said = capsys.readouterr().err
    assert f"round 0 · train: 10 answers, {cross.accuracy:.1%} right on answers held out" in said
    assert f"no answer names {', '.join(record.facts['unseen'])} yet, so the model cannot" in said
    assert f"round 0 · train: confidence is the softmax's, as {record.facts['confidence']['reason']}" in said

    labels[12:] = (labels[12:] + 1) % 10
    other = train(
        tiny.campaign, 1, trainer, ref=tiny.ref, pieces=tiny.pieces, answered=tiny.answered(ROWS, purpose, labels)
    )
    assert np.array_equal(
        Head.from_bytes(tiny.campaign.store.read(other.facts["head"])).weight, expected(tiny, used, number=1)[0].weight
    )


def test_round_is_trained_once(trainer, tiny):
    first = train(tiny.campaign, 0, trainer, ref=tiny.ref, pieces=tiny.pieces, answered=tiny.answered(ROWS))
    again = train(tiny.campaign, 0, trainer, ref=tiny.ref, pieces=tiny.pieces, answered=tiny.answered(ROWS[:3]))
    assert again.facts == first.facts
    assert HeadTrainer().close() is None  # one that never started an actor


def test_answers_of_one_class_are_a_round_like_others(trainer, tiny, capsys):
    rows = tiny.rows[tiny.truth[tiny.rows] == 3]
    train(tiny.campaign, 0, trainer, ref=tiny.ref, pieces=tiny.pieces, answered=tiny.answered(rows))
    facts = tiny.campaign.records.find("rounds/0000/model").facts  # as it was written
    assert (facts["num_answers"], facts["num_seen_classes"], facts["accuracy"]) == (len(rows), 1, None)
    assert facts["unseen"] == [name for index, name in enumerate(DIGITS) if index != 3]
    head = Head.from_bytes(tiny.campaign.store.read(facts["head"]))
    assert head.probabilities(tiny.embeddings).tolist() == [[float(index == 3) for index in range(10)]] * 60
    assert f"{len(rows)} answers, all of one class: not judged; no answer names" in capsys.readouterr().err


def test_no_answer_comes_back_as_raylabels_own_error(trainer, tiny):
    with pytest.raises(RaylabelError, match="no training answer names a class") as caught:
        train(tiny.campaign, 0, trainer, ref=tiny.ref, pieces=tiny.pieces, answered=tiny.answered([]))
    assert caught.value.exit_code == 1
    assert "ray::" not in str(caught.value)
    assert tiny.campaign.records.find("rounds/0000/model") is None


def test_answers_that_the_backbone_was_tuned_on_judge_nothing(tiny):
    tuned = replace(tiny.ref, seen=tuple(ROWS[:9].tolist()))
    record = HeadActor(tiny.campaign).fit(1, tuned, tiny.pieces, tiny.answered(ROWS))
    plain = HeadActor(tiny.campaign).fit(1, tiny.ref, tiny.pieces, tiny.answered(ROWS))
    assert (record.facts["num_answers"], plain.facts["num_answers"]) == (15, 15)
    assert record.facts["num_judged"] == sum(row not in tuned.seen for row in ROWS if row != 17)


def test_what_was_held_out_is_kept(tiny):
    """Confidence of the cross-fitted label at the head's temperature, and whether people say the same."""
    rows = np.setdiff1d(ROWS, [tiny.broken])
    record = HeadActor(tiny.campaign).fit(0, tiny.ref, tiny.pieces, tiny.answered(rows))
    held = read_parts(tiny.campaign.store, record.parts["held_out"], schema=schema.HELD_OUT)
    head, cross = expected(tiny, ROWS)
    by_id = np.array(sorted(rows, key=lambda row: tiny.ids[row]))
    assert held.column("row").to_pylist() == by_id.tolist()
    assert held.column("correct").to_pylist() == (cross.logits.argmax(axis=1) == tiny.truth[by_id]).tolist()
    powers = np.exp((cross.logits - cross.logits.max(axis=1, keepdims=True)) / head.temperature)
    assert held.column("confidence").to_numpy() == pytest.approx(1 / powers.sum(axis=1), rel=1e-6)
    assert np.mean(held.column("correct").to_pylist()) == record.facts["accuracy"]


def test_what_a_backbone_was_tuned_on_or_one_class_is_not_held_out(tiny):
    tuned = replace(tiny.ref, seen=tuple(ROWS[:9].tolist()))
    record = HeadActor(tiny.campaign).fit(1, tuned, tiny.pieces, tiny.answered(ROWS))
    held = read_parts(tiny.campaign.store, record.parts["held_out"], schema=schema.HELD_OUT)
    assert not set(held.column("row").to_pylist()) & set(tuned.seen)
    assert held.num_rows == record.facts["num_judged"]
    rows = tiny.rows[tiny.truth[tiny.rows] == 3]
    assert HeadActor(tiny.campaign).fit(2, tiny.ref, tiny.pieces, tiny.answered(rows)).parts["held_out"] == []


def test_weak_labels_reach_the_head(trainer, begin, tmp_path, capsys):
    """A function that knows the answers: what held-out answers say of it is the head's own cross-fit."""
    (tmp_path / "mine.py").write_text("def f(columns):\n    return columns['label']\n")
    tiny = begin(weak={"functions": [f"{tmp_path / 'mine.py'}:f"]}, pool={"metadata_columns": ["label"]})
    audit, rows = np.arange(40, 60), np.setdiff1d(np.arange(20), [tiny.broken])
    voted = vote(tiny.campaign, tiny.plan, audit)
    answered = tiny.answered(rows)
    given = {"ref": tiny.ref, "pieces": tiny.pieces, "answered": answered}
    record = train(tiny.campaign, 0, trainer, **given, voted=voted)
    weak = tiny.campaign.records.find("rounds/0000/model").facts["weak"]  # as it was written
    assert (weak["num_items"], weak["num_covered"]) == (20, 60)
    assert weak["functions"]["mine.py:f"]["num_right"] == 19
    work = sample(tiny.campaign, voted, rows)
    embeddings = {row: tiny.embeddings[row] for row in tiny.rows.tolist()}
    prior = fit_weak(tiny.campaign.store, work, embeddings, known=answered, num_classes=10).prior
    order = sorted(rows, key=lambda row: tiny.ids[row])
    seed = tiny.campaign.seed("folds", 0)
    head, cross = fit_head(tiny.embeddings[order], tiny.truth[order], num_classes=10, seed=seed, prior=prior)
    assert weak["weight"] == cross.weak.weight > 0
    assert (weak["log_loss"], weak["gain"]) == (pytest.approx(cross.weak.log_loss), pytest.approx(cross.weak.gain))
    kept = Head.from_bytes(tiny.campaign.store.read(record.facts["head"]))
    assert np.allclose(kept.weight, head.weight)
    said = f"round 0 · train: weak labels of {weak['num_items']} items are taken with the weight {weak['weight']:g}"
    assert said in capsys.readouterr().err


def test_weak_labels_are_left_out_where_they_do_not_help(trainer, begin, tmp_path, capsys):
    (tmp_path / "mine.py").write_text("def f(columns):\n    return ['two'] * len(columns['id'])\n")
    tiny = begin(weak={"functions": [f"{tmp_path / 'mine.py'}:f"]})
    voted = vote(tiny.campaign, tiny.plan, np.arange(40, 60))
    given = {"ref": tiny.ref, "pieces": tiny.pieces, "answered": tiny.answered(ROWS)}
    record = train(tiny.campaign, 0, trainer, **given, voted=voted)
    plain = HeadActor(tiny.campaign).fit(0, tiny.ref, tiny.pieces, tiny.answered(ROWS))
    assert plain.facts["weak"] is None
    assert record.facts["weak"]["weight"] == 0
    assert record.facts["model"] == plain.facts["model"]
    assert "train: weak labels of" in (said := capsys.readouterr().err)
    assert "are left out" in said
