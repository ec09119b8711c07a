import os
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pools import items

from raylabel.config import Pool
from raylabel.errors import PoolError, StorageError
from raylabel.pool import Plan, ShardUnreadable, Want, fetch, fetch_shards, plan, plan_pool, read_shard
from raylabel.pool.read import fetch_from

pytestmark = pytest.mark.usefixtures("ray_session")


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    """A shard closes at 10 items."""
    monkeypatch.setattr(plan, "ROWS", 10)


def flipped(data: bytes, column: str, *, group: int) -> bytes:
    """The bytes of a Parquet file with one bit flipped in the middle of a column's pages."""
    metadata = pq.ParquetFile(pa.BufferReader(data)).metadata.row_group(group)
    chunks = [metadata.column(number) for number in range(metadata.num_columns)]
    (chunk,) = [chunk for chunk in chunks if chunk.path_in_schema.partition(".")[0] == column]
    broken = bytearray(data)
    broken[chunk.data_page_offset + chunk.total_compressed_size - 3] ^= 1
    return bytes(broken)


@pytest.fixture
def photos(cifar, parquet, place) -> Pool:
    """60 real images in two files with groups of 6 rows."""
    table = pa.Table.from_batches([cifar])
    place.put("a.parquet", parquet(table.slice(0, 40), rows_per_group=6))
    place.put("b/b.parquet", parquet(table.slice(40), rows_per_group=6))
    return place.pool(id_column="path", label_column="label")


# --- Parquet ---------------------------------------------------------------------------------------------------------


def test_a_shard_streams_what_pyarrow_reads(photos, cifar, workspace):
    found = plan_pool(photos, workspace, labels_needed=True)
    assert [shard.rows for shard in found.shards] == [12, 12, 12, 4, 12, 8]
    read = items(found, photos, workspace)
    assert [item.row for item in read] == list(range(60))
    assert [item.id for item in read] == cifar.column("path").to_pylist()
    assert [item.image for item in read] == cifar.column("image").to_pylist()
    assert {item.label for item in read} == {None}, "nobody asked for labels"


@pytest.mark.parametrize(("batch_rows", "sizes"), [(5, [5, 5, 2]), (12, [12]), (100, [12])])
def test_batches_hold_as_many_items_as_asked(photos, workspace, batch_rows, sizes):
    found = plan_pool(photos, workspace, labels_needed=False)
    batches = list(read_shard(found, found.shards[1], pool=photos, store=workspace, batch_rows=batch_rows))
    assert [len(batch.items) for batch in batches] == sizes
    assert [item.row for batch in batches for item in batch.items] == list(range(12, 24))


def test_fetched_items_are_those_that_are_read(photos, cifar, workspace):
    found = plan_pool(photos, workspace, labels_needed=True)
    read = items(found, photos, workspace)
    rows = np.array([59, 0, 11, 12, 41, 37, 5])
    fetched = list(fetch(found, rows, pool=photos, store=workspace, want=Want()))
    assert fetched == [read[row] for row in sorted(rows.tolist())], "shard by shard, in the order of the pool"
    labels = cifar.column("label").to_pylist()
    named = list(fetch(found, rows, pool=photos, store=workspace, want=Want(image=False, label=True)))
    assert [(item.row, item.id, item.image, item.label) for item in named] == [
        (row, read[row].id, None, labels[row]) for row in sorted(rows.tolist())
    ]
    assert list(fetch(found, [], pool=photos, store=workspace, want=Want())) == []


def test_ids_by_path_and_row_are_the_same_read_or_fetched(photos, workspace):
    pool = Pool(path=photos.path)
    found = plan_pool(pool, workspace, labels_needed=False)
    expected = [f"a.parquet#{n}" for n in range(40)] + [f"b/b.parquet#{n}" for n in range(20)]
    assert [item.id for item in items(found, pool, workspace)] == expected
    for want in (Want(image=False), Want(), Want(image=False, label=True)):
        fetched = fetch(found, range(60), pool=pool, store=workspace, want=want)
        assert [(item.row, item.id, item.label) for item in fetched] == [(n, expected[n], None) for n in range(60)]


