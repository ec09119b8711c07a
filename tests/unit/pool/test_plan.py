import json
import os

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from raylabel import schema
from raylabel.config import Pool
from raylabel.errors import PoolError
from raylabel.pool import Plan, plan, plan_pool, quarantine_unreadable, read_shard
from raylabel.workspace import read_part

pytestmark = pytest.mark.usefixtures("ray_session")


def columns(first: int, count: int) -> dict[str, list[object]]:
    """Columns whose values say which item they belong to."""
    numbers = range(first, first + count)
    return {"image": [b"%d" % n for n in numbers], "name": [f"n{n}" for n in numbers], "label": ["x"] * count}


def cuts(found: Plan) -> list[tuple[object, ...]]:
    return [
        (shard.index, shard.path, shard.first_row, shard.rows, shard.row_groups, shard.first_file_row)
        for shard in found.shards
    ]


def ids(found: Plan, pool: Pool, store) -> list[str]:
    batches = [
        batch for shard in found.shards for batch in read_shard(found, shard, pool=pool, store=store, batch_rows=1_000)
    ]
    items = [item for batch in batches for item in batch.items]
    assert [item.row for item in items] == list(range(found.num_rows)), "rows number the items without a gap"
    return [item.id for item in items]


def test_files_are_cut_into_shards_at_their_row_groups(place, workspace, parquet, monkeypatch):
    monkeypatch.setattr(plan, "ROWS", 10)
    place.put("a.parquet", parquet(columns(0, 15), rows_per_group=4))
    place.put("b/b.parquet", parquet(columns(15, 25), rows_per_group=25))
    place.put("c.parquet", parquet(columns(40, 3)))
    place.put("d.parquet", parquet(columns(43, 20), rows_per_group=5))
    pool = place.pool()
    found = plan_pool(pool, workspace, labels_needed=False)
    assert cuts(found) == [
        (0, "a.parquet", 0, 12, (0, 3), 0),
        (1, "a.parquet", 12, 3, (3, 4), 12),
        (2, "b/b.parquet", 15, 25, (0, 1), 0),
        (3, "c.parquet", 40, 3, (0, 1), 0),
        (4, "d.parquet", 43, 10, (0, 2), 0),
        (5, "d.parquet", 53, 10, (2, 4), 10),
    ]
    assert (found.root, found.kind, found.id_column, found.unreadable) == (place.root, "parquet", None, ())
    assert found.num_rows == 63
    assert len({shard.etag for shard in found.shards}) == 4, "one for each file"
    assert ids(found, pool, workspace)[10:17] == [
        *("a.parquet#10", "a.parquet#11", "a.parquet#12", "a.parquet#13", "a.parquet#14"),
        *("b/b.parquet#0", "b/b.parquet#1"),
    ]


def test_row_groups_without_rows_make_no_shards(folder, workspace, monkeypatch):
    monkeypatch.setattr(plan, "ROWS", 4)
    table = pa.table(columns(0, 10))
    with pq.ParquetWriter(f"{folder.root}/a.parquet", table.schema) as writer:
        for start, count in [(0, 0), (0, 3), (3, 0), (3, 2), (5, 5), (10, 0)]:
            writer.write_table(table.slice(start, count))
    metadata = pq.read_metadata(f"{folder.root}/a.parquet")
    sizes = [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]
    assert sizes == [0, 3, 0, 2, 5, 0]
    pool = folder.pool(id_column="name")
    found = plan_pool(pool, workspace, labels_needed=False)
    assert cuts(found) == [(0, "a.parquet", 0, 5, (0, 4), 0), (1, "a.parquet", 5, 5, (4, 5), 5)]
    assert ids(found, pool, workspace) == [f"n{n}" for n in range(10)]


def test_ids_come_from_the_configured_column_or_one_called_id(folder, workspace, parquet):
    table = columns(0, 3)
    folder.put("a.parquet", parquet({**table, "id": ["x", "y", "z"]}))
    folder.put("b.parquet", parquet({**columns(3, 2), "id": ["../etc", "a\nb"]}))
    pool = folder.pool()
    found = plan_pool(pool, workspace, labels_needed=False)
    assert found.id_column == "id"
    assert ids(found, pool, workspace) == ["x", "y", "z", "../etc", "a\nb"]
    pool = folder.pool(id_column="name")
    assert ids(plan_pool(pool, workspace, labels_needed=False), pool, workspace) == [f"n{n}" for n in range(5)]


def test_the_first_readable_file_decides_on_the_ids(folder, workspace, parquet):
    folder.put("a.parquet", b"")
    folder.put("b.parquet", parquet({**columns(0, 2), "id": ["x", "y"]}))
    folder.put("c.parquet", parquet(columns(2, 2)))
    found = plan_pool(folder.pool(), workspace, labels_needed=False)
    assert found.id_column == "id", "a broken file before it changes nothing"
    assert [(path, code) for path, code, _ in found.unreadable] == [
        ("a.parquet", "unreadable"),
        ("c.parquet", "bad_column"),
    ]
    assert found.num_rows == 2


