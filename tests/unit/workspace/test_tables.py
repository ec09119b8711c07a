import hashlib
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from raylabel import schema
from raylabel.errors import FileChanged, StorageError
from raylabel.workspace import Part, Store, read_part, read_parts, write_part
from raylabel.workspace.tables import check_part


def some_rows(first: int = 0, count: int = 3) -> pa.Table:
    rows = list(range(first, first + count))
    return pa.table(
        {
            "row": rows,
            "id": [f"a/{row}.jpg" for row in rows],
            "embedding": pa.array([bytes([row, 0, 0, 60]) for row in rows], pa.binary(4)),
        },
        schema=schema.embeddings(dim=2, backbone="abc"),
    )


def test_a_part_comes_back_as_it_was_written(store):
    table = some_rows()
    part = write_part(store, "embeddings/x/part-00000", table)
    data = store.read(part.name)
    assert (part.rows, part.sha256) == (3, hashlib.sha256(data).hexdigest())
    assert part.name.startswith("embeddings/x/part-00000-") and part.name.endswith(".parquet")
    back = read_part(store, part)
    assert back.equals(table, check_metadata=True)
    assert back.schema.metadata[b"backbone"] == b"abc"
    assert read_part(store, part, columns=["id", "row"]).to_pydict() == {
        "id": ["a/0.jpg", "a/1.jpg", "a/2.jpg"],
        "row": [0, 1, 2],
    }


def test_lists_and_nulls_come_back(store):
    table = pa.table(
        [[7], ["x"], [1], [0.5], [0.25], [0.1], [[1, 0]], [[0.5, 0.25]]],
        schema=schema.PREDICTIONS,
    )
    assert read_part(store, write_part(store, "p", table)).equals(table)
    labels = pa.table([["x"], [None], [None], ["none"], [0.5], [0], ["m"], [None]], schema=schema.LABELS)
    assert read_part(store, write_part(store, "l", labels)).to_pylist() == labels.to_pylist()


def test_no_rows_are_a_part_as_well(store):
    part = write_part(store, "audit/draw", schema.AUDIT.empty_table())
    assert part.rows == 0
    back = read_part(store, part)
    assert back.num_rows == 0 and back.schema.equals(schema.AUDIT)


def test_every_part_has_a_name_of_its_own(store):
    parts = [write_part(store, "same/prefix", some_rows()) for _ in range(5)]
    assert len({part.name for part in parts}) == 5
    assert len(store.list("same")) == 5


def test_a_part_travels_as_json(store):
    part = write_part(store, "x", some_rows())
    assert part.to_json() == {"name": part.name, "rows": 3, "sha256": part.sha256}
    assert Part(**part.to_json()) == part


def chunks_of(path) -> dict:
    """Column chunks of a file's first row group, by the column's name."""
    group = pq.ParquetFile(path).metadata.row_group(0)
    chunks = [group.column(index) for index in range(group.num_columns)]
    return {chunk.path_in_schema.partition(".")[0]: chunk for chunk in chunks}


def test_page_checksums_and_no_codec_or_dictionary_on_vectors(tmp_path):
    store = Store(str(tmp_path))
    part = write_part(store, "x", some_rows(count=200))
    path = tmp_path / part.name
    chunks = chunks_of(path)
    assert {name: chunk.compression for name, chunk in chunks.items()} == {
        "row": "ZSTD",
        "id": "ZSTD",
        "embedding": "UNCOMPRESSED",
    }
    assert "RLE_DICTIONARY" in chunks["id"].encodings
    assert "RLE_DICTIONARY" not in chunks["embedding"].encodings

    data = bytearray(path.read_bytes())
    data[chunks["embedding"].data_page_offset + chunks["embedding"].total_compressed_size - 5] ^= 1
    path.write_bytes(data)
    with pytest.raises(OSError, match="CRC checksum verification failed"):
        pq.ParquetFile(path, page_checksum_verification=True).read()


