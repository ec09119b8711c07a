"""Data files: Parquet parts with unique names, invisible until a record names them with rows and sha256.

Knows Arrow tables and bytes; knows nothing of what the columns mean.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from raylabel.errors import FileChanged
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
    """Write a table as `<prefix>-<unique>.parquet`: page checksums, and zstd but for columns of fixed-size binary.

    Those hold float16 vectors: zstd makes real ones 8 % smaller and the writing of them ten times as slow.

    Cost: the encoded file in memory. The sha256 is taken while the bytes are on their way to the store.
    """
    sink = pa.BufferOutputStream()
    pq.write_table(
        table,
        sink,
        compression={_leaf(field): _codec(field.type) for field in table.schema},
        row_group_size=ROW_GROUP_ROWS,
        use_dictionary=[field.name for field in table.schema if _repeats(field.type)],
        write_page_checksum=True,
    )
    data = memoryview(sink.getvalue())
    name = f"{prefix}-{uuid.uuid4().hex}.parquet"
    with ThreadPoolExecutor(max_workers=1) as beside:
        digest = beside.submit(hashlib.sha256, data)
        store.write(name, data)
    return Part(name=name, rows=table.num_rows, sha256=digest.result().hexdigest())


def _leaf(field: pa.Field) -> str:
    """The column's path in Parquet: what lists hold has one of its own."""
    return f"{field.name}.list.element" if pa.types.is_list(field.type) else str(field.name)


def _codec(kind: pa.DataType) -> str:
    return "none" if pa.types.is_fixed_size_binary(kind) else "zstd"


def _repeats(kind: pa.DataType) -> bool:
    """Whether values of this type are few enough for a dictionary to pay: bytes and real numbers hardly repeat."""
    return bool(pa.types.is_string(kind) or pa.types.is_integer(kind))


def read_part(store: Store, part: Part, *, columns: Sequence[str] | None = None) -> pa.Table:
    """Read a part back.

    Raises:
        FileChanged: the file is gone, or its bytes or rows are not those that the record names.
    """
    # Not read_table: it looks for a dataset first, which takes longer than reading a small part.
    table = _opened(store, part).read(columns=None if columns is None else list(columns))
    return table if columns is None else table.select(list(columns))


def read_batches(store: Store, part: Part, *, columns: Sequence[str], batch_rows: int) -> Iterator[pa.RecordBatch]:
    """Read a part batch by batch; its encoded bytes lie in memory meanwhile.

    Raises:
        FileChanged: as `read_part`.
    """
    yield from _opened(store, part).iter_batches(batch_size=batch_rows, columns=list(columns))


def check_part(store: Store, part: Part) -> None:
    """Compare the bytes and rows of a part with those that its record names; none of its values is decoded.

    Raises:
        FileChanged: as `read_part`.
    """
    _opened(store, part)


def _opened(store: Store, part: Part) -> pq.ParquetFile:
    try:
        data = store.view(part.name)
    except FileNotFoundError:
        raise FileChanged(f"{store.uri(part.name)}: a record names this file, but it is gone; restore it") from None
    digest = hashlib.sha256(data).hexdigest()
    if digest != part.sha256:
        raise FileChanged(
            f"{store.uri(part.name)}: its sha256 is {digest[:12]}…, its record says {part.sha256[:12]}…; "
            "the file was changed after it was written: restore it"
        )
    file = pq.ParquetFile(pa.BufferReader(data))
    if file.metadata.num_rows != part.rows:
        rows = file.metadata.num_rows
        raise FileChanged(f"{store.uri(part.name)}: {rows} rows, its record says {part.rows}; restore it")
    return file


def read_parts(
    store: Store, parts: Iterable[Part], *, schema: pa.Schema, columns: Sequence[str] | None = None
) -> pa.Table:
    """Read parts one after another into one table; an empty table of `schema` where there are none."""
    tables = [read_part(store, part, columns=columns) for part in parts]
    if not tables:
        empty = schema.empty_table()
        return empty if columns is None else empty.select(list(columns))
    return pa.concat_tables(tables)
