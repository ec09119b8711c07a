"""Ask: hand a shortlist to the labeler, wait until every item has an answer, and freeze what was answered."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from raylabel import schema
from raylabel.campaign import Campaign, Rows, folder
from raylabel.errors import WaitingForPeople
from raylabel.labeling.answers import GOLD, Ledger, collect, enough, purpose_of, settled, standing
from raylabel.labeling.joining import join_round
from raylabel.labeling.oracle import answer_from_pool
from raylabel.pool import Plan
from raylabel.progress import say
from raylabel.workspace import Record, read_parts, write_part


def ask(campaign: Campaign, plan: Plan, number: int, shortlist: Record, audit: Rows) -> Record:
    """Get the answers of a round; once. Later answers to the same shortlist change nothing.

    Returns:
        The record of the answers after consensus: part "resolved", facts num_answered, answers (names of the records
        that hold those that counted) and annotators, as `join_round` gives them.

    Raises:
        WaitingForPeople: answers are missing and the config says not to wait for them here.
        AnswersError: a label that is no class.
    """
    return campaign.records.once(f"{folder(number)}/answered", lambda: _ask(campaign, plan, number, shortlist, audit))


def _ask(campaign: Campaign, plan: Plan, number: int, shortlist: Record, audit: Rows) -> Record:
    items = read_parts(campaign.store, shortlist.parts["shortlist"], schema=schema.SHORTLIST).to_pylist()
    if campaign.config.labeling.labeler == "oracle":
        answer_from_pool(campaign, plan, number, items, audit)
    names = _await(campaign, number, items, set(audit.tolist()))
    resolved, annotators = resolve(campaign, number, items, audit, names=names)
    part = write_part(campaign.store, f"{folder(number)}/answered", resolved)
    # Later answers join the round's folder: only these count.
    facts = {"num_answered": len(items), "answers": names, "annotators": annotators}
    return Record(facts=facts, parts={"resolved": [part]})


def resolve(
    campaign: Campaign, number: int, items: Sequence[dict[str, Any]], audit: Rows, *, names: Sequence[str]
) -> tuple[pa.Table, dict[str, dict[str, dict[str, Any]]]]:
    """Join answers into one row for each item of a shortlist that has any.

    Args:
        campaign: whose classes and consensus.
        number: the round; those before it are answered.
        items: of its shortlist.
        audit: rows of the audit sample, for the purpose.
        names: the records of the answers that count.

    Returns:
        Columns of schema.RESOLVED, in shortlist order, but for gold items; and the annotators, as `join_round` gives
        them.

    Raises:
        AnswersError: a label that is no class.
    """
    said = collect(campaign, number, names)
    there, audited = standing(said), set(audit.tolist())
    purposes = {item["id"]: purpose_of(item, audited) for item in items if item["id"] in there}
    # What is known already is asked to measure who answers.
    answered = [item for item in items if purposes.get(item["id"], GOLD) != GOLD]
    labels, annotators = join_round(campaign, number, said, purposes)
    columns = {
        "row": [item["row"] for item in answered],
        "id": [item["id"] for item in answered],
        "purpose": ["audit" if purposes[item["id"]] == "audit" else "train" for item in answered],
        "label_index": [labels[item["id"]] for item in answered],
        "round": [number] * len(answered),
    }
    return pa.table(columns, schema=schema.RESOLVED), annotators


def _await(campaign: Campaign, number: int, items: list[dict[str, Any]], audited: set[int]) -> list[str]:
    """The records of answers that cover the whole shortlist, or its audit items where people say that it is enough."""
    told, ledger = -1, Ledger(campaign, number)
    while True:
        missing = _missing(campaign, ledger, items, audited)
        if missing == 0:
            return sorted(ledger.names)
        if campaign.config.labeling.wait == "exit":
            raise WaitingForPeople(
                f"round {number} waits for {missing} of {len(items)} answers: answer them on the page that `raylabel "
                "review` opens, or write the questions with `raylabel export` and bring the answers in with "
                "`raylabel import`; then run the same command again"
            )
        if missing != told:
            say(f"round {number} · ask: {missing} of {len(items)} answers are missing; looking again as they come")
            told = missing
        time.sleep(campaign.config.labeling.poll_s)
        ledger.refresh()


def _missing(campaign: Campaign, ledger: Ledger, items: list[dict[str, Any]], audited: set[int]) -> int:
    """How many items are still waited for."""
    done = settled(ledger.latest, each=campaign.config.labeling.answers_per_item)
    missing = [item for item in items if item["id"] not in done]
    if missing and campaign.records.find(enough(ledger.number)) is not None:
        there = {name for (name, _), row in ledger.latest.items() if row["kind"] != "retract"}
        missing = [item for item in missing if item["row"] in audited and item["id"] not in there]
    return len(missing)
