"""Embedding columns as NumPy arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from raylabel.workspace.store import Store
from raylabel.workspace.tables import Part, read_part


def embeddings_of(table: pa.Table) -> NDArray[np.float16]:
    """The embedding column of a table as (N, dim) float16; a copy where the column has several chunks."""
    column = table.column("embedding")
    column = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
    width: int = column.type.byte_width
    data = np.frombuffer(column.buffers()[1], dtype=np.float16) if len(column) else np.empty(0, dtype=np.float16)
    start = column.offset * width // 2
    return data[start : start + len(column) * width // 2].reshape(len(column), width // 2)


def pick_rows(store: Store, part: Part, rows: NDArray[np.int64], *, columns: list[str] | None = None) -> pa.Table:
    """The rows of a part whose pool rows are asked for and there, in row order."""
    table = read_part(store, part, columns=columns)
    return table.filter(pc.is_in(table.column("row"), value_set=pa.array(rows, pa.int64())))


def gather_rows(
    store: Store, holding: list[tuple[Part, NDArray[Any]]], *, columns: list[str] | None = None
) -> pa.Table | None:
    """Rows of several parts, one part in memory at a time; None where none is asked for. All columns, or some."""
    tables = [pick_rows(store, part, rows, columns=columns) for part, rows in holding]
    return pa.concat_tables(tables).combine_chunks() if tables else None