def test_a_row_asked_for_twice_comes_twice(photos, workspace):
    found = plan_pool(photos, workspace, labels_needed=False)
    fetched = list(fetch(found, [13, 2, 13], pool=photos, store=workspace, want=Want()))
    assert [item.row for item in fetched] == [2, 13, 13]
    assert fetched[1] == fetched[2]


def test_rows_beyond_the_pool_are_refused(photos, workspace):
    found = plan_pool(photos, workspace, labels_needed=False)
    with pytest.raises(IndexError, match=r"^row 60 of a pool of 60 items$"):
        list(fetch(found, [60], pool=photos, store=workspace, want=Want()))


def test_labels_keep_their_kind(folder, workspace, parquet):
    folder.put("a.parquet", parquet({"image": [b"1", b"2", b"3"], "label": [3, None, 0]}))
    pool = folder.pool(label_column="label")
    found = plan_pool(pool, workspace, labels_needed=True)
    fetched = fetch(found, range(3), pool=pool, store=workspace, want=Want(label=True))
    assert [(item.image, item.label) for item in fetched] == [(b"1", 3), (b"2", None), (b"3", 0)]


def test_images_in_structs_and_missing_images(place, workspace, parquet):
    values = [{"bytes": b"1", "path": "a.jpg"}, {"bytes": None, "path": "b.jpg"}, None, {"bytes": b"", "path": None}]
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    place.put("a.parquet", parquet({"photo": pa.array(values, kind)}))
    place.put("b.parquet", parquet({"photo": [b"2", None]}))
    pool = place.pool(image_column="photo")
    found = plan_pool(pool, workspace, labels_needed=False)
    assert [item.image for item in items(found, pool, workspace)] == [b"1", None, None, b"", b"2", None]
    fetched = fetch(found, [5, 0, 1], pool=pool, store=workspace, want=Want())
    assert [(item.row, item.image) for item in fetched] == [(0, b"1"), (1, None), (5, None)]


# --- Parquet that changed or broke -----------------------------------------------------------------------------------


def unreadable(found: Plan, number: int, pool: Pool, store) -> str:
    """The code of the error with which a shard cannot be read, one way or the other."""
    shard = found.shards[number]
    with pytest.raises(ShardUnreadable) as streamed:
        list(read_shard(found, shard, pool=pool, store=store, batch_rows=5))
    with pytest.raises(ShardUnreadable) as here:
        fetch_from(found, shard, np.array([shard.first_row]), pool, store, Want())
    ((_, in_a_task),) = fetch_shards(found, [shard.first_row], pool=pool, store=store, want=Want())
    errors = [streamed.value, here.value, in_a_task]
    assert all(isinstance(error, ShardUnreadable) and error.message for error in errors)
    (code,) = {error.code for error in errors}
    return code


def test_a_file_that_changed_since_planning_is_not_read(photos, place, workspace, parquet, cifar):
    found = plan_pool(photos, workspace, labels_needed=False)
    place.put("b/b.parquet", parquet(pa.Table.from_batches([cifar]).slice(39, 20), rows_per_group=6))
    assert unreadable(found, 4, photos, workspace) == unreadable(found, 5, photos, workspace) == "input_changed"
    assert len(items(replace(found, shards=found.shards[:4]), photos, workspace)) == 40, "the other file is as it was"


def test_a_file_written_anew_with_the_same_size_has_changed(folder, workspace, parquet):
    folder.put("a.parquet", parquet({"image": [b"1", b"2"]}, compression="none"))
    found = plan_pool(folder.pool(), workspace, labels_needed=False)
    before = os.stat(f"{folder.root}/a.parquet")
    folder.put("a.parquet", parquet({"image": [b"1", b"3"]}, compression="none"))
    assert os.stat(f"{folder.root}/a.parquet").st_size == before.st_size
    os.utime(f"{folder.root}/a.parquet", ns=(before.st_atime_ns, before.st_mtime_ns + 1_000_000))
    assert unreadable(found, 0, folder.pool(), workspace) == "input_changed"


