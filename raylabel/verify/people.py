"""What people were asked, and what their answers came to: the audit drawn again, the consensus joined again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from raylabel import schema
from raylabel.acceptance.differences import differences
from raylabel.campaign import Campaign, Pieces, Rows, folder, training_answers
from raylabel.labeling.answers import resolved_before
from raylabel.labeling.asking import resolve
from raylabel.labeling.auditing import redraw
from raylabel.labeling.drawn import SECOND, asked_for_audit, draw_name, find_audit, find_second
from raylabel.labeling.second_draw import redraw_second
from raylabel.pool import Plan
from raylabel.reporting.committed import Committed
from raylabel.reporting.touched import touched
from raylabel.runtime import fold_here
from raylabel.verify.files import as_kept
from raylabel.workspace import read_parts
from raylabel.workspace.vectors import gather_rows


def check_draws(campaign: Campaign, plan: Plan, rounds: list[Committed]) -> tuple[int, list[str]]:
    """Draw the audit sample again from its seed, and a second draw from its round's confidences, and compare.

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
    drawn, last = campaign.records.find(SECOND), _drawn_again_for(campaign, rounds)
    if drawn is not None and last is not None:
        answered = resolved_before(campaign, last.number + 1)
        found, facts = redraw_second(campaign, plan, last.predictions, answered, fold=fold_here)
        kept = read_parts(campaign.store, drawn.parts["audit"], schema=schema.AUDIT)
        count += found.num_rows
        wrong += [f"{SECOND}: {line}" for line in _compared(kept, found, key="row", rows="items")]
        wrong += differences({"strata": drawn.facts["strata"]}, as_kept({"strata": facts}), where=SECOND)
    return count, wrong


def _drawn_again_for(campaign: Campaign, rounds: list[Committed]) -> Committed | None:
    """The committed round that a second draw was made for."""
    record = campaign.records.find(SECOND)
    return next((done for done in rounds if record is not None and done.number == record.facts["round"]), None)


def _askings(campaign: Campaign, rounds: list[Committed]) -> list[tuple[int, Pieces]]:
    """What people were asked in, by number, and the predictions of a round that covers it."""
    last = _drawn_again_for(campaign, rounds)
    again = [(last.number + 1, last.predictions)] if last is not None and find_second(campaign).num_rows else []
    return [(done.number, done.predictions) for done in rounds] + again


def check_asked(campaign: Campaign, rounds: list[Committed]) -> tuple[int, list[str]]:
    """See that no strategy picked an audit item, and that the ids that people saw are those of the pool's rows.

    Returns:
        How many items were asked about, and what is wrong.
    """
    first, second = find_audit(campaign), find_second(campaign).column("row").to_numpy()
    last = rounds[-1].number if rounds else 0
    asked: set[int] = set()
    wrong: list[str] = []
    for number, predictions in _askings(campaign, rounds):
        wrong += touched(campaign, number, first if number <= last else second)
        record = campaign.records.require(
            f"{folder(number)}/shortlist", missing=f"the shortlist of round {number} is gone"
        )
        items = read_parts(campaign.store, record.parts["shortlist"], schema=schema.SHORTLIST)
        ids = dict(zip(items.column("row").to_pylist(), items.column("id").to_pylist(), strict=True))
        asked |= set(ids)
        predicted = gather_rows(campaign.store, predictions.holding(items.column("row").to_numpy()))
        for row, name in _pairs(predicted):
            if ids[row] != name:
                wrong.append(f"round {number}: the shortlist calls row {row} {ids[row]}, the pool calls it {name}")
    return len(asked), wrong


def check_answers(campaign: Campaign, rounds: list[Committed]) -> tuple[int, list[str]]:
    """Join the answers of each round again, as the protocol says, and compare with what the round went on with.

    Returns:
        How many items have an answer, and what differs.
    """
    audit: Rows = asked_for_audit(campaign)
    learned = {done.number: done.model.facts["num_answers"] for done in rounds}
    count, wrong = 0, []
    for number, _ in _askings(campaign, rounds):
        place, where = folder(number), f"round {number}"
        gone = f"a record of what was asked in {where} is gone"
        shortlist = campaign.records.require(f"{place}/shortlist", missing=gone)
        answered = campaign.records.require(f"{place}/answered", missing=gone)
        items = read_parts(campaign.store, shortlist.parts["shortlist"], schema=schema.SHORTLIST).to_pylist()
        kept = read_parts(campaign.store, answered.parts["resolved"], schema=schema.RESOLVED)
        found, annotators = resolve(campaign, number, items, audit, names=answered.facts["answers"])
        count += kept.num_rows
        wrong += [f"{where}: {line}" for line in _compared(kept, found, key="id", rows="answers")]
        wrong += [f"{where}: {line}" for line in differences(answered.facts["annotators"], annotators)]
        usable = training_answers(resolved_before(campaign, number + 1)).num_rows
        if learned.get(number, 0) > usable:
            wrong.append(
                f"{where}: the model learned from {learned[number]} answers, only {usable} were given for training"
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
