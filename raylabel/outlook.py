"""What a campaign will take and give, before anyone is asked: people's answers, coverage, machine time.

Reads a workspace where there is one; plans the pool aside where there is none. Writes nothing to either.
"""

from __future__ import annotations

import tempfile
from typing import Any

from raylabel import runtime
from raylabel.acceptance import Expected, assumed
from raylabel.campaign import BEGUN, Campaign
from raylabel.check import check_audit, check_strategies
from raylabel.config import Config
from raylabel.labeling.auditing import check_budget
from raylabel.labeling.drawn import answers_of
from raylabel.opening import find_campaign
from raylabel.planned import find_plan
from raylabel.pool import plan_pool
from raylabel.reporting.committed import newest_round
from raylabel.reporting.forecast import check_reachable, expect, expect_of
from raylabel.workspace import Store

MAX_ERRORS = (0.01, 0.02, 0.05, 0.1)
"""What is forecast beside the campaign's own promise."""

TIMES = (1, 2, 5)
"""Sizes of the audit, in budgets."""

SIZE = 200
"""Stands for the budget of a campaign without an audit."""

ASSUMED = (0.95, 0.85, 0.7)
"""How many of the model's labels are right, where nothing is known: an easy pool, a middling and a hard one."""


def look_ahead(config: Config, *, images_per_s: float | None = None) -> dict[str, Any]:
    """Forecast a campaign.

    Args:
        config: the campaign; its workspace may have been begun or not.
        images_per_s: as `raylabel bench throughput` measured it.

    Returns:
        Facts: num_rows, num_train, num_audit, `forecasts` (each with `accuracy`, `basis` in words and the fields of
        `expect`), `machine` (images_per_s, seconds; None where nobody has measured, and `basis`).

    Raises:
        ConfigError: an audit that cannot reach its promise, as `run` refuses it.
        PoolError: the pool cannot be planned.

    Cost: planning the pool, unless the workspace has done it; then some seconds of simulation.
    """
    check_strategies(config)
    check_audit(config)
    campaign = find_campaign(config) if Store(config.workspace).exists(f"{BEGUN}.json") else None
    num_rows = find_plan(campaign).num_rows if campaign else _count(config)
    check_budget(config, num_rows)
    check_reachable(config, num_rows)
    promises = sorted({*MAX_ERRORS, config.acceptance.max_error})
    sizes = [times * (config.budget.audit_answers or SIZE) for times in TIMES]
    sizes = [size for size in sizes if size <= num_rows - config.budget.train_answers]
    forecasts = [
        {"accuracy": expected.accuracy, "basis": basis}
        | expect(config, expected, num_rows=num_rows, max_error=max_error, num_audit=size)
        for expected, basis in _known(campaign) or _assumed()
        for max_error in promises
        for size in sizes
    ]
    return {
        "num_rows": num_rows,
        "num_train": config.budget.train_answers,
        "num_audit": config.budget.audit_answers,
        "alpha": config.acceptance.alpha,
        "max_error": config.acceptance.max_error,
        "promise": config.acceptance.promise,
        "forecasts": forecasts,
        "machine": _machine(campaign, num_rows, images_per_s),
    }


def _count(config: Config) -> int:
    with tempfile.TemporaryDirectory(prefix="raylabel-plan-") as place, runtime.session(config.compute):
        return plan_pool(config.pool, Store(place), labels_needed=config.labeling.labeler == "oracle").num_rows


def _known(campaign: Campaign | None) -> list[tuple[Expected, str]]:
    """What the newest round's held-out answers say; nothing before the first."""
    newest = newest_round(campaign) if campaign else None
    if campaign is None or newest is None:
        return []
    answered = answers_of(campaign, newest.number)
    found = expect_of(campaign, newest.model, newest.predictions, answered, fold=runtime.fold_here)
    if found is None:
        return []
    judged = newest.model.facts["num_judged"]
    return [(found, f"round {newest.number}: {judged:,} training answers held out from it, the pool's own confidences")]


def _assumed() -> list[tuple[Expected, str]]:
    said = "assumed: {:.0%} of the model's labels right, confidences that are right as often as they say"
    return [(assumed(accuracy), said.format(accuracy)) for accuracy in ASSUMED]


def _machine(campaign: Campaign | None, num_rows: int, images_per_s: float | None) -> dict[str, Any]:
    """How long it takes to embed the pool: by what was told, or by what the campaign has measured itself."""
    if images_per_s is not None:
        return {"images_per_s": images_per_s, "seconds": num_rows / images_per_s, "basis": "as you measured it"}
    begun = campaign.records.find(BEGUN) if campaign else None
    embedded = campaign.records.find(f"embeddings/{begun.facts['digest']}") if campaign and begun else None
    if embedded is not None and embedded.facts["speed"]:
        rate = embedded.facts["speed"]["achieved"]
        return {"images_per_s": rate, "seconds": num_rows / rate, "basis": "this pool is embedded, at that speed"}
    basis = "not known before the pool is embedded; `raylabel bench throughput` measures it on a sample"
    return {"images_per_s": None, "seconds": None, "basis": basis}
