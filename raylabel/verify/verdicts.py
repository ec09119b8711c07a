"""What a round's verdict and the labels come to, worked out again from predictions and answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from raylabel.acceptance.differences import differences
from raylabel.campaign import Campaign, folder
from raylabel.labeling.answers import resolved_before
from raylabel.labeling.drawn import answers_of, find_audit, find_second
from raylabel.loop import end_reason
from raylabel.pool import Plan
from raylabel.reporting.accept import judge
from raylabel.reporting.committed import Committed, find_round
from raylabel.reporting.forecast import foresee
from raylabel.reporting.report import round_facts
from raylabel.reporting.result import rule_of
from raylabel.runtime import fold_here
from raylabel.verify.files import as_kept
from raylabel.workspace import Record, read_part

MOST = 20
"""Labels of a part that are named one by one where they differ."""


def check_verdicts(campaign: Campaign, rounds: list[Committed]) -> tuple[int, list[str]]:
    """Forecast and certify every round again, and compare forecast, verdict and commit with what they were.

    Returns:
        How many rounds there are, and what differs.

    Cost: one pass over the predictions of every round that looked at its audit.
    """
    audit, second = find_audit(campaign), find_second(campaign)
    curve: list[float | None] = []
    wrong: list[str] = []
    for done in rounds:
        curve.append(done.model.facts["accuracy"])
        answered = resolved_before(campaign, done.number + 1)
        outlook = foresee(campaign, done.number, done.model, done.predictions, answered, fold=fold_here)
        is_last = bool(end_reason(campaign, curve, outlook["another_round"]))
        # The second draw is made for the last round, and is nothing to those before it.
        drawn = second if is_last else second.slice(0, 0)
        answered = answers_of(campaign, done.number)
        facts = judge(campaign, done.predictions, answered, audit=audit, second=drawn, is_last=is_last, fold=fold_here)
        where = f"round {done.number}"
        foreseen = campaign.records.require(
            f"{folder(done.number)}/forecast", missing=f"the forecast of {where} is gone"
        )
        wrong += differences(dict(foreseen.facts), as_kept(outlook), where=f"{where}: forecast")
        wrong += differences(dict(done.verdict.facts), as_kept(facts), where=f"{where}: verdict")
        plan = done.facts.facts["plan"]
        found = round_facts(done.number, done.model, Record(facts), num_answers=answered.num_rows, plan=plan)
        found["another_round"] = outlook["another_round"]
        wrong += differences(dict(done.facts.facts), as_kept(found), where=f"{where}: commit")
    return len(rounds), wrong


def check_labels(campaign: Campaign, labels: Record, rounds: list[Committed], plan: Plan) -> tuple[int, list[str]]:
    """Label every item again by the last round's verdict and people's answers, and compare with the result.

    Returns:
        How many labels there are, and what differs: values, counts by source, and files that no record names.

    Cost: one pass over the labels and the predictions of the last round.
    """
    last = find_round(campaign, rounds[-1].number, version=plan.version)
    assert last is not None, "it is among the rounds"
    rule = rule_of(campaign, last.last, answers_of(campaign, last.number))
    pieces = last.predictions
    work = [(part, version) for version in range(pieces.version + 1) for part in pieces.added(version).parts]
    kept = labels.parts["labels"]
    wrong: list[str] = []
    if len(kept) != len(work):
        wrong.append(f"{len(kept)} files of labels for {len(work)} of predictions")
    counts: Counter[str] = Counter()
    for part, (predicted, version) in zip(kept, work, strict=False):
        there = read_part(campaign.store, part)
        counts.update(there.column("source").to_pylist())
        wrong += _compared(there, rule(predicted, version), where=part.name)
    for source, name in (("human", "num_human"), ("auto", "num_auto"), ("none", "num_undecided")):
        if counts[source] != labels.facts[name]:
            wrong.append(f"{name}: the record says {labels.facts[name]:,}, the labels hold {counts[source]:,}")
    promised = last.verdict.facts["num_auto"]
    if counts["auto"] != promised:
        wrong.append(f"{counts['auto']:,} labels are the machine's, the certificate is about {promised:,}")
    named = {part.name for part in kept}
    place = labels.facts["folder"]
    strange = [name for name in campaign.store.list(place) if f"{place}/{name}" not in named]
    wrong += [f"{place}/{name}: no record names this file" for name in strange if name.endswith(".parquet")]
    return sum(part.rows for part in kept), wrong


def _compared(kept: pa.Table, found: pa.Table, *, where: str) -> Iterator[str]:
    """Where the labels of a part differ from those worked out again; the first ones by name."""
    if kept.num_rows != found.num_rows:
        yield f"{where}: {kept.num_rows} labels, recomputed {found.num_rows}"
        return
    exact = [name for name in kept.column_names if name != "confidence"]
    if kept.select(exact).equals(found.select(exact)) and _close(kept, found).all():
        return
    pairs = zip(kept.to_pylist(), found.to_pylist(), _close(kept, found).tolist(), strict=True)
    named = 0
    for one, other, close in pairs:
        differing = [name for name in exact if one[name] != other[name]] + ([] if close else ["confidence"])
        if not differing:
            continue
        named += 1
        if named <= MOST:
            said = ", ".join(f"{name} {one[name]!r}, recomputed {other[name]!r}" for name in differing)
            yield f"{where}: {one['id']}: {said}"
    if named > MOST:
        yield f"{where}: {named - MOST:,} more labels differ"


def _close(kept: pa.Table, found: pa.Table) -> Any:
    """(n,) bool: confidences that agree to float32's last digits, or are both missing."""
    one, other = (table.column("confidence").to_numpy(zero_copy_only=False) for table in (kept, found))
    return np.isclose(one.astype(np.float64), other.astype(np.float64), rtol=1e-6, atol=1e-6, equal_nan=True)
