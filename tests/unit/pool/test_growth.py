import json
import os

import pytest

from raylabel import schema
from raylabel.errors import PoolError
from raylabel.pool import Plan, Want, fetch, grow_plan, plan, plan_pool, quarantine_unreadable
from raylabel.workspace import read_part

pytestmark = pytest.mark.usefixtures("ray_session")


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    """A shard closes at 4 rows."""
    monkeypatch.setattr(plan, "ROWS", 4)


def planned(pool, workspace) -> Plan:
    return plan_pool(pool, workspace, labels_needed=False)


def grown(before, pool, workspace) -> Plan | None:
    return grow_plan(before, pool, workspace, labels_needed=False)


def refused(before, pool, workspace) -> str:
    with pytest.raises(PoolError) as caught:
        grown(before, pool, workspace)
    return str(caught.value)


def ids(found, pool, workspace) -> list[str]:
    items = fetch(found, range(found.num_rows), pool=pool, store=workspace, want=Want(image=False))
    return [item.id for item in items]


def cuts(found) -> list[tuple[object, ...]]:
    return [(shard.index, shard.path, shard.first_row, shard.rows, shard.first_file_row) for shard in found.shards]


def named(*numbers: int) -> dict[str, list[object]]:
    """Columns of a Parquet file."""
    return {"image": [b"%d" % n for n in numbers], "name": [f"n{n}" for n in numbers]}


def as_csv(*rows: tuple[str, str]) -> bytes:
    return "\n".join(["uri,label", *(",".join(row) for row in rows), ""]).encode()


def test_a_folder_grows_behind_what_it_has(place, workspace):
    """New names lie before, between and behind the old ones; twice, so that two versions are looked through at once."""
    pool, old = place.pool(), [f"b/{n}.png" for n in range(6)]
    for name in old:
        place.put(name)
    first = planned(pool, workspace)
    assert grown(first, pool, workspace) is None
    for name in ("a.png", "b/33.png", "c.png"):
        place.put(name, b"more")
    second = grown(first, pool, workspace)
    assert second.shards[:2] == first.shards
    assert ids(second, pool, workspace) == [*old, "a.png", "b/33.png", "c.png"]
    assert cuts(second) == [(0, "b/0.png", 0, 4, 0), (1, "b/4.png", 4, 2, 0), (2, "a.png", 6, 3, 0)]
    assert (second.starts, second.version, first.version) == ((0, 6), 1, 0)
    assert Plan.from_json(json.loads(json.dumps(second.to_json()))) == second
    assert grown(second, pool, workspace) is None
    for name in ("a0.png", "b/1.webp", "d.png"):
        place.put(name)
    third = grown(second, pool, workspace)
    assert ids(third, pool, workspace)[6:] == ["a.png", "b/33.png", "c.png", "a0.png", "b/1.webp", "d.png"]
    assert third.starts == (0, 6, 9)
    assert [third.at(version) for version in range(3)] == [first, second, third]
    assert grown(third, pool, workspace) is None


@pytest.mark.parametrize("name", ["a.png", "m.png", "z.png"])
@pytest.mark.parametrize("version", [0, 1])
def test_a_picture_that_changed_or_is_gone_ends_the_growth(folder, workspace, name, version):
    """First, in the middle or last; of the first plan or of a growth."""
    names = ["a.png", "m.png", "z.png"]
    for n in names if version == 0 else ["b.png", "y.png"]:
        folder.put(n)
    before, pool = planned(folder.pool(), workspace), folder.pool()
    if version:
        for n in names:
            folder.put(n)
        before = grown(before, pool, workspace)
    folder.put("c.png")
    folder.put(name, b"another")
    where = f"{folder.root}/{name}"
    rest = "growth takes in what is new, and nothing else: put it back as it was, or begin another workspace"
    assert refused(before, pool, workspace) == f"{where}: has changed since it was planned; {rest}"
    folder.remove(name)
    assert refused(before, pool, workspace) == f"{where}: was planned and is gone; {rest}"


