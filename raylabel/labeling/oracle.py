"""The oracle labeler: answers come from the pool's own label column or folder names, for benchmarks and the demo."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from raylabel.campaign import Campaign, Rows
from raylabel.errors import AnswersError, ConfigError
from raylabel.labeling.answers import Answer, append, index_of, purpose_of
from raylabel.pool import Plan, Want, fetch


def answer_from_pool(campaign: Campaign, plan: Plan, number: int, items: list[dict[str, Any]], audit: Rows) -> None:
    """Answer a shortlist from the pool.

    Args:
        campaign: whose pool; `pool.label_column` names the labels, but for a folder, whose own folders do.
        plan: the pool's.
        number: the round.
        items: rows of the shortlist.
        audit: rows of the audit sample, for the answers' purpose.

    Raises:
        ConfigError: no `pool.label_column`, and the pool is no folder of images.
        AnswersError: a label of the pool that is no class.
    """
    config = campaign.config
    if plan.kind != "folder" and config.pool.label_column is None:
        raise ConfigError('labeling.labeler = "oracle" reads the pool\'s own labels: set pool.label_column')
    index = {name: position for position, name in enumerate(config.classes)}
    audited, now = set(audit.tolist()), datetime.now(UTC)
    purposes = {item["row"]: purpose_of(item, audited) for item in items}
    answers = [
        Answer(
            id=item.id,
            kind="label",
            label=_class_of(item.label, config.classes, index, where=f"the pool's label of {item.id}"),
            annotator="oracle",
            answered_at=now,
            round=number,
            purpose=purposes[item.row],
            source="oracle",
        )
        for item in fetch(
            plan, list(purposes), pool=config.pool, store=campaign.store, want=Want(image=False, label=True)
        )
    ]
    append(campaign, answers)


def _class_of(label: str | int | None, classes: tuple[str, ...], index: dict[str, int], *, where: str) -> str:
    if isinstance(label, int):
        if 0 <= label < len(classes):
            return classes[label]
        raise AnswersError(f"{where}: {label} is no index into the {len(classes)} classes of the config")
    if label is None:
        raise AnswersError(f"{where} is missing; an oracle must have one for every item")
    return classes[index_of(label, index, where=where)]
