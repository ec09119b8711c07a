"""Answers: appended, never changed; and what became of them, once a round had all of them.

Knows tables in the workspace; knows nothing of who answers or how, or of how answers are joined.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import pyarrow as pa

from raylabel import schema
from raylabel.campaign import Campaign, folder
from raylabel.errors import AnswersError, UnknownName
from raylabel.workspace import Record, read_parts, write_part

Kind = Literal["label", "skip", "cannot_tell", "retract"]

SECOND_LOOK = "second_look"
"""The purpose, and in a shortlist the strategy, of asking again about an answer that the model doubts."""


@dataclass(frozen=True)
class Answer:
    """One person's answer for one item; `label` is None unless the kind is "label"."""

    id: str
    kind: Kind
    label: str | None
    annotator: str
    answered_at: datetime
    round: int
    purpose: str
    source: str
    seconds: float | None = None
    comment: str | None = None
    answer_id: str = ""

    def key(self, previous: str = "") -> str:
        """The answer's own id, or one made of what it says and of the annotator's answer that it follows."""
        said = (self.id, self.kind, self.label or "", self.annotator, self.source, str(self.round), previous)
        return self.answer_id or hashlib.sha256("\x1f".join(said).encode()).hexdigest()[:24]


def append(campaign: Campaign, answers: Sequence[Answer]) -> int:
    """Append answers to their rounds; what an annotator has said last of an item is not said again.

    Answers with an id of their own are known by it. Of the others the last one of each annotator and item counts,
    and is new unless it repeats what the annotator's latest answer there says: a correction back is a new answer.

    Returns:
        How many were new.
    """
    new = 0
    by_round: dict[int, list[Answer]] = defaultdict(list)
    for answer in answers:
        by_round[answer.round].append(answer)
    for number, found in by_round.items():
        fresh = _fresh(collect(campaign, number), found)
        if not fresh:
            continue
        columns: dict[str, list[Any]] = {
            name: [getattr(answer, name) for answer in fresh.values()] for name in schema.ANSWERS.names
        }
        columns["answer_id"] = list(fresh)
        table = pa.table(columns, schema=schema.ANSWERS)
        name = hashlib.sha256("\n".join(sorted(fresh)).encode()).hexdigest()[:16]
        part = write_part(campaign.store, f"{folder(number)}/answers/part", table)
        campaign.records.commit(f"{folder(number)}/answers/{name}", Record(parts={"answers": [part]}))
        new += len(fresh)
    return new


def _fresh(stored: pa.Table, answers: Iterable[Answer]) -> dict[str, Answer]:
    """The answers that say something new, by key."""
    known = set(stored.column("answer_id").to_pylist())
    latest = latest_of(stored)
    own = {answer.answer_id: answer for answer in answers if answer.answer_id}
    last = {(answer.id, answer.annotator): answer for answer in answers if not answer.answer_id}
    fresh = {key: answer for key, answer in own.items() if key not in known}
    for place, answer in last.items():
        before = latest.get(place)
        if before is not None and (before["kind"], before["label"]) == (answer.kind, answer.label):
            continue
        key = answer.key(before["answer_id"] if before else "")
        if key not in known:
            fresh[key] = answer
    return fresh


def latest_of(answers: pa.Table) -> dict[tuple[str, str], dict[str, Any]]:
    """Each annotator's latest answer for each item: that of the latest round, whatever clocks say."""
    rows: Iterable[dict[str, Any]] = answers.to_pylist()
    ordered = sorted(rows, key=lambda row: (row["round"], row["answered_at"], row["answer_id"]))
    return {(row["id"], row["annotator"]): row for row in ordered}


def taken(campaign: Campaign, number: int) -> list[str]:
    """The names of the records that hold the answers of a round so far, sorted."""
    listed = campaign.store.list(f"{folder(number)}/answers")
    return [name.removesuffix(".json") for name in listed if name.endswith(".json")]


def collect(campaign: Campaign, number: int, names: Sequence[str] | None = None) -> pa.Table:
    """The answers of a round, one row for each answer id: all of them, or those of some records."""
    place = f"{folder(number)}/answers"
    names = taken(campaign, number) if names is None else names
    records = [campaign.records.find(f"{place}/{name}") for name in names]
    parts = [part for record in records if record for part in record.parts["answers"]]
    table = read_parts(campaign.store, parts, schema=schema.ANSWERS)
    first: dict[str, int] = {}
    for position, key in enumerate(table.column("answer_id").to_pylist()):
        first.setdefault(key, position)
    return table.take(pa.array(list(first.values()), pa.int64()))


def standing(answers: pa.Table) -> set[str]:
    """The items that have an answer which was not retracted."""
    return {name for (name, _), row in latest_of(answers).items() if row["kind"] != "retract"}


def purpose_of(item: Mapping[str, Any], audited: set[int]) -> str:
    """What a question of a shortlist is asked for, by its row and strategy."""
    if item["row"] in audited:
        return "audit"
    return SECOND_LOOK if item["strategy"] == SECOND_LOOK else "train"


def index_of(label: str, index: Mapping[str, int], *, where: str) -> int:
    """The index of a class name.

    Raises:
        AnswersError: it is no class; says the nearest.
    """
    if label not in index:
        raise AnswersError(f"{where}: {UnknownName('class', str(label), index)}")
    return index[label]


def resolved_before(campaign: Campaign, number: int) -> pa.Table:
    """Every item resolved in the rounds before `number`, as it was last resolved: columns of schema.RESOLVED."""
    records = [campaign.records.find(f"{folder(earlier)}/answered") for earlier in range(number)]
    parts = [part for record in records if record for part in record.parts["resolved"]]
    table = read_parts(campaign.store, parts, schema=schema.RESOLVED).combine_chunks()
    # An item that people looked at again is resolved again, and stays where it was.
    last = {row: position for position, row in enumerate(table.column("row").to_pylist())}
    return table.take(pa.array(list(last.values()), pa.int64()))
