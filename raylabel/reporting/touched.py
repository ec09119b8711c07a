"""Whether the audit sample is what it was drawn as: no strategy picked from it, and nobody added to it.

Knows shortlists in the workspace; knows nothing of answers.
"""

from __future__ import annotations

from raylabel import schema
from raylabel.campaign import Campaign, Rows, folder
from raylabel.errors import RaylabelError
from raylabel.workspace import read_parts

AUDIT = "audit"
"""Stands for a strategy in the rows of a shortlist that the audit asks about."""


def touched(campaign: Campaign, number: int, audit: Rows) -> list[str]:
    """Say of each item of a round's shortlist, in words, where the strategies and the audit sample met.

    Args:
        campaign: whose shortlists.
        number: the round.
        audit: rows of the draws that the round could meet.
    """
    record = campaign.records.find(f"{folder(number)}/shortlist")
    parts = record.parts["shortlist"] if record else ()
    items = read_parts(campaign.store, parts, schema=schema.SHORTLIST, columns=["row", "id", "strategy"])
    drawn, found = set(audit.tolist()), []
    for item in items.to_pylist():
        named = f"{item['id']} (row {item['row']})"
        if item["row"] in drawn and item["strategy"] != AUDIT:
            found.append(f"round {number}: the strategy {item['strategy']} picked {named} of the audit sample")
        if item["row"] not in drawn and item["strategy"] == AUDIT:
            found.append(f"round {number}: {named} was asked as an audit item, but was never drawn")
    return found


def refuse_touched(campaign: Campaign, rounds: range, audit: Rows) -> None:
    """Refuse an audit sample that a strategy has touched in any of some rounds: it is no random sample any more.

    Raises:
        RaylabelError: names the first such item, its round and the strategy.
    """
    found = [line for number in rounds for line in touched(campaign, number, audit)]
    if found:
        more = f", and {len(found) - 1:,} more like it" if len(found) > 1 else ""
        raise RaylabelError(
            f"{campaign.store.root}: {found[0]}{more}: such a sample proves nothing; restore the workspace's files, "
            "or begin another workspace"
        )
