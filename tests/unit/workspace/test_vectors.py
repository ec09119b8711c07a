import numpy as np
import pyarrow as pa
import pytest

from raylabel import schema
from raylabel.workspace import Part, write_part
from raylabel.workspace.vectors import embeddings_of, gather_rows, pick_rows

DIM = 3


def vectors(rows: list[int]) -> np.ndarray:
    """Row r has the embedding (r, r + 0.5, -r)."""
    return np.array([[row, row + 0.5, -row] for row in rows], dtype=np.float16).reshape(len(rows), DIM)


def table_of(rows: list[int]) -> pa.Table:
    data = [vector.astype("<f2").tobytes() for vector in vectors(rows)]
    return pa.table(
        {"row": rows, "id": [f"i{row}" for row in rows], "embedding": pa.array(data, pa.binary(2 * DIM))},
        schema=schema.embeddings(dim=DIM, backbone="b"),
    )


def same(found: np.ndarray, rows: list[int]) -> bool:
    return found.dtype == np.float16 and found.shape == (len(rows), DIM) and np.array_equal(found, vectors(rows))


def test_bytes_are_little_endian_halves():
    table = pa.table({"embedding": pa.array([b"\x00\x3c\x00\xc0"], pa.binary(4))})
    assert embeddings_of(table).tolist() == [[1.0, -2.0]]


def test_embeddings_of_a_table():
    assert same(embeddings_of(table_of([4, 0, 7])), [4, 0, 7])


def test_embeddings_of_a_slice_begin_where_the_slice_begins():
    table = table_of(list(range(10)))
    assert same(embeddings_of(table.slice(3, 4)), [3, 4, 5, 6])
    assert same(embeddings_of(table.slice(9)), [9])
    assert same(embeddings_of(table.slice(2, 5).slice(1, 2)), [3, 4])


def test_embeddings_of_several_chunks_stand_in_order():
    table = pa.concat_tables([table_of([0, 1]), table_of([5, 6, 7]).slice(1), table_of([]), table_of([2])])
    assert table.column("embedding").num_chunks == 4
    assert same(embeddings_of(table), [0, 1, 6, 7, 2])


def test_embeddings_of_no_rows_keep_their_width():
    assert same(embeddings_of(table_of([])), [])
    assert same(embeddings_of(table_of([1, 2]).slice(2)), [])
    assert same(embeddings_of(schema.embeddings(dim=DIM, backbone="b").empty_table()), [])


@pytest.fixture
def parts(store) -> list[Part]:
    return [write_part(store, "e", table_of(list(range(first, first + 10)))) for first in (0, 10, 20)]


def test_rows_that_are_asked_for_and_there_come_in_row_order(store, parts):
    found = pick_rows(store, parts[1], np.array([17, 3, 12, 25, 12]))
    assert found.column("row").to_pylist() == [12, 17]
    assert found.column("id").to_pylist() == ["i12", "i17"]
    assert same(embeddings_of(found), [12, 17])
    some = pick_rows(store, parts[0], np.array([9]), columns=["row", "id"])
    assert some.to_pydict() == {"row": [9], "id": ["i9"]}
    assert pick_rows(store, parts[0], np.array([], dtype=np.int64)).num_rows == 0


def test_rows_of_several_parts_come_in_the_order_of_the_parts(store, parts):
    found = gather_rows(store, [(parts[2], np.array([29, 20])), (parts[0], np.array([5]))])
    assert found.column("row").to_pylist() == [20, 29, 5]
    assert found.column("embedding").num_chunks == 1
    assert same(embeddings_of(found), [20, 29, 5])


def test_nothing_asked_is_none(store):
    assert gather_rows(store, []) is None
