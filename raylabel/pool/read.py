"""Read items: a shard as a stream of batches, or single rows by number. Bytes only; nothing is decoded here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raylabel import runtime
from raylabel.config import Pool
from raylabel.errors import PoolError
from raylabel.pool import parquet
from raylabel.pool.ahead import one_ahead
from raylabel.pool.files import read_files
from raylabel.pool.shards import Batch, Item, Plan, Shard, ShardUnreadable, Want
from raylabel.pool.tars import read_samples_of
from raylabel.workspace import Store, read_part


def read_shard(plan: Plan, shard: Shard, *, pool: Pool, store: Store, batch_rows: int) -> Iterator[Batch]:
    """Stream a shard's items with their encoded images, in row order, at most `batch_rows` at a time.

    Raises:
        ShardUnreadable: the shard is gone, was changed since planning, or is no valid Parquet.
        StorageError: the store failed.

    Cost: the next batch is fetched while the caller works on this one. But for Parquet a batch holds at most 64 MiB
    of images, or one image if it is larger, as far as sizes are known.
    """
    if plan.kind == "parquet":
        # Its reader fetches ahead itself.
        yield from parquet.stream_groups(plan, shard, pool=pool, batch_rows=batch_rows)
        return
    everything = np.arange(shard.rows)
    yield from one_ahead(
        _read_listed(plan, shard, everything, pool=pool, store=store, batch_rows=batch_rows, want=Want())
    )


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
    """Fetch rows of one shard, here; no more of it is read than the row groups, ranges or files that hold them."""
    offsets = rows - shard.first_row
    if plan.kind == "parquet":
        return parquet.pick_rows(plan, shard, offsets, pool=pool, want=want)
    batches = _read_listed(plan, shard, offsets, pool=pool, store=store, batch_rows=len(offsets), want=want)
    return tuple(item for batch in batches for item in batch.items)


def _read_listed(
    plan: Plan, shard: Shard, offsets: NDArray[np.int64], *, pool: Pool, store: Store, batch_rows: int, want: Want
) -> Iterator[Batch]:
    if plan.kind == "webdataset":
        return read_samples_of(plan, shard, offsets, pool=pool, store=store, batch_rows=batch_rows, want=want)
    return read_files(plan, shard, offsets, store=store, batch_rows=batch_rows, want=want)


def read_ids(plan: Plan, shard: Shard, *, store: Store) -> list[Any]:
    """The ids of a shard as its file or listing holds them, in row order; None where an item has none.

    Raises:
        ShardUnreadable: a Parquet shard that can no longer be read.
    """
    if plan.kind == "parquet":
        assert plan.id_column is not None, "ids by path and row are unique as they are"
        return parquet.read_column(plan, shard, plan.id_column)
    assert shard.listing is not None, "all but Parquet is listed"
    name = {"webdataset": "key", "list": "id", "folder": "path"}[plan.kind]
    values: list[Any] = read_part(store, shard.listing, columns=[name]).column(0).to_pylist()
    return [f"{shard.path}/{key}" for key in values] if plan.kind == "webdataset" else values
