"""The human side of a campaign: annotators' error rates, people and machine compared, answers to look at first.

Read from the records of its last round; audit figures are apart from those of training answers.
"""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

from raylabel import schema
from raylabel.campaign import Campaign, folder
from raylabel.progress import counted
from raylabel.workspace import read_parts

MOST_DOUBTS = 20
"""Answers that the report names; the round's table holds them all."""

MOST_ANNOTATORS = 10
"""Annotators that a terminal shows; the report holds them all."""


def people_facts(campaign: Campaign, last: dict[str, Any]) -> dict[str, Any]:
    """What a campaign's last round tells of its people.

    Args:
        campaign: whose workspace.
        last: the facts of the round.

    Returns:
        annotators: those of training, audit and gold answers apart, see `labeling.joining`; agreement: of people and
        machine, on training answers by a head that was held out from them, and on the audit sample; num_doubts: answers
        that head thinks wrong, and doubts, the likeliest of them: id, answer, machine, score (the probability
        that the answer is wrong); num_second_looks: how many were asked again.
    """
    records, place = campaign.records, folder(last["round"])
    # A second draw of the audit is answered behind its round, and its record knows of both.
    again = records.find(f"{folder(last['round'] + 1)}/answered")
    answered = again or records.require(f"{place}/answered", missing="the round is not answered")
    model = records.require(f"{place}/model", missing="the round has no model")
    doubts = read_parts(campaign.store, model.parts["doubts"], schema=schema.DOUBTS)
    asked = (records.find(f"{folder(number)}/shortlist") for number in range(last["round"] + 1))
    classes = campaign.config.classes
    first = [
        {
            "id": doubt["id"],
            "answer": classes[doubt["label_index"]],
            "machine": classes[doubt["suggested_index"]],
            "score": doubt["score"],
        }
        for doubt in doubts.slice(0, MOST_DOUBTS).to_pylist()
    ]
    return {
        "annotators": answered.facts["annotators"],
        "agreement": {"training": model.facts["agreement"], "audit": last["audit_sample"].get("agreement")},
        "num_doubts": doubts.num_rows,
        "doubts": first,
        "num_second_looks": sum(record.facts["num_second_looks"] for record in asked if record),
    }


def print_people(console: Console, people: dict[str, Any]) -> None:
    """Agreement with the machine in a line for each sample; annotators in a table where several answered an item."""
    for sample, found in people["agreement"].items():
        if found is not None:
            beyond = "" if found["kappa"] is None else f", kappa {found['kappa']:.2f}"
            said = f"people and machine agree on {found['share']:.1%} of {counted(found['num'], f'{sample} answer')}"
            console.print(said + beyond)
    if people["num_doubts"]:
        doubted = counted(people["num_doubts"], "training answer")
        console.print(f"{doubted} may be wrong: report.json names the likeliest, budget.second_looks asks again")
    rows = [
        (facts["error_rate"], name, sample, facts)
        for sample, each in people["annotators"].items()
        for name, facts in each.items()
        if facts["num_shared"]
    ]
    if not rows:
        return
    table = Table("annotator", "answers", "shared", "wrong", "judged on", title="annotators, most errors first")
    for rate, name, sample, facts in sorted(rows, key=lambda row: (-row[0], row[1], row[2]))[:MOST_ANNOTATORS]:
        counts = (f"{facts[key]:,}" for key in ("num_answers", "num_shared"))
        table.add_row(name or "(no name)", *counts, f"{rate:.1%}", f"{sample} answers")
    console.print(table)
