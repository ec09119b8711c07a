import io
import json
import os
import tarfile
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import webdataset

from raylabel import schema
from raylabel.config import Pool
from raylabel.errors import PoolError
from raylabel.pool import Item, Plan, ShardUnreadable, Want, fetch, plan, plan_pool, read_shard
from raylabel.pool.read import fetch_from
from raylabel.pool.tars import read_samples
from raylabel.workspace import open_filesystem, read_part

pytestmark = pytest.mark.usefixtures("ray_session")


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    """A shard closes at 10 samples."""
    monkeypatch.setattr(plan, "ROWS", 10)


def tar(*members: tuple[str, bytes], form: int = tarfile.PAX_FORMAT) -> bytes:
    """The bytes of a tar of files."""
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w", format=form) as archive:
        for name, data in members:
            header = tarfile.TarInfo(name)
            header.size = len(data)
            archive.addfile(header, io.BytesIO(data))
    return sink.getvalue()


def photos(cifar, first: int, count: int) -> bytes:
    """A tar of real images, each with its class's name, its index and a JSON."""
    members = []
    for number in range(first, first + count):
        name = cifar.column("label")[number].as_py()
        members += [
            (f"{number:04d}.cls", b"%d\n" % number),
            (f"{number:04d}.jpg", cifar.column("image")[number].as_py()),
            (f"{number:04d}.json", b'{"n": %d}' % number),
            (f"{number:04d}.txt", name.encode()),
        ]
    return tar(*members)


def items(found: Plan, pool: Pool, store, batch_rows: int = 7) -> list[Item]:
    return [
        item
        for shard in found.shards
        for batch in read_shard(found, shard, pool=pool, store=store, batch_rows=batch_rows)
        for item in batch.items
    ]


def keys(data: bytes, **settings) -> list[tuple[str, bytes | None]]:
    """Keys and images of a tar, as its headers tell them."""
    samples = read_samples(io.BytesIO(data), Pool(path="", **settings), size=len(data))
    return [(sample.key, data[sample.image[0] : sum(sample.image)] if sample.image else None) for sample in samples]


def refused(data: bytes) -> tuple[str, str]:
    with pytest.raises(ShardUnreadable) as caught:
        keys(data)
    return caught.value.code, caught.value.message


# --- what a tar holds ------------------------------------------------------------------------------------------------


def test_members_side_by_side_are_a_sample():
    data = tar(
        ("a/0.jpg", b"one"),
        ("a/0.cls", b"3"),
        ("a/1.json", b"{}"),
        ("a/1.JPEG", b"two"),
        ("b/1.png", b"three"),
        ("b.c/x.y.z.webp", b"four"),
        ("./5.seg.png", b"five"),
        ("./5.jpg", b"six"),
    )
    assert keys(data) == [("a/0", b"one"), ("a/1", b"two"), ("b/1", b"three"), ("b.c/x", b"four"), ("./5", b"five")]
    assert keys(data, image_column="jpg") == [
        ("a/0", b"one"),
        ("a/1", None),
        ("b/1", None),
        ("b.c/x", None),
        ("./5", b"six"),
    ]
    assert keys(data, image_column="y.z.WEBP")[3] == ("b.c/x", b"four")


def test_what_is_no_sample_is_passed_over():
    data = tar(
        ("__meta__/0.jpg", b"x"),
        ("__index__", b"x"),
        ("README", b"x"),
        ("._0.jpg", b"x"),
        ("a/._0.jpg", b"x"),
        ("a/__b__/0.jpg", b"one"),
        ("0.txt", b"no image"),
    )
    assert keys(data) == [("a/__b__/0", b"one"), ("0", None)]


