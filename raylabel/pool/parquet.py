"""Parquet files with images in them: planned by their footers, cut into shards at row groups, read by column."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from raylabel.config import Pool
from raylabel.errors import StorageError
from raylabel.pool.listing import Found
from raylabel.pool.objects import open_planned
from raylabel.pool.shards import Batch, Item, Plan, Shard, ShardUnreadable, Want
from raylabel.workspace.store import failures


@dataclass(frozen=True)
class Footer:
    """A Parquet file as its footer tells it; `error` is why it cannot be used."""

    found: Found
    groups: tuple[int, ...] = ()
    columns: tuple[str, ...] = ()
    error: tuple[str, str] | None = None


@dataclass(frozen=True)
class ReadFooter:
    """Read one footer, in a task."""

    root: str
    image_column: str

    def __call__(self, found: Found) -> Footer:
        """Rows of each row group and names of the columns; no data is read."""
        try:
            with open_parquet(f"{self.root}/{found.path}", etag=found.etag) as file:
                metadata = file.metadata
                groups = tuple(metadata.row_group(i).num_rows for i in range(metadata.num_row_groups))
                columns = file.schema_arrow
                error = ("empty", "holds no rows") if sum(groups) == 0 else _bad_column(columns, self.image_column)
                return Footer(found, groups, tuple(columns.names), error)
        except ShardUnreadable as error:
            return Footer(found, error=(error.code, error.message))


def _bad_column(columns: Any, image_column: str) -> tuple[str, str] | None:
    image = next((f.type for f in columns if f.name == image_column), None)
    if image is not None and not _holds_bytes(image):
        return "bad_column", f"column {image_column!r} is {image}, expected binary or struct<bytes: binary, ...>"
    return None


def _holds_bytes(kind: Any) -> bool:
    if pa.types.is_struct(kind):
        return any(field.name == "bytes" and _holds_bytes(field.type) for field in kind)
    if pa.types.is_dictionary(kind):
        return _holds_bytes(kind.value_type)
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind))


def cut_footer(file: Footer, *, rows_per_shard: int) -> Iterator[Shard]:
    """Cut a file into shards at its row groups; index and first row count from the file's start."""
    index = start = rows = first_file_row = 0
    for number, size in enumerate(file.groups):
        rows += size
        if rows >= rows_per_shard or number == len(file.groups) - 1:
            if rows:
                yield Shard(
                    index=index,
                    path=file.found.path,
                    first_row=first_file_row,
                    rows=rows,
                    etag=file.found.etag,
                    row_groups=(start, number + 1),
                    first_file_row=first_file_row,
                )
                index += 1
            first_file_row += rows
            start, rows = number + 1, 0


def stream_groups(plan: Plan, shard: Shard, *, pool: Pool, batch_rows: int) -> Iterator[Batch]:
    """Stream a shard's items with their encoded images, in row order."""
    with open_parquet(f"{plan.root}/{shard.path}", etag=shard.etag) as file:
        groups = list(range(*_groups(shard)))
        columns = [name for name in (plan.id_column, pool.image_column) if name is not None]
        at = 0
        with parquet_failures(shard.path):
            for batch in file.iter_batches(batch_size=batch_rows, row_groups=groups, columns=columns):
                yield Batch(_items(plan, shard, pool, batch, np.arange(at, at + batch.num_rows), Want()))
                at += batch.num_rows


def pick_rows(plan: Plan, shard: Shard, offsets: NDArray[np.int64], *, pool: Pool, want: Want) -> tuple[Item, ...]:
    """Items by their place in the shard; only the row groups that hold them are read."""
    names = [plan.id_column, pool.image_column if want.image else None, pool.label_column if want.label else None]
    columns = list(dict.fromkeys(name for name in names if name is not None))
    found: list[Item] = []
    with open_parquet(f"{plan.root}/{shard.path}", etag=shard.etag) as file, parquet_failures(shard.path):
        start = 0
        for group in range(*_groups(shard)):
            size = file.metadata.row_group(group).num_rows
            inside = offsets[(offsets >= start) & (offsets < start + size)]
            if len(inside):
                table = file.read_row_group(group, columns=columns)
                taken = table.take(pa.array(inside - start)) if columns else table
                found.extend(_items(plan, shard, pool, taken, inside, want))
            start += size
    return tuple(found)


def read_column(plan: Plan, shard: Shard, column: str) -> list[Any]:
    """One column of a shard, in row order."""
    with open_parquet(f"{plan.root}/{shard.path}", etag=shard.etag) as file, parquet_failures(shard.path):
        values: list[Any] = file.read_row_groups(list(range(*_groups(shard))), columns=[column]).column(0).to_pylist()
        return values


