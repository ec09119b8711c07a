import importlib
import os
import pickle
from dataclasses import replace

import pyarrow as pa
import pytest

from raylabel.errors import PoolError
from raylabel.pool import Plan, Shard, ShardUnreadable, plan_pool, read_shard
from raylabel.pool.listing import Found, etag_of
from raylabel.pool.parquet import Footer, cut_footer, open_parquet, read_column
from raylabel.workspace import open_filesystem

pytestmark = pytest.mark.usefixtures("ray_session")


def test_a_file_is_cut_at_its_row_groups_from_its_own_start():
    footer = Footer(Found("a.parquet", 99, "e"), groups=(3, 0, 4, 5, 2))
    assert [
        (s.index, s.path, s.etag, s.first_row, s.rows, s.row_groups, s.first_file_row) for s in cuts(footer, 7)
    ] == [
        (0, "a.parquet", "e", 0, 7, (0, 3), 0),
        (1, "a.parquet", "e", 7, 7, (3, 5), 7),
    ]
    assert [s.row_groups for s in cuts(footer, 4)] == [(0, 3), (3, 4), (4, 5)]
    assert [s.row_groups for s in cuts(footer, 100)] == [(0, 5)]


def cuts(footer: Footer, rows_per_shard: int) -> list[Shard]:
    return list(cut_footer(footer, rows_per_shard=rows_per_shard))


def test_a_column_is_read_of_one_shard(folder, parquet):
    folder.put("a.parquet", parquet({"image": [b"1"] * 5, "id": list("abcde")}, rows_per_group=2))
    plan = Plan(folder.root, "parquet", "id", ())
    shard = Shard(0, "a.parquet", 0, 3, etag_in(folder, "a.parquet"), (1, 3), 2)
    assert read_column(plan, shard, "id") == ["c", "d", "e"]


def test_open_parquet_gives_the_file_that_was_planned(folder, parquet):
    folder.put("a.parquet", parquet({"image": [b"1", b"2"]}))
    uri, etag = f"{folder.root}/a.parquet", etag_in(folder, "a.parquet")
    with open_parquet(uri, etag=etag) as file:
        assert file.metadata.num_rows == 2
    with (
        pytest.raises(ShardUnreadable, match=f"it was planned with etag other and has {etag} now"),
        open_parquet(uri, etag="other"),
    ):
        pass


@pytest.mark.parametrize(
    "images",
    [
        pa.array([b"1", b"2"], pa.binary()),
        pa.array([b"1", b"2"], pa.large_binary()),
        pa.array([{"bytes": b"1", "path": "a"}, {"bytes": b"2", "path": None}]),
        pa.array([b"1", b"2"]).dictionary_encode(),
    ],
    ids=lambda images: str(images.type.id),
)
def test_image_columns_that_hold_bytes_are_taken(folder, workspace, parquet, images):
    folder.put("a.parquet", parquet({"image": images}))
    pool = folder.pool()
    found = plan_pool(pool, workspace, labels_needed=False)
    (batch,) = read_shard(found, found.shards[0], pool=pool, store=workspace, batch_rows=10)
    assert [item.image for item in batch.items] == [b"1", b"2"]


@pytest.mark.parametrize(
    "images", [pa.array([1, 2]), pa.array([{"path": "a"}]), pa.array([[1, 2]]), pa.array([{"bytes": "text"}])]
)
def test_image_columns_that_hold_anything_else_are_refused(folder, workspace, parquet, images):
    folder.put("a.parquet", parquet({"image": images}))
    message = r"none of its 1 Parquet files can be used; a\.parquet: bad_column, column 'image' is .*, expected binary"
    with pytest.raises(PoolError, match=message):
        plan_pool(folder.pool(), workspace, labels_needed=False)


def etag_in(folder, name: str) -> str:
    filesystem, path = open_filesystem(f"{folder.root}/{name}")
    return etag_of(filesystem.info(path))


class Canary:
    """Leaves a file behind where it is unpickled."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


def test_pickled_columns_are_refused_and_never_unpickled(folder, workspace, parquet, tmp_path):
    canary = tmp_path / "canary"
    poison = pickle.dumps(Canary(str(canary)))
    mark = {b"ARROW:extension:name": b"ray.data.arrow_pickled_object", b"ARROW:extension:metadata": b""}
    pickled = pa.field("image", pa.large_binary(), metadata=mark)
    plain = pa.field("id", pa.string())
    folder.put("a.parquet", parquet(pa.table([[poison], ["x"]], schema=pa.schema([pickled, plain]))))
    inner = pa.field("image", pa.struct([pickled.with_name("bytes")]))
    folder.put("b.parquet", parquet(pa.table([[{"bytes": poison}], ["y"]], schema=pa.schema([inner, plain]))))
    folder.put("c.parquet", parquet({"image": [b"1"], "id": ["z"]}))
    pool = folder.pool()
    found = plan_pool(pool, workspace, labels_needed=False)
    message = "column 'image' holds pickled objects; these are never read"
    assert found.unreadable == (("a.parquet", "bad_column", message), ("b.parquet", "bad_column", message))

    # As if an older planner had let them pass, read here, where Ray Data has registered its type of pickled objects.
    importlib.import_module("ray.data")
    for name in ("a.parquet", "b.parquet"):
        shard = replace(found.shards[0], path=name, etag=etag_in(folder, name))
        with pytest.raises(ShardUnreadable, match=message):
            list(read_shard(found, shard, pool=pool, store=workspace, batch_rows=10))
    assert not canary.exists()
    pickle.loads(poison)
    assert canary.exists(), "it would have shown"
