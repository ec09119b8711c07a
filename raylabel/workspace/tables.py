"""Data files: Parquet parts with unique names, invisible until a record names them with rows and sha256.

Knows Arrow tables and bytes; knows nothing of what the columns mean.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from raylabel.errors import StorageError
from raylabel.workspace.store import Store

ROW_GROUP_ROWS = 65_536


@dataclass(frozen=True)
class Part:
    """One data file: its name below the workspace, its rows, and the sha256 of its bytes."""

    name: str
    rows: int
    sha256: str

    def to_json(self) -> dict[str, Any]:
        """The part as a record stores it."""
        return asdict(self)


def write_part(store: Store, prefix: str, table: pa.Table) -> Part:
    """Write a table as `<prefix>-<unique>.parquet`: zstd, page checksums, no dictionary on binary columns."""
    binary = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_fixed_size_binary)
    plain = [field.name for field in table.schema if not any(test(field.type) for test in binary)]
    sink = pa.BufferOutputStream()
    pq.write_table(
        table,
        sink,
        compression="zstd",
        row_group_size=ROW_GROUP_ROWS,
        use_dictionary=plain,
        write_page_checksum=True,
    )
    data = sink.getvalue().to_pybytes()
    name = f"{prefix}-{uuid.uuid4().hex}.parquet"
    store.write(name, data)
    return Part(name=name, rows=table.num_rows, sha256=hashlib.sha256(data).hexdigest())


def read_part(store: Store, part: Part, *, columns: Sequence[str] | None = None) -> pa.Table:
    """Read a part back.

    Raises:
        StorageError: the file is gone, or its bytes or rows are not those that the record names.
    """
    try:
        data = store.read(part.name)
    except FileNotFoundError:
        raise StorageError(f"{store.uri(part.name)}: a record names this file, but it is gone; restore it") from None
    digest = hashlib.sha256(data).hexdigest()
    if digest != part.sha256:
        raise StorageError(
            f"{store.uri(part.name)}: its sha256 is {digest[:12]}…, its record says {part.sha256[:12]}…; "
            "the file was changed after it was written: restore it"
        )
    table = pq.read_table(pa.BufferReader(data), columns=None if columns is None else list(columns))
    if table.num_rows != part.rows:
        raise StorageError(f"{store.uri(part.name)}: {table.num_rows} rows, its record says {part.rows}; restore it")
    return table


def read_parts(
    store: Store, parts: Iterable[Part], *, schema: pa.Schema, columns: Sequence[str] | None = None
) -> pa.Table:
    """Read parts one after another into one table; an empty table of `schema` where there are none."""
    tables = [read_part(store, part, columns=columns) for part in parts]
    if not tables:
        empty = schema.empty_table()
        return empty if columns is None else empty.select(list(columns))
    return pa.concat_tables(tables)
