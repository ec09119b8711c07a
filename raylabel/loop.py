"""THE labeling loop, on one screen. Every step commits once: running it again is resuming it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from raylabel import index, inference, training
from raylabel.campaign import Campaign, folder
from raylabel.labeling import steps as labeling
from raylabel.planned import grow_once, plan_once
from raylabel.reporting import accept, forecast, people, report, result
from raylabel.workspace import Lease, Record

ROUNDS_OF_A_TREND = 3
"""Through two rounds goes any curve: a forecast ends the loop after three at the earliest."""


def run(campaign: Campaign, lease: Lease, *, until: str = "", grow: bool = False) -> dict[str, Any] | None:
    """Run a campaign to its end, from wherever its workspace stands.

    Args:
        campaign: what to run.
        lease: the driver's, held.
        until: "embed", "select", "train" or "accept" to stop after that step of the round that is due.
        grow: first take in what has come into the pool since it was planned.

    Returns:
        The report, as it lies in the workspace's report.json; None if the loop was stopped by `until`.

    Raises:
        WaitingForPeople: a shortlist is out and its answers are not all in.
        RaylabelError: whatever stopped it; what was committed stays.
    """
    plan = plan_once(campaign)
    plan = grow_once(campaign, plan) if grow else plan
    audit = labeling.draw_audit(campaign, plan)
    labeling.know_gold(campaign, plan, audit)
    forecast.forecast_once(campaign, plan.num_rows)
    ref = inference.first_backbone(campaign)
    trainer, model, stopped = training.HeadTrainer(), None, ""
    rounds: list[dict[str, Any]] = []
    curve: list[float | None] = []
    for number in range(campaign.config.budget.rounds):
        lease.check()
        done = campaign.records.find(f"{folder(number)}/round")
        due = until if done is None else ""
        # A round that was forecast, or done, before the pool grew stays with the plan that it knew.
        began = done or campaign.records.find(f"{folder(number)}/forecast")
        known = plan.at(began.facts["plan"]) if began else plan
        voted = training.vote(campaign, known, audit)
        pieces = inference.embed(campaign, known, ref)
        if due == "embed":
            return None
        indexed = index.build(campaign, ref, pieces)
        if model is not None:
            model = replace(model, predictions=inference.predict(campaign, pieces, number - 1, model.head))
        shortlist = labeling.select(campaign, number, indexed, pieces=pieces, audit=audit, model=model)
        if due == "select":
            return None
        labeling.ask(campaign, plan, number, shortlist, audit)
        answered = labeling.resolved_before(campaign, number + 1)
        if number in campaign.config.training.finetune_at:
            ref = training.finetune(campaign, plan, number, ref, answered)
            pieces = inference.embed(campaign, known, ref)
        head = training.train(campaign, number, trainer, ref=ref, pieces=pieces, answered=answered, voted=voted)
        if due == "train":
            return None
        predictions = inference.predict(campaign, pieces, number, head.facts["head"])
        curve.append(head.facts["accuracy"])
        outlook = forecast.another_once(campaign, number, head, predictions, answered).facts["another_round"]
        stopped = end_reason(campaign, curve, outlook)
        second, answered = labeling.audit_again(campaign, plan, number, predictions, answered, is_last=bool(stopped))
        verdict = accept.accept(
            campaign, number, predictions, answered, audit=audit, second=second, is_last=bool(stopped)
        )
        # A head of one class tells nothing apart: selection goes on as if there were none.
        tells = head.facts["num_seen_classes"] > 1
        model = labeling.Model(head.facts["head"], head.facts["penalty"], predictions) if tells else None
        facts = report.round_facts(number, head, verdict, num_answers=answered.num_rows, plan=known.version)
        rounds.append(commit(campaign, {**facts, "another_round": outlook}))
        if due == "accept":
            return None
        if stopped := stopped or target_reason(campaign, rounds[-1], pieces.num_rows + plan.num_rows - known.num_rows):
            break
    trainer.close()
    pieces = inference.embed(campaign, plan, ref)
    predictions = inference.predict(campaign, pieces, number, head.facts["head"])
    labels = result.write_labels(campaign, result.Last(number, head.facts["model"], predictions, verdict), answered)
    lost = plan.num_rows - pieces.num_rows
    pool = {"num_rows": plan.num_rows, "num_quarantined": lost, "num_unreadable_files": len(plan.unreadable)}
    told = people.people_facts(campaign, rounds[-1])
    return report.write_report(campaign, rounds, labels, pool=pool, people=told, stopped=stopped)


def commit(campaign: Campaign, facts: dict[str, Any]) -> dict[str, Any]:
    """Commit a round by its facts: it exists if and only if this record does."""
    return dict(campaign.records.once(f"{folder(facts['round'])}/round", lambda: Record(facts=facts)).facts)


def end_reason(campaign: Campaign, curve: list[float | None], outlook: dict[str, Any] | None) -> str:
    """Why the loop ends with this round whatever the audit says; "" if it goes on.

    Args:
        campaign: its budget, and how long a curve may be flat.
        curve: cross-fitted accuracy of every round so far, which sees training answers alone; None where it was not
            judged, which says nothing of flatness.
        outlook: whether one more round pays, as `AnotherRound.to_dict`; it sees training answers alone, too.
    """
    if len(curve) == campaign.config.budget.rounds:
        return "budget used up"
    patience, judged = campaign.config.acceptance.flat_rounds, [found for found in curve if found is not None]
    if len(judged) > patience and max(judged[-patience:]) <= max(judged[:-patience]):
        return f"flat: no better on held-out answers for {patience} rounds"
    may_end = campaign.config.budget.end_when_unpaid and len(curve) >= ROUNDS_OF_A_TREND
    if may_end and outlook is not None and not outlook["pays"]:
        return f"unpaid: {outlook['sentence']}"
    return ""


def target_reason(campaign: Campaign, last: dict[str, Any], num_readable: int) -> str:
    """Why the loop may end here because its target is met; "" if it is not.

    This one is judged on the audit sample, which is allowed: it can only end the loop.
    """
    if last["verdict"] != "certificate":
        return ""
    coverage = (last["num_auto"] + last["num_answers"]) / num_readable
    met = coverage >= campaign.config.acceptance.target_coverage
    return f"target met: {coverage:.1%} of the pool is labeled" if met else ""
