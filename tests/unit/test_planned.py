import shutil

import pyarrow.parquet as pq
import pytest

from raylabel.errors import RaylabelError
from raylabel.planned import find_plan, grow_once, plan_once
from raylabel.pool import Plan
from raylabel.workspace import Record


def test_pool_is_planned_once(ray_session, tiny, capsys):
    plan = plan_once(tiny.campaign)
    assert (plan.num_rows, plan.kind, plan.id_column, len(plan.shards)) == (60, "parquet", "id", 2)
    assert [(shard.path, shard.first_row, shard.rows) for shard in plan.shards] == [
        ("part-0.parquet", 0, 40),
        ("part-1.parquet", 40, 20),
    ]
    assert "plan: 60 images in 2 shards" in capsys.readouterr().err
    assert plan_once(tiny.campaign) == plan
    assert capsys.readouterr().err == ""


def test_plan_that_was_made_stands(tiny):
    """The pool is not looked at again."""
    with pytest.raises(RaylabelError, match="the pool is not planned yet; `raylabel run` begins"):
        find_plan(tiny.campaign)
    made = Plan("/gone", "folder", None, ())
    tiny.campaign.records.commit("pool/plan-0000", Record(facts=made.to_json()))
    assert plan_once(tiny.campaign) == find_plan(tiny.campaign) == made


def test_growth_is_a_version_of_the_plan(ray_session, begin, tmp_path, digit_pool, capsys):
    """Old rows stay; the oracle's column is asked for in new files, too; what was committed is what later runs take."""
    shutil.copytree(digit_pool, tmp_path / "pool")
    tiny = begin(pool={"path": str(tmp_path / "pool")})
    first = plan_once(tiny.campaign)
    assert grow_once(tiny.campaign, first) == first
    assert f"grow: nothing new in {tmp_path}/pool; 60 images as before" in capsys.readouterr().err
    table = pq.read_table(tmp_path / "pool" / "part-1.parquet")
    table = table.set_column(0, "id", [[f"new-{name}" for name in table.column("id").to_pylist()]])
    pq.write_table(table, tmp_path / "pool" / "more.parquet")
    pq.write_table(table.drop_columns("label"), tmp_path / "pool" / "other.parquet")
    second = grow_once(tiny.campaign, first)
    assert "grow: 20 new images in 1 shard of" in capsys.readouterr().err
    assert (second.num_rows, second.starts, second.shards[:2]) == (80, (0, 60), first.shards)
    assert [entry[:2] for entry in second.unreadable] == [("other.parquet", "bad_column")]
    record = tiny.campaign.records.find("pool/plan-0001")
    [part] = record.parts["quarantine"]
    assert part.rows == 1
    assert plan_once(tiny.campaign) == find_plan(tiny.campaign) == second
    assert grow_once(tiny.campaign, second) == second
    assert tiny.campaign.records.find("pool/plan-0002") is None
