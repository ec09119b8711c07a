import os

import botocore.session
import pytest

from raylabel.config import Pool
from raylabel.errors import PoolError, StorageError
from raylabel.pool.listing import Found, etag_of, list_pool, root_of
from raylabel.workspace import open_filesystem

ODD = [
    "a.jpg",
    "a/b.jpg",
    "a-b.jpg",
    "a0.jpg",
    "a/b/c.jpg",
    "A.JPG",
    "ab.jpg",
    "a b.png",
    "ä.jpg",
    "z/ä/1.webp",
    "ａ.gif",
]
"""Names whose order differs between a walk of folders and a store's listing of keys."""


def paths(pool: Pool) -> tuple[str, list[str]]:
    kind, files = list_pool(pool)
    return kind, [found.path for found in files]


def keys_in_s3(root: str) -> list[str]:
    """The keys below a prefix in the order that S3 itself lists them."""
    bucket, _, prefix = root.removeprefix("s3://").partition("/")
    client = botocore.session.get_session().create_client("s3")
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"{prefix}/")
    return [entry["Key"].removeprefix(f"{prefix}/") for page in pages for entry in page.get("Contents", [])]


def test_files_stand_in_the_order_of_their_paths_bytes(place):
    for name in ODD:
        place.put(name)
    kind, found = paths(place.pool())
    assert kind == "folder"
    assert found == sorted(ODD, key=str.encode)
    assert found.index("a-b.jpg") < found.index("a.jpg") < found.index("a/b.jpg") < found.index("a0.jpg")
    if place.root.startswith("s3://"):
        assert found == keys_in_s3(place.root)


def test_sizes_and_tags_are_those_of_the_files(place):
    place.put("a.jpg", b"123")
    place.put("b.jpg", b"")
    _, files = list_pool(place.pool())
    one, two = files
    assert (one.path, one.size, two.path, two.size) == ("a.jpg", 3, "b.jpg", 0)
    filesystem, path = open_filesystem(f"{place.root}/a.jpg")
    assert one.etag == etag_of(filesystem.info(path)), "a listing and a look at the file agree"
    place.put("a.jpg", b"1234")
    assert next(list_pool(place.pool())[1]).etag != one.etag


def test_hidden_files_and_folders_are_passed_over(place):
    for name in (
        ".hidden.jpg",
        "_SUCCESS",
        "_DSC0001.JPG",
        ".git/a.jpg",
        "_temporary/0/a.jpg",
        "a/.b.jpg",
        "a/b.jpg",
        "a._b.jpg",
    ):
        place.put(name)
    assert paths(place.pool()) == ("folder", ["_DSC0001.JPG", "a._b.jpg", "a/b.jpg"])


def test_other_files_are_passed_over(place):
    for name in ("a.jpg", "b.JPEG", "notes.txt", "labels.csv", "jpg", "c.jpg.part", "d.tiff/e.txt", "f.avif"):
        place.put(name)
    assert paths(place.pool()) == ("folder", ["a.jpg", "b.JPEG", "f.avif"])


def test_parquet_files_are_a_parquet_pool(place):
    for name in ("part-1.parquet", "part-0.PARQUET", "year=2024/x.pq", "_metadata.parquet", "README.md"):
        place.put(name)
    assert paths(place.pool()) == ("parquet", ["part-0.PARQUET", "part-1.parquet", "year=2024/x.pq"])


def test_both_kinds_are_refused_unless_the_config_chooses(place):
    place.put("deep/a.jpg")
    place.put("b.parquet")
    with pytest.raises(PoolError) as caught:
        list_pool(place.pool())
    assert str(caught.value) == (
        f"{place.root}: holds Parquet files (b.parquet) and images (deep/a.jpg); "
        'set pool.format to "parquet" or "folder"'
    )
    assert paths(place.pool(format="parquet")) == ("parquet", ["b.parquet"])
    assert paths(place.pool(format="folder")) == ("folder", ["deep/a.jpg"])


def test_tars_beside_images_are_refused_unless_the_config_chooses(place):
    place.put("a.jpg")
    place.put("b.tar")
    with pytest.raises(PoolError) as caught:
        list_pool(place.pool())
    assert str(caught.value) == (
        f'{place.root}: holds tars (b.tar) and images (a.jpg); set pool.format to "webdataset" or "folder"'
    )
    assert paths(place.pool(format="webdataset")) == ("webdataset", ["b.tar"])


