"""Ask: hand a shortlist to the labeler, wait until every item has an answer, and freeze what was answered."""

from __future__ import annotations

import time
from typing import Any

import pyarrow as pa

from raylabel import schema
from raylabel.campaign import Campaign, Rows, folder
from raylabel.errors import WaitingForPeople
from raylabel.labeling.answers import collect, purpose_of, standing
from raylabel.labeling.joining import join_round
from raylabel.labeling.oracle import answer_from_pool
from raylabel.pool import Plan
from raylabel.progress import say
from raylabel.workspace import Record, read_parts, write_part


def ask(campaign: Campaign, plan: Plan, number: int, shortlist: Record, audit: Rows) -> Record:
    """Get the answers of a round; once. Later answers to the same shortlist change nothing.

    Returns:
        The record of the answers after consensus: part "resolved", facts num_answered and annotators, as `join_round`
        gives them.

    Raises:
        WaitingForPeople: answers are missing and the config says not to wait for them here.
        AnswersError: a label that is no class.
    """
    return campaign.records.once(f"{folder(number)}/answered", lambda: _ask(campaign, plan, number, shortlist, audit))


def _ask(campaign: Campaign, plan: Plan, number: int, shortlist: Record, audit: Rows) -> Record:
    items = read_parts(campaign.store, shortlist.parts["shortlist"], schema=schema.SHORTLIST).to_pylist()
    if campaign.config.labeling.labeler == "oracle":
        answer_from_pool(campaign, plan, number, items, audit)
    said = _await(campaign, number, items)
    audited = set(audit.tolist())
    purposes = {item["id"]: purpose_of(item, audited) for item in items}
    labels, annotators = join_round(campaign, number, said, purposes)
    columns = {
        "row": [item["row"] for item in items],
        "id": [item["id"] for item in items],
        "purpose": ["audit" if purposes[item["id"]] == "audit" else "train" for item in items],
        "label_index": [labels[item["id"]] for item in items],
    }
    part = write_part(campaign.store, f"{folder(number)}/answered", pa.table(columns, schema=schema.RESOLVED))
    return Record(facts={"num_answered": len(items), "annotators": annotators}, parts={"resolved": [part]})


def _await(campaign: Campaign, number: int, items: list[dict[str, Any]]) -> pa.Table:
    told = -1
    while True:
        said = collect(campaign, number)
        answered = standing(said)
        missing = sum(item["id"] not in answered for item in items)
        if missing == 0:
            return said
        if campaign.config.labeling.wait == "exit":
            raise WaitingForPeople(
                f"round {number} waits for {missing} of {len(items)} answers: write the questions with "
                "`raylabel export`, bring the answers in with `raylabel import`, then run the same command again"
            )
        if missing != told:
            say(f"round {number} · ask: {missing} of {len(items)} answers are missing; looking again as they come")
            told = missing
        time.sleep(campaign.config.labeling.poll_s)
