"""What a campaign came to: `report.json` in the workspace, and the same as tables on a terminal."""

from __future__ import annotations

import json
from typing import Any

from rich.console import Console
from rich.table import Table

from raylabel.campaign import FORECAST, Campaign, folder
from raylabel.progress import counted
from raylabel.workspace import Record

REPORT = "report.json"
_UNCOVERED = "{} came into the pool later: no round was left to audit them, so that no certificate covers them."


def round_facts(number: int, model: Record, verdict: Record, *, num_answers: int, plan: int) -> dict[str, Any]:
    """One round as the report tells it; audit figures carry their intervals and name their sample.

    `plan` is the version of the plan that the round was done with, `strata` what its verdict says of each version's
    rows, `audit_sample` what the sample of the first one estimates, `weak` what its model says of labeling functions.
    """
    return {
        "round": number,
        "plan": plan,
        "num_answers": num_answers,
        "num_training_answers": model.facts["num_answers"],
        "cross_fitted_accuracy": model.facts["accuracy"],
        "classes_without_answers": model.facts["unseen"],
        "backbone": model.facts["backbone"],
        "weak": model.facts["weak"],
        "verdict": verdict.facts["verdict"],
        "num_auto": verdict.facts["num_auto"],
        "strata": verdict.facts["strata"],
        "sentence": verdict.facts["sentence"],
        "audit_sample": verdict.facts["audit"],
    }


def write_report(
    campaign: Campaign,
    rounds: list[dict[str, Any]],
    labels: Record,
    *,
    pool: dict[str, Any],
    people: dict[str, Any],
    stopped: str,
) -> dict[str, Any]:
    """Write `report.json`: the pool, every round, why it stopped, its people, and what the labels are."""
    report = compose(campaign, rounds, labels, pool=pool, people=people, stopped=stopped)
    campaign.store.write(REPORT, json.dumps(report, indent=1).encode())
    return report


def compose(
    campaign: Campaign,
    rounds: list[dict[str, Any]],
    labels: Record,
    *,
    pool: dict[str, Any],
    people: dict[str, Any],
    stopped: str,
) -> dict[str, Any]:
    """Put together what `write_report` writes."""
    last, uncovered = rounds[-1], labels.facts["num_uncovered"]
    num_readable = sum(labels.facts[f"num_{source}"] for source in ("human", "auto", "undecided"))
    return {
        "workspace": campaign.store.root,
        "fingerprint": campaign.fingerprint,
        "pool": pool,
        "labels": {
            **labels.facts,
            "coverage": (labels.facts["num_human"] + labels.facts["num_auto"]) / max(num_readable, 1),
            "verdict": last["verdict"],
            "sentence": last["sentence"] + (f" {_UNCOVERED.format(counted(uncovered, 'item'))}" if uncovered else ""),
            "folder": campaign.store.uri(labels.facts["folder"]),
        },
        "stopped": stopped,
        "forecast": beside_outcome(campaign, rounds, labels),
        "quality": last["audit_sample"],
        "people": people,
        "rounds": rounds,
    }


def beside_outcome(campaign: Campaign, rounds: list[dict[str, Any]], labels: Record) -> dict[str, Any] | None:
    """What was forecast when the campaign began, of its first plan, and beside it what all of the pool came to.

    None where nothing was forecast.
    """
    record = campaign.records.find(FORECAST)
    if record is None:
        return None
    num_readable = sum(labels.facts[f"num_{source}"] for source in ("human", "auto", "undecided"))
    came_to = {
        "num_train": rounds[-1]["num_training_answers"],
        "num_audit": sum(stratum["num_audited"] for stratum in rounds[-1]["strata"]),
        "coverage": labels.facts["num_auto"] / max(num_readable, 1),
        "num_open": labels.facts["num_undecided"],
    }
    return {**record.facts, "outcome": came_to}


def rounds_so_far(campaign: Campaign) -> list[dict[str, Any]]:
    """The facts of every committed round."""
    found = (campaign.records.find(f"{folder(n)}/round") for n in range(campaign.config.budget.rounds))
    return [dict(record.facts) for record in found if record is not None]


def print_rounds(console: Console, rounds: list[dict[str, Any]]) -> None:
    """A row for each round."""
    table = Table("round", "answers", "held out", "on the audit sample", "macro-F1", "by machine", title="rounds")
    for facts in rounds:
        audit, held_out = facts["audit_sample"], facts["cross_fitted_accuracy"]
        low, high = audit.get("accuracy_interval", (None, None))
        table.add_row(
            str(facts["round"]),
            f"{facts['num_answers']:,}",
            "not judged" if held_out is None else f"{held_out:.1%}",
            f"{audit['accuracy']:.1%} [{low:.1%}, {high:.1%}]" if audit["num_audited"] else "no audit",
            f"{audit['macro']['f1']:.3f}" if audit["num_audited"] else "",
            f"{facts['num_auto']:,}" if facts["verdict"] == "certificate" else "none",
        )
    console.print(table)


def print_classes(console: Console, quality: dict[str, Any]) -> None:
    """A row for each class, from the audit sample."""
    if not quality["num_audited"]:
        return
    table = Table("class", "precision", "recall", "F1", "audited", title="classes, on the audit sample")
    for name, facts in quality["per_class"].items():
        figures = (f"{facts[key]:.3f}" for key in ("precision", "recall", "f1"))
        table.add_row(name, *figures, str(facts["num_audited"]))
    console.print(table)


def print_certificates(console: Console, last: dict[str, Any]) -> None:
    """Where classes are certified apart, a row for each class of each stratum of the last round."""
    for stratum in last["strata"]:
        if not stratum["classes"]:
            continue
        of = f", of what plan {stratum['plan']} added" if stratum["plan"] else ""
        table = Table("class", "by machine", "from confidence", "or why not", title=f"certificates by class{of}")
        for name, kept in stratum["classes"].items():
            found = kept["details"]
            if kept["verdict"] == "certificate":
                table.add_row(name, f"{found['num_auto']:,}", f"{found['threshold']:.6g}", "")
            else:
                needed = f"; about {found['num_needed']:,} would do" if found["num_needed"] else ""
                table.add_row(name, "none", "", found["reason"] + needed)
        console.print(table)


def summary(report: dict[str, Any]) -> str:
    """The result in one paragraph."""
    labels, pool = report["labels"], report["pool"]
    lost = f", {pool['num_quarantined']:,} unreadable" if pool["num_quarantined"] else ""
    return (
        f"{pool['num_rows']:,} images: {labels['num_human']:,} labeled by people, {labels['num_auto']:,} by machine, "
        f"{labels['num_undecided']:,} left undecided{lost}. {labels['sentence']}"
    )


def forecast_and_outcome(report: dict[str, Any]) -> list[str]:
    """What was forecast beside what it came to, and whether one more round would pay: a line each, as far as known."""
    lines = []
    if (found := report["forecast"]) is not None:
        lines.append(
            f"Forecast when it began, of the {found['num_rows']:,} images of the first plan: "
            f"{found['coverage']:.1%} of the pool labeled by machine (a certificate in "
            f"{found['chance']:.0%} of draws), {found['num_open']:,} left open; outcome: "
            f"{found['outcome']['coverage']:.1%}, {found['outcome']['num_open']:,}."
        )
    if (another := report["rounds"][-1].get("another_round")) is not None:
        lines.append(another["sentence"])
    return lines
