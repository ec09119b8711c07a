import csv
import io
import json
import tracemalloc
from dataclasses import replace

import pyarrow as pa
import pytest
from pools import items

from raylabel import schema
from raylabel.config import Pool
from raylabel.errors import PoolError
from raylabel.pool import Plan, Want, fetch, plan, plan_pool
from raylabel.pool.listing import list_pool
from raylabel.pool.lists import CutList, locate
from raylabel.workspace import read_part

pytestmark = pytest.mark.usefixtures("ray_session")


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    """A shard closes at 10 rows."""
    monkeypatch.setattr(plan, "ROWS", 10)


def as_csv(rows: list[dict[str, object]]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def as_jsonl(rows: list[dict[str, object]]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def planned(place, name: str, workspace, *, labels_needed: bool = False, **settings) -> Plan:
    pool = Pool(path=f"{place.root}/{name}" if name else place.root, format="list", **settings)
    return plan_pool(pool, workspace, labels_needed=labels_needed)


def refused(folder, workspace, name: str, data: bytes, **settings) -> str:
    """What is said of a list, after its path."""
    folder.put(name, data)
    with pytest.raises(PoolError) as caught:
        planned(folder, name, workspace, **settings)
    text = str(caught.value)
    assert text.startswith(f"{folder.root}/{name}")
    return text.removeprefix(f"{folder.root}/{name}")


@pytest.mark.parametrize(
    ("root", "uri", "where"),
    [
        ("/data", "a/b.jpg", "/data/a/b.jpg"),
        ("/data", "/other/b.jpg", "/other/b.jpg"),
        ("/data", "file:///other/b.jpg", "file:///other/b.jpg"),
        ("/data", "s3://bucket/b.jpg", "s3://bucket/b.jpg"),
        ("/data", "https://host/b.jpg?x=1", "https://host/b.jpg?x=1"),
        ("/data", "../b.jpg", "/b.jpg"),
        ("/data", "a:b.jpg", "/data/a:b.jpg"),
        ("s3://bucket/lists", "a/b.jpg", "s3://bucket/lists/a/b.jpg"),
        ("s3://bucket/lists", "./a//b.jpg", "s3://bucket/lists/a/b.jpg"),
        ("s3://bucket/lists", "../b..jpg", "s3://bucket/b..jpg"),
        ("s3://bucket/lists", "a//b.jpg", "s3://bucket/lists/a//b.jpg"),
        ("s3://bucket/lists", "/local/b.jpg", "/local/b.jpg"),
    ],
)
def test_where_a_uri_leads(root, uri, where):
    assert locate(root, uri) == where


# --- pools of lists --------------------------------------------------------------------------------------------------


@pytest.fixture
def pictures(place, cifar) -> list[dict[str, object]]:
    """25 real images beside where their list will lie, and its rows, in no order of names."""
    rows: list[dict[str, object]] = []
    for number in range(25):
        uri = f"images/{(number * 7) % 25:02d}, [{number}].jpg"
        place.put(f"lists/{uri}", cifar.column("image")[number].as_py())
        rows.append({"uri": uri, "name": f"n{number}", "label": cifar.column("label")[number].as_py()})
    return rows


FORMATS = {"a.csv": as_csv, "a.jsonl": as_jsonl, "a.parquet": lambda rows: None}


@pytest.mark.parametrize("name", FORMATS)
def test_rows_are_items_in_the_lists_order(place, cifar, workspace, pictures, parquet, name):
    data = parquet(pa.Table.from_pylist(pictures)) if name == "a.parquet" else FORMATS[name](pictures)
    place.put(f"lists/{name}", data)
    settings = {"id_column": "name", "label_column": "label"}
    found = planned(place, f"lists/{name}", workspace, labels_needed=True, **settings)
    assert (found.root, found.kind, found.unreadable) == (f"{place.root}/lists", "list", ())
    assert [(s.index, s.path, s.first_row, s.rows, s.first_file_row) for s in found.shards] == [
        (0, name, 0, 10, 0),
        (1, name, 10, 10, 10),
        (2, name, 20, 5, 20),
    ]
    assert found.shards[1].name == f"{name}, items 10 to 19"
    assert all(read_part(workspace, shard.listing).schema.equals(schema.URIS) for shard in found.shards)
    assert Plan.from_json(json.loads(json.dumps(found.to_json()))) == found
    pool = Pool(path=f"{place.root}/lists/{name}", **settings)
    read = items(found, pool, workspace)
    assert [(item.row, item.id, item.label, item.error) for item in read] == [
        (number, f"n{number}", None, None) for number in range(25)
    ]
    assert [item.image for item in read] == cifar.column("image").slice(0, 25).to_pylist()
    fetched = list(fetch(found, [24, 3, 3], pool=pool, store=workspace, want=Want(label=True)))
    labels = cifar.column("label").to_pylist()
    assert fetched == [replace(read[row], label=labels[row]) for row in (3, 3, 24)]


def test_without_an_id_column_the_uri_is_the_id(place, workspace, pictures):
    place.put("lists/a.csv", as_csv(pictures))
    pool = Pool(path=f"{place.root}/lists/a.csv")
    found = plan_pool(pool, workspace, labels_needed=False)
    assert [item.id for item in items(found, pool, workspace)] == [row["uri"] for row in pictures]


def test_the_same_list_on_disk_and_in_s3_gives_the_same_items(folder, s3_prefix, cifar, workspace):
    read = []
    for place in (folder, type(folder)(s3_prefix)):
        rows = []
        for number in range(25):
            place.put(f"x/{number}.jpg", cifar.column("image")[number].as_py())
            rows.append({"uri": f"{'./' if number % 2 else ''}x/{number}.jpg", "label": number})
        place.put("x/gone.jpg")
        place.remove("x/gone.jpg")
        place.put("a.jsonl", as_jsonl([*rows, {"uri": "x/gone.jpg"}]))
        pool = Pool(path=f"{place.root}/a.jsonl", label_column="label")
        found = plan_pool(pool, workspace, labels_needed=True)
        read.append(items(found, pool, workspace))
        read[-1] += fetch(found, range(26), pool=pool, store=workspace, want=Want(label=True))
    assert read[0] == read[1]
    assert [item.label for item in read[0][26:]] == [*range(25), None]
    assert [item.error for item in read[0] if item.error] == [("missing", "there is no such file")] * 2


def test_a_folder_of_parquet_files_is_one_list(place, workspace, parquet):
    for number, count in enumerate([12, 0, 3]):
        rows = {"uri": [f"{number}-{row}.jpg" for row in range(count)]}
        place.put(f"deep/{number}.parquet", parquet(pa.table(rows, schema=pa.schema([("uri", pa.string())]))))
    found = planned(place, "", workspace)
    assert [(s.index, s.path, s.first_row, s.rows, s.first_file_row) for s in found.shards] == [
        (0, "deep/0.parquet", 0, 10, 0),
        (1, "deep/0.parquet", 10, 2, 10),
        (2, "deep/2.parquet", 12, 3, 0),
    ]
    place.put("2-2.jpg", b"the pool's own folder is where relative URIs start")
    assert items(found, place.pool(), workspace)[14].image == b"the pool's own folder is where relative URIs start"


def test_labels_are_names_or_indices(folder, workspace):
    rows = [{"uri": "a", "label": "cat"}, {"uri": "b", "label": 3}, {"uri": "c", "label": None}, {"uri": "d"}]
    folder.put("a.jsonl", as_jsonl([*rows, {"uri": "e", "label": ""}]))
    pool = Pool(path=f"{folder.root}/a.jsonl", label_column="label")
    found = plan_pool(pool, workspace, labels_needed=True)
    named = fetch(found, range(5), pool=pool, store=workspace, want=Want(image=False, label=True))
    assert [(item.id, item.label) for item in named] == [("a", "cat"), ("b", 3), ("c", None), ("d", None), ("e", None)]


def test_a_list_is_streamed(folder, workspace):
    """Eight times as many rows want no more memory."""
    peaks = []
    for count in (4_000, 32_000):
        folder.put("a.csv", b"uri\n" + b"".join(b"images/%08d.jpg\n" % number for number in range(count)))
        pool = Pool(path=f"{folder.root}/a.csv")
        _, (found,) = list_pool(pool)
        tracemalloc.start()
        shards = CutList(folder.root, pool, workspace, labels_needed=False, rows_per_shard=1_000)((found, ()))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert [shard.rows for shard in shards] == [1_000] * (count // 1_000)
    assert peaks[1] < 1.5 * peaks[0]


def test_csv_as_spreadsheets_write_it(folder, workspace):
    text = '\ufeffuri,note\r\n"a,1.jpg","two\r\nlines"\r\n\r\n"say ""hi"".jpg",ä\r\n'
    folder.put("a.csv", text.encode())
    pool = Pool(path=f"{folder.root}/a.csv")
    found = plan_pool(pool, workspace, labels_needed=False)
    assert [item.id for item in items(found, pool, workspace)] == ["a,1.jpg", 'say "hi".jpg']


def test_a_list_changed_after_planning_changes_nothing(folder, workspace):
    folder.put("x.jpg", b"x")
    folder.put("a.csv", b"uri\nx.jpg\n")
    pool = Pool(path=f"{folder.root}/a.csv")
    found = plan_pool(pool, workspace, labels_needed=False)
    folder.remove("a.csv")
    assert [item.image for item in items(found, pool, workspace)] == [b"x"]


# --- lists that are refused ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        (
            "a.csv",
            b"path,label\na.jpg,x\n",
            ": has no column 'uri', only path, label; correct the list, or say in [pool]",
        ),
        ("a.csv", b"", ": has no column 'uri', only none; correct"),
        ("a.csv", b"uri\n", ": the list holds no rows"),
        ("a.csv", b"uri,uri\na,b\n", ": two of its columns have the same name (uri, uri)"),
        ("a.csv", b"uri\na.jpg\nhttp://x/a,b.jpg\n", ", line 3: 2 values for 1 columns; put values that hold a comma"),
        ("a.csv", b"uri,x\na.jpg,1\n,2\n", ", line 3: 'uri' is ''; every row needs it, as text"),
        ("a.csv", b'uri\n"a.jpg\n', ", line 2: not CSV (unexpected end of data)"),
        ("a.csv", b"uri\n\xff.jpg\n", ": not UTF-8 (invalid start byte, byte 0xff)"),
        ("a.csv", b"uri\ngs://bucket/a.jpg\n", ", line 2: nothing here serves 'gs://bucket/a.jpg'; give local paths"),
        ("a.csv", b"uri\na\0b.jpg\n", ", line 2: 'uri' is 'a\\x00b.jpg'"),
        ("a.jsonl", b'{"uri": "a"}\n{"uri": null}\n', ", line 2: 'uri' is None"),
        ("a.jsonl", b'{"uri": "a"}\n\n{"url": "b"}\n', ", line 3: 'uri' is None"),
        ("a.jsonl", b'{"uri": "a"}\n{"uri": \n', ", line 2: not JSON (Expecting value"),
        ("a.jsonl", b'["a.jpg"]\n', ", line 1: list, expected an object with a URI in it"),
        ("a.jsonl", b'{"uri": "\\ud800.jpg"}\n', ", line 1: 'uri' is '\\ud800.jpg'"),
        ("a.parquet", b"PAR1", ": the list cannot be read (unreadable: "),
    ],
)
def test_a_list_that_cannot_be_used_is_refused(folder, workspace, name, data, says):
    assert says in refused(folder, workspace, name, data)


