"""Have labeling functions vote on every item of the pool: shard by shard, in tasks, each committed once.

A function is given a batch of the pool's metadata as columns, `{"id": [...], "blue": [...]}`, and returns a class's
name, or None to abstain, for each item. Knows metadata; never opens an image.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from raylabel import runtime, schema
from raylabel.acceptance import ABSTAIN
from raylabel.campaign import Campaign, Pieces, Rows, of_version
from raylabel.errors import ConfigError
from raylabel.models.functions import load_function, short_name, source_digest
from raylabel.pool import Plan, Shard, ShardUnreadable
from raylabel.pool.metadata import Columns, read_metadata
from raylabel.progress import counted, counting, say
from raylabel.workspace import Part, Record, write_part

SETTING = "weak.functions"

Function = Callable[[Columns], Sequence[str | None]]
Votes = NDArray[np.int16]


@dataclass(frozen=True)
class Voted:
    """The votes of a campaign's labeling functions.

    Args:
        functions: their short names, which are the columns.
        pieces: parts with columns of `schema.votes` that cover the pool, but for shards that cannot be read.
        facts: by function num_votes, and num_conflicts of them where another function names another class; of all
            together num_items, and num_covered, for which one at least votes.
        audit: rows that nothing may be learned of.
    """

    functions: tuple[str, ...]
    pieces: Pieces
    facts: dict[str, Any]
    audit: Rows


def vote(campaign: Campaign, plan: Plan, audit: Rows) -> Voted | None:
    """Have the configured functions vote on every item of a plan; shards that are done are not repeated.

    Args:
        campaign: its `weak` section names the functions.
        plan: of the pool.
        audit: rows of the audit sample.

    Returns:
        The votes; None where there are no functions.

    Raises:
        ConfigError: a function raises, or returns something else than a class or None for each item; names it and the
            item.

    Cost: a pass over the configured columns. Memory: of a task its shard's ids and votes, of the driver what each shard
        counts.
    """
    names = tuple(short_name(name) for name in campaign.config.weak.functions)
    if not names:
        return None
    record = campaign.records.once(of_version("votes/all", plan.version), lambda: _vote(campaign, plan, names))
    spans = tuple((first, last) for first, last in record.facts["spans"])
    facts = {name: record.facts[name] for name in ("functions", "num_items", "num_covered")}
    return Voted(names, Pieces(tuple(record.parts["votes"]), spans, plan.starts), facts, audit)


def _vote(campaign: Campaign, plan: Plan, names: tuple[str, ...]) -> Record:
    there = set(campaign.store.list("votes"))
    todo = [shard for shard in plan.shards if f"{_name(shard)}.json" not in there]
    done = 0
    with counting("vote", total=sum(shard.rows for shard in todo)) as show:
        for rows in runtime.map_tasks(_VoteOnShard(campaign, replace(plan, shards=(), unreadable=())), todo):
            done += rows
            show(done)
    parts: list[Part] = []
    spans: list[list[int]] = []
    totals = {"num_items": 0, "num_covered": 0, "num_unreadable": 0}
    by_function = {name: {"num_votes": 0, "num_conflicts": 0} for name in names}
    for shard in plan.shards:
        record = campaign.records.require(f"votes/{_name(shard)}", missing=f"the votes on {shard.name} are gone")
        parts += record.parts["votes"]
        spans += record.facts["spans"]
        for name in totals:
            totals[name] += record.facts[name]
        for name, counts in by_function.items():
            for what in counts:
                counts[what] += record.facts["functions"][name][what]
    covered = totals["num_covered"] / max(totals["num_items"], 1)
    said = f"{counted(len(names), 'labeling function')}, {covered:.1%} of {totals['num_items']:,} images covered"
    lost = totals["num_unreadable"]
    say(f"vote: {said}" + (f"; no votes on {lost:,} in shards that cannot be read" if lost else ""))
    return Record({"spans": spans, "functions": by_function, **totals}, {"votes": parts})


def _name(shard: Shard) -> str:
    return f"shard-{shard.index:06d}"


@dataclass(frozen=True)
class _VoteOnShard:
    """Vote on one shard and commit it, in a task; gives how many items it has."""

    campaign: Campaign
    plan: Plan

    def __call__(self, shard: Shard) -> int:
        config, store = self.campaign.config, self.campaign.store
        names = config.weak.functions
        ids: list[str] = []
        lost = 0
        votes: list[Votes] = [np.empty((0, len(names)), dtype=np.int16)]
        try:
            for columns in read_metadata(self.plan, shard, pool=config.pool, store=store):
                votes.append(vote_on(columns, names, config.classes))
                ids += columns["id"]
        except ShardUnreadable:
            # Embedding says why; whatever of it was read before does not count, nor what can be read of it later.
            ids, votes, lost = [], votes[:1], shard.rows
        table = np.concatenate(votes)
        rows = np.arange(shard.first_row, shard.first_row + len(ids))
        short = [short_name(name) for name in names]
        found: dict[str, Any] = {"row": rows, "id": ids, **dict(zip(short, table.T, strict=True))}
        parts = [write_part(store, f"votes/{_name(shard)}", pa.table(found, schema=schema.votes(short)))] if ids else []
        spans = [[int(rows[0]), int(rows[-1])]] if ids else []
        facts = count(table, short) | {"num_unreadable": lost, "spans": spans}
        self.campaign.records.commit(f"votes/{_name(shard)}", Record(facts, {"votes": parts}))
        return shard.rows


def count(votes: Votes, names: Sequence[str]) -> dict[str, Any]:
    """Count votes.

    Args:
        votes: (n, F), ABSTAIN where a function has none.
        names: of the functions.

    Returns:
        The facts of `Voted`.
    """
    spoken = votes != ABSTAIN
    highest = votes.max(axis=1, initial=ABSTAIN)
    lowest = np.where(spoken, votes, np.iinfo(np.int16).max).min(axis=1, initial=np.iinfo(np.int16).max)
    disputed = spoken.any(axis=1) & (highest != lowest)
    counts = zip(
        names, spoken.sum(axis=0).tolist(), (spoken & disputed[:, np.newaxis]).sum(axis=0).tolist(), strict=True
    )
    return {
        "functions": {name: {"num_votes": num, "num_conflicts": conflicts} for name, num, conflicts in counts},
        "num_items": len(votes),
        "num_covered": int(spoken.any(axis=1).sum()),
    }


def vote_on(columns: Columns, names: Sequence[str], classes: Sequence[str]) -> Votes:
    """Have functions vote on one batch.

    Args:
        columns: of the metadata, `id` among them.
        names: of the functions, as configured.
        classes: their names, by index.

    Returns:
        (n, F) int16 label indices, ABSTAIN where a function says None.

    Raises:
        ConfigError: as `vote`.
    """
    index = {None: ABSTAIN} | {name: position for position, name in enumerate(classes)}
    votes = np.empty((len(columns["id"]), len(names)), dtype=np.int16)
    for place, name in enumerate(names):
        said = _ask(name, columns)
        for position, value in enumerate(said):
            if not (value is None or isinstance(value, str)) or value not in index:
                where = f"{short_name(name)} says {value!r} of item {columns['id'][position]!r}"
                raise ConfigError(f"{SETTING}: {where}; expected a class ({', '.join(classes)}) or None to abstain")
            votes[position, place] = index[value]
    return votes


def _ask(name: str, columns: Columns) -> list[Any]:
    function = _loaded(name, source_digest(name))
    num = len(columns["id"])
    try:
        # Of a copy: whatever a function does to its columns, the next one finds them as they are.
        said = list(function({column: list(values) for column, values in columns.items()}))
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        known = ", ".join(sorted(columns))
        raise ConfigError(
            f"{SETTING}: {short_name(name)} fails on {_first_failing(function, columns)}: {reason}; it is given the "
            f"columns {known} (pool.metadata_columns names more); say None to abstain"
        ) from error
    if len(said) != num:
        raise ConfigError(
            f"{SETTING}: {short_name(name)} returned {len(said)} votes for {counted(num, 'item')} (the first is "
            f"{columns['id'][0]!r}); expected one for each, a class or None"
        )
    return said


@lru_cache(maxsize=64)
def _loaded(name: str, digest: str) -> Function:
    """A function, loaded once in a process for as long as its source is the same."""
    return load_function(name, setting=SETTING)


def _first_failing(function: Function, columns: Columns) -> str:
    """The first item that a function fails on alone, in words; the batch where it fails on none of them alone."""
    for position, name in enumerate(columns["id"]):
        try:
            list(function({column: [values[position]] for column, values in columns.items()}))
        except Exception:  # noqa: BLE001  # the error of the batch is what is told
            return f"item {name!r}"
    return f"{counted(len(columns['id']), 'item')} from {columns['id'][0]!r} on"
