"""Images in: what lies in the pool, in which shards, and each item's bytes and pixels.

`raylabel.pool.decode` is not imported here: it needs torch, and planning does not.
"""

from raylabel.pool.growth import grow_plan
from raylabel.pool.plan import plan_pool, quarantine_unreadable
from raylabel.pool.read import fetch, fetch_shards, read_shard
from raylabel.pool.shards import Batch, Item, Plan, Shard, ShardUnreadable, Want

__all__ = [
    "Batch",
    "Item",
    "Plan",
    "Shard",
    "ShardUnreadable",
    "Want",
    "fetch",
    "fetch_shards",
    "grow_plan",
    "plan_pool",
    "quarantine_unreadable",
    "read_shard",
]
