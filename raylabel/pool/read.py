"""Read items: a shard as a stream of batches, or single rows by number. Bytes only; nothing is decoded here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from raylabel import runtime
from raylabel.config import Pool
from raylabel.errors import PoolError, StorageError
from raylabel.pool.listing import etag_of
from raylabel.pool.shards import Plan, Shard, ShardUnreadable
from raylabel.workspace import Store, open_filesystem, read_part
from raylabel.workspace.store import failures


@dataclass(frozen=True)
class Item:
    """One item as its pool holds it; `label` is what an oracle would say, None where it was not asked for."""

    row: int
    id: str
    image: bytes | None
    label: str | int | None = None
    error: tuple[str, str] | None = None
    """Why a file of its own gave no image: missing, input_changed or forbidden, and what was found."""


@dataclass(frozen=True)
class Batch:
    """Consecutive items of one shard."""

    items: tuple[Item, ...]


@dataclass(frozen=True)
class Want:
    """What to read beside row and id."""

    image: bool = True
    label: bool = False


_IMAGES = Want()


def read_shard(plan: Plan, shard: Shard, *, pool: Pool, store: Store, batch_rows: int) -> Iterator[Batch]:
    """Stream a shard's items with their encoded images, in row order.

    Raises:
        ShardUnreadable: the shard is gone, was changed since planning, or is no valid Parquet.
        StorageError: the store failed.
    """
    if shard.listing is not None:
        yield from _read_files(plan, shard, store, np.arange(shard.rows), batch_rows)
        return
    with open_parquet(f"{plan.root}/{shard.path}", etag=shard.etag) as file:
        groups = list(range(*_groups(shard)))
        columns = [name for name in (plan.id_column, pool.image_column) if name is not None]
        at = 0
        with parquet_failures(shard.path):
            for batch in file.iter_batches(batch_size=batch_rows, row_groups=groups, columns=columns):
                yield Batch(_items(plan, shard, pool, batch, np.arange(at, at + batch.num_rows), _IMAGES))
                at += batch.num_rows


def fetch(
    plan: Plan, rows: Sequence[int] | NDArray[np.int64], *, pool: Pool, store: Store, want: Want
) -> Iterator[Item]:
    """Fetch single items by row, shard by shard, in tasks; the order is that of the rows.

    Raises:
        PoolError: a shard that holds one of them can no longer be read.
    """
    for shard, found in fetch_shards(plan, rows, pool=pool, store=store, want=want):
        if isinstance(found, ShardUnreadable):
            raise PoolError(
                f"{plan.root}/{shard.name}: can no longer be read ({found.code}: {found.message}); "
                "restore the pool as it was planned, or begin another workspace"
            )
        yield from found


def fetch_shards(
    plan: Plan, rows: Sequence[int] | NDArray[np.int64], *, pool: Pool, store: Store, want: Want
) -> Iterator[tuple[Shard, tuple[Item, ...] | ShardUnreadable]]:
    """Fetch single items by row, in tasks; a shard that cannot be read gives its error instead of its items."""
    work = plan.by_shard(rows)
    fetched = runtime.map_tasks(_Fetch(replace(plan, shards=(), unreadable=()), pool, store, want), work)
    for (shard, _), found in zip(work, fetched, strict=True):
        yield shard, found


@dataclass(frozen=True)
class _Fetch:
    """Fetch some rows of one shard, in a task; carries the plan's head, never its list of shards."""

    plan: Plan
    pool: Pool
    store: Store
    want: Want

    def __call__(self, work: tuple[Shard, NDArray[np.int64]]) -> tuple[Item, ...] | ShardUnreadable:
        shard, rows = work
        try:
            return fetch_from(self.plan, shard, rows, self.pool, self.store, self.want)
        except ShardUnreadable as error:
            return error


