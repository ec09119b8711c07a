"""What a pool says of its items beside their images: ids and the configured columns, shard by shard."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from raylabel.config import Pool
from raylabel.pool import parquet
from raylabel.pool.read import read_ids
from raylabel.pool.shards import Plan, Shard
from raylabel.workspace import Store, read_part

BATCH_ROWS = 4_096
"""Items that are in memory at once; all shards but those of large row groups have no more."""

Columns = dict[str, list[Any]]


def read_metadata(plan: Plan, shard: Shard, *, pool: Pool, store: Store) -> Iterator[Columns]:
    """Stream a shard's items as columns: `id`, and those that `pool.metadata_columns` names; in row order.

    Values are Python's own, None where there is none. CSV knows text alone; other lists keep what JSON can hold.

    Raises:
        ShardUnreadable: a Parquet shard that is gone, was changed since planning, or lacks a column.
    """
    if plan.kind == "parquet":
        yield from parquet.stream_columns(plan, shard, pool.metadata_columns, batch_rows=BATCH_ROWS)
        return
    columns: Columns = {}
    if plan.kind == "list" and pool.metadata_columns:
        assert shard.listing is not None, "a list's shard has a listing"
        texts = read_part(store, shard.listing, columns=["metadata"]).column(0).to_pylist()
        rows = [json.loads(text) for text in texts]
        columns |= {name: [row[name] for row in rows] for name in pool.metadata_columns}
    # Last, whatever a column is called: the votes are kept by it.
    yield columns | {"id": read_ids(plan, shard, store=store)}
