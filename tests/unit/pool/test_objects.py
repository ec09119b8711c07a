import errno
import os

import pytest
from campaigns import free_port

from raylabel.errors import StorageError
from raylabel.pool import ShardUnreadable, objects
from raylabel.pool.listing import etag_of
from raylabel.pool.objects import check_unchanged, chunks, get_objects, get_ranges, open_planned, problem_of
from raylabel.workspace import open_filesystem

MB = 1024 * 1024


def cut(sizes, max_count=100) -> list[tuple[int, int]]:
    return [(piece.start, piece.stop) for piece in chunks(sizes, max_count=max_count)]


def etag(place, name: str) -> str:
    filesystem, path = open_filesystem(f"{place.root}/{name}")
    return etag_of(filesystem.info(path))


def test_chunks_are_bounded_in_number_and_bytes():
    assert cut([1] * 7, max_count=3) == [(0, 3), (3, 6), (6, 7)]
    assert cut([30 * MB, 30 * MB, 4 * MB, 1, 64 * MB, 65 * MB, 1]) == [(0, 3), (3, 4), (4, 5), (5, 6), (6, 7)]
    assert cut([]) == []
    assert cut([10**12]) == [(0, 1)], "a large one comes alone, but comes"


def test_unknown_sizes_count_a_mebibyte():
    assert cut([None] * 100) == [(0, 64), (64, 100)]
    assert cut([None, 63 * MB, None]) == [(0, 2), (2, 3)]


def test_objects_come_whole_whatever_their_names(place):
    contents = {"a[1].jpg": b"one", "b c?.jpg": b"", "ä/*.jpg": b"three", "d#e%20.jpg": b"4" * 100_000}
    for name, data in contents.items():
        place.put(name, data)
    assert get_objects([f"{place.root}/{name}" for name in contents]) == list(contents.values())
    assert get_objects([]) == []


def test_one_that_is_missing_leaves_the_others(place):
    for number in range(40):
        place.put(f"{number}", b"%d" % number)
    place.remove("7")
    found = get_objects([f"{place.root}/{number}" for number in range(40)])
    assert [data for number, data in enumerate(found) if number != 7] == [b"%d" % n for n in range(40) if n != 7]
    assert problem_of("7", found[7]) == ("missing", "there is no such file")


def test_stores_may_be_mixed(folder, s3_prefix):
    there = type(folder)(s3_prefix)
    uris = []
    for number in range(6):
        place = (folder, there)[number % 2]
        place.put(f"{number}", b"%d" % number)
        uris.append(f"{place.root}/{number}")
    assert get_objects(uris) == [b"0", b"1", b"2", b"3", b"4", b"5"]
    assert get_objects([f"file://{folder.root}/0"]) == [b"0"]


def test_objects_of_a_store_cost_one_request_each_and_come_at_once(s3_prefix, folder):
    """The client by itself asks for an object's size before it reads it."""
    there = type(folder)(s3_prefix)
    for number in range(50):
        there.put(f"{number}", b"x")
    filesystem, _ = open_filesystem(s3_prefix)
    asked: list[str] = []
    under_way, most = 0, 0
    real = filesystem._call_s3

    async def counted(method, *args, **options):
        nonlocal under_way, most
        asked.append(method)
        under_way, most = under_way + 1, max(most, under_way + 1)
        try:
            return await real(method, *args, **options)
        finally:
            under_way -= 1

    filesystem._call_s3 = counted
    try:
        assert get_objects([f"{s3_prefix}/{number}" for number in range(50)]) == [b"x"] * 50
    finally:
        del filesystem._call_s3
    assert asked == ["get_object"] * 50
    assert 1 < most <= 32


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (FileNotFoundError("x"), "missing"),
        (NotADirectoryError(errno.ENOTDIR, "x"), "missing"),
        (IsADirectoryError(errno.EISDIR, "x"), "missing"),
        (OSError(errno.ENAMETOOLONG, "x"), "missing"),
        (PermissionError("x"), "forbidden"),
    ],
)
def test_what_is_wrong_with_one_object_is_told_by_its_code(error, code):
    assert problem_of("s3://bucket/a.jpg", error)[0] == code


