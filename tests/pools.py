"""Pools as several suites read them."""

from raylabel.config import Pool
from raylabel.pool import Item, Plan, read_shard
from raylabel.workspace import Store


def items(found: Plan, pool: Pool, store: Store, batch_rows: int = 7) -> list[Item]:
    """All items of a pool, shard by shard."""
    return [
        item
        for shard in found.shards
        for batch in read_shard(found, shard, pool=pool, store=store, batch_rows=batch_rows)
        for item in batch.items
    ]
