"""Forecasts of a campaign: what its audit will probably certify, kept when it begins; whether one more round pays.

Reads training answers and confidences; audit answers never. The arithmetic is acceptance's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from raylabel import runtime, schema
from raylabel.acceptance import (
    AnotherRound,
    ConfidenceHistogram,
    Expected,
    another_round,
    assumed,
    forecast,
    hopeless,
    learned,
)
from raylabel.audited import Count, Fold
from raylabel.campaign import FORECAST, Campaign, Pieces, folder
from raylabel.config import Config
from raylabel.errors import ConfigError
from raylabel.progress import say
from raylabel.workspace import Record, read_parts

ASSUMED = 0.85
"""How many of the model's labels are taken to be right before there is a model."""

ASSUMPTION = (
    f"{ASSUMED:.0%} of the model's labels right, confidences that are right as often as they say, training answers like"
    " the rest of the pool"
)


def forecast_once(campaign: Campaign, num_rows: int) -> Record:
    """Keep what the campaign's audit will probably certify, before anyone is asked.

    Args:
        campaign: its budget and promise.
        num_rows: of the pool.

    Returns:
        Its record: facts as `expect` gives them, and `assumption`, in words.

    Raises:
        ConfigError: the audit could not certify anything of such a pool.
    """

    def make() -> Record:
        check_reachable(campaign.config, num_rows)
        facts = expect(campaign.config, assumed(ASSUMED), num_rows=num_rows)
        say(f"forecast: {sentence(facts)}")
        return Record(facts={**facts, "assumption": ASSUMPTION})

    return campaign.records.once(FORECAST, make)


def check_reachable(config: Config, num_rows: int) -> None:
    """Refuse an audit that could not certify anything of a pool of so many items, even if every answer agreed.

    Raises:
        ConfigError: says why, and what to change; 0 audit answers ask for nothing and pass.
    """
    budget, settings = config.budget, config.acceptance
    if not budget.audit_answers:
        return
    first, second = config.split_audit(budget.audit_answers)
    # Of a targeted audit the first draw only takes items away.
    reason = hopeless(
        num_pool=num_rows,
        num_train=budget.train_answers + (first if second else 0),
        num_audit=second or first,
        asked=(settings.max_error, config.alpha_per_look(), settings.promise),
    )
    if reason:
        confidence = f"{1 - config.alpha_per_look():.1%} confidence a look"
        raise ConfigError(
            f"budget.audit_answers: {budget.audit_answers:,} of a pool of {num_rows:,} cannot certify at most "
            f"{settings.max_error:.1%} wrong with {confidence}, even if all agree ({reason}); raise "
            "acceptance.max_error or alpha, ask for more audit answers, or for 0 and no machine labels"
        )


def expect(
    config: Config,
    expected: Expected,
    *,
    num_rows: int,
    max_error: float | None = None,
    num_audit: int | None = None,
) -> dict[str, Any]:
    """Forecast the last look of a campaign at its audit.

    Args:
        config: its budget and promise; what is left out below is taken from there.
        expected: what the model's labels are like.
        num_rows: of the pool.
        max_error: another error rate to promise.
        num_audit: another number of audit answers.

    Returns:
        The fields of `Forecast`, and `num_rows`, `num_train`, `num_open`: items that on average nobody and nothing
        has labeled in the end.
    """
    budget, settings = config.budget, config.acceptance
    num_audit = budget.audit_answers if num_audit is None else num_audit
    asked = (settings.max_error if max_error is None else max_error, config.alpha_per_look(), settings.promise)
    found = forecast(
        expected,
        num_pool=num_rows,
        num_train=budget.train_answers,
        num_audit=num_audit,
        num_second=config.split_audit(num_audit)[1],
        asked=asked,
    )
    num_open = num_rows - budget.train_answers - num_audit - round(found.coverage * num_rows)
    return {**found.to_dict(), "num_rows": num_rows, "num_train": budget.train_answers, "num_open": num_open}


def sentence(facts: Mapping[str, Any]) -> str:
    """A forecast in plain English."""
    if not facts["num_audit"]:
        return "no audit answers, so no machine labels"
    return (
        f"{facts['num_audit']:,} audit answers certify at most {100 * facts['max_error']:.3g} % wrong in "
        f"{facts['chance']:.0%} of draws; {facts['coverage']:.0%} of the pool labeled by machine on average, "
        f"{facts['attainable']:.0%} at most"
    )


def another_once(campaign: Campaign, number: int, model: Record, predictions: Pieces, answered: pa.Table) -> Record:
    """Keep whether one more round than this one would pay; see `foresee`."""
    return campaign.records.once(
        f"{folder(number)}/forecast",
        lambda: Record(facts=foresee(campaign, number, model, predictions, answered, fold=runtime.fold)),
    )


def foresee(
    campaign: Campaign, number: int, model: Record, predictions: Pieces, answered: pa.Table, *, fold: Fold
) -> dict[str, Any]:
    """Forecast whether one more round pays, from held-out training answers and the pool's confidences alone.

    Args:
        campaign: its promise, and the size of its rounds.
        number: the round.
        model: record of its model, with the part "held_out".
        predictions: of the round.
        answered: rows of schema.RESOLVED up to the round; who was asked counts, not what was said.
        fold: as in `accept.judge`.

    Returns:
        Facts: plan, the version that the predictions cover; num_answers that the model learned from; errors, as
        `Expected.errors` gives them of what is unanswered; both None where nothing was held out. And another_round, as
        `AnotherRound.to_dict`, None without a trend.
    """
    expected = expect_of(campaign, model, predictions, answered, fold=fold)
    if expected is None:
        return {"plan": predictions.version, "num_answers": None, "errors": None, "another_round": None}
    mine = {
        "plan": predictions.version,
        "num_answers": model.facts["num_answers"],
        "errors": expected.errors().tolist(),
    }
    earlier = (campaign.records.find(f"{folder(before)}/forecast") for before in range(number))
    rounds = [record.facts for record in earlier if record and record.facts["errors"] is not None] + [mine]
    sizes, settings = campaign.config.round_sizes(), campaign.config.acceptance
    found: AnotherRound | None = another_round(
        np.array([facts["num_answers"] for facts in rounds], np.int64),
        np.array([facts["errors"] for facts in rounds], np.float64),
        num_more=sizes[min(number + 1, len(sizes) - 1)],
        num_answered=answered.num_rows,
        num_pool=predictions.num_rows,
        asked=(settings.max_error, settings.promise),
    )
    return {**mine, "another_round": found.to_dict() if found else None}


def expect_of(
    campaign: Campaign, model: Record, predictions: Pieces, answered: pa.Table, *, fold: Fold
) -> Expected | None:
    """What a round's model lets expect of the items that nobody has answered; None where nothing was held out."""
    held = read_parts(campaign.store, model.parts["held_out"], schema=schema.HELD_OUT)
    counted = fold(Count(campaign, answered.column("row").to_numpy()), predictions.parts, ConfidenceHistogram.merge)
    if counted is None or not held.num_rows or counted.num_items == counted.num_human:
        return None
    confidence, correct = held.column("confidence").to_numpy(), held.column("correct").to_numpy(zero_copy_only=False)
    return learned(confidence, correct, counts=counted.counts - counted.human_counts)
