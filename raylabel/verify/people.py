"""What people were asked, and what their answers came to: the audit drawn again, the consensus joined again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from raylabel import schema
from raylabel.acceptance.differences import differences
from raylabel.campaign import Campaign, Rows, folder, training_answers
from raylabel.labeling import find_audit, resolved_before
from raylabel.labeling.asking import resolve
from raylabel.labeling.auditing import draw_name, redraw
from raylabel.pool import Plan
from raylabel.reporting.committed import Committed
from raylabel.reporting.touched import touched
from raylabel.workspace import read_parts
from raylabel.workspace.vectors import gather_rows


def check_draws(campaign: Campaign, plan: Plan) -> tuple[int, list[str]]:
    """Draw the audit sample again from its seed and compare.

    Returns:
        How many items were drawn, and what differs.
    """
    count, wrong = 0, []
    for version in range(plan.version + 1):
        name = draw_name(version)
        record = campaign.records.require(name, missing=f"the record {name} of the audit draw is gone")
        kept = read_parts(campaign.store, record.parts["audit"], schema=schema.AUDIT)
        found = redraw(campaign, plan, version)
        count += found.num_rows
        wrong += [f"{name}: {line}" for line in _compared(kept.drop_columns("id"), found, key="row", rows="items")]
    return count, wrong


def check_asked(campaign: Campaign, rounds: list[Committed]) -> tuple[int, list[str]]:
    """See that no strategy picked an audit item, and that the ids that people saw are those of the pool's rows.

    Returns:
        How many items were asked about, and what is wrong.
    """
    audit = find_audit(campaign)
    asked: set[int] = set()
    wrong: list[str] = []
    for done in rounds:
        wrong += touched(campaign, done.number, audit)
        record = campaign.records.require(
            f"{folder(done.number)}/shortlist", missing=f"the shortlist of round {done.number} is gone"
        )
        items = read_parts(campaign.store, record.parts["shortlist"], schema=schema.SHORTLIST)
        ids = dict(zip(items.column("row").to_pylist(), items.column("id").to_pylist(), strict=True))
        asked |= set(ids)
        predicted = gather_rows(campaign.store, done.predictions.holding(items.column("row").to_numpy()))
        for row, name in _pairs(predicted):
            if ids[row] != name:
                wrong.append(f"round {done.number}: the shortlist calls row {row} {ids[row]}, the pool calls it {name}")
    return len(asked), wrong


def check_answers(campaign: Campaign, rounds: list[Committed]) -> tuple[int, list[str]]:
    """Join the answers of each round again, as the protocol says, and compare with what the round went on with.

    Returns:
        How many items have an answer, and what differs.
    """
    audit: Rows = find_audit(campaign)
    count, wrong = 0, []
    for done in rounds:
        place = folder(done.number)
        gone = f"a record of what was asked in round {done.number} is gone"
        shortlist = campaign.records.require(f"{place}/shortlist", missing=gone)
        answered = campaign.records.require(f"{place}/answered", missing=gone)
        items = read_parts(campaign.store, shortlist.parts["shortlist"], schema=schema.SHORTLIST).to_pylist()
        kept = read_parts(campaign.store, answered.parts["resolved"], schema=schema.RESOLVED)
        found, annotators = resolve(campaign, done.number, items, audit, names=answered.facts["answers"])
        count += kept.num_rows
        wrong += [f"round {done.number}: {line}" for line in _compared(kept, found, key="id", rows="answers")]
        wrong += [f"round {done.number}: {line}" for line in differences(answered.facts["annotators"], annotators)]
        usable = training_answers(resolved_before(campaign, done.number + 1)).num_rows
        if done.model.facts["num_answers"] > usable:
            wrong.append(
                f"round {done.number}: the model learned from {done.model.facts['num_answers']} answers, "
                f"only {usable} were given for training"
            )
    return count, wrong


def _compared(kept: pa.Table, found: pa.Table, *, key: str, rows: str) -> Iterator[str]:
    """Where two tables differ, row by row."""
    there = {row[key]: row for row in kept.to_pylist()}
    again = {row[key]: row for row in found.to_pylist()}
    if len(there) != kept.num_rows:
        yield f"{kept.num_rows - len(there)} {rows} stand there twice"
    if lost := sorted(again.keys() - there.keys()):
        yield f"{len(lost)} {rows} are missing, the first is {key} {lost[0]}"
    if added := sorted(there.keys() - again.keys()):
        yield f"{len(added)} {rows} do not belong there, the first is {key} {added[0]}"
    for name in sorted(there.keys() & again.keys()):
        if there[name] != again[name]:
            yield f"{key} {name}: kept {there[name]}, recomputed {again[name]}"


def _pairs(table: pa.Table | None) -> list[tuple[Any, Any]]:
    if table is None:
        return []
    return list(zip(table.column("row").to_pylist(), table.column("id").to_pylist(), strict=True))