TABLES = ("AUDIT", "PREDICTIONS", "SHORTLIST", "ANSWERS", "RESOLVED", "HELD_OUT", "LABELS", "QUARANTINE", "LISTING")


@pytest.mark.parametrize("name", TABLES)
def test_every_column_of_every_other_table_is_zstd(tmp_path, name):
    """Lists as well, whose values lie in a column of their own; dictionaries where values repeat."""
    columns = getattr(schema, name)
    part = write_part(Store(str(tmp_path)), "x", pa.table([pa.nulls(1, field.type) for field in columns], columns))
    chunks = chunks_of(tmp_path / part.name)
    assert list(chunks) == columns.names
    assert {chunk.compression for chunk in chunks.values()} == {"ZSTD"}
    kinds = {field.name: field.type for field in columns}
    repeating = {name for name, kind in kinds.items() if kind in (pa.string(), pa.int32(), pa.int64())}
    assert {name for name, chunk in chunks.items() if "RLE_DICTIONARY" in chunk.encodings} == repeating


def test_row_groups_are_bounded(tmp_path):
    store = Store(str(tmp_path))
    rows = 65_536 + 10
    part = write_part(store, "x", pa.table({"row": pa.array(range(rows), pa.int64())}))
    metadata = pq.ParquetFile(tmp_path / part.name).metadata
    assert [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)] == [65_536, 10]
    assert read_part(store, part).column("row").to_pylist() == list(range(rows))


def test_bytes_that_are_not_those_of_the_record_are_refused(store):
    part = write_part(store, "x", some_rows())
    data = bytearray(store.read(part.name))
    data[50] ^= 1
    store.write(part.name, bytes(data))
    wrong = hashlib.sha256(data).hexdigest()
    with pytest.raises(StorageError) as caught:
        read_part(store, part)
    assert str(caught.value) == (
        f"{store.uri(part.name)}: its sha256 is {wrong[:12]}…, its record says {part.sha256[:12]}…; "
        "the file was changed after it was written: restore it"
    )


def test_a_whole_file_of_other_rows_is_refused(store):
    part, other = write_part(store, "x", some_rows()), write_part(store, "y", some_rows(first=5))
    store.write(part.name, store.read(other.name))
    with pytest.raises(StorageError, match="the file was changed after it was written"):
        read_part(store, part)
    for look in (read_part, check_part):
        with pytest.raises(FileChanged, match="3 rows, its record says 4; restore it"):
            look(store, replace(other, rows=4))
    with pytest.raises(FileChanged, match="the file was changed after it was written"):
        check_part(store, part)
    assert check_part(store, other) is None


def test_a_file_that_is_gone_is_a_storage_error(store):
    part = write_part(store, "x", some_rows())
    store.remove(part.name)
    with pytest.raises(StorageError, match="a record names this file, but it is gone; restore it") as caught:
        read_part(store, part)
    assert caught.value.exit_code == 4


def test_parts_are_read_one_after_another(store):
    parts = [write_part(store, "x", some_rows(first)) for first in (10, 0, 5)]
    layout = schema.embeddings(dim=2, backbone="abc")
    assert read_parts(store, parts, schema=layout).column("row").to_pylist() == [10, 11, 12, 0, 1, 2, 5, 6, 7]
    only = read_parts(store, (part for part in parts[1:]), schema=layout, columns=["id"])
    assert only.to_pydict() == {"id": [f"a/{row}.jpg" for row in (0, 1, 2, 5, 6, 7)]}


def test_no_parts_are_an_empty_table_of_the_schema(store):
    assert read_parts(store, [], schema=schema.SHORTLIST).equals(schema.SHORTLIST.empty_table())
    some = read_parts(store, [], schema=schema.SHORTLIST, columns=["score", "id"])
    assert (some.num_rows, some.column_names) == (0, ["score", "id"])
