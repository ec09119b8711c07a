"""Find an id that a pool holds twice, without ever holding all ids in one place.

Each shard's ids are hashed in a task and spread over buckets; a bucket is looked through in a task of its own.
Only rows whose 64-bit hashes meet are compared as strings.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from raylabel import runtime
from raylabel.config import Pool
from raylabel.errors import PoolError
from raylabel.pool.read import fetch_from, read_ids
from raylabel.pool.shards import Plan, Shard, ShardUnreadable, Want
from raylabel.workspace import Store

IDS_PER_BUCKET = 4_000_000

Hashed = NDArray[np.uint64]
"""(n, 2): the hash of an id, and its row in the pool."""


def find_duplicates(plan: Plan, store: Store) -> tuple[str, str, str] | None:
    """Look for an id that stands in the pool twice; paths of files, and paths with rows, cannot.

    Returns:
        The id and where its first two places are ("file, row n"), or None. Shards whose ids cannot be read are
        passed over: reading their images fails as well, and puts them into the quarantine.

    Raises:
        PoolError: an item has no id.

    Cost: one pass over the ids; 16 bytes an item through the object store, nothing of it on the driver.
    """
    if plan.kind == "folder" or (plan.kind == "parquet" and plan.id_column is None):
        return None
    buckets = 1 + plan.num_rows // IDS_PER_BUCKET
    head = replace(plan, shards=(), unreadable=())
    meetings = runtime.shuffle(_Hash(head, store, buckets), plan.shards, _meeting, num_buckets=buckets)
    for first, second in (pair for pairs in meetings for pair in pairs):
        (shard_a, row_a), (shard_b, row_b) = (plan.by_shard([row])[0] for row in (first, second))
        id_a, id_b = (_id_of(head, shard, rows, store) for shard, rows in ((shard_a, row_a), (shard_b, row_b)))
        if id_a == id_b:
            return id_a, _place(shard_a, first), _place(shard_b, second)
    return None


@dataclass(frozen=True)
class _Hash:
    """Hash one shard's ids into buckets, in a task."""

    plan: Plan
    store: Store
    buckets: int

    def __call__(self, shard: Shard) -> list[Hashed]:
        try:
            values = read_ids(self.plan, shard, store=self.store)
        except ShardUnreadable:
            return [np.empty((0, 2), dtype=np.uint64)] * self.buckets
        if None in values:
            place = _place(shard, shard.first_row + values.index(None))
            raise PoolError(
                f"{place}: the column {self.plan.id_column!r} is null there; every item needs an id: "
                "choose another pool.id_column"
            )
        import pandas as pd  # a third of a second, and few processes hash ids

        ids = np.array([str(value) for value in values], dtype=object)
        hashes = pd.util.hash_array(ids, categorize=False)
        rows = np.arange(shard.first_row, shard.first_row + len(ids), dtype=np.uint64)
        pairs = np.stack([hashes, rows], axis=1)
        return [pairs[hashes % self.buckets == bucket] for bucket in range(self.buckets)]


def _meeting(*parts: Hashed) -> list[tuple[int, int]]:
    """Rows of one bucket whose hashes meet: at most 100 pairs, lowest rows first."""
    pairs = np.concatenate(parts)
    pairs = pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]
    same = np.flatnonzero(pairs[1:, 0] == pairs[:-1, 0])
    return sorted((int(pairs[i, 1]), int(pairs[i + 1, 1])) for i in same)[:100]


def _id_of(plan: Plan, shard: Shard, rows: NDArray[np.int64], store: Store) -> str:
    return fetch_from(plan, shard, rows, Pool(path=plan.root), store, Want(image=False))[0].id


def _place(shard: Shard, row: int) -> str:
    return f"{shard.path}, row {row - shard.first_row + shard.first_file_row}"
