"""The second draw of a targeted audit: made once, when the loop ends, where the threshold will fall; then asked about.

Its questions stand in a shortlist of their own, numbered as the round after the last: no round trains on them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raylabel import runtime, schema
from raylabel.acceptance import ConfidenceHistogram, SecondDraw, plan_second_draw
from raylabel.audited import Count, Fold, Stratum, alpha_each, strata_of, stratum_name
from raylabel.campaign import Campaign, Pieces, Rows, folder
from raylabel.labeling.asking import ask
from raylabel.labeling.auditing import size_of
from raylabel.labeling.drawn import SECOND, answers_of, find_audit, find_second
from raylabel.labeling.shortlist import audit_questions
from raylabel.pool import Plan
from raylabel.progress import say
from raylabel.sampling import TopItems, random_priority
from raylabel.workspace import Part, Record, read_part, write_part
from raylabel.workspace.vectors import gather_rows


def audit_again(
    campaign: Campaign, plan: Plan, number: int, predictions: Pieces, answered: pa.Table, *, is_last: bool
) -> tuple[pa.Table, pa.Table]:
    """Draw a second time for the certificate of the last round, and get the answers; once.

    Args:
        campaign: its `acceptance.audit` says whether there is a second draw.
        plan: of the pool.
        number: the round.
        predictions: of the round; their confidences say where to draw.
        answered: rows of schema.RESOLVED up to the round.
        is_last: whether the loop ends with it.

    Returns:
        What was drawn, rows of schema.AUDIT, none where nothing is to be; and `answered` with the answers to it.

    Raises:
        WaitingForPeople: answers are missing and the config says not to wait for them here.
        AnswersError: a label that is no class.
    """
    if campaign.config.acceptance.audit == "uniform" or not is_last:
        return schema.AUDIT.empty_table(), answered
    campaign.records.once(SECOND, lambda: _draw(campaign, plan, number, predictions, answered))
    second = find_second(campaign)
    if not second.num_rows:
        return second, answered
    questions = campaign.records.once(
        f"{folder(number + 1)}/shortlist", lambda: audit_questions(campaign, number + 1, second.select(["row", "id"]))
    )
    ask(campaign, plan, number + 1, questions, second.column("row").to_numpy())
    return second, answers_of(campaign, number)


def redraw_second(
    campaign: Campaign, plan: Plan, predictions: Pieces, answered: pa.Table, *, fold: Fold
) -> tuple[pa.Table, list[dict[str, Any]]]:
    """Plan and make the second draw, the same as often as one likes.

    Each stratum that is audited is drawn from apart, uniformly from its items without an answer at or above a
    confidence; an item is drawn by a number that depends on seed and row alone.

    Args:
        campaign: its seed and its promise decide.
        plan: of the pool.
        predictions: of the last round.
        answered: rows of schema.RESOLVED up to it, the first draw's answers among them.
        fold: as in `raylabel.reporting.accept.judge`.

    Returns:
        Rows of schema.AUDIT sorted by row, and of each stratum that was drawn from: plan, threshold, num_open, size.
    """
    strata = strata_of(campaign, predictions, answered, audit=find_audit(campaign), second=schema.AUDIT.empty_table())
    alpha, human = alpha_each(campaign, strata), answered.column("row").to_numpy()
    tables, facts = [schema.AUDIT.empty_table()], []
    for stratum in strata:
        version = stratum.pieces.version
        counted = fold(Count(campaign, human), stratum.pieces.parts, ConfidenceHistogram.merge)
        size = campaign.config.split_audit(size_of(campaign, plan, version))[1]
        if counted is None or not stratum.is_audited or not min(size, counted.num_items - counted.num_human):
            continue
        draw = _plan(campaign, stratum, counted, size=size, alpha=alpha)
        drawn = fold(_Draw(campaign, human, draw, version), stratum.pieces.parts, TopItems.merge).finish()
        named = gather_rows(campaign.store, stratum.pieces.holding(drawn))
        assert named is not None and named.num_rows == draw.size, "so many are open there"
        number = predictions.version + 1 + version
        columns = {
            "row": named.column("row"),
            "id": named.column("id"),
            "stratum": [stratum_name(version)] * draw.size,
            "inclusion_probability": np.full(draw.size, draw.inclusion_probability),
            "draw": np.full(draw.size, number, dtype=np.int32),
            "seed": np.full(draw.size, campaign.config.seed, dtype=np.int64),
        }
        tables.append(pa.table(columns, schema=schema.AUDIT))
        facts.append({"plan": version, "threshold": draw.threshold, "num_open": draw.num_open, "size": draw.size})
    return pa.concat_tables(tables), facts


def _plan(campaign: Campaign, stratum: Stratum, counted: ConfidenceHistogram, *, size: int, alpha: float) -> SecondDraw:
    settings = campaign.config.acceptance
    return plan_second_draw(
        stratum.first.confidence,
        stratum.first.correct,
        pool=counted,
        size=min(size, counted.num_items - counted.num_human),
        max_error=settings.max_error,
        alpha=alpha,
        promise=settings.promise,
    )


def _draw(campaign: Campaign, plan: Plan, number: int, predictions: Pieces, answered: pa.Table) -> Record:
    drawn, facts = redraw_second(campaign, plan, predictions, answered, fold=runtime.fold)
    for stratum in facts:
        say(
            f"round {number} · audit: {stratum['size']:,} more of the {stratum['num_open']:,} open items at confidence "
            f"{stratum['threshold']:.4g} and above are drawn"
        )
    part = write_part(campaign.store, SECOND, drawn)
    return Record(facts={"round": number, "strata": facts}, parts={"audit": [part]})


@dataclass(frozen=True)
class _Draw:
    """Draw from one prediction part, in a task: what has the highest numbers among all parts is drawn."""

    campaign: Campaign
    human: Rows
    draw: SecondDraw
    version: int

    def __call__(self, part: Part) -> TopItems:
        table = read_part(self.campaign.store, part, columns=["row", "confidence"])
        reached = table.column("confidence").to_numpy() >= np.float32(self.draw.threshold)
        is_open = pc.invert(pc.is_in(table.column("row"), value_set=pa.array(self.human, pa.int64())))
        rows = table.column("row").to_numpy()[reached & is_open.to_numpy()]
        # A seed of its own: what other draws made of these numbers says nothing of who is drawn here.
        seed = self.campaign.seed("second_audit")
        return TopItems.of(rows, random_priority(rows, seed=seed, round_number=self.version), limit=self.draw.size)