def test_a_file_that_is_gone_is_missing(photos, place, workspace):
    found = plan_pool(photos, workspace, labels_needed=False)
    place.remove("b/b.parquet")
    assert unreadable(found, 5, photos, workspace) == "missing"
    with pytest.raises(PoolError) as caught:
        list(fetch(found, [3, 59], pool=photos, store=workspace, want=Want()))
    assert str(caught.value) == (
        f"{found.root}/b/b.parquet[2:4]: can no longer be read (missing: the file is gone); "
        "restore the pool as it was planned, or begin another workspace"
    )


@pytest.mark.parametrize("column", ["image", "path"])
def test_a_flipped_bit_in_a_page_spoils_its_shard_alone(place, workspace, parquet, cifar, column):
    data = parquet(pa.Table.from_batches([cifar]), rows_per_group=6, compression="none")
    place.put("a.parquet", flipped(data, column, group=3))
    pool = place.pool(id_column="path")
    found = plan_pool(pool, workspace, labels_needed=False)
    assert [shard.row_groups for shard in found.shards] == [(0, 2), (2, 4), (4, 6), (6, 8), (8, 10)]
    with pytest.raises(ShardUnreadable, match="CRC checksum verification failed") as caught:
        list(read_shard(found, found.shards[1], pool=pool, store=workspace, batch_rows=5))
    assert caught.value.code == "unreadable"
    with pytest.raises(ShardUnreadable, match="CRC checksum verification failed"):
        fetch_from(found, found.shards[1], np.array([20]), pool, workspace, Want())
    others = replace(found, shards=tuple(shard for shard in found.shards if shard.index != 1))
    read = items(others, pool, workspace)
    assert [item.row for item in read] == [*range(12), *range(24, 60)]
    assert [item.image for item in read] == [cifar.column("image")[item.row].as_py() for item in read]


def test_ids_that_are_no_text_spoil_their_shard(folder, workspace, parquet):
    broken = pa.StringArray.from_buffers(2, pa.py_buffer(np.array([0, 1, 2], np.int32)), pa.py_buffer(b"a\xff"))
    folder.put("a.parquet", parquet({"image": [b"1", b"2"], "id": broken}))
    folder.put("b.parquet", parquet({"image": [b"3"], "id": ["b"]}))
    pool = folder.pool()
    found = plan_pool(pool, workspace, labels_needed=False)
    with pytest.raises(ShardUnreadable) as caught:
        list(read_shard(found, found.shards[0], pool=pool, store=workspace, batch_rows=5))
    assert caught.value.code == "unreadable" and "can't decode byte 0xff" in caught.value.message
    with pytest.raises(ShardUnreadable, match="can't decode byte 0xff"):
        fetch_from(found, found.shards[0], np.array([1]), pool, workspace, Want())
    assert [item.id for item in items(replace(found, shards=found.shards[1:]), pool, workspace)] == ["b"]


def test_a_store_that_fails_is_no_broken_shard(folder, workspace, parquet):
    folder.put("a.parquet", parquet({"image": [b"1"]}))
    found = plan_pool(folder.pool(), workspace, labels_needed=False)
    os.rename(folder.root, f"{folder.root}-away")
    with open(folder.root, "w"):
        pass
    with pytest.raises(StorageError, match="could not be opened"):
        list(read_shard(found, found.shards[0], pool=folder.pool(), store=workspace, batch_rows=5))


# --- folders ---------------------------------------------------------------------------------------------------------