def stream_columns(
    plan: Plan, shard: Shard, names: Sequence[str], *, batch_rows: int
) -> Iterator[dict[str, list[Any]]]:
    """Stream a shard's ids, as "id", and other columns by name, in row order; no image is read.

    Raises:
        ShardUnreadable: as `open_parquet`, or the file lacks a column.
    """
    with open_parquet(f"{plan.root}/{shard.path}", etag=shard.etag) as file, parquet_failures(shard.path):
        columns = list(dict.fromkeys(name for name in (plan.id_column, *names) if name is not None))
        if lacking := [name for name in columns if name not in file.schema_arrow.names]:
            raise ShardUnreadable("bad_column", f"has no column {lacking[0]!r}")
        for start in range(0, shard.rows, batch_rows) if not columns else ():
            yield {"id": _row_ids(shard, range(start, min(start + batch_rows, shard.rows)))}
        at = 0
        batches = file.iter_batches(batch_size=batch_rows, row_groups=list(range(*_groups(shard))), columns=columns)
        for batch in batches if columns else ():
            table = batch.to_pydict()
            ids = _row_ids(shard, range(at, at + batch.num_rows))
            yield {name: table[name] for name in names} | {
                "id": ids if plan.id_column is None else [str(value) for value in table[plan.id_column]]
            }
            at += batch.num_rows


def _row_ids(shard: Shard, offsets: Iterable[int]) -> list[str]:
    """The ids of items without an id column, by their place in the shard."""
    return [f"{shard.path}#{shard.first_file_row + int(offset)}" for offset in offsets]


@contextmanager
def open_parquet(uri: str, *, etag: str) -> Iterator[pq.ParquetFile]:
    """Open a Parquet file that must still be the one that was planned.

    Raises:
        ShardUnreadable: it is gone, has another etag, is no Parquet, or has a column of pickled objects.
        StorageError: the store failed.
    """
    with open_planned(uri, etag=etag) as handle:
        with parquet_failures(uri):
            file = pq.ParquetFile(handle, page_checksum_verification=True, pre_buffer=True)
            pickled = [field.name for field in file.schema_arrow if _is_pickled(field)]
        if pickled:
            raise ShardUnreadable("bad_column", f"column {pickled[0]!r} holds pickled objects; these are never read")
        yield file


def _is_pickled(field: Any) -> bool:
    """Whether reading a column could unpickle it; where Ray Data is loaded, its type of pickled objects does.

    Where that type is not registered, only the field's metadata names it.
    """
    names = f"{getattr(field.type, 'extension_name', '')} {(field.metadata or {}).get(b'ARROW:extension:name', b'')!r}"
    inner = getattr(field.type, "storage_type", field.type)
    return (
        "pickle" in names
        or "py_extension_type" in names
        or any(_is_pickled(inner.field(number)) for number in range(inner.num_fields))
    )


@contextmanager
def parquet_failures(uri: str) -> Iterator[None]:
    """Tell content that cannot be read from a store that fails.

    Raises:
        ShardUnreadable: the content is no valid Parquet, or text in it is no UTF-8.
        StorageError: the store failed.
    """
    try:
        yield
    except (pa.ArrowException, UnicodeDecodeError, *failures()) as error:
        # Arrow's own complaints about content carry no errno, those of a disk or network do.
        content = isinstance(error, (pa.ArrowException, UnicodeDecodeError)) or type(error) is OSError
        if not content or getattr(error, "errno", None):
            raise StorageError(f"{uri}: could not be read ({error}); run the same command again") from error
        raise ShardUnreadable("unreadable", str(error).partition("\n")[0]) from error


def _groups(shard: Shard) -> tuple[int, int]:
    assert shard.row_groups is not None, "a Parquet shard has row groups"
    return shard.row_groups


def _items(
    plan: Plan, shard: Shard, pool: Pool, table: Any, offsets: NDArray[np.int64], want: Want
) -> tuple[Item, ...]:
    count = len(offsets)
    if plan.id_column is None:
        ids = _row_ids(shard, offsets)
    else:
        ids = [str(value) for value in table.column(plan.id_column).to_pylist()]
    images = _images(table.column(pool.image_column)) if want.image else [None] * count
    named = want.label and pool.label_column is not None
    labels = table.column(pool.label_column).to_pylist() if named else [None] * count
    rows = (shard.first_row + offsets).tolist()
    return tuple(Item(*parts) for parts in zip(rows, ids, images, labels, strict=True))


def _images(column: Any) -> list[bytes | None]:
    values = column.to_pylist()
    return [value.get("bytes") if isinstance(value, dict) else value for value in values]