def test_a_store_that_fails_is_no_objects_fault():
    with pytest.raises(StorageError, match=r"s3://b/a\.jpg: could not be read \(.*broken pipe\); run the same command"):
        problem_of("s3://b/a.jpg", OSError(errno.EPIPE, "broken pipe"))
    with pytest.raises(ZeroDivisionError):
        problem_of("s3://b/a.jpg", ZeroDivisionError())


def test_names_that_cannot_be_are_missing(folder):
    folder.put("a.jpg")
    os.symlink("loop", f"{folder.root}/loop")
    names = ["a.jpg/b.jpg", "x" * 300, ".", "none/a.jpg", "loop"]
    for name, found in zip(names, get_objects([f"{folder.root}/{name}" for name in names]), strict=True):
        assert problem_of(name, found)[0] == "missing", name


def test_uris_that_cannot_be_are_missing(s3_server):
    uris = ["s3://No such bucket!/a", "s3://bucket", "s3:///a", "http:///a", "http://[x/a", "http://127.0.0.1:99999/a"]
    for uri in uris:
        (found,) = get_objects([uri])
        assert problem_of(uri, found)[0] == "missing", uri


def test_a_host_that_does_not_answer_may_be_taken_out_of_a_list():
    uri = f"http://127.0.0.1:{free_port()}/a.jpg"
    (found,) = get_objects([uri])
    with pytest.raises(StorageError, match=r"a\.jpg: could not be read .*again; take it out of the list if that does"):
        problem_of(uri, found)


def test_ranges_are_those_of_the_file(place):
    data = os.urandom(300_000)
    place.put("a.tar", data)
    wanted = [(0, 10), (10, 1), (200_000, 5), (150_000, 0), (299_999, 1), (200_000, 5), (5, 100)]
    found = get_ranges(f"{place.root}/a.tar", wanted, etag=etag(place, "a.tar"))
    assert found == {(offset, size): data[offset : offset + size] for offset, size in wanted}
    assert get_ranges(f"{place.root}/none", [], etag="") == {}


def test_near_ranges_are_read_in_one_piece():
    """Gaps of 65,536 bytes are read along, of one more they are not; pieces end at 8 MiB."""
    assert objects._spans([(0, 100), (65_636, 4), (131_177, 5)]) == [(0, 65_640), (131_177, 131_182)]
    assert objects._spans([(10, 5), (10, 5), (0, 10), (12, 1)]) == [(0, 15)]
    assert objects._spans([(0, 5 * MB), (5 * MB, 3 * MB), (8 * MB, 1)]) == [(0, 8 * MB), (8 * MB, 8 * MB + 1)]
    assert objects._spans([(0, 20 * MB), (20 * MB, 1)]) == [(0, 20 * MB), (20 * MB, 20 * MB + 1)]
    assert objects._spans([(7, 0)]) == []


@pytest.mark.parametrize("after", [b"other", b"", b"x" * 100])
def test_ranges_of_a_file_that_changed_are_not_given(place, after):
    place.put("a.tar", b"x" * 99)
    planned = etag(place, "a.tar")
    place.put("a.tar", after)
    with pytest.raises(ShardUnreadable) as caught:
        get_ranges(f"{place.root}/a.tar", [(50, 40)], etag=planned)
    assert caught.value.code == "input_changed"
    place.remove("a.tar")
    with pytest.raises(ShardUnreadable) as caught:
        get_ranges(f"{place.root}/a.tar", [(50, 40)], etag=planned)
    assert (caught.value.code, caught.value.message) == ("missing", "the file is gone")


def test_ranges_beyond_the_planned_file_are_a_storage_error(folder):
    folder.put("a.tar", b"x" * 99)
    with pytest.raises(StorageError, match=r"a\.tar: bytes 90 to 110 could not be read \(9 bytes\)"):
        get_ranges(f"{folder.root}/a.tar", [(90, 20)], etag=etag(folder, "a.tar"))


def test_a_planned_file_is_opened_if_it_is_the_same(place):
    place.put("a", b"12345")
    planned = etag(place, "a")
    assert check_unchanged(f"{place.root}/a", etag=planned) == 5
    with open_planned(f"{place.root}/a", etag=planned, block_size=1_000, cache_type="readahead") as file:
        assert file.read(2) == b"12"
    with pytest.raises(ShardUnreadable, match="it was planned with etag other and has"):
        check_unchanged(f"{place.root}/a", etag="other")
    with pytest.raises(ShardUnreadable, match="the file is gone"), open_planned(f"{place.root}/b", etag=planned):
        pass
