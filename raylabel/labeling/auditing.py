"""The audit sample: drawn over the whole pool at planning, asked in round 0, and never picked by a strategy.
A targeted audit draws only a part of it so; `second_draw` does the rest.

What a pool grows by is a stratum of its own: drawn when it comes, asked in the next round that asks.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import pyarrow as pa

from raylabel import schema
from raylabel.acceptance import draw
from raylabel.audited import stratum_name
from raylabel.campaign import Campaign, Pieces, Rows
from raylabel.check import least_audit
from raylabel.config import Config
from raylabel.errors import ConfigError
from raylabel.labeling.drawn import draw_name, find_audit
from raylabel.pool import Plan, ShardUnreadable, Want, fetch_shards
from raylabel.progress import counted, say
from raylabel.workspace import Record, write_part
from raylabel.workspace.vectors import gather_rows


def draw_audit(campaign: Campaign, plan: Plan) -> Rows:
    """Draw the audit sample, uniformly over the whole pool, before anything has been selected; once.

    Rows by which the pool has grown are a stratum of their own, with a draw of their own: as large a part of them as
    the first draw was of the first plan, but no smaller than an audit that can certify anything.

    Returns:
        Sorted pool rows of all draws, quarantined ones included: they leave the count later, not the draw.

    Raises:
        ConfigError: the budget asks for more answers than the pool has items.
    """
    check_budget(campaign.config, plan.num_rows)
    for version in range(plan.version + 1):
        campaign.records.once(draw_name(version), partial(_draw, campaign, plan, version))
    return find_audit(campaign)


def check_budget(config: Config, num_rows: int, *, num_gold: int = 0) -> None:
    """Refuse a budget of more answers than the pool has items beside its gold items, which no strategy picks.

    Raises:
        ConfigError: it is.
    """
    budget = config.budget
    if budget.train_answers + budget.audit_answers > num_rows - num_gold:
        left = f"the {num_rows} items of {config.pool.path}"
        if num_gold:
            left = f"the {num_rows - num_gold} beside {counted(num_gold, 'gold item')} (labeling.gold) of {left}"
        raise ConfigError(
            f"budget: {budget.train_answers} training and {budget.audit_answers} audit answers are more than {left}; "
            "ask for fewer"
        )


def size_of(campaign: Campaign, plan: Plan, version: int) -> int:
    """How many items of a version are audited; the looks at all strata share what a look may spend."""
    config = campaign.config
    wanted = config.budget.audit_answers
    if version == 0 or wanted == 0:
        return wanted
    first, rows = plan.at(0).num_rows, plan.at(version).num_rows - plan.starts[version]
    least = least_audit(config, config.alpha_per_look() / (version + 1))
    return min(max(-(-wanted * rows // first), least), rows)


def redraw(campaign: Campaign, plan: Plan, version: int) -> pa.Table:
    """Draw the sample of one version from the campaign's seed, the same as often as one likes.

    Args:
        campaign: its seed and its budget decide.
        plan: of the pool, at this version or a later one.
        version: of the plan, whose rows are drawn from.

    Returns:
        Columns of schema.AUDIT but for `id`, sorted by row.
    """
    size, start = campaign.config.split_audit(size_of(campaign, plan, version))[0], plan.starts[version]
    drawn, probability = draw(plan.at(version).num_rows - start, size=size, rng=campaign.rng("audit", version))
    columns = {
        "row": start + drawn,
        "stratum": [stratum_name(version)] * size,
        "inclusion_probability": np.full(size, probability),
        "draw": np.full(size, version, dtype=np.int32),
        "seed": np.full(size, campaign.config.seed, dtype=np.int64),
    }
    return pa.table(columns, schema=schema.AUDIT.remove(schema.AUDIT.get_field_index("id")))


def _draw(campaign: Campaign, plan: Plan, version: int) -> Record:
    sample = redraw(campaign, plan, version)
    size, rows = sample.num_rows, sample.column("row").to_numpy()
    if size == 0:
        return Record(parts={"audit": []})
    config, store = campaign.config, campaign.store
    known: dict[int, str] = {}
    for _, found in fetch_shards(plan, rows, pool=config.pool, store=store, want=Want(image=False)):
        # Items of a shard that cannot be read stay in the draw, without a name; they leave the count with the shard.
        known |= {} if isinstance(found, ShardUnreadable) else {item.row: item.id for item in found}
    ids = pa.array([known.get(int(row)) for row in rows], pa.string())
    sample = sample.add_column(schema.AUDIT.get_field_index("id"), schema.AUDIT.field("id"), ids)
    if version:
        came = counted(plan.at(version).num_rows - plan.starts[version], "image")
        say(f"audit: {size:,} of the {came} that came are drawn; the next round asks about them")
    return Record(parts={"audit": [write_part(store, draw_name(version), sample)]})


def readable(campaign: Campaign, pieces: Pieces, rows: Rows) -> pa.Table:
    """Row and id of the items that could be read; a quarantined one cannot be asked about and is in no count."""
    table = gather_rows(campaign.store, pieces.holding(rows), columns=["row", "id"])
    return table if table is not None else schema.SHORTLIST.empty_table().select(["row", "id"])
