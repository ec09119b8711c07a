"""The plan of a campaign's pool: made once, grown when images have come, found by whoever looks.

Knows records and the pool's own planning; knows nothing of rounds.
"""

from __future__ import annotations

from raylabel.campaign import Campaign, newest_plan
from raylabel.errors import RaylabelError
from raylabel.pool import Plan, grow_plan, plan_pool, quarantine_unreadable
from raylabel.progress import counted, say
from raylabel.workspace import Record


def plan_once(campaign: Campaign) -> Plan:
    """Plan the pool, or take the newest plan that was made."""

    def make() -> Record:
        plan = plan_pool(campaign.config.pool, campaign.store, labels_needed=_asks_the_pool(campaign))
        unreadable = f", {len(plan.unreadable)} unreadable" if plan.unreadable else ""
        found = f"{counted(plan.num_rows, 'image')} in {counted(len(plan.shards), 'shard')}"
        say(f"plan: {found} of {plan.root}{unreadable}")
        return Record(facts=plan.to_json(), parts={"quarantine": quarantine_unreadable(plan, campaign.store)})

    found = newest_plan(campaign)
    return Plan.from_json((found or campaign.records.once("pool/plan-0000", make)).facts)


def grow_once(campaign: Campaign, plan: Plan) -> Plan:
    """Append what has come into the pool since its newest plan, as the plan's next version; the plan where nothing has.

    Raises:
        PoolError: something that was planned has changed or is gone, or what is new cannot be planned.
    """
    store, oracle = campaign.store, _asks_the_pool(campaign)
    grown = grow_plan(plan, campaign.config.pool, store, labels_needed=oracle)
    if grown is None:
        say(f"grow: nothing new in {plan.root}; {counted(plan.num_rows, 'image')} as before")
        return plan
    images, shards = grown.num_rows - plan.num_rows, len(grown.shards) - len(plan.shards)
    say(f"grow: {counted(images, 'new image')} in {counted(shards, 'shard')} of {plan.root}")
    record = Record(facts=grown.to_json(), parts={"quarantine": quarantine_unreadable(grown, store, known=plan)})
    return Plan.from_json(campaign.records.commit(f"pool/plan-{grown.version:04d}", record).facts)


def _asks_the_pool(campaign: Campaign) -> bool:
    return campaign.config.labeling.labeler == "oracle"


def find_plan(campaign: Campaign) -> Plan:
    """The newest plan that a run has made.

    Raises:
        RaylabelError: none has.
    """
    record = newest_plan(campaign)
    if record is None:
        raise RaylabelError(f"{campaign.store.root}: the pool is not planned yet; `raylabel run` begins")
    return Plan.from_json(record.facts)