def fetch_from(
    plan: Plan, shard: Shard, rows: NDArray[np.int64], pool: Pool, store: Store, want: Want
) -> tuple[Item, ...]:
    """Fetch rows of one shard, here; only the row groups that hold them are read."""
    offsets = rows - shard.first_row
    if shard.listing is not None:
        batches = _read_files(plan, shard, store, offsets, batch_rows=len(offsets), want=want)
        return tuple(item for batch in batches for item in batch.items)
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


@contextmanager
def open_parquet(uri: str, *, etag: str) -> Iterator[pq.ParquetFile]:
    """Open a Parquet file that must still be the one that was planned.

    Raises:
        ShardUnreadable: it is gone, has another etag, is no Parquet, or has a column of pickled objects.
        StorageError: the store failed.
    """
    filesystem, path = open_filesystem(uri)
    try:
        info = filesystem.info(path)
        if etag_of(info) != etag:
            raise ShardUnreadable("input_changed", f"it was planned with etag {etag} and has {etag_of(info)} now")
        handle = filesystem.open(path, "rb")
    except FileNotFoundError:
        raise ShardUnreadable("missing", "the file is gone") from None
    except PermissionError as error:
        raise ShardUnreadable("forbidden", f"its rights do not allow reading it ({error})") from None
    except failures() as error:
        raise StorageError(f"{uri}: could not be opened ({error}); run the same command again") from error
    with handle:
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
    assert shard.row_groups is not None, "a shard has row groups or a listing"
    return shard.row_groups


def _items(
    plan: Plan, shard: Shard, pool: Pool, table: Any, offsets: NDArray[np.int64], want: Want
) -> tuple[Item, ...]:
    count = len(offsets)
    if plan.id_column is None:
        ids = [f"{shard.path}#{shard.first_file_row + int(offset)}" for offset in offsets]
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


def _read_files(
    plan: Plan, shard: Shard, store: Store, offsets: NDArray[np.int64], batch_rows: int, want: Want = _IMAGES
) -> Iterator[Batch]:
    assert shard.listing is not None, "only a folder's shard has files"
    listing = read_part(store, shard.listing).take(pa.array(offsets)).to_pylist()
    for start in range(0, len(listing), batch_rows):
        chunk = listing[start : start + batch_rows]
        images = _file_bytes(plan.root, chunk) if want.image else [(None, None)] * len(chunk)
        yield Batch(
            tuple(
                Item(
                    row=shard.first_row + int(offset),
                    id=entry["path"],
                    image=image,
                    label=entry["path"].rsplit("/", 2)[-2] if want.label and "/" in entry["path"] else None,
                    error=error,
                )
                for offset, entry, (image, error) in zip(
                    offsets[start : start + batch_rows], chunk, images, strict=True
                )
            )
        )


def _file_bytes(root: str, entries: Sequence[dict[str, Any]]) -> list[tuple[bytes | None, tuple[str, str] | None]]:
    """Bytes of each file, or the error code and message of one that cannot be used; the others go on."""
    filesystem, base = open_filesystem(root)
    paths = [f"{base.rstrip('/')}/{entry['path']}" for entry in entries]
    # `cat` would take a name such as a[1].jpg for a pattern; whole files as ranges are taken as they are named.
    found: list[Any] = filesystem.cat_ranges(paths, None, None, on_error="return")
    images: list[tuple[bytes | None, tuple[str, str] | None]] = []
    for path, entry, data in zip(paths, entries, found, strict=True):
        if isinstance(data, FileNotFoundError):
            images.append((None, ("missing", "the file is gone")))
        elif isinstance(data, PermissionError):
            images.append((None, ("forbidden", f"its rights do not allow reading it ({data})")))
        elif isinstance(data, Exception):
            raise StorageError(f"{path}: could not be read ({data}); run the same command again") from data
        elif len(data) != int(entry["size"]):
            changed = f"it was planned with {entry['size']} bytes and has {len(data)} now"
            images.append((None, ("input_changed", changed)))
        else:
            images.append((data, None))
    return images
