import importlib
import math

import numpy as np
import pyarrow as pa
import pytest

from raylabel import schema
from raylabel.acceptance import LearnedScore, NeighbourVote
from raylabel.campaign import Pieces
from raylabel.errors import StorageError
from raylabel.inference.predict import _Score, _tasks, predict, scores
from raylabel.models.confidence import Learned, Softmax
from raylabel.models.heads import fit_head
from raylabel.workspace import Part, read_part


def columns(*rows):
    found = scores(np.array(rows, dtype=np.float64))
    return {name: column.to_pylist() for name, column in found.items()}


def test_scores_by_hand():
    found = columns([0.2, 0.5, 0.3], [0.7, 0.1, 0.2])
    assert found["label_index"] == [1, 0]
    assert "confidence" not in found
    assert found["margin"] == pytest.approx([0.2, 0.5])
    entropy = [-sum(p * math.log(p) for p in row) for row in ([0.2, 0.5, 0.3], [0.7, 0.1, 0.2])]
    assert found["entropy"] == pytest.approx(entropy)
    assert found["top_index"] == [[1, 2, 0], [0, 2, 1]]
    assert found["top_probability"] == [pytest.approx([0.5, 0.3, 0.2]), pytest.approx([0.7, 0.2, 0.1])]


def test_ties_go_to_the_lower_class():
    found = columns([0.25, 0.25, 0.25, 0.25], [0.1, 0.4, 0.1, 0.4])
    assert found["label_index"] == [0, 1]
    assert found["margin"] == [0.0, 0.0]
    assert found["top_index"] == [[0, 1, 2, 3], [1, 3, 0, 2]]
    assert found["entropy"][0] == pytest.approx(math.log(4))


def test_certainty():
    """No NaN from 0 * log 0."""
    found = columns([0.0, 1.0, 0.0])
    assert found["margin"] == [1.0]
    assert found["entropy"] == [0.0]
    assert found["top_index"] == [[1, 0, 2]]


def test_top_k_of_many_classes():
    probabilities = np.arange(1, 14) / 91  # 13 classes, the last the likeliest
    found = columns(probabilities, probabilities[::-1])
    assert found["top_index"] == [list(range(12, 2, -1)), list(range(10))]
    assert found["top_probability"][0] == pytest.approx(probabilities[:2:-1])
    assert found["margin"] == pytest.approx([1 / 91, 1 / 91])
    assert found["entropy"][0] == pytest.approx(-(probabilities * np.log(probabilities)).sum(), rel=1e-6)  # of all 13


def obvious(row: np.ndarray) -> dict:
    """The same of one row, one number at a time."""
    order = sorted(range(len(row)), key=lambda index: (-row[index], index))[: schema.TOP_K]
    return {
        "label_index": order[0],
        "margin": np.float32(row[order[0]] - row[order[1]]),
        "entropy": -sum(p * math.log(p) for p in row.tolist() if p > 0),
        "top_index": order,
        "top_probability": [np.float32(row[index]) for index in order],
    }


@pytest.mark.parametrize("num_classes", [2, 9, 10, 11, 40])
def test_scores_are_those_of_the_obvious_way(num_classes):
    """With ties, also at the cut after the tenth class, and with zeros."""
    weights = np.random.default_rng(3).integers(0, 5, (300, num_classes)).astype(np.float64)
    weights[:, 0] += 1e-3  # no row is all zeros
    rows = weights / weights.sum(axis=1, keepdims=True)
    rows[:20] = np.eye(num_classes)[np.arange(20) % num_classes]
    found = columns(*rows)
    for number, row in enumerate(rows):
        expected = obvious(row)
        assert found["entropy"][number] == pytest.approx(expected.pop("entropy"), abs=1e-6)
        assert {name: found[name][number] for name in expected} == expected


def test_two_classes_and_no_rows():
    found = columns([0.9, 0.1])
    assert (found["margin"], found["top_index"]) == ([pytest.approx(0.8)], [[0, 1]])
    assert all(len(column) == 0 for column in scores(np.empty((0, 3))).values())


@pytest.fixture
def head(tiny):
    """A head of 30 digits, laid into the workspace with a confidence that is learned of them."""
    known, _ = fit_head(tiny.embeddings[:30], tiny.truth[:30], num_classes=10, seed=0)
    tiny.campaign.store.write("head.safetensors", known.to_bytes(learned(tiny).arrays()))
    return known


def learned(tiny):
    embeddings, labels = tiny.embeddings[:30], tiny.truth[:30]
    vote = NeighbourVote.of(embeddings, labels, num_classes=10)
    return Learned(LearnedScore((0.5, 0.25), 0.1), 2.0, 10.0, embeddings, labels, vote)