def test_an_id_that_stands_there_twice_is_refused(place, workspace, parquet):
    place.put("a.parquet", parquet({"image": [b"1", b"2"], "id": ["x", "y"]}))
    place.put("b.parquet", parquet({"image": [b"3", b"4"], "id": ["z", "x"]}))
    with pytest.raises(PoolError) as caught:
        plan_pool(place.pool(), workspace, labels_needed=False)
    assert str(caught.value) == (
        f"{place.root}: the id 'x' stands there twice (a.parquet, row 0 and b.parquet, row 1); ids must be unique: "
        "choose another pool.id_column, or none to use path and row"
    )
    assert caught.value.exit_code == 2


def test_files_that_cannot_be_used_are_named_with_their_reason(place, workspace, parquet):
    good = parquet(columns(0, 5))
    place.put("cut.parquet", good[: len(good) - 30])
    place.put("footer.parquet", good[:-8] + b"\xff\xff\xff\x7fPAR1")
    place.put("good.parquet", good)
    place.put("html.parquet", b"<html>404 Not Found</html>")
    place.put("none.parquet", parquet(pa.table(columns(0, 1)).slice(0, 0)))
    place.put("other.parquet", parquet({"picture": [b"1"], "label": ["x"]}))
    place.put("text.parquet", parquet({"image": ["a.jpg"], "label": ["x"]}))
    place.put("zero.parquet", b"")
    found = plan_pool(place.pool(), workspace, labels_needed=False)
    assert cuts(found) == [(0, "good.parquet", 0, 5, (0, 1), 0)]
    assert [(path, code) for path, code, _ in found.unreadable] == [
        ("cut.parquet", "unreadable"),
        ("footer.parquet", "unreadable"),
        ("html.parquet", "unreadable"),
        ("none.parquet", "empty"),
        ("other.parquet", "bad_column"),
        ("text.parquet", "bad_column"),
        ("zero.parquet", "unreadable"),
    ]
    messages = {path: message for path, _, message in found.unreadable}
    assert "magic bytes not found in footer" in messages["cut.parquet"]
    assert messages["none.parquet"] == "holds no rows"
    assert messages["other.parquet"] == "has no column 'image', only picture, label"
    assert messages["text.parquet"] == "column 'image' is string, expected binary or struct<bytes: binary, ...>"
    assert "size is 0 bytes" in messages["zero.parquet"]


def test_a_label_column_is_needed_only_where_an_oracle_answers(folder, workspace, parquet):
    folder.put("a.parquet", parquet({"image": [b"1"], "label": ["x"]}))
    folder.put("b.parquet", parquet({"image": [b"2"]}))
    pool = folder.pool(label_column="label")
    assert plan_pool(pool, workspace, labels_needed=False).num_rows == 2
    found = plan_pool(pool, workspace, labels_needed=True)
    assert found.num_rows == 1
    assert found.unreadable == (("b.parquet", "bad_column", "has no column 'label', only image"),)


def test_a_configured_column_that_no_file_has_is_refused(folder, workspace, parquet):
    folder.put("a.parquet", parquet(columns(0, 2)))
    for settings in ({"image_column": "picture"}, {"id_column": "nom"}):
        ((_, name),) = settings.items()
        with pytest.raises(PoolError, match=f"a.parquet: bad_column, has no column '{name}', only image, name, label"):
            plan_pool(folder.pool(**settings), workspace, labels_needed=False)


def test_a_pool_of_which_nothing_can_be_used_is_refused(place, workspace, parquet):
    place.put("a.parquet", b"")
    place.put("b.parquet", b"PAR1")
    with pytest.raises(PoolError, match=r"none of its 2 Parquet files can be used; a\.parquet: unreadable, .*0 bytes"):
        plan_pool(place.pool(), workspace, labels_needed=False)


def test_files_that_cannot_be_used_go_into_the_quarantine(folder, workspace, parquet):
    folder.put("a.parquet", b"")
    folder.put("b.parquet", parquet(columns(0, 2)))
    folder.put("c.parquet", parquet({"x": [1]}))
    found = plan_pool(folder.pool(), workspace, labels_needed=False)
    (part,) = quarantine_unreadable(found, workspace)
    table = read_part(workspace, part)
    assert table.schema.equals(schema.QUARANTINE)
    rows = table.to_pylist()
    assert [(row["id"], row["shard"], row["stage"], row["error_code"]) for row in rows] == [
        (None, "a.parquet", "plan", "unreadable"),
        (None, "c.parquet", "plan", "bad_column"),
    ]
    assert rows[1]["message"] == "has no column 'image', only x"
    folder.remove("a.parquet")
    folder.remove("c.parquet")
    assert quarantine_unreadable(plan_pool(folder.pool(), workspace, labels_needed=False), workspace) == []


