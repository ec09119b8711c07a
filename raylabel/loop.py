"""THE labeling loop, on one screen. Every step commits once: running it again is resuming it."""

from __future__ import annotations

from typing import Any

from raylabel import index, inference, labeling, training
from raylabel.campaign import Campaign, folder
from raylabel.pool import Plan, plan_pool, quarantine_unreadable
from raylabel.progress import counted, say
from raylabel.reporting import accept, report, result
from raylabel.workspace import Lease, Record


def run(campaign: Campaign, lease: Lease, *, until: str = "") -> dict[str, Any] | None:
    """Run a campaign to its end, from wherever its workspace stands.

    Args:
        campaign: what to run.
        lease: the driver's, held.
        until: "embed", "select", "train" or "accept" to stop after that step of the round that is due.

    Returns:
        The report, as it lies in the workspace's report.json; None if the loop was stopped by `until`.

    Raises:
        WaitingForPeople: a shortlist is out and its answers are not all in.
        RaylabelError: whatever stopped it; what was committed stays.
    """
    plan = plan_once(campaign)
    audit = labeling.draw_audit(campaign, plan)
    ref = inference.first_backbone(campaign)
    trainer, model, stopped = training.HeadTrainer(), None, ""
    rounds: list[dict[str, Any]] = []
    curve: list[float | None] = []
    for number in range(campaign.config.budget.rounds):
        lease.check()
        due = until if campaign.records.find(f"{folder(number)}/round") is None else ""
        pieces = inference.embed(campaign, plan, ref)
        if due == "embed":
            return None
        index.build(campaign, ref, pieces)
        shortlist = labeling.select(campaign, number, pieces, audit, model)
        if due == "select":
            return None
        labeling.ask(campaign, plan, number, shortlist, audit)
        answered = labeling.resolved_before(campaign, number + 1)
        if number in campaign.config.training.finetune_at:
            ref = training.finetune(campaign, plan, number, ref, answered)
            pieces = inference.embed(campaign, plan, ref)
        head = training.train(campaign, number, trainer, ref=ref, pieces=pieces, answered=answered)
        if due == "train":
            return None
        predictions = inference.predict(campaign, pieces, number, head.facts["head"])
        curve.append(head.facts["accuracy"])
        stopped = end_reason(campaign, curve)
        verdict = accept.accept(campaign, number, predictions, answered, audit=audit, is_last=bool(stopped))
        # A head of one class tells nothing apart: selection goes on as if there were none.
        tells = head.facts["num_seen_classes"] > 1
        model = labeling.Model(head.facts["head"], head.facts["penalty"], predictions) if tells else None
        last = result.Last(number, head.facts["model"], predictions, verdict)
        rounds.append(commit(campaign, number, head, verdict, num_answers=answered.num_rows))
        if due == "accept":
            return None
        if stopped := stopped or target_reason(campaign, rounds[-1], pieces.num_rows):
            break
    trainer.close()
    labels = result.write_labels(campaign, last, answered)
    lost = plan.num_rows - pieces.num_rows
    pool = {"num_rows": plan.num_rows, "num_quarantined": lost, "num_unreadable_files": len(plan.unreadable)}
    return report.write_report(campaign, rounds, labels, pool=pool, stopped=stopped)


def plan_once(campaign: Campaign) -> Plan:
    """Plan the pool, or take the plan that was made."""

    def make() -> Record:
        oracle = campaign.config.labeling.labeler == "oracle"
        plan = plan_pool(campaign.config.pool, campaign.store, labels_needed=oracle)
        unreadable = f", {len(plan.unreadable)} unreadable" if plan.unreadable else ""
        found = f"{counted(plan.num_rows, 'image')} in {counted(len(plan.shards), 'shard')}"
        say(f"plan: {found} of {plan.root}{unreadable}")
        return Record(facts=plan.to_json(), parts={"quarantine": quarantine_unreadable(plan, campaign.store)})

    return Plan.from_json(campaign.records.once("pool/plan-0000", make).facts)


def find_plan(campaign: Campaign) -> Plan:
    """The plan that a run has made.

    Raises:
        RaylabelError: none has.
    """
    record = campaign.records.require("pool/plan-0000", missing="the pool is not planned yet; `raylabel run` begins")
    return Plan.from_json(record.facts)


def commit(campaign: Campaign, number: int, head: Record, verdict: Record, *, num_answers: int) -> dict[str, Any]:
    """Commit a round: it exists if and only if this record does."""
    facts = report.round_facts(number, head, verdict, num_answers=num_answers)
    return dict(campaign.records.once(f"{folder(number)}/round", lambda: Record(facts=facts)).facts)


def end_reason(campaign: Campaign, curve: list[float | None]) -> str:
    """Why the loop ends with this round whatever the audit says; "" if it goes on.

    Args:
        campaign: its budget, and how long a curve may be flat.
        curve: cross-fitted accuracy of every round so far, which sees training answers alone; None where it was not
            judged, which says nothing of flatness.
    """
    if len(curve) == campaign.config.budget.rounds:
        return "budget used up"
    patience, judged = campaign.config.acceptance.flat_rounds, [found for found in curve if found is not None]
    if len(judged) > patience and max(judged[-patience:]) <= max(judged[:-patience]):
        return f"flat: no better on held-out answers for {patience} rounds"
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
