"""Plan a pool: number its items, cut it into shards, and find what cannot be read or is there twice.

Footers, headers and lists are read in tasks; no image is. Knows files and columns; knows nothing of models.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice

import pyarrow as pa

from raylabel import runtime, schema
from raylabel.config import Pool
from raylabel.errors import PoolError
from raylabel.pool.duplicates import find_duplicates
from raylabel.pool.listing import Found, list_pool, root_of
from raylabel.pool.lists import CutList
from raylabel.pool.parquet import Footer, ReadFooter, cut_footer
from raylabel.pool.shards import ROWS, Kind, Plan, Shard
from raylabel.pool.tars import PlanTar
from raylabel.workspace import Part, Store, write_part

_REMEDY: dict[Kind, str] = {
    "parquet": "choose another pool.id_column, or none to use path and row",
    "webdataset": "the members of a sample stand side by side in their tar, each extension once",
    "list": "take one of them out of the list, or choose another pool.id_column",
}


def plan_pool(pool: Pool, store: Store, *, labels_needed: bool) -> Plan:
    """Plan the pool as it lies there now.

    Args:
        pool: the config's section.
        store: the workspace; where each item lies is written below `pool/`, but for Parquet, which knows itself.
        labels_needed: whether an oracle will ask for labels.

    Raises:
        PoolError: the pool is missing, holds nothing readable, lacks a configured column, or holds an id twice.

    Cost: one footer per Parquet file, one header per member of a tar, one pass over a list; and one over the ids,
    where they are not paths of files.
    """
    kind, files = list_pool(pool)
    root = root_of(pool)
    if kind == "folder":
        return Plan(root, kind, None, tuple(_folder_shards(files, store)))
    if kind == "parquet":
        plan = _plan_parquet(pool, root, files, labels_needed=labels_needed)
    elif kind == "webdataset":
        plan = _plan_tars(PlanTar(root, pool, store, labels_needed=labels_needed, rows_per_shard=ROWS), files)
    else:
        plan = _plan_lists(CutList(root, pool, store, labels_needed=labels_needed, rows_per_shard=ROWS), files)
    twice = find_duplicates(plan, store)
    if twice is not None:
        name, first, second = twice
        raise PoolError(
            f"{pool.path}: the id {name!r} stands there twice ({first} and {second}); ids must be unique: "
            f"{_REMEDY[kind]}"
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


def _plan_tars(plan_tar: PlanTar, files: Iterable[Found]) -> Plan:
    shards: list[Shard] = []
    unreadable: list[tuple[str, str, str]] = []
    for tar in runtime.map_tasks(plan_tar, files):
        if tar.error is not None:
            unreadable.append((tar.path, *tar.error))
        _append(shards, tar.shards)
    if not shards:
        raise _nothing_usable(plan_tar.pool, unreadable, "tars")
    return Plan(plan_tar.root, "webdataset", None, tuple(shards), tuple(unreadable))


def _plan_lists(cut_list: CutList, files: Iterable[Found]) -> Plan:
    shards: list[Shard] = []
    for cut in runtime.map_tasks(cut_list, files):
        _append(shards, cut)
    if not shards:
        raise PoolError(f"{cut_list.pool.path}: the list holds no rows; point pool.path elsewhere")
    return Plan(cut_list.root, "list", None, tuple(shards))


def _plan_parquet(pool: Pool, root: str, files: Iterable[Found], *, labels_needed: bool) -> Plan:
    shards: list[Shard] = []
    unreadable: list[tuple[str, str, str]] = []
    id_column, chosen = pool.id_column, pool.id_column is not None
    for file in runtime.map_tasks(ReadFooter(root, pool.image_column), files):
        if not chosen and file.columns:
            # The first file that can be read decides, for all of them.
            id_column, chosen = ("id" if "id" in file.columns else None), True
        error = file.error or _missing_column(pool, file, id_column, labels_needed=labels_needed)
        if error is not None:
            unreadable.append((file.found.path, *error))
        else:
            _append(shards, cut_footer(file, rows_per_shard=ROWS))
    if not shards:
        raise _nothing_usable(pool, unreadable, "Parquet files")
    return Plan(root, "parquet", id_column, tuple(shards), tuple(unreadable))


def _append(shards: list[Shard], of_a_file: Iterable[Shard]) -> None:
    """Number a file's shards, which count from its own start, on from those before it."""
    first_row = shards[-1].first_row + shards[-1].rows if shards else 0
    for shard in of_a_file:
        shards.append(replace(shard, index=len(shards), first_row=first_row + shard.first_row))


def _nothing_usable(pool: Pool, unreadable: list[tuple[str, str, str]], files: str) -> PoolError:
    path, code, message = unreadable[0]
    return PoolError(f"{pool.path}: none of its {len(unreadable)} {files} can be used; {path}: {code}, {message}")


def _missing_column(pool: Pool, file: Footer, id_column: str | None, *, labels_needed: bool) -> tuple[str, str] | None:
    wanted = [pool.image_column, id_column, pool.label_column if labels_needed else None]
    for name in wanted:
        if name is not None and name not in file.columns:
            is_list = name == pool.image_column and pool.uri_column in file.columns
            hint = '; set pool.format to "list" if it is one of URIs' if is_list else ""
            return "bad_column", f"has no column {name!r}, only {', '.join(file.columns)}{hint}"
    return None