def test_columns_of_parquet_are_checked(folder, workspace, parquet):
    says = refused(folder, workspace, "a.parquet", parquet({"url": ["a"], "x": [1]}))
    assert says.startswith(": has no column 'uri', only url, x;")
    assert refused(folder, workspace, "b.parquet", parquet({"uri": ["a", None]})).startswith(", row 1: 'uri' is None")
    assert refused(folder, workspace, "c.parquet", parquet({"uri": [b"a"]})).startswith(", row 0: 'uri' is b'a'")
    data = parquet({"uri": ["a"], "label": [0.5]})
    assert refused(folder, workspace, "d.parquet", data, label_column="label").startswith(
        ", row 0: the label 0.5 is neither a class's name nor its index"
    )


def test_a_label_column_is_needed_only_where_an_oracle_answers(folder, workspace):
    folder.put("a.csv", b"uri\na.jpg\n")
    assert planned(folder, "a.csv", workspace, label_column="label").num_rows == 1
    with pytest.raises(PoolError, match="has no column 'label', only uri;"):
        planned(folder, "a.csv", workspace, label_column="label", labels_needed=True)


@pytest.mark.parametrize("label", [True, 1.5, ["cat"], 10**30])
def test_labels_of_other_kinds_are_refused(folder, workspace, label):
    data = as_jsonl([{"uri": "a", "label": label}])
    assert ", line 1: the label " in refused(folder, workspace, "a.jsonl", data, label_column="label")


def test_an_id_that_stands_there_twice_is_refused(folder, workspace):
    rows = [{"uri": f"{number}.jpg", "name": number} for number in range(30)]
    folder.put("a.csv", as_csv([*rows, {"uri": "3.jpg", "name": 30}, {"uri": "30.jpg", "name": 7}]))
    for settings, name, places in [
        ({}, "3.jpg", "a.csv, row 3 and a.csv, row 30"),
        ({"id_column": "name"}, "7", "a.csv, row 7 and a.csv, row 31"),
    ]:
        with pytest.raises(PoolError) as caught:
            planned(folder, "a.csv", workspace, **settings)
        assert str(caught.value) == (
            f"{folder.root}/a.csv: the id {name!r} stands there twice ({places}); ids must be unique: "
            "take one of them out of the list, or choose another pool.id_column"
        )


def test_a_list_that_is_taken_for_images_says_so(folder, workspace, parquet):
    folder.put("a.parquet", parquet({"uri": ["a.jpg"]}))
    with pytest.raises(PoolError, match=r"has no column 'image', only uri; set pool\.format to \"list\" if it is one"):
        plan_pool(folder.pool(), workspace, labels_needed=False)
