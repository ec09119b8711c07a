"""Plan a pool: number its items, cut it into shards, and find what cannot be read or is there twice.

Footers are read in tasks; no image is. Knows files and columns; knows nothing of models.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import pyarrow as pa

from raylabel import runtime, schema
from raylabel.config import Pool
from raylabel.errors import PoolError
from raylabel.pool.duplicates import find_duplicates
from raylabel.pool.listing import Found, list_pool, root_of
from raylabel.pool.read import open_parquet
from raylabel.pool.shards import ROWS, Plan, Shard, ShardUnreadable
from raylabel.workspace import Part, Store, write_part


@dataclass(frozen=True)
class _File:
    """A Parquet file as its footer tells it."""

    found: Found
    groups: tuple[int, ...] = ()
    columns: tuple[str, ...] = ()
    error: tuple[str, str] | None = None


def plan_pool(pool: Pool, store: Store, *, labels_needed: bool) -> Plan:
    """Plan the pool as it lies there now.

    Args:
        pool: the config's section.
        store: the workspace; lists of a folder's files are written below `pool/`.
        labels_needed: whether an oracle will ask for labels.

    Raises:
        PoolError: the pool is missing, holds nothing readable, lacks a configured column, or holds an id twice.

    Cost: one footer per Parquet file and one pass over the id column.
    """
    kind, files = list_pool(pool)
    root = root_of(pool, kind)
    if kind == "folder":
        return Plan(root, kind, None, tuple(_folder_shards(files, store)))
    plan = _plan_parquet(pool, root, files, labels_needed=labels_needed)
    if plan.id_column is not None:
        twice = find_duplicates(plan)
        if twice is not None:
            name, first, second = twice
            raise PoolError(
                f"{pool.path}: the id {name!r} stands there twice ({first} and {second}); ids must be unique: "
                "choose another pool.id_column, or none to use path and row"
            )
    return plan


def quarantine_unreadable(plan: Plan, store: Store) -> list[Part]:
    """Write the files that could not be planned into the quarantine table; no part where there are none."""
    if not plan.unreadable:
        return []
    paths, codes, messages = zip(*plan.unreadable, strict=True)
    nothing = [None] * len(paths)
    columns = {"id": nothing, "shard": paths, "stage": ["plan"] * len(paths), "error_code": codes, "message": messages}
    return [write_part(store, "quarantine/plan-0000", pa.table(columns, schema=schema.QUARANTINE))]


def _folder_shards(files: Iterable[Found], store: Store) -> Iterator[Shard]:
    source = iter(files)
    first_row = index = 0
    while chunk := list(islice(source, ROWS)):
        table = pa.table(
            {
                "path": [found.path for found in chunk],
                "size": [found.size for found in chunk],
                "etag": [found.etag for found in chunk],
            },
            schema=schema.LISTING,
        )
        listing = write_part(store, f"pool/listing-{index:05d}", table)
        yield Shard(index=index, path=chunk[0].path, first_row=first_row, rows=len(chunk), listing=listing)
        first_row += len(chunk)
        index += 1


def _plan_parquet(pool: Pool, root: str, files: Iterable[Found], *, labels_needed: bool) -> Plan:
    shards: list[Shard] = []
    unreadable: list[tuple[str, str, str]] = []
    id_column, chosen = pool.id_column, pool.id_column is not None
    first_row = 0
    for file in runtime.map_tasks(_Inspect(root, pool.image_column), files):
        if not chosen and file.columns:
            # The first file that can be read decides, for all of them.
            id_column, chosen = ("id" if "id" in file.columns else None), True
        error = file.error or _missing_column(pool, file, id_column, labels_needed=labels_needed)
        if error is not None:
            unreadable.append((file.found.path, *error))
            continue
        for shard in _cut(file):
            shards.append(replace(shard, index=len(shards), first_row=first_row))
            first_row += shard.rows
    if not shards:
        path, code, message = unreadable[0]
        raise PoolError(
            f"{pool.path}: none of its {len(unreadable)} Parquet files can be used; {path}: {code}, {message}"
        )
    return Plan(root, "parquet", id_column, tuple(shards), tuple(unreadable))


@dataclass(frozen=True)
class _Inspect:
    """Read one footer, in a task."""

    root: str
    image_column: str

    def __call__(self, found: Found) -> _File:
        try:
            with open_parquet(f"{self.root}/{found.path}", etag=found.etag) as file:
                metadata = file.metadata
                groups = tuple(metadata.row_group(i).num_rows for i in range(metadata.num_row_groups))
                columns = file.schema_arrow
                error = ("empty", "holds no rows") if sum(groups) == 0 else _bad_column(columns, self.image_column)
                return _File(found, groups, tuple(columns.names), error)
        except ShardUnreadable as error:
            return _File(found, error=(error.code, error.message))


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


def _missing_column(pool: Pool, file: _File, id_column: str | None, *, labels_needed: bool) -> tuple[str, str] | None:
    wanted = [pool.image_column, id_column, pool.label_column if labels_needed else None]
    for name in wanted:
        if name is not None and name not in file.columns:
            return "bad_column", f"has no column {name!r}, only {', '.join(file.columns)}"
    return None


def _cut(file: _File) -> Iterator[Shard]:
    start = rows = first_file_row = 0
    for number, size in enumerate(file.groups):
        rows += size
        if rows >= ROWS or number == len(file.groups) - 1:
            if rows:
                yield Shard(
                    index=0,
                    path=file.found.path,
                    first_row=0,
                    rows=rows,
                    etag=file.found.etag,
                    row_groups=(start, number + 1),
                    first_file_row=first_file_row,
                )
            first_file_row += rows
            start, rows = number + 1, 0