def test_a_picture_of_the_same_size_has_changed_too(folder, workspace):
    folder.put("a.png", b"old")
    before = planned(folder.pool(), workspace)
    folder.put("a.png", b"new")
    os.utime(f"{folder.root}/a.png", ns=(1, 1))
    assert "a.png: has changed" in refused(before, folder.pool(), workspace)


def test_parquet_grows_by_files(place, workspace, parquet):
    place.put("b.parquet", parquet(named(*range(6)), rows_per_group=3))
    pool = place.pool(id_column="name")
    first = planned(pool, workspace)
    place.put("a.parquet", parquet(named(6, 7)))
    place.put("c.parquet", parquet(named(*range(8, 13)), rows_per_group=4))
    second = grown(first, pool, workspace)
    assert second.shards[:1] == first.shards
    assert cuts(second) == [
        (0, "b.parquet", 0, 6, 0),
        (1, "a.parquet", 6, 2, 0),
        (2, "c.parquet", 8, 4, 0),
        (3, "c.parquet", 12, 1, 4),
    ]
    assert ids(second, pool, workspace) == [f"n{n}" for n in range(13)]
    assert (second.id_column, second.starts) == ("name", (0, 6))
    assert grown(second, pool, workspace) is None
    place.put("b.parquet", parquet(named(*range(7))))
    assert f"{place.root}/b.parquet: has changed" in refused(second, pool, workspace)
    place.remove("b.parquet")
    assert f"{place.root}/b.parquet: was planned and is gone" in refused(second, pool, workspace)


def test_the_ids_stay_what_the_first_plan_took_them_for(folder, workspace, parquet):
    """The old files had no column `id`, and new ones have it."""
    folder.put("b.parquet", parquet({"image": [b"1"]}))
    first = planned(folder.pool(), workspace)
    folder.put("a.parquet", parquet({"image": [b"2"], "id": ["mine"]}))
    second = grown(first, folder.pool(), workspace)
    assert ids(second, folder.pool(), workspace) == ["b.parquet#0", "a.parquet#0"]


def test_a_new_file_without_the_column_of_ids(folder, workspace, parquet):
    folder.put("b.parquet", parquet({"image": [b"1"], "id": ["mine"]}))
    first = planned(folder.pool(), workspace)
    folder.put("a.parquet", parquet({"image": [b"2"]}))
    folder.put("c.parquet", parquet({"image": [b"3"], "id": ["yours"]}))
    second = grown(first, folder.pool(), workspace)
    assert [(path, code) for path, code, _ in second.unreadable] == [("a.parquet", "bad_column")]
    assert ids(second, folder.pool(), workspace) == ["mine", "yours"]


def test_an_id_that_is_there_already_is_refused(folder, workspace, parquet):
    folder.put("b.parquet", parquet(named(0, 1, 2)))
    pool = folder.pool(id_column="name")
    first = planned(pool, workspace)
    folder.put("a.parquet", parquet(named(5, 1)))
    assert refused(first, pool, workspace).startswith(
        f"{folder.root}: the id 'n1' stands there twice (b.parquet, row 1 and a.parquet, row 1)"
    )


def test_files_that_could_not_be_read_are_looked_at_again(folder, workspace, parquet):
    """Mended, they are new; broken as before, they are no growth, and stand in the quarantine once."""
    folder.put("a.parquet", parquet(named(0)))
    folder.put("b.parquet", b"")
    folder.put("c.parquet", b"")
    pool = folder.pool(id_column="name")
    first = planned(pool, workspace)
    assert grown(first, pool, workspace) is None
    folder.put("b.parquet", parquet(named(1)))
    folder.put("d.parquet", b"no Parquet")
    second = grown(first, pool, workspace)
    assert ids(second, pool, workspace) == ["n0", "n1"]
    assert [path for path, _, _ in second.unreadable] == ["c.parquet", "d.parquet"]
    [part] = quarantine_unreadable(second, workspace, known=first)
    assert part.name.startswith("quarantine/plan-0001-")
    assert read_part(workspace, part).column("shard").to_pylist() == ["d.parquet"]
    assert read_part(workspace, part).schema.equals(schema.QUARANTINE)
    folder.remove("c.parquet")
    folder.remove("d.parquet")
    assert grown(second, pool, workspace) is None  # they held nothing
    assert quarantine_unreadable(second, workspace, known=second) == []


