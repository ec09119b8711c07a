import numpy as np
import pytest

from raylabel.errors import ConfigError, StorageError
from raylabel.index import build
from raylabel.search.opened import open_newest
from raylabel.search.queries import items_of, resolve, rows_of, spelled_out
from raylabel.workspace import read_part


@pytest.fixture
def opened(indexed):
    return open_newest(indexed.campaign)


def test_ids_rows_and_files(indexed, opened, tmp_path):
    file = tmp_path / "photo.jpg"
    file.write_bytes(b"any bytes")
    texts = [indexed.ids[41], "row:5", str(file), f"id:{indexed.ids[5]}", "row:59"]
    found = resolve(opened, texts)
    assert [query.text for query in found] == texts
    assert [query.row for query in found] == [41, 5, None, 5, 59]
    assert [query.id for query in found] == [indexed.ids[41], indexed.ids[5], "", indexed.ids[5], indexed.ids[59]]
    assert found[2].image == b"any bytes" and found[2].vector is None
    for query in (found[0], found[1], found[3], found[4]):
        assert query.image is None
        assert query.vector.dtype == np.float32
        assert np.array_equal(query.vector, indexed.embeddings[query.row].astype(np.float32))


def test_a_file_of_a_store(opened, s3_prefix):
    import s3fs

    s3fs.S3FileSystem().pipe(f"{s3_prefix}/photo.jpg", b"from afar")
    assert resolve(opened, [f"{s3_prefix}/photo.jpg"])[0].image == b"from afar"
    with pytest.raises(ConfigError, match="no item has that id, and no image file lies there"):
        resolve(opened, [f"{s3_prefix}/other.jpg"])


def test_an_id_like_the_name_of_a_file(indexed, opened, tmp_path, monkeypatch):
    """A file that is there is a file; `id:` says otherwise."""
    monkeypatch.chdir(tmp_path)
    name = indexed.ids[3]
    (tmp_path / name).write_bytes(b"x")
    assert [query.row for query in resolve(opened, [name, f"id:{name}"])] == [None, 3]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("digit-6", r"digit-6: no item has that id, and no image file lies there; did you mean digit-\d\d"),
        ("zebra", r"zebra: no item has that id, and no image file lies there; ids look like digit-00$"),
        ("x" * 5000, r"x: no item has that id"),
        ("row:60", r"row:60: the pool has 60 items, numbered from 0 to 59$"),
        ("row:-1", r"row:-1: expected row: and a number, as in row:123$"),
        ("row:", r"row:: expected row: and a number"),
        (
            "row:17",
            r"row:17 \(digit-59\): it is in the quarantine \(cut: Premature end of JPEG file\) and has no embedding$",
        ),
        ("digit-59", r"digit-59: it is in the quarantine \(cut: Premature end of JPEG file\) and has no embedding$"),
    ],
)
def test_what_means_nothing(opened, text, message):
    with pytest.raises(ConfigError, match=message):
        resolve(opened, ["row:0", text])


def test_a_shard_in_quarantine(tiny, publish, ray_session):
    """Its one record has no id."""
    name = tiny.plan.shards[0].name
    lost = {"id": None, "shard": name, "stage": "embed", "error_code": "input_changed", "message": "another etag"}
    publish(tiny, tiny.pieces, lost=[lost])
    build(tiny.campaign, tiny.ref, tiny.pieces)
    with pytest.raises(ConfigError, match=r"^row:17: it is in the quarantine \(input_changed: another etag\)"):
        resolve(open_newest(tiny.campaign), ["row:17"])


def test_rows_are_looked_for_no_further_than_need_be(indexed, opened, monkeypatch):
    monkeypatch.setattr("raylabel.search.opened.READERS", 1)
    read = []
    monkeypatch.setattr(
        "raylabel.search.queries.read_part", lambda store, part, **options: read.append(part) or read_part(store, part)
    )
    assert rows_of(opened, [indexed.ids[3], indexed.ids[30]]) == {indexed.ids[3]: 3, indexed.ids[30]: 30}
    assert read == list(indexed.pieces.parts[:2])
    assert rows_of(opened, ["nobody"]) == {}


def test_items_of_rows(indexed, opened):
    found = items_of(opened, np.array([59, 0, 17, 26]))
    assert sorted(found) == [0, 26, 59]
    assert found[26][0] == indexed.ids[26]
    assert np.array_equal(found[26][1], indexed.embeddings[26].astype(np.float32))


def test_a_changed_part(indexed, opened):
    part = indexed.pieces.parts[2]
    data = bytearray(indexed.campaign.store.read(part.name))
    data[len(data) // 2] ^= 1
    indexed.campaign.store.write(part.name, bytes(data))
    with pytest.raises(StorageError, match="the file was changed after it was written"):
        resolve(opened, ["row:59"])


def test_queries_of_a_file(tmp_path):
    text = tmp_path / "queries.txt"
    text.write_bytes("\ufeffrow:1\r\n\n  a b.jpg \nä\n".encode())
    assert spelled_out(["x", f"@{text}", "y"]) == ["x", "row:1", "a b.jpg", "ä", "y"]
    text.write_text("\n \n")
    with pytest.raises(ConfigError, match=r"@.*queries\.txt: holds no query; write one a line$"):
        spelled_out([f"@{text}"])
    text.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match=r"cannot be read .*; expected a UTF-8 text, a query a line$"):
        spelled_out([f"@{text}"])
    with pytest.raises(ConfigError, match=r"@nowhere: cannot be read"):
        spelled_out(["@nowhere"])
