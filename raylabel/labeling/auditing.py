"""The audit sample: drawn over the whole pool at planning, asked in round 0, and never picked by a strategy."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from raylabel import schema
from raylabel.acceptance import draw
from raylabel.campaign import Campaign, Pieces, Rows
from raylabel.errors import ConfigError
from raylabel.pool import Plan, ShardUnreadable, Want, fetch_shards
from raylabel.workspace import Record, read_parts, write_part
from raylabel.workspace.vectors import gather_rows


def draw_audit(campaign: Campaign, plan: Plan) -> Rows:
    """Draw the audit sample, uniformly over the whole pool, before anything has been selected; once.

    Returns:
        (audit_answers,) sorted pool rows, quarantined ones included: they leave the count later, not the draw.

    Raises:
        ConfigError: the budget asks for more answers than the pool has items.
    """
    budget = campaign.config.budget
    if budget.train_answers + budget.audit_answers > plan.num_rows:
        raise ConfigError(
            f"budget: {budget.train_answers} training and {budget.audit_answers} audit answers are more than "
            f"the {plan.num_rows} items of {campaign.config.pool.path}; ask for fewer"
        )
    campaign.records.once("audit/draw-0000", lambda: _draw(campaign, plan))
    return find_audit(campaign)


def find_audit(campaign: Campaign) -> Rows:
    """The rows of the audit sample that was drawn.

    Raises:
        RaylabelError: none was.
    """
    record = campaign.records.require("audit/draw-0000", missing="no audit sample is drawn yet; `raylabel run` begins")
    table = read_parts(campaign.store, record.parts["audit"], schema=schema.AUDIT, columns=["row"])
    rows: Rows = table.column("row").to_numpy()
    return rows


def _draw(campaign: Campaign, plan: Plan) -> Record:
    size = campaign.config.budget.audit_answers
    if size == 0:
        return Record(parts={"audit": []})
    rows, probability = draw(plan.num_rows, size=size, rng=campaign.rng("audit"))
    config, store = campaign.config, campaign.store
    known: dict[int, str] = {}
    for _, found in fetch_shards(plan, rows, pool=config.pool, store=store, want=Want(image=False)):
        # Items of a shard that cannot be read stay in the draw, without a name; they leave the count with the shard.
        known |= {} if isinstance(found, ShardUnreadable) else {item.row: item.id for item in found}
    ids = [known.get(int(row)) for row in rows]
    columns = {
        "row": rows,
        "id": ids,
        "stratum": ["pool"] * size,
        "inclusion_probability": np.full(size, probability),
        "draw": np.zeros(size, dtype=np.int32),
        "seed": np.full(size, config.seed, dtype=np.int64),
    }
    return Record(parts={"audit": [write_part(store, "audit/draw-0000", pa.table(columns, schema=schema.AUDIT))]})


def readable_audit(campaign: Campaign, pieces: Pieces, audit: Rows) -> pa.Table:
    """Row and id of the audit items that could be read; a quarantined one cannot be asked about and is in no count."""
    table = gather_rows(campaign.store, pieces.holding(audit))
    return (table if table is not None else schema.SHORTLIST.empty_table()).select(["row", "id"])
