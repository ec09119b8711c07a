import datetime
import json

import pytest
from pools import items

from raylabel.config import Pool
from raylabel.errors import ConfigError, PoolError
from raylabel.pool import ShardUnreadable, grow_plan, plan, plan_pool
from raylabel.pool.metadata import read_metadata

pytestmark = pytest.mark.usefixtures("ray_session")


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    """A shard closes at 4 items."""
    monkeypatch.setattr(plan, "ROWS", 4)


def read(found, pool, workspace):
    """The batches of every shard."""
    return [list(read_metadata(found, shard, pool=pool, store=workspace)) for shard in found.shards]


TABLE = {
    "id": [7, 8, 9, 10, 11, 12],
    "image": [b"x"] * 6,
    "blue": [0.1, None, 0.3, 0.4, 0.5, 0.6],
    "who": list("abcdef"),
}


def test_columns_of_parquet(place, parquet, workspace, monkeypatch):
    """In batches of 3 of a shard of 4; ids are texts, other values as they are."""
    place.put("a.parquet", parquet(TABLE, rows_per_group=2))
    pool = place.pool(metadata_columns=["who", "blue"])
    monkeypatch.setattr("raylabel.pool.metadata.BATCH_ROWS", 3)
    assert read(plan_pool(pool, workspace, labels_needed=False), pool, workspace) == [
        [
            {"id": ["7", "8", "9"], "who": ["a", "b", "c"], "blue": [0.1, None, 0.3]},
            {"id": ["10"], "who": ["d"], "blue": [0.4]},
        ],
        [{"id": ["11", "12"], "who": ["e", "f"], "blue": [0.5, 0.6]}],
    ]


@pytest.mark.parametrize("columns", [[], ["who"]])
def test_ids_of_parquet_without_a_column_of_them(folder, parquet, workspace, columns, monkeypatch):
    table = {name: values for name, values in TABLE.items() if name != "id"}
    folder.put("a.parquet", parquet(table, rows_per_group=2))
    pool = folder.pool(metadata_columns=columns)
    monkeypatch.setattr("raylabel.pool.metadata.BATCH_ROWS", 3)
    found = plan_pool(pool, workspace, labels_needed=False)
    batches = [batch for shard in read(found, pool, workspace) for batch in shard]
    assert [batch["id"] for batch in batches] == [
        [f"a.parquet#{number}" for number in numbers] for numbers in ((0, 1, 2), (3,), (4, 5))
    ]
    assert [name for batch in batches for name in batch["id"]] == [item.id for item in items(found, pool, workspace)]
    assert [batch.get("who") for batch in batches] == ([["a", "b", "c"], ["d"], ["e", "f"]] if columns else [None] * 3)


def test_a_file_without_a_column_is_not_planned(folder, parquet, workspace):
    """One that lost its column later cannot be read."""
    folder.put("a.parquet", parquet(TABLE))
    folder.put("b.parquet", parquet({"id": [20], "image": [b"x"]}))
    pool = folder.pool(metadata_columns=["who"])
    found = plan_pool(pool, workspace, labels_needed=False)
    assert [shard.path for shard in found.shards] == ["a.parquet"]
    assert found.unreadable == (("b.parquet", "bad_column", "has no column 'who', only id, image"),)
    with pytest.raises(ShardUnreadable, match="has no column 'red'"):
        read(found, folder.pool(metadata_columns=["red"]), workspace)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.csv", b"uri,blue,who\n1.jpg,0.5,ann\n2.jpg,,bob\n"),
        ("a.jsonl", b'{"uri": "1.jpg", "blue": 0.5, "who": ["ann"]}\n{"uri": "2.jpg"}\n'),
    ],
)
def test_columns_of_a_list(place, workspace, name, data):
    """CSV knows text alone; JSONL keeps what it holds, and what a line lacks is None."""
    place.put(name, data)
    pool = Pool(path=f"{place.root}/{name}", metadata_columns=["who", "blue"])
    found = plan_pool(pool, workspace, labels_needed=False)
    values = {
        "a.csv": {"who": ["ann", "bob"], "blue": ["0.5", ""]},
        "a.jsonl": {"who": [["ann"], None], "blue": [0.5, None]},
    }
    assert read(found, pool, workspace) == [[{"id": ["1.jpg", "2.jpg"]} | values[name]]]


def test_a_list_in_parquet_keeps_what_json_can_hold(folder, parquet, workspace):
    columns = {"uri": ["1.jpg"], "day": [datetime.date(2026, 1, 2)], "blue": [0.5]}
    folder.put("a.parquet", parquet(columns))
    pool = folder.pool(format="list", metadata_columns=["day", "blue"])
    found = plan_pool(pool, workspace, labels_needed=False)
    assert read(found, pool, workspace) == [[{"id": ["1.jpg"], "day": ["2026-01-02"], "blue": [0.5]}]]


def test_a_list_lacks_a_column(folder, workspace):
    folder.put("a.csv", b"uri,blue\n1.jpg,0.5\n")
    with pytest.raises(PoolError, match="has no column 'who', only uri, blue"):
        plan_pool(Pool(path=f"{folder.root}/a.csv", metadata_columns=["who"]), workspace, labels_needed=False)


def test_folders_have_paths_alone(folder, workspace):
    for name in ("b/2.jpg", "a/1.jpg"):
        folder.put(name)
    pool = folder.pool()
    assert read(plan_pool(pool, workspace, labels_needed=False), pool, workspace) == [[{"id": ["a/1.jpg", "b/2.jpg"]}]]
    with pytest.raises(ConfigError, match=r"pool\.metadata_columns: .* is a folder pool, which has no columns"):
        plan_pool(folder.pool(metadata_columns=["who"]), workspace, labels_needed=False)


def test_a_list_that_grew_must_keep_its_metadata(folder, workspace):
    rows = [{"uri": "1.jpg", "blue": 0.5}, {"uri": "2.jpg", "blue": 0.7}]
    folder.put("a.jsonl", json.dumps(rows[0]).encode() + b"\n")
    pool = Pool(path=f"{folder.root}/a.jsonl", metadata_columns=["blue"])
    first = plan_pool(pool, workspace, labels_needed=False)
    folder.put("a.jsonl", b"".join(json.dumps(row).encode() + b"\n" for row in rows))
    grown = grow_plan(first, pool, workspace, labels_needed=False)
    assert [batch["blue"] for shard in read(grown, pool, workspace) for batch in shard] == [[0.5], [0.7]]
    rows[0]["blue"] = 0.6
    folder.put("a.jsonl", b"".join(json.dumps(row).encode() + b"\n" for row in [*rows, {"uri": "3.jpg"}]))
    with pytest.raises(PoolError, match=r"item '1\.jpg' no longer stands there as it did"):
        grow_plan(grown, pool, workspace, labels_needed=False)
