"""Growth: what lies in a pool and is not in its plan becomes a new version of the plan, rows behind those it has.

What is planned stays as it is: its files are compared by their etags, and one that changed or is gone ends the growth.
Opens no file of the pool but new ones, and lists that have grown.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import replace

from raylabel.config import Pool
from raylabel.errors import PoolError
from raylabel.pool.listing import Found, list_pool
from raylabel.pool.plan import Work, append_files
from raylabel.pool.shards import Plan, Shard
from raylabel.workspace import Store, read_part

_REMEDY = "growth takes in what is new, and nothing else: put it back as it was, or begin another workspace"


def grow_plan(plan: Plan, pool: Pool, store: Store, *, labels_needed: bool) -> Plan | None:
    """Plan what has come into a pool since its newest plan was made.

    Files that could not be planned before are looked at again.

    Args:
        plan: the newest.
        pool: the config's section.
        store: the workspace.
        labels_needed: whether an oracle will ask for labels.

    Returns:
        The next version of the plan, with the old shards as they were and new ones behind them; None where nothing has
        come.

    Raises:
        PoolError: a file that was planned has changed or is gone, nothing of what is new can be used, or a new id
            stands there already.

    Cost: one listing of the pool, that of a folder from the workspace beside it; new files as in `plan_pool`, ids of
    the whole pool where they are not paths of files. Memory: one entry for each file that is not a picture, and for a
    folder one shard's listing for each version.
    """
    kind, files = list_pool(pool)
    if kind != plan.kind:
        raise PoolError(f"{pool.path}: was planned as {plan.kind!r} and looks like {kind!r} now; {_REMEDY}")
    new = _new(plan, files, store)
    grown = append_files(plan, new, pool, store, labels_needed=labels_needed)
    known = {path for path, _, _ in plan.unreadable}
    bad = [entry for entry in grown.unreadable if entry[0] not in known]
    if len(grown.shards) > len(plan.shards):
        return replace(grown, starts=(*plan.starts, plan.num_rows))
    if bad:
        path, code, message = bad[0]
        raise PoolError(f"{pool.path}: none of its {len(bad)} new files can be used; {path}: {code}, {message}")
    return None


def _new(plan: Plan, files: Iterator[Found], store: Store) -> Iterator[Work]:
    """Files that the plan does not know, and lists that are no longer what it knows, with their shards."""
    shards = _by_file(plan) if plan.kind != "folder" else {}
    known = _listed(plan, store) if plan.kind == "folder" else _ends(shards)
    for found, etag in _beside(plan.root, files, known):
        if etag is None:
            yield found, ()
        elif etag != found.etag:
            if plan.kind != "list":
                raise PoolError(f"{plan.root}/{found.path}: has changed since it was planned; {_REMEDY}")
            yield found, shards[found.path]


def _beside(root: str, files: Iterator[Found], known: Iterator[tuple[str, str]]) -> Iterator[tuple[Found, str | None]]:
    """What lies there, each with the etag that it was planned with, or None; both come in the order of paths' bytes.

    Raises:
        PoolError: something that was planned does not come.
    """
    path, etag = next(known, ("", ""))
    for found in files:
        if path and path.encode() < found.path.encode():
            break
        if path == found.path:
            yield found, etag
            path, etag = next(known, ("", ""))
        else:
            yield found, None
    if path:
        raise PoolError(f"{root}/{path}: was planned and is gone; {_REMEDY}")


def _by_file(plan: Plan) -> dict[str, list[Shard]]:
    found: dict[str, list[Shard]] = {}
    for shard in plan.shards:
        found.setdefault(shard.path, []).append(shard)
    return found


def _ends(shards: dict[str, list[Shard]]) -> Iterator[tuple[str, str]]:
    """Path and newest etag of every planned file, sorted."""
    for path in sorted(shards, key=str.encode):
        yield path, shards[path][-1].etag


def _listed(plan: Plan, store: Store) -> Iterator[tuple[str, str]]:
    """Path and etag of every planned picture, sorted: each version is so by itself."""
    ends = [*plan.starts[1:], plan.num_rows]
    versions = [
        _paths([shard for shard in plan.shards if start <= shard.first_row < end], store)
        for start, end in zip(plan.starts, ends, strict=True)
    ]
    return heapq.merge(*versions, key=lambda entry: entry[0].encode())


def _paths(shards: list[Shard], store: Store) -> Iterator[tuple[str, str]]:
    for shard in shards:
        assert shard.listing is not None, "a folder's shard has a listing"
        table = read_part(store, shard.listing, columns=["path", "etag"])
        yield from zip(table.column("path").to_pylist(), table.column("etag").to_pylist(), strict=True)
