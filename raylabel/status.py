"""How far a campaign is, read from its workspace alone."""

from __future__ import annotations

import json
from typing import Any

from raylabel.campaign import Campaign, find_labels, newest_plan
from raylabel.errors import RaylabelError
from raylabel.labeling.answers import Ledger, settled
from raylabel.labeling.asked import newest_shortlist
from raylabel.progress import counted
from raylabel.reporting.report import rounds_so_far
from raylabel.workspace.lease import holder_of


def look(campaign: Campaign) -> dict[str, Any]:
    """Facts of a campaign: the pool, committed rounds, open questions, who is driving, the result.

    Returns:
        A JSON-able tree; `lines` says the same in words.
    """
    plan = newest_plan(campaign)
    rounds = rounds_so_far(campaign)
    facts: dict[str, Any] = {
        "workspace": campaign.store.root,
        "num_rows": sum(shard["rows"] for shard in plan.facts["shards"]) if plan else None,
        "num_shards": len(plan.facts["shards"]) if plan else None,
        "rounds": rounds,
        "num_rounds": campaign.config.budget.rounds,
        "questions": _questions(campaign),
        "driver": holder_of(campaign.store),
        "labels": _labels(campaign),
    }
    facts["lines"] = _lines(facts)
    return facts


def _questions(campaign: Campaign) -> dict[str, int] | None:
    try:
        number, items = newest_shortlist(campaign)
    except RaylabelError:
        return None
    answered = settled(Ledger(campaign, number).latest, each=campaign.config.labeling.answers_per_item)
    missing = sum(name not in answered for name in items.column("id").to_pylist())
    return {"round": number, "asked": items.num_rows, "missing": missing}


def _labels(campaign: Campaign) -> dict[str, Any] | None:
    if find_labels(campaign) is None or not campaign.store.exists("report.json"):
        return None
    labels: dict[str, Any] = json.loads(campaign.store.read("report.json"))["labels"]
    return labels


def _lines(facts: dict[str, Any]) -> list[str]:
    if facts["num_rows"] is None:
        return [f"{facts['workspace']}: the pool is not planned yet; `raylabel run` begins"]
    lines = [
        f"{counted(facts['num_rows'], 'image')} in {counted(facts['num_shards'], 'shard')}; "
        f"{len(facts['rounds'])} of at most {counted(facts['num_rounds'], 'round')} done"
    ]
    if (questions := facts["questions"]) and not facts["labels"]:
        lines.append(f"round {questions['round']}: {questions['missing']} of {questions['asked']} answers are missing")
    if driver := facts["driver"]:
        lines.append(f"a driver is at work: process {driver['pid']} on {driver['host']}")
    if (rounds := facts["rounds"]) and not facts["labels"]:
        lines.append(f"so far, provisional: {rounds[-1]['num_auto']:,} labeled by machine. {rounds[-1]['sentence']}")
        if another := rounds[-1].get("another_round"):
            lines.append(another["sentence"])
    if labels := facts["labels"]:
        lines.append(
            f"done: {labels['num_human']:,} labeled by people, {labels['num_auto']:,} by machine, "
            f"{labels['num_undecided']:,} undecided. {labels['sentence']}"
        )
    return lines