def test_every_readable_item_is_predicted(ray_session, tiny, head):
    found = predict(tiny.campaign, tiny.pieces, 1, "head.safetensors")
    assert found.spans == tiny.pieces.spans
    assert found.num_rows == 59
    tables = [read_part(tiny.campaign.store, part) for part in found.parts]
    assert all(table.schema.equals(schema.PREDICTIONS) for table in tables)
    assert all(part.name.startswith("rounds/0001/predictions-") for part in found.parts)
    rows = [row for table in tables for row in table.to_pylist()]
    assert [row["row"] for row in rows] == tiny.rows.tolist()
    assert [row["id"] for row in rows] == [tiny.ids[row] for row in tiny.rows]
    probabilities = head.probabilities(tiny.embeddings[tiny.rows])
    assert [row["label_index"] for row in rows] == probabilities.argmax(axis=1).tolist()
    assert [row["top_probability"][0] for row in rows] == probabilities.max(axis=1).astype(np.float32).tolist()
    ranked = np.sort(probabilities, axis=1)
    assert [row["margin"] for row in rows] == (ranked[:, -1] - ranked[:, -2]).astype(np.float32).tolist()
    accuracy = (probabilities.argmax(axis=1) == tiny.truth[tiny.rows]).mean()
    assert accuracy > 0.8  # it is the digits that it sees


@pytest.mark.parametrize("kind", ["learned", "softmax"])
def test_confidence_is_that_of_the_predicted_class(tiny, head, kind):
    """The columns that selection sees are the head's own, whatever the confidence is."""
    confidence = learned(tiny) if kind == "learned" else Softmax(5.0)
    tiny.campaign.store.write("other.safetensors", head.to_bytes(confidence.arrays()))
    embeddings = tiny.embeddings[tiny.rows]
    logits, probabilities = head.logits(embeddings), head.probabilities(embeddings)
    expected = confidence.of(embeddings, logits, probabilities.argmax(axis=1)).astype(np.float32)
    parts = _Score(tiny.campaign, 1, "other.safetensors")(list(tiny.pieces.parts))
    found = pa.concat_tables(read_part(tiny.campaign.store, part) for part in parts)
    assert np.array_equal(found.column("confidence").to_numpy(), expected)
    own = scores(probabilities)
    assert all(found.column(name).combine_chunks().equals(column) for name, column in own.items())


def test_parts_go_together_until_they_make_a_task():
    parts = [Part(f"p{number}", rows, "") for number, rows in enumerate((20_000, 12_768, 1, 40_000, 5, 6))]
    assert [[part.name for part in task] for task in _tasks(parts)] == [["p0", "p1"], ["p2", "p3"], ["p4", "p5"]]
    assert list(_tasks([])) == []


def test_neither_tasks_nor_slices_change_a_prediction(tiny, head, monkeypatch):
    """Scored at once, and in slices of 7 rows: the bytes are the same."""

    def tables():
        parts = _Score(tiny.campaign, 1, "head.safetensors")(list(tiny.pieces.parts))
        return [read_part(tiny.campaign.store, part) for part in parts]

    whole = tables()
    monkeypatch.setattr(importlib.import_module("raylabel.inference.predict"), "SCORE_ROWS", 7)
    assert all(table.equals(again) for table, again in zip(whole, tables(), strict=True))
    assert [table.num_rows for table in whole] == [part.rows for part in tiny.pieces.parts]


def test_round_is_predicted_once(ray_session, tiny, head):
    first = predict(tiny.campaign, tiny.pieces, 0, "head.safetensors")
    assert predict(tiny.campaign, tiny.pieces, 0, "no such head") == first
    assert predict(tiny.campaign, tiny.pieces, 1, "head.safetensors") != first


def test_a_grown_pool_is_predicted_from_where_it_was(ray_session, tiny, head):
    """Rows 0 to 24 first, then 25 to 39, then the rest: what was predicted stays, and all of it is what it would be."""
    whole = predict(tiny.campaign, tiny.pieces, 1, "head.safetensors")
    first = Pieces(tiny.pieces.parts[:1], tiny.pieces.spans[:1])
    second = Pieces(tiny.pieces.parts[:2], tiny.pieces.spans[:2], (0, 25))
    third = Pieces(tiny.pieces.parts, tiny.pieces.spans, (0, 25, 40))
    before = predict(tiny.campaign, first, 0, "head.safetensors")
    for pieces in (third, second, third):  # a version that was passed over is made up for
        found = predict(tiny.campaign, pieces, 0, "head.safetensors")
        assert (found.spans, found.starts) == (pieces.spans, pieces.starts)
        assert found.parts[:1] == before.parts
        tables = [[read_part(tiny.campaign.store, part) for part in parts] for parts in (found.parts, whole.parts)]
        assert all(one.equals(two) for one, two in zip(*tables, strict=False))
    names = [f"rounds/0000/predictions{suffix}" for suffix in ("", "-0001", "-0002")]
    assert [len(tiny.campaign.records.find(name).parts["predictions"]) for name in names] == [1, 1, 1]
    assert predict(tiny.campaign, first, 0, "no such head") == before  # not scored anew


def test_changed_embeddings_are_refused(ray_session, tiny, head):
    part = tiny.pieces.parts[1]
    data = bytearray(tiny.campaign.store.read(part.name))
    data[len(data) // 2] ^= 1
    tiny.campaign.store.write(part.name, bytes(data))
    with pytest.raises(StorageError, match="the file was changed after it was written"):
        predict(tiny.campaign, tiny.pieces, 0, "head.safetensors")
    assert tiny.campaign.records.find("rounds/0000/predictions") is None
