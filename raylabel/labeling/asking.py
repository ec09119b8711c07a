"""Ask: hand a shortlist to the labeler, wait until every item has an answer, and freeze what was answered."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from raylabel import schema
from raylabel.campaign import Campaign, Rows, folder
from raylabel.errors import WaitingForPeople
from raylabel.labeling.answers import collect, consensus, taken
from raylabel.labeling.oracle import answer_from_pool
from raylabel.pool import Plan
from raylabel.progress import say
from raylabel.workspace import Record, read_parts, write_part


def ask(campaign: Campaign, plan: Plan, number: int, shortlist: Record, audit: Rows) -> Record:
    """Get the answers of a round; once. Later answers to the same shortlist change nothing.

    Returns:
        The record of the answers after consensus: part "resolved".

    Raises:
        WaitingForPeople: answers are missing and the config says not to wait for them here.
        AnswersError: a label that is no class.
    """
    return campaign.records.once(f"{folder(number)}/answered", lambda: _ask(campaign, plan, number, shortlist, audit))


def _ask(campaign: Campaign, plan: Plan, number: int, shortlist: Record, audit: Rows) -> Record:
    items = read_parts(campaign.store, shortlist.parts["shortlist"], schema=schema.SHORTLIST).to_pylist()
    if campaign.config.labeling.labeler == "oracle":
        answer_from_pool(campaign, plan, number, items, audit)
    names, resolved = _await(campaign, number, items, audit)
    part = write_part(campaign.store, f"{folder(number)}/answered", resolved)
    # Later answers join the round's folder: only these made the consensus.
    return Record(facts={"num_answered": len(items), "answers": names}, parts={"resolved": [part]})


def resolve(
    campaign: Campaign, number: int, items: Sequence[dict[str, Any]], audit: Rows, *, names: Sequence[str]
) -> pa.Table:
    """Join answers into one row for each item of a shortlist that has any.

    Args:
        campaign: whose classes.
        number: the round.
        items: of its shortlist.
        audit: rows of the audit sample, for the purpose.
        names: the records of the answers that count.

    Returns:
        Columns of schema.RESOLVED, in shortlist order.

    Raises:
        AnswersError: a label that is no class.
    """
    found = consensus(collect(campaign, number, names), campaign.config.classes)
    answered, audited = [item for item in items if item["id"] in found], set(audit.tolist())
    columns = {
        "row": [item["row"] for item in answered],
        "id": [item["id"] for item in answered],
        "purpose": ["audit" if item["row"] in audited else "train" for item in answered],
        "label_index": [found[item["id"]] for item in answered],
        "round": [number] * len(answered),
    }
    return pa.table(columns, schema=schema.RESOLVED)


def _await(campaign: Campaign, number: int, items: list[dict[str, Any]], audit: Rows) -> tuple[list[str], pa.Table]:
    """The records of answers that cover the whole shortlist, and what they come to."""
    said = -1
    while True:
        names = taken(campaign, number)
        resolved = resolve(campaign, number, items, audit, names=names)
        missing = len(items) - resolved.num_rows
        if missing == 0:
            return names, resolved
        if campaign.config.labeling.wait == "exit":
            raise WaitingForPeople(
                f"round {number} waits for {missing} of {len(items)} answers: write the questions with "
                "`raylabel export`, bring the answers in with `raylabel import`, then run the same command again"
            )
        if missing != said:
            say(f"round {number} · ask: {missing} of {len(items)} answers are missing; looking again as they come")
            said = missing
        time.sleep(campaign.config.labeling.poll_s)