def test_folders_links_and_devices_have_no_bytes():
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w") as archive:
        for name, kind, data in [
            ("a", tarfile.DIRTYPE, b""),
            ("a/0.jpg", tarfile.REGTYPE, b"one"),
            ("a/1.jpg", tarfile.LNKTYPE, b""),
            ("a/2.jpg", tarfile.SYMTYPE, b""),
            ("a/fifo.jpg", tarfile.FIFOTYPE, b""),
            ("a/3.jpg", tarfile.REGTYPE, b"two"),
        ]:
            header = tarfile.TarInfo(name)
            header.type, header.size, header.linkname = kind, len(data), "a/0.jpg"
            archive.addfile(header, io.BytesIO(data))
    assert keys(sink.getvalue()) == [("a/0", b"one"), ("a/1", None), ("a/2", None), ("a/3", b"two")]


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_names_are_taken_as_they_are(form):
    names = ["a b", "ä", "a\nb", "\u202ea", "../../etc/x", "/root/x", "a\\b", "a%20b#c?d", "日本"]
    if form != tarfile.USTAR_FORMAT:
        names += ["x" * 200, "y/" * 150 + "z"]
    data = tar(*((f"{name}.jpg", name.encode()) for name in names), form=form)
    assert keys(data) == [(name, name.encode()) for name in names]


def test_keys_are_those_of_the_library(tmp_path, cifar):
    """A tar that webdataset's own writer made, read by webdataset's own reader."""
    path = str(tmp_path / "a.tar")
    with webdataset.TarWriter(path) as writer:
        for number in range(20):
            image = cifar.column("image")[number].as_py()
            writer.write({"__key__": f"part/{number:03d}", "jpg": image, "cls": number, "txt": "some text"})
            writer.write({"__key__": f"x.y/{number:03d}", "left.png": b"left", "right.png": b"right", "json": {"a": 1}})
    theirs = list(webdataset.WebDataset(path, shardshuffle=False, empty_check=False))
    data = Path(path).read_bytes()
    assert keys(data) == [(sample["__key__"], sample.get("jpg", sample.get("left.png"))) for sample in theirs]
    assert len(theirs) == 40
    labels = [
        data[sample.label[0] : sum(sample.label)]
        for sample in read_samples(io.BytesIO(data), Pool(path="", label_column="cls"), size=len(data))
        if sample.label
    ]
    assert labels == [b"%d" % number for number in range(20)]


def test_headers_are_not_kept(tmp_path):
    """Eight times as many members want no more memory."""
    peaks = []
    for count in (500, 4_000):
        path = tmp_path / f"{count}.tar"
        path.write_bytes(tar(*((f"{number}.jpg", b"x") for number in range(count))))
        with path.open("rb") as file:
            tracemalloc.start()
            assert sum(1 for _ in read_samples(file, Pool(path=""), size=path.stat().st_size)) == count
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
    assert peaks[1] < 1.5 * peaks[0]


def test_dots_in_names_that_would_hide_images_are_refused():
    views = tar(*((f"0.{number}.jpg", b"%d" % number) for number in range(8)))
    assert keys(views) == [("0", b"0")], "several views of one sample: the first is taken"
    photos = tar(*((f"a/photo.{number:04d}.jpg", b"x") for number in range(9)))
    code, message = refused(photos)
    assert (code, message.partition(",")[0]) == ("unreadable", "more than 8 images share the key 'a/photo'")
    assert keys(photos, image_column="0003.jpg") == [("a/photo", b"x")]


# --- a tar that is broken --------------------------------------------------------------------------------------------


def test_a_cut_tar_is_refused_wherever_it_is_cut():
    data = tar(("0.jpg", b"a" * 700), ("1.jpg", b"b" * 512), ("2.jpg", b"c"))
    whole = keys(data)
    assert [key for key, _ in whole] == ["0", "1", "2"]
    end = 3 * 512 + 2 * 512 + 2 * 512  # headers at 0, 1536, 2560; the end mark at 3584
    assert data[end:].strip(b"\0") == b""
    for size in [1, 100, 511, 512, 600, 1211, 1212, 1536, 1537, 2048, 2560, 3000, 3072, 3073, 3583, 3584, 3600, 4095]:
        code, message = refused(data[:size])
        said = ("cut: ", "no valid tar: unexpected end of data", "no valid tar: truncated header")
        assert code == "unreadable" and message.startswith(said), (size, message)
    assert keys(data[:4096]) == whole, "one block of zeros is an end"


