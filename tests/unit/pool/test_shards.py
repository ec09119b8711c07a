import json
import pickle
from dataclasses import replace

import numpy as np
import pytest

from raylabel.pool import Plan, Shard, ShardUnreadable
from raylabel.pool.shards import ROWS, shard_from_json
from raylabel.workspace import Part

ONE = Shard(index=0, path="a.parquet", first_row=0, rows=3, etag="e1", row_groups=(0, 2))
TWO = Shard(index=1, path="a.parquet", first_row=3, rows=4, etag="e1", row_groups=(2, 3), first_file_row=3)
THREE = Shard(index=2, path="b/0.jpg", first_row=7, rows=2, listing=Part("pool/listing-0.parquet", 2, "0f"))
FOUR = Shard(3, "c.tar", 9, 3, "e2", first_file_row=4_096, listing=Part("pool/samples-0.parquet", 3, "1f"))
PLAN = Plan("/pool", "parquet", "id", (ONE, TWO, THREE), (("c.parquet", "empty", "holds no rows"),))


def test_rows_are_counted_over_all_shards():
    assert PLAN.num_rows == 9
    assert Plan("/pool", "folder", None, ()).num_rows == 0
    assert ROWS == 4_096


def test_a_plan_as_it_was():
    grown = replace(PLAN, shards=(*PLAN.shards, FOUR), starts=(0, 3, 9))
    assert (PLAN.version, grown.version) == (0, 2)
    assert grown.at(2) == grown
    assert grown.at(1) == replace(PLAN, starts=(0, 3))
    assert (grown.at(0).shards, grown.at(0).starts) == ((ONE,), (0,))
    assert Plan.from_json(json.loads(json.dumps(grown.to_json()))) == grown


def test_rows_are_sorted_to_the_shards_that_hold_them():
    found = PLAN.by_shard([8, 0, 3, 6, 2])
    assert [(shard.index, rows.tolist()) for shard, rows in found] == [(0, [0, 2]), (1, [3, 6]), (2, [8])]
    assert all(rows.dtype == np.int64 for _, rows in found)
    assert [(shard.index, rows.tolist()) for shard, rows in PLAN.by_shard(np.array([4]))] == [(1, [4])]
    assert PLAN.by_shard([]) == []


def test_every_row_belongs_to_one_shard():
    holding = {row: shard for row in range(9) for shard, _ in PLAN.by_shard([row])}
    assert [holding[row].index for row in range(9)] == [0, 0, 0, 1, 1, 1, 1, 2, 2]


@pytest.mark.parametrize("row", [-1, 9, 1_000])
def test_rows_beyond_the_pool_are_refused(row):
    with pytest.raises(IndexError, match=f"^row {row} of a pool of 9 items$"):
        PLAN.by_shard([0, row])
    with pytest.raises(IndexError, match=r"^row 0 of a pool of 0 items$"):
        Plan("/pool", "folder", None, ()).by_shard([0])


def test_a_plan_survives_json():
    text = json.dumps(PLAN.to_json())
    back = Plan.from_json(json.loads(text))
    assert back == PLAN
    assert isinstance(back.shards[0].row_groups, tuple) and isinstance(back.shards[2].listing, Part)
    assert json.dumps(back.to_json()) == text


def test_a_tars_or_lists_plan_survives_json():
    plan = Plan("s3://bucket/pool", "webdataset", None, (FOUR,), (("d.tar", "unreadable", "cut"),))
    assert Plan.from_json(json.loads(json.dumps(plan.to_json()))) == plan


def test_a_shard_survives_json():
    for shard in PLAN.shards:
        entry = json.loads(json.dumps(PLAN.to_json()))["shards"][shard.index]
        assert shard_from_json(entry) == shard


def test_names_for_messages():
    assert ONE.name == "a.parquet[0:2]"
    assert TWO.name == "a.parquet[2:3]"
    assert THREE.name == "b/0.jpg (+1)"
    assert FOUR.name == "c.tar, items 4096 to 4098"


def test_an_unreadable_shard_travels_between_processes_whole():
    found = pickle.loads(pickle.dumps(ShardUnreadable("input_changed", "it has another etag")))
    assert (type(found), found.code, found.message) == (ShardUnreadable, "input_changed", "it has another etag")