def test_nothing_usable_is_refused(place):
    place.put("notes.txt")
    with pytest.raises(
        PoolError, match=r"holds no Parquet file, no \.tar and no image \(\.jpg, .*point pool\.path els"
    ):
        list_pool(place.pool())


@pytest.mark.parametrize(("kind", "other"), [("parquet", "a.jpg"), ("folder", "a.parquet")])
def test_a_format_that_is_not_there_is_refused(place, kind, other):
    place.put(other)
    with pytest.raises(PoolError, match=rf"holds no file ending in \.\w+.*, and pool\.format asks for '{kind}'"):
        list_pool(place.pool(format=kind))


def test_what_is_missing_is_refused(place):
    pool = Pool(path=f"{place.root}/none")
    with pytest.raises(PoolError) as caught:
        list_pool(pool)
    assert str(caught.value) == f"{pool.path}: there is no such pool; check pool.path"
    assert caught.value.exit_code == 2


def test_a_bucket_that_is_missing_is_refused(s3_server):
    with pytest.raises(PoolError, match="there is no such pool"):
        list_pool(Pool(path="s3://there-is-no-such-bucket/photos"))


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("one.parquet", "parquet"),
        ("ONE.PARQUET", "parquet"),
        ("one.pq", "parquet"),
        ("one.tar", "webdataset"),
        ("ONE.CSV", "list"),
        ("one.jsonl", "list"),
    ],
)
def test_a_single_file_is_a_pool(place, name, kind):
    place.put(f"deep/{name}", b"12345")
    place.put("deep/other.parquet")
    pool = Pool(path=f"{place.root}/deep/{name}")
    found_kind, files = list_pool(pool)
    (found,) = files
    assert (found_kind, found.path, found.size) == (kind, name, 5)
    assert root_of(pool) == f"{place.root}/deep"


def test_a_single_file_may_be_named_a_list_and_nothing_that_it_is_not(place):
    place.put("one.parquet")
    pool = Pool(path=f"{place.root}/one.parquet", format="list")
    assert paths(pool) == ("list", ["one.parquet"])
    for kind in ("folder", "webdataset"):
        with pytest.raises(PoolError, match=f"one.parquet: is no '{kind}', which pool.format asks for; correct one of"):
            list_pool(Pool(path=pool.path, format=kind))


def test_tars_are_a_webdataset(place):
    for name in ("train-1.tar", "train-0.TAR", "deep/x.tar", "x.tar.idx", "_tmp/y.tar"):
        place.put(name)
    assert paths(place.pool()) == ("webdataset", ["deep/x.tar", "train-0.TAR", "train-1.tar"])


def test_compressed_tars_are_refused_or_listed_beside_others(place):
    place.put("a.tar.gz")
    for pool in (place.pool(), Pool(path=f"{place.root}/a.tar.gz")):
        with pytest.raises(PoolError, match=r"compressed tar .*cannot be read singly; unpack it to \.tar"):
            list_pool(pool)
    place.put("b.tar")
    assert paths(place.pool()) == ("webdataset", ["a.tar.gz", "b.tar"]), "to be put into the quarantine"
    place.remove("b.tar")
    place.put("c.jpg")
    assert paths(place.pool()) == ("folder", ["c.jpg"])


def test_a_folder_of_lists_is_one_of_parquet_files(place):
    for name in ("b.parquet", "a.parquet", "c.csv"):
        place.put(name)
    assert paths(place.pool(format="list")) == ("list", ["a.parquet", "b.parquet"])


def test_a_single_file_of_another_kind_is_refused(place):
    place.put("a.jpg")
    with pytest.raises(PoolError, match=r"a\.jpg: expected a folder, a Parquet file, a \.tar, or a list of"):
        list_pool(Pool(path=f"{place.root}/a.jpg"))


def test_the_root_of_a_folder_is_the_folder_whatever_its_name(place):
    place.put("photos.parquet/part-0.parquet")
    for path in (f"{place.root}/photos.parquet", f"{place.root}/photos.parquet/"):
        pool = Pool(path=path)
        assert paths(pool) == ("parquet", ["part-0.parquet"])
        assert root_of(pool) == f"{place.root}/photos.parquet"
    assert root_of(place.pool()) == place.root


def test_a_local_folder_and_s3_list_the_same(folder, s3_prefix):
    from_s3 = type(folder)(s3_prefix)
    for name in [*ODD, "x/.hidden.jpg", "x/_y/z.jpg", "notes.txt"]:
        for place in (folder, from_s3):
            place.put(name, name.encode())
    listed = [[(found.path, found.size) for found in list_pool(place.pool())[1]] for place in (folder, from_s3)]
    assert listed[0] == listed[1]
    assert len(listed[0]) == len(ODD)