def test_a_flipped_byte_in_a_header_is_found():
    data = tar(("0.jpg", b"a" * 700), ("1.jpg", b"b" * 512), ("2.jpg", b"c"))
    for at in [0, 1536, 1600, 2560, 2700]:
        broken = bytearray(data)
        broken[at] ^= 4
        code, message = refused(bytes(broken))
        assert code == "unreadable" and "no valid tar" in message, at
    broken = bytearray(data)
    broken[520] ^= 4
    assert keys(bytes(broken))[0][1] != b"a" * 700, "a tar says nothing of its contents"


def test_two_tars_in_one_file_are_refused():
    one = tar(("0.jpg", b"a"))
    assert refused(one + tar(("1.jpg", b"b")))[1].endswith("or data after its end")
    assert keys(one + bytes(5_000_000)) == [("0", b"a")]


@pytest.mark.parametrize("data", [b"", b"<html>404</html>", b"\x1f\x8b" + bytes(600), os.urandom(2_000)])
def test_what_is_no_tar_is_refused(data):
    assert refused(data)[0] == "unreadable"


def test_a_name_that_is_not_text_is_refused():
    data = tar(("0.jpg", b"a"), ("ä.jpg", b"b"), form=tarfile.USTAR_FORMAT)
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w", encoding="latin-1", format=tarfile.USTAR_FORMAT) as archive:
        archive.addfile(tarfile.TarInfo("ä.jpg"))
    assert keys(data)[1][0] == "ä"
    assert refused(sink.getvalue()) == ("unreadable", "the name b'\\xe4.jpg' of a member is not UTF-8")


# --- pools of tars ---------------------------------------------------------------------------------------------------


@pytest.fixture
def tars(place, cifar) -> Pool:
    """60 real images in two tars."""
    place.put("a.tar", photos(cifar, 0, 37))
    place.put("deep/b c.tar", photos(cifar, 37, 23))
    return place.pool(label_column="txt")


def test_samples_are_items(tars, place, cifar, workspace):
    found = plan_pool(tars, workspace, labels_needed=True)
    assert (found.root, found.kind, found.id_column, found.unreadable) == (place.root, "webdataset", None, ())
    assert [(s.index, s.path, s.first_row, s.rows, s.first_file_row) for s in found.shards] == [
        (0, "a.tar", 0, 10, 0),
        (1, "a.tar", 10, 10, 10),
        (2, "a.tar", 20, 10, 20),
        (3, "a.tar", 30, 7, 30),
        (4, "deep/b c.tar", 37, 10, 0),
        (5, "deep/b c.tar", 47, 10, 10),
        (6, "deep/b c.tar", 57, 3, 20),
    ]
    assert found.shards[4].name == "deep/b c.tar, items 0 to 9"
    assert read_part(workspace, found.shards[6].listing).schema.equals(schema.SAMPLES)
    read = items(found, tars, workspace)
    assert [item.row for item in read] == list(range(60))
    assert [item.id for item in read] == [
        f"{'a.tar' if number < 37 else 'deep/b c.tar'}/{number:04d}" for number in range(60)
    ]
    assert [item.image for item in read] == cifar.column("image").to_pylist()
    assert {(item.label, item.error) for item in read} == {(None, None)}


def test_fetched_items_are_those_that_are_read(tars, cifar, workspace):
    found = plan_pool(tars, workspace, labels_needed=True)
    read = items(found, tars, workspace)
    rows = [59, 0, 11, 12, 12, 41]
    fetched = list(fetch(found, rows, pool=tars, store=workspace, want=Want()))
    assert fetched == [read[row] for row in sorted(rows)]
    labels = cifar.column("label").to_pylist()
    named = list(fetch(found, rows, pool=tars, store=workspace, want=Want(image=False, label=True)))
    assert [(item.row, item.id, item.image, item.label) for item in named] == [
        (row, read[row].id, None, labels[row]) for row in sorted(rows)
    ]