def test_new_files_of_which_none_can_be_used(folder, workspace, parquet):
    folder.put("a.parquet", parquet(named(0)))
    first = planned(folder.pool(), workspace)
    folder.put("b.parquet", b"")
    folder.put("c.parquet", b"")
    assert refused(first, folder.pool(), workspace).startswith(
        f"{folder.root}: none of its 2 new files can be used; b.parquet: unreadable, "
    )


def test_a_list_grows_at_its_end(place, workspace):
    rows = [(f"{n}.png", "ab"[n % 2]) for n in range(11)]
    place.put("list.csv", as_csv(*rows[:6]))
    pool = place.pool().model_copy(update={"path": f"{place.root}/list.csv", "label_column": "label"})
    first = planned(pool, workspace)
    place.put("list.csv", as_csv(*rows))
    second = grown(first, pool, workspace)
    assert second.shards[:2] == first.shards
    assert cuts(second)[2:] == [(2, "list.csv", 6, 4, 6), (3, "list.csv", 10, 1, 10)]
    assert second.shards[3].name == "list.csv, items 10 to 10"
    assert ids(second, pool, workspace) == [uri for uri, _ in rows]
    labels = fetch(second, range(11), pool=pool, store=workspace, want=Want(image=False, label=True))
    assert [item.label for item in labels] == [label for _, label in rows]
    assert grown(second, pool, workspace) is None


@pytest.mark.parametrize(
    "rows",
    [
        [("0.png", "a"), ("x.png", "b"), ("2.png", "a"), ("3.png", "b")],
        [("0.png", "a"), ("1.png", "c"), ("2.png", "a"), ("3.png", "b")],  # another label
        [("0.png", "a")],  # shorter
        [("0.png", "a"), ("9.png", "a"), ("1.png", "b"), ("2.png", "a")],  # a row in between
    ],
)
def test_a_list_that_changed_where_it_is_known_is_refused(folder, workspace, rows):
    folder.put("list.csv", as_csv(("0.png", "a"), ("1.png", "b"), ("2.png", "a")))
    pool = folder.pool().model_copy(update={"path": f"{folder.root}/list.csv", "label_column": "label"})
    first = planned(pool, workspace)
    folder.put("list.csv", as_csv(*rows))
    assert refused(first, pool, workspace) == (
        f"{folder.root}/list.csv: item '1.png' no longer stands there as it did when the pool was planned; "
        "a list grows at its end: put back what was there, or begin another workspace"
    )


def test_lists_grow_by_files_too(folder, workspace, parquet):
    """One list gets longer, another is new; one that was written anew with the same rows is the same."""
    lists = {"a": ["a0", "a1"], "b": ["b0"]}
    for name, uris in lists.items():
        folder.put(f"{name}.parquet", parquet({"uri": uris}))
    pool = folder.pool(format="list")
    first = planned(pool, workspace)
    for number, name in enumerate(lists):
        os.utime(f"{folder.root}/{name}.parquet", ns=(number, number))
    assert grown(first, pool, workspace) is None
    folder.put("a.parquet", parquet({"uri": ["a0", "a1", "a2"]}))
    folder.put("c.parquet", parquet({"uri": ["c0"]}))
    second = grown(first, pool, workspace)
    assert ids(second, pool, workspace) == ["a0", "a1", "b0", "a2", "c0"]
    folder.put("a.parquet", parquet({"uri": ["a0", "a1", "a2", "a3"]}))
    third = grown(second, pool, workspace)
    assert ids(third, pool, workspace)[5:] == ["a3"]
    assert third.shards[-1].first_file_row == 3
    folder.put("c.parquet", parquet({"uri": ["c0", "b0"]}))
    assert "the id 'b0' stands there twice" in refused(third, pool, workspace)


def test_a_pool_that_looks_like_another_kind_now(folder, workspace, parquet):
    folder.put("a.png")
    first = planned(folder.pool(), workspace)
    folder.remove("a.png")
    folder.put("a.parquet", parquet(named(0)))
    assert "was planned as 'folder' and looks like 'parquet' now" in refused(first, folder.pool(), workspace)