def test_a_folder_is_listed_in_shards_of_4096_paths(folder, workspace):
    names = [f"{number:05d}.jpg" for number in range(4_097)]
    for name in names:
        os.close(os.open(f"{folder.root}/{name}", os.O_CREAT))
    found = plan_pool(folder.pool(), workspace, labels_needed=True)
    assert [(shard.path, shard.first_row, shard.rows) for shard in found.shards] == [
        ("00000.jpg", 0, 4_096),
        ("04096.jpg", 4_096, 1),
    ]
    listings = [read_part(workspace, shard.listing) for shard in found.shards]
    assert [path for listing in listings for path in listing.column("path").to_pylist()] == names
    assert all(listing.schema.equals(schema.LISTING) for listing in listings)


def test_a_folder_pool_numbers_its_files_in_order(place, workspace, monkeypatch):
    monkeypatch.setattr(plan, "ROWS", 4)
    names = ["a-b.jpg", "a.jpg", "a/b.jpg", "a/c.png", "b.gif", "c/d/e.webp"]
    for name in reversed(names):
        place.put(name, name.encode())
    pool = place.pool()
    found = plan_pool(pool, workspace, labels_needed=False)
    assert (found.kind, found.id_column, found.num_rows) == ("folder", None, 6)
    assert [(s.index, s.path, s.first_row, s.rows, s.row_groups) for s in found.shards] == [
        (0, "a-b.jpg", 0, 4, None),
        (1, "b.gif", 4, 2, None),
    ]
    assert [shard.listing.name.startswith(f"pool/listing-0000{shard.index}-") for shard in found.shards] == [True] * 2
    assert read_part(workspace, found.shards[1].listing).column("size").to_pylist() == [5, 10]
    assert ids(found, pool, workspace) == names


def test_a_plan_survives_json(folder, workspace, parquet, monkeypatch):
    monkeypatch.setattr(plan, "ROWS", 4)
    folder.put("a.parquet", parquet(columns(0, 9), rows_per_group=2))
    folder.put("b.parquet", b"")
    folder.put("x/1.jpg")
    for kind in ("parquet", "folder"):
        found = plan_pool(folder.pool(format=kind), workspace, labels_needed=False)
        assert found.shards
        assert Plan.from_json(json.loads(json.dumps(found.to_json()))) == found


def test_planning_twice_gives_the_same_plan(place, workspace, parquet):
    for number in range(3):
        place.put(f"{number}.parquet", parquet(columns(number * 5, 5)))
    first, second = (plan_pool(place.pool(), workspace, labels_needed=False) for _ in range(2))
    assert first == second


def test_a_single_file_is_planned_from_its_folder(place, workspace, parquet):
    place.put("a.parquet", parquet(columns(0, 4)))
    place.put("b.parquet", parquet(columns(4, 4)))
    pool = Pool(path=f"{place.root}/b.parquet")
    found = plan_pool(pool, workspace, labels_needed=False)
    assert (found.root, found.num_rows) == (place.root, 4)
    assert ids(found, pool, workspace) == [f"b.parquet#{n}" for n in range(4)]


def test_a_folder_whose_name_ends_like_a_file_is_planned(place, workspace, parquet):
    place.put("photos.parquet/part-0.parquet", parquet(columns(0, 4)))
    pool = Pool(path=f"{place.root}/photos.parquet")
    found = plan_pool(pool, workspace, labels_needed=False)
    assert (found.root, found.unreadable) == (pool.path, ())
    assert ids(found, pool, workspace)[3] == "part-0.parquet#3"


def test_links_to_parquet_files_are_planned(folder, workspace, parquet, tmp_path):
    (tmp_path / "blob").write_bytes(parquet(columns(0, 4)))
    os.utime(tmp_path / "blob", (1, 1))
    os.symlink(tmp_path / "blob", f"{folder.root}/a.parquet")
    pool = folder.pool()
    found = plan_pool(pool, workspace, labels_needed=False)
    assert found.unreadable == ()
    assert ids(found, pool, workspace) == [f"a.parquet#{n}" for n in range(4)]


@pytest.mark.parametrize(
    "name", ["a b.parquet", "a#b.parquet", "a[1].parquet", "a%20b.parquet", "a::b.parquet", "ä.pq"]
)
def test_names_of_files_are_taken_as_they_are(place, workspace, parquet, name):
    place.put(name, parquet(columns(0, 2)))
    pool = place.pool()
    found = plan_pool(pool, workspace, labels_needed=False)
    assert ids(found, pool, workspace) == [f"{name}#0", f"{name}#1"]


def test_shards_of_real_images(data, workspace):
    pool = Pool(path=str(data / "cifar10"), id_column="path", label_column="label")
    found = plan_pool(pool, workspace, labels_needed=True)
    assert (found.num_rows, found.unreadable) == (60_000, ())
    assert [shard.rows for shard in found.shards[:2]] == [5_000, 5_000]
    assert np.cumsum([0, *(shard.rows for shard in found.shards)])[:-1].tolist() == [
        shard.first_row for shard in found.shards
    ]