def test_single_samples_cost_their_own_bytes(s3_prefix, folder, cifar, workspace):
    """Two samples 15 MB apart: two ranges, the size of the two images."""
    filler = os.urandom(5_000_000)
    image = cifar.column("image")[0].as_py()
    members = [member for n in range(4) for member in [(f"{n}.bin", filler), (f"{n}.jpg", image)]]
    type(folder)(s3_prefix).put("a.tar", tar(*members))
    pool = Pool(path=s3_prefix)
    found = plan_pool(pool, workspace, labels_needed=False)
    filesystem, _ = open_filesystem(s3_prefix)
    asked: list[str] = []
    real = filesystem._call_s3

    async def counted(method, *args, **options):
        asked.append(options.get("Range", method))
        return await real(method, *args, **options)

    filesystem._call_s3 = counted
    try:
        fetched = fetch_from(found, found.shards[0], np.array([0, 3]), pool, workspace, Want())
    finally:
        del filesystem._call_s3
    assert [item.image for item in fetched] == [image, image]
    ranges = [tuple(map(int, text.removeprefix("bytes=").split("-"))) for text in asked if text.startswith("bytes")]
    assert [last - first + 1 for first, last in ranges] == [len(image)] * 2


def test_planning_reads_headers_and_passes_over_large_bodies(s3_prefix, folder, workspace, monkeypatch):
    members = [(f"{n}.jpg", bytes(6_000_000)) for n in range(3)] + [(f"{n}.jpg", bytes(3_000)) for n in range(3, 90)]
    data = tar(*members)
    type(folder)(s3_prefix).put("a.tar", data)
    filesystem, path = open_filesystem(f"{s3_prefix}/a.tar")
    with filesystem.open(path, "rb", block_size=1024 * 1024, cache_type="readahead") as file:
        samples = list(read_samples(file, Pool(path=""), size=len(data)))
        assert len(samples) == 90
        assert file.cache.miss_count <= 5, "one look for each large member, one for all small ones"
        assert file.cache.total_requested_bytes < 5_500_000 < len(data) / 3


@pytest.mark.parametrize(
    ("extension", "data", "label"), [("cls", b" 7\n", 7), ("cls", b"cat", "cat"), ("txt", b"7", "7")]
)
def test_labels_are_indices_or_names(folder, workspace, extension, data, label):
    folder.put("a.tar", tar(("0.jpg", b"x"), (f"0.{extension}", data), ("1.jpg", b"y")))
    pool = folder.pool(label_column=extension)
    found = plan_pool(pool, workspace, labels_needed=True)
    fetched = list(fetch(found, [0, 1], pool=pool, store=workspace, want=Want(label=True)))
    assert [(item.image, item.label) for item in fetched] == [(b"x", label), (b"y", None)]


def test_a_sample_without_an_image_is_an_item_with_an_error(folder, workspace):
    folder.put("a.tar", tar(("0.jpg", b"x"), ("1.json", b"{}"), ("2.jpg", b"")))
    pool = folder.pool()
    found = plan_pool(pool, workspace, labels_needed=False)
    assert [(item.id, item.image, item.error) for item in items(found, pool, workspace)] == [
        ("a.tar/0", b"x", None),
        ("a.tar/1", None, ("no_image", "no member of this sample ends like an image and holds bytes of its own")),
        ("a.tar/2", b"", None),
    ]
    (named,) = fetch_from(found, found.shards[0], np.array([1]), pool, workspace, Want(image=False))
    assert (named.id, named.error) == ("a.tar/1", None)


