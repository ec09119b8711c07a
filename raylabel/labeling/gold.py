"""Gold items: some whose label is known, asked among the others to measure who answers.

They measure people and nothing else: their answers are in no model, no consensus, no certificate and no label.
Knows a sheet of known labels and the pool's ids; knows nothing of who is shown what.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from raylabel import runtime, schema
from raylabel.campaign import Campaign, Pieces, Rows, folder
from raylabel.config import Pool
from raylabel.errors import AnswersError
from raylabel.labeling.answers import index_of, latest_of
from raylabel.labeling.auditing import check_budget, readable
from raylabel.labeling.readers.fields import check_fields, text_of
from raylabel.labeling.readers.sheet import read_sheet, said_in
from raylabel.pool import Plan, Shard, ShardUnreadable
from raylabel.pool.metadata import read_metadata
from raylabel.progress import counted, say
from raylabel.workspace import Record, Store, read_parts, write_part

KNOWN = "gold/known-0000"
"""Name of the record of the items whose label is known."""


def know_gold(campaign: Campaign, plan: Plan, audit: Rows) -> None:
    """Find the items of the sheet `labeling.gold` in the pool, and keep them with what they are; once.

    Those that the audit has drawn are left to it: an audit item is asked as one, and counts as one.

    Args:
        campaign: its `labeling.gold` names the sheet: `id` and `label` of each item.
        plan: of the pool.
        audit: rows of the audit sample.

    Raises:
        AnswersError: the sheet cannot be read, or names the line of an item that the pool does not hold, of a label
            that is no class or is missing, or of one that contradicts another line.
        ConfigError: so many gold items leave fewer items than the budget asks about.

    Cost: one pass over the pool's ids, shard by shard in tasks; on the driver 100 bytes an item of the sheet.
    """
    source = campaign.config.labeling.gold
    if source is not None:
        campaign.records.once(KNOWN, lambda: _find(campaign, plan, audit, Path(source)))


def find_gold(campaign: Campaign) -> pa.Table:
    """The items whose label is known, as rows of schema.GOLD in the order of the pool; none without a sheet."""
    record = campaign.records.find(KNOWN) if campaign.config.labeling.gold is not None else None
    return read_parts(campaign.store, record.parts["gold"] if record else (), schema=schema.GOLD)


def gold_of_round(campaign: Campaign, number: int, pieces: Pieces, *, num_others: int) -> pa.Table:
    """The gold items that a round asks about: one for each `labeling.gold_every` - 1 other questions, rounded up.

    They go round in an order that the seed decides, so that all were asked before one is asked again.

    Args:
        campaign: whose gold.
        number: the round; those before it have their shortlists.
        pieces: embeddings of the readable pool: what cannot be read is not asked.
        num_others: questions of the round.

    Returns:
        Row and id.
    """
    known = find_gold(campaign)
    order = campaign.rng("gold").permutation(known.num_rows)
    found = readable(campaign, pieces, known.column("row").to_numpy())
    if found.num_rows == 0:
        return found
    place = {row: at for at, row in enumerate(found.column("row").to_pylist())}
    turns = [place[row] for row in known.column("row").to_numpy()[order].tolist() if row in place]
    before = (campaign.records.find(f"{folder(earlier)}/shortlist") for earlier in range(number))
    start = sum(record.facts["num_gold"] for record in before if record)
    count = min(-(-num_others // (campaign.config.labeling.gold_every - 1)), len(turns))
    return found.take(pa.array(np.take(turns, range(start, start + count), mode="wrap")))


def judge_gold(answers: pa.Table, gold: pa.Table, classes: Sequence[str]) -> dict[str, dict[str, Any]]:
    """How often annotators are right where the label is known.

    Args:
        answers: to gold items, rows of schema.ANSWERS; an annotator's latest of each item counts, skips do not.
        gold: rows of schema.GOLD.
        classes: the names of the classes.

    Returns:
        For each annotator, as `joining.Joined` has it: num_answers, num_shared (the same: each is compared) and
        error_rate.
    """
    known = {item["id"]: classes[item["label_index"]] for item in gold.to_pylist()}
    right: dict[str, list[bool]] = {}
    for (name, who), row in latest_of(answers).items():
        if row["kind"] == "label" and name in known:
            right.setdefault(who, []).append(row["label"] == known[name])
    return {
        who: {"num_answers": len(found), "num_shared": len(found), "error_rate": 1 - sum(found) / len(found)}
        for who, found in sorted(right.items())
    }


def _find(campaign: Campaign, plan: Plan, audit: Rows, source: Path) -> Record:
    labels, line_of = _read(source, campaign.config.classes)
    find = _Find(replace(plan, shards=(), unreadable=()), campaign.config.pool, campaign.store, frozenset(labels))
    row_of: dict[str, int] = {}
    problems = []
    for shard, found in zip(plan.shards, runtime.map_tasks(find, plan.shards), strict=True):
        if isinstance(found, ShardUnreadable):
            problems.append(f"{plan.root}/{shard.name} cannot be read ({found.code}: {found.message})")
        else:
            row_of |= found
    if strange := next((name for name in labels if name not in row_of), None):
        why = f"{problems[0]}, and no other file has that id" if problems else "no image of the pool has it"
        raise AnswersError(
            f"{source}, line {line_of[strange]}: unknown id {strange!r}: {why}; gold items go by the ids of the pool"
        )
    names = np.array(sorted(row_of, key=row_of.__getitem__), dtype=object)
    rows = np.array([row_of[name] for name in names], dtype=np.int64)
    asked = ~np.isin(rows, audit)
    index = np.array([labels[name] for name in names], dtype=np.int32)
    table = pa.table({"row": rows, "id": names, "label_index": index}, schema=schema.GOLD).filter(pa.array(asked))
    check_budget(campaign.config, plan.num_rows, num_gold=table.num_rows)
    drawn = f"; {len(rows) - table.num_rows:,} more the audit asks about" if not asked.all() else ""
    say(f"gold: {counted(table.num_rows, 'item')} of {source} will measure who answers{drawn}")
    return Record(parts={"gold": [write_part(campaign.store, KNOWN, table)]})


def _read(source: Path, classes: tuple[str, ...]) -> tuple[dict[str, int], dict[str, int]]:
    """The label index of each id, and the line that it stands on."""
    index = {name: position for position, name in enumerate(classes)}
    labels: dict[str, int] = {}
    line_of: dict[str, int] = {}
    for line, row in read_sheet(source):
        where = f"{source}, line {line}"
        check_fields(row, where=where)
        name, (kind, label) = text_of(row.get("id")), said_in(row)
        if not name or kind != "label":
            raise AnswersError(f"{where}: a gold item needs an id and its label; leave out what is not known")
        found = index_of(label, index, where=where)
        if labels.setdefault(name, found) != found:
            raise AnswersError(f"{where}: {name} is {label!r}, but {classes[labels[name]]!r} on line {line_of[name]}")
        line_of.setdefault(name, line)
    if not labels:
        raise AnswersError(f"{source}: holds no gold item: give some ids and labels, or leave out labeling.gold")
    return labels, line_of


@dataclass(frozen=True)
class _Find:
    """Find ids among those of one shard, in a task; carries the plan's head, never its list of shards."""

    plan: Plan
    pool: Pool
    store: Store
    wanted: frozenset[str]

    def __call__(self, shard: Shard) -> Mapping[str, int] | ShardUnreadable:
        found: dict[str, int] = {}
        row, only_ids = shard.first_row, self.pool.model_copy(update={"metadata_columns": ()})
        try:
            for columns in read_metadata(self.plan, shard, pool=only_ids, store=self.store):
                names = columns["id"]
                found |= {str(name): row + at for at, name in enumerate(names) if name in self.wanted}
                row += len(names)
        except ShardUnreadable as error:
            return error
        return found