PICTURES = ["a[1].jpg", "b c.png", "cats/1.jpg", "cats/2.jpg", "cats/kittens/3.jpg", "dogs/1.jpg", "dogs/4?.gif"]
LABELS = [None, None, "cats", "cats", "kittens", "dogs", "dogs"]


@pytest.fixture
def album(place, cifar) -> Pool:
    """Seven real images in folders."""
    for number, name in enumerate(PICTURES):
        place.put(name, cifar.column("image")[number].as_py())
    return place.pool()


def test_a_folders_items_are_its_files(album, cifar, workspace, monkeypatch):
    monkeypatch.setattr(plan, "ROWS", 3)
    found = plan_pool(album, workspace, labels_needed=True)
    assert [shard.rows for shard in found.shards] == [3, 3, 1]
    read = items(found, album, workspace, batch_rows=2)
    assert [(item.row, item.id, item.label) for item in read] == [(n, name, None) for n, name in enumerate(PICTURES)]
    assert [item.image for item in read] == cifar.column("image").slice(0, 7).to_pylist()
    batches = read_shard(found, found.shards[1], pool=album, store=workspace, batch_rows=2)
    assert [len(batch.items) for batch in batches] == [2, 1]


def test_a_folders_oracle_reads_the_parent_folders_name(album, workspace):
    found = plan_pool(album, workspace, labels_needed=True)
    named = list(fetch(found, range(7), pool=album, store=workspace, want=Want(image=False, label=True)))
    assert [(item.id, item.label, item.image) for item in named] == [
        (name, label, None) for name, label in zip(PICTURES, LABELS, strict=True)
    ]
    read = items(found, album, workspace)
    assert list(fetch(found, [6, 0, 3, 3], pool=album, store=workspace, want=Want())) == [
        *(read[0], read[3], read[3], read[6]),
    ]


def test_the_same_pool_on_disk_and_in_s3_gives_the_same_items(folder, s3_prefix, cifar, parquet, workspace):
    from_s3 = type(folder)(s3_prefix)
    for place in (folder, from_s3):
        for number, name in enumerate(PICTURES):
            place.put(f"folder/{name}", cifar.column("image")[number].as_py())
        place.put("parquet/a.parquet", parquet(pa.Table.from_batches([cifar]), rows_per_group=8))
    for kind in ("folder", "parquet"):
        pools = [Pool(path=f"{place.root}/{kind}") for place in (folder, from_s3)]
        plans = [plan_pool(pool, workspace, labels_needed=False) for pool in pools]
        here, there = (items(found, pool, workspace) for found, pool in zip(plans, pools, strict=True))
        assert here == there
        assert len(here) == {"folder": 7, "parquet": 60}[kind]


def test_a_picture_that_is_gone_or_has_another_size_has_no_bytes(album, place, workspace):
    found = plan_pool(album, workspace, labels_needed=False)
    place.remove("cats/1.jpg")
    place.put("cats/2.jpg", b"another")
    read = {item.id: item.image for item in items(found, album, workspace)}
    assert [name for name, image in read.items() if image is None] == ["cats/1.jpg", "cats/2.jpg"]
    codes = {item.id: item.error[0] for item in items(found, album, workspace) if item.error}
    assert codes == {"cats/1.jpg": "missing", "cats/2.jpg": "input_changed"}
    assert list(read) == PICTURES, "they stand there still, to be put into the quarantine"
    (fetched,) = fetch(found, [3], pool=album, store=workspace, want=Want())
    assert (fetched.id, fetched.image) == ("cats/2.jpg", None)


def test_a_listing_that_is_gone_is_a_storage_error(album, workspace):
    found = plan_pool(album, workspace, labels_needed=False)
    workspace.remove(found.shards[0].listing.name)
    with pytest.raises(StorageError, match="a record names this file, but it is gone"):
        items(found, album, workspace)
    with pytest.raises(StorageError, match="a record names this file, but it is gone"):
        list(fetch(found, [0], pool=album, store=workspace, want=Want()))