def test_tars_that_cannot_be_used_are_named_with_their_reason(place, workspace):
    good = tar(("0.jpg", b"x"), ("0.txt", b"cat"))
    place.put("compressed.tgz", b"\x1f\x8b")
    place.put("cut.tar", good[:1200])
    place.put("empty.tar", tar())
    place.put("good.tar", good)
    place.put("none.tar", tar(("README", b"x")))
    place.put("other.tar", tar(("0.jpg", b"x"), ("0.cls", b"1")))
    place.put("zero.tar", b"")
    found = plan_pool(place.pool(label_column="txt"), workspace, labels_needed=True)
    assert [(shard.path, shard.rows) for shard in found.shards] == [("good.tar", 1)]
    assert [(path, code) for path, code, _ in found.unreadable] == [
        ("compressed.tgz", "unreadable"),
        ("cut.tar", "unreadable"),
        ("empty.tar", "empty"),
        ("none.tar", "empty"),
        ("other.tar", "bad_column"),
        ("zero.tar", "unreadable"),
    ]
    messages = {path: message for path, _, message in found.unreadable}
    assert messages["compressed.tgz"] == "compressed: its members cannot be read singly; unpack it to .tar"
    assert messages["other.tar"] == "no sample has a member .txt, only .cls, .jpg"
    place.remove("good.tar")
    with pytest.raises(
        PoolError, match=r"none of its 6 tars can be used; compressed\.tgz: unreadable, compressed: its m"
    ):
        plan_pool(place.pool(label_column="txt"), workspace, labels_needed=True)


@pytest.mark.parametrize(
    ("names", "places"),
    [
        (["0.jpg", "1.jpg", "0.cls"], "a.tar, row 0 and a.tar, row 2"),
        (["0.jpg", "0.jpg"], "a.tar, row 0 and a.tar, row 1"),
        ([f"{n}.jpg" for n in range(25)] + ["3.png"], "a.tar, row 3 and a.tar, row 25"),
    ],
)
def test_a_key_that_comes_again_is_refused(folder, workspace, names, places):
    folder.put("a.tar", tar(*((name, b"x") for name in names)))
    folder.put("b.tar", tar(("0.jpg", b"the same key in another tar is another item")))
    with pytest.raises(PoolError) as caught:
        plan_pool(folder.pool(), workspace, labels_needed=False)
    name = "a.tar/3" if len(names) > 3 else "a.tar/0"
    assert str(caught.value) == (
        f"{folder.root}: the id {name!r} stands there twice ({places}); ids must be unique: "
        "the members of a sample stand side by side in their tar, each extension once"
    )


def test_a_tar_that_changed_or_is_gone_spoils_its_shards_alone(tars, place, cifar, workspace):
    found = plan_pool(tars, workspace, labels_needed=False)
    place.put("a.tar", photos(cifar, 1, 37))
    for code in ("input_changed", "missing"):
        with pytest.raises(ShardUnreadable) as caught:
            items(found, tars, workspace)
        assert caught.value.code == code
        with pytest.raises(PoolError, match=rf"a\.tar, items 0 to 9: can no longer be read \({code}: "):
            list(fetch(found, [3], pool=tars, store=workspace, want=Want()))
        others = replace(found, shards=found.shards[4:])
        assert [item.image for item in items(others, tars, workspace)] == cifar.column("image").to_pylist()[37:]
        place.remove("a.tar") if code == "input_changed" else None


def test_a_single_tar_is_a_pool_and_survives_json(place, cifar, workspace):
    place.put("deep/a.tar", photos(cifar, 0, 12))
    pool = Pool(path=f"{place.root}/deep/a.tar")
    planned = plan_pool(pool, workspace, labels_needed=False)
    found = Plan.from_json(json.loads(json.dumps(planned.to_json())))
    assert found == planned
    assert [item.id for item in items(found, pool, workspace)] == [f"a.tar/{n:04d}" for n in range(12)]


def test_the_same_tars_on_disk_and_in_s3_give_the_same_items(folder, s3_prefix, cifar, workspace):
    read = []
    for place in (folder, type(folder)(s3_prefix)):
        place.put("a.tar", photos(cifar, 0, 37))
        place.put("b/[1].tar", photos(cifar, 37, 23))
        pool = place.pool(label_column="cls")
        found = plan_pool(pool, workspace, labels_needed=True)
        read.append(items(found, pool, workspace))
        read[-1] += fetch(found, range(60), pool=pool, store=workspace, want=Want(label=True))
    assert read[0] == read[1]
    assert len(read[0]) == 120 and [item.label for item in read[0][60:]] == list(range(60))
