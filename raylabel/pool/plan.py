"""Plan a pool: number its items, cut it into shards, and find what cannot be read or is there twice.

Footers, headers and lists are read in tasks; no image is. Knows files and columns; knows nothing of models.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice

import pyarrow as pa

from raylabel import runtime, schema
from raylabel.config import Pool
from raylabel.errors import ConfigError, PoolError
from raylabel.pool.duplicates import find_duplicates
from raylabel.pool.listing import Found, list_pool, root_of
from raylabel.pool.lists import CutList
from raylabel.pool.parquet import Footer, ReadFooter, cut_footer
from raylabel.pool.shards import ROWS, Kind, Plan, Shard
from raylabel.pool.tars import PlanTar
from raylabel.workspace import Part, Store, write_part

Work = tuple[Found, Sequence[Shard]]
"""A file to plan, with the shards of it that are known; these are of lists alone, which grow at their end."""

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
        ConfigError: metadata columns of a pool that has no columns.

    Cost: one footer per Parquet file, one header per member of a tar, one pass over a list; and one over the ids,
    where they are not paths of files.
    """
    kind, files = list_pool(pool)
    if pool.metadata_columns and kind in ("folder", "webdataset"):
        raise ConfigError(
            f"pool.metadata_columns: {pool.path} is a {kind} pool, which has no columns; leave them out (labeling "
            "functions are given `id`, the path), or give a list of the files with these columns"
        )
    nothing = Plan(root_of(pool), kind, pool.id_column if kind == "parquet" else None, ())
    return append_files(nothing, ((found, ()) for found in files), pool, store, labels_needed=labels_needed)


def append_files(plan: Plan, files: Iterable[Work], pool: Pool, store: Store, *, labels_needed: bool) -> Plan:
    """Append files to a plan, as shards and rows behind those that it has.

    Args:
        plan: what is there; its `unreadable` is left out of the result.
        files: what is added; for a list that was known and has grown, with its shards.
        pool: as in `plan_pool`.
        store: as in `plan_pool`.
        labels_needed: as in `plan_pool`.

    Raises:
        PoolError: none of the files can be used where the plan has no shards, or an id stands there twice.
    """
    root = plan.root
    if plan.kind == "folder":
        return replace(plan, shards=(*plan.shards, *_folder_shards(plan, (found for found, _ in files), store)))
    if plan.kind == "parquet":
        plan = _plan_parquet(plan, pool, (found for found, _ in files), labels_needed=labels_needed)
    elif plan.kind == "webdataset":
        plan_tar = PlanTar(root, pool, store, labels_needed=labels_needed, rows_per_shard=ROWS)
        plan = _plan_tars(plan, plan_tar, (found for found, _ in files))
    else:
        cut_list = CutList(root, pool, store, labels_needed=labels_needed, rows_per_shard=ROWS)
        plan = _plan_lists(plan, cut_list, files)
    twice = find_duplicates(plan, store)
    if twice is not None:
        name, first, second = twice
        raise PoolError(
            f"{pool.path}: the id {name!r} stands there twice ({first} and {second}); ids must be unique: "
            f"{_REMEDY[plan.kind]}"
        )
    return plan


def quarantine_unreadable(plan: Plan, store: Store, *, known: Plan | None = None) -> list[Part]:
    """Write the files that could not be planned into the quarantine table; no part where there are none.

    Args:
        plan: whose files.
        store: the workspace.
        known: the version before; what was unreadable there stands in the quarantine already.
    """
    before = {path for path, _, _ in known.unreadable} if known else set()
    unreadable = [entry for entry in plan.unreadable if entry[0] not in before]
    if not unreadable:
        return []
    paths, codes, messages = zip(*unreadable, strict=True)
    nothing = [None] * len(paths)
    columns = {"id": nothing, "shard": paths, "stage": ["plan"] * len(paths), "error_code": codes, "message": messages}
    return [write_part(store, f"quarantine/plan-{plan.version:04d}", pa.table(columns, schema=schema.QUARANTINE))]


def _folder_shards(plan: Plan, files: Iterable[Found], store: Store) -> Iterator[Shard]:
    source = iter(files)
    first_row, index = plan.num_rows, len(plan.shards)
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


def _plan_tars(plan: Plan, plan_tar: PlanTar, files: Iterable[Found]) -> Plan:
    shards = list(plan.shards)
    unreadable: list[tuple[str, str, str]] = []
    for tar in runtime.map_tasks(plan_tar, files):
        if tar.error is not None:
            unreadable.append((tar.path, *tar.error))
        _append(shards, tar.shards)
    if not shards:
        raise _nothing_usable(plan_tar.pool, unreadable, "tars")
    return replace(plan, shards=tuple(shards), unreadable=tuple(unreadable))


def _plan_lists(plan: Plan, cut_list: CutList, files: Iterable[Work]) -> Plan:
    shards = list(plan.shards)
    for cut in runtime.map_tasks(cut_list, files):
        _append(shards, cut)
    if not shards:
        raise PoolError(f"{cut_list.pool.path}: the list holds no rows; point pool.path elsewhere")
    return replace(plan, shards=tuple(shards))


def _plan_parquet(plan: Plan, pool: Pool, files: Iterable[Found], *, labels_needed: bool) -> Plan:
    shards = list(plan.shards)
    unreadable: list[tuple[str, str, str]] = []
    id_column, chosen = plan.id_column, plan.id_column is not None or bool(shards)
    for file in runtime.map_tasks(ReadFooter(plan.root, pool.image_column), files):
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
    return replace(plan, id_column=id_column, shards=tuple(shards), unreadable=tuple(unreadable))


def _append(shards: list[Shard], of_a_file: Iterable[Shard]) -> None:
    """Number a file's shards, which count from its own start, on from those before it."""
    first_row = shards[-1].first_row + shards[-1].rows if shards else 0
    for shard in of_a_file:
        shards.append(replace(shard, index=len(shards), first_row=first_row + shard.first_row))


def _nothing_usable(pool: Pool, unreadable: list[tuple[str, str, str]], files: str) -> PoolError:
    path, code, message = unreadable[0]
    return PoolError(f"{pool.path}: none of its {len(unreadable)} {files} can be used; {path}: {code}, {message}")


def _missing_column(pool: Pool, file: Footer, id_column: str | None, *, labels_needed: bool) -> tuple[str, str] | None:
    wanted = [pool.image_column, id_column, pool.label_column if labels_needed else None, *pool.metadata_columns]
    for name in wanted:
        if name is not None and name not in file.columns:
            is_list = name == pool.image_column and pool.uri_column in file.columns
            hint = '; set pool.format to "list" if it is one of URIs' if is_list else ""
            return "bad_column", f"has no column {name!r}, only {', '.join(file.columns)}{hint}"
    return None
