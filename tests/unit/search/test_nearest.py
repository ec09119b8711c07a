import faiss
import numpy as np
import pyarrow as pa
import pytest

from raylabel import schema
from raylabel.errors import ConfigError, StorageError
from raylabel.search import look_up
from raylabel.search.nearest import labels_of
from raylabel.search.opened import open_newest
from raylabel.workspace import Record, write_part


def expected(tiny, row, size):
    """Ids and distances by brute force, ties by id."""
    stored = tiny.embeddings.astype(np.float64)
    distances = np.linalg.norm(stored - stored[row], axis=1)
    others = [other for other in tiny.rows if other != row]
    return sorted((distances[other], tiny.ids[other]) for other in others)[:size]


@pytest.mark.parametrize("factory", ["SQfp16", "SQ4", "PQ16x4"])
def test_exact_whatever_the_index(tiny, publish, monkeypatch, factory):
    """Coarse codes name candidates, the stored embeddings put them into order: the nearest one is the nearest."""
    stored = tiny.embeddings[tiny.rows].astype(np.float32)
    index = faiss.index_factory(64, f"IDMap2,{factory}")
    index.train(stored)
    index.add_with_ids(stored, tiny.rows)
    monkeypatch.setattr("raylabel.search.nearest.open_index", lambda campaign, record: index)
    publish(tiny, tiny.pieces)
    tiny.campaign.records.commit("index/tiny", Record(facts={"dim": 64, "factory": factory}))
    facts = look_up(tiny.campaign, ["row:30", tiny.ids[5]], size=6)
    assert facts["index"] == factory
    for query, row in zip(facts["queries"], (30, 5), strict=True):
        assert (query["row"], query["id"]) == (row, tiny.ids[row])
        found = query["neighbours"]
        assert [item["rank"] for item in found] == [1, 2, 3, 4, 5, 6]
        assert [tiny.ids[item["row"]] for item in found] == [item["id"] for item in found]
        assert [item["id"] for item in found] == [name for _, name in expected(tiny, row, 6)]
        assert np.allclose([item["distance"] for item in found], [d for d, _ in expected(tiny, row, 6)], rtol=1e-6)
        assert {item["label"] for item in found} == {None}


def test_more_neighbours_than_items(indexed):
    [query] = look_up(indexed.campaign, ["row:0"], size=500)["queries"]
    assert sorted(item["row"] for item in query["neighbours"]) == [row for row in indexed.rows if row != 0]


def test_labels_of_the_result(indexed):
    """Parts at the same place come first; others are looked into for what is still missing."""
    store, opened = indexed.campaign.store, open_newest(indexed.campaign)
    assert labels_of(opened, {indexed.ids[3]: 3}) == {}

    def part(rows):
        columns = {name: pa.nulls(len(rows), schema.LABELS.field(name).type) for name in schema.LABELS.names}
        columns["id"] = pa.array([indexed.ids[row] for row in rows])
        columns["label"] = pa.array([f"class of {row}" if row % 2 else None for row in rows])
        columns["source"] = pa.array(["auto" if row % 2 else "none" for row in rows])
        return write_part(store, "labels/labels", pa.table(columns, schema=schema.LABELS))

    parts = [part(range(20)), part(range(20, 60))]
    indexed.campaign.records.commit("labels/labels", Record(parts={"labels": parts}))
    rows = {indexed.ids[row]: row for row in (3, 4, 59)}
    assert labels_of(opened, rows) == {
        indexed.ids[3]: ("class of 3", "auto"),
        indexed.ids[4]: (None, "none"),
        indexed.ids[59]: ("class of 59", "auto"),
    }
    store.write(parts[1].name, b"changed")
    assert labels_of(opened, {indexed.ids[3]: 3}) == {indexed.ids[3]: ("class of 3", "auto")}
    with pytest.raises(StorageError):
        labels_of(opened, rows)


def test_a_place_that_will_not_do_is_refused_first(tiny, tmp_path):
    """Before anything is read: the campaign has no index."""
    with pytest.raises(ConfigError, match="there is no folder"):
        look_up(tiny.campaign, ["row:0"], size=3, target=tmp_path / "nowhere" / "sheet.png")
