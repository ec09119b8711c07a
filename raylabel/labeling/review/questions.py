"""A round's questions as the page asks them: what to show beside each, and which are shown bare.

An audit answer must not follow the model, so audit items are shown bare: one picture or a tile, no guess, no neighbour.
A screen that only audit items come on would tell them apart; so the same screens show as many training items, drawn at
random, and what goes to a browser is the same for both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from raylabel import schema
from raylabel.campaign import Campaign, Rows, priority_of
from raylabel.labeling.answers import purpose_of, resolved_before
from raylabel.workspace import Record, read_parts


@dataclass(frozen=True)
class Question:
    """One item of a shortlist.

    Args:
        row: of the pool.
        id: of the item.
        purpose: what its answers are for; never leaves the server.
        group: the guessed class, or the cluster where nothing is guessed; None where it is shown bare.
        guesses: label index and probability, the likeliest first.
        neighbours: answered items that lie near: row and label index, the nearest first.
    """

    row: int
    id: str
    purpose: str
    group: int | None = None
    guesses: tuple[tuple[int, float], ...] = ()
    neighbours: tuple[tuple[int, int], ...] = ()


def questions_of(campaign: Campaign, number: int, shortlist: Record, audit: Rows) -> list[Question]:
    """The questions of a round, in shortlist order.

    Args:
        campaign: whose workspace.
        number: the round.
        shortlist: its record.
        audit: rows of the audit sample.
    """
    store = campaign.store
    items = read_parts(store, shortlist.parts["shortlist"], schema=schema.SHORTLIST).sort_by("position").to_pylist()
    hints = read_parts(store, shortlist.parts.get("hints", ()), schema=schema.HINTS)
    audited = set(audit.tolist())
    purposes = [purpose_of(item, audited) for item in items]
    num_bare = sum(purpose != "train" for purpose in purposes)
    shown = _shown_with_hints(campaign, hints, num_bare)
    labels = _labels_before(campaign, number)
    return [
        Question(item["row"], item["id"], purpose, **_hint(shown.get(item["row"]), labels))
        for item, purpose in zip(items, purposes, strict=True)
    ]


def _shown_with_hints(campaign: Campaign, hints: pa.Table, num_bare: int) -> dict[int, dict[str, Any]]:
    """The hints that are shown, by row: those of `num_bare` items, drawn by seed and row, are not."""
    order = priority_of(campaign, hints.column("row").to_numpy()).argsort(kind="stable")
    return {row["row"]: row for row in hints.take(pa.array(order[num_bare:])).to_pylist()}


def _labels_before(campaign: Campaign, number: int) -> dict[int, int]:
    """What training answers of the rounds before came to, by row."""
    answered = resolved_before(campaign, number).to_pylist()
    return {row["row"]: row["label_index"] for row in answered if row["purpose"] == "train"}


def _hint(hint: dict[str, Any] | None, labels: dict[int, int]) -> dict[str, Any]:
    if hint is None:
        return {}
    return {
        "group": hint["group"],
        "guesses": tuple(zip(hint["top_index"], hint["top_probability"], strict=True)),
        "neighbours": tuple((row, labels[row]) for row in hint["neighbours"] if labels.get(row, -1) >= 0),
    }