def test_a_store_is_listed_page_by_page(s3_prefix, s3_server):
    """The first names are there after the first page of 1,000, and no page is asked for before it is needed."""
    filesystem, root = open_filesystem(s3_prefix)
    names = [f"{number:04d}.jpg" for number in range(1_203)]
    filesystem.pipe({f"{root}/{name}": b"x" for name in names})
    asked: list[object] = []
    real = filesystem.call_s3
    filesystem.call_s3 = lambda *args, **options: (
        asked.append(options.get("ContinuationToken")) or real(*args, **options)
    )
    try:
        _, files = list_pool(Pool(path=s3_prefix, format="folder"))
        assert (next(files).path, asked) == ("0000.jpg", [None])
        assert [found.path for found in files] == names[1:]
    finally:
        del filesystem.call_s3
    assert len(asked) == 2 and asked[1] is not None


def test_a_store_that_does_not_sort_its_keys_is_refused(s3_prefix):
    filesystem, root = open_filesystem(s3_prefix)
    filesystem.pipe({f"{root}/{name}": b"x" for name in ("a.jpg", "b.jpg")})
    real = filesystem.call_s3
    filesystem.call_s3 = lambda *args, **options: {"Contents": real(*args, **options)["Contents"][::-1]}
    try:
        with pytest.raises(PoolError, match=r"the store lists 'a\.jpg' out of order; copy the pool to one that sorts"):
            list(list_pool(Pool(path=s3_prefix, format="folder"))[1])
    finally:
        del filesystem.call_s3


def test_keys_that_no_folder_could_hold_are_listed_in_s3(s3_prefix):
    filesystem, root = open_filesystem(s3_prefix)
    for key in ("a//b.jpg", "c/", "d/e.jpg", "d", "x/.git/f.jpg"):
        filesystem.pipe_file(f"{root}/{key}", b"x")
    assert paths(Pool(path=s3_prefix)) == ("folder", ["a//b.jpg", "d/e.jpg"])


def test_links_on_a_disk_are_followed(folder, tmp_path):
    """The snapshots of a Hugging Face cache are links to blobs."""
    blobs = tmp_path / "blobs"
    (blobs / "album").mkdir(parents=True)
    (blobs / "0f3a").write_bytes(b"12345")
    (blobs / "album" / "b.jpg").write_bytes(b"123")
    os.symlink(blobs / "0f3a", f"{folder.root}/a.jpg")
    os.symlink(blobs / "album", f"{folder.root}/album")
    os.symlink(blobs / "none", f"{folder.root}/c.jpg")
    found = list(list_pool(folder.pool())[1])
    assert [(file.path, file.size) for file in found] == [("a.jpg", 5), ("album/b.jpg", 3), ("c.jpg", 0)]
    assert found[0].etag == f"{os.stat(blobs / '0f3a').st_mtime}-5", "a change behind the link is seen"


def test_a_loop_of_links_is_refused(folder):
    folder.put("deep/er/a.jpg")
    os.symlink("..", f"{folder.root}/deep/er/loop")
    with pytest.raises(PoolError, match="deep/er/loop: this link leads to a folder that it lies in; remove it"):
        list(list_pool(folder.pool())[1])


def test_a_name_that_is_not_text_is_refused(folder):
    folder.put("a.jpg")
    with open(os.fsencode(folder.root) + b"/\xff.jpg", "wb"):
        pass
    with pytest.raises(PoolError, match=r"'\\udcff\.jpg' is not UTF-8; rename it, names become the ids of items"):
        list(list_pool(folder.pool())[1])


def test_a_folder_that_vanishes_while_it_is_listed_is_a_storage_error(folder):
    folder.put("a/1.jpg")
    folder.put("b/2.jpg")
    kind, files = list_pool(folder.pool())
    assert (kind, next(files).path) == ("folder", "a/1.jpg")
    os.rename(f"{folder.root}/b", f"{folder.root}/c")
    with pytest.raises(StorageError, match="/b: could not be listed") as caught:
        list(files)
    assert caught.value.exit_code == 4


def test_tags_prefer_what_the_store_says():
    assert etag_of({"ETag": '"0f"', "size": 3}) == "0f"
    assert etag_of({"mtime": 12.5, "size": 3}) == "12.5-3"
    assert Found("a", 1, "x") != Found("a", 1, "y")
