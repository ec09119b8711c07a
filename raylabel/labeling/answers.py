"""Answers: appended, never changed; and what became of them, once a round had all of them.

Knows tables in the workspace; knows nothing of who answers or how, or of how answers are joined.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import pyarrow as pa

from raylabel import schema
from raylabel.campaign import Campaign, folder
from raylabel.errors import AnswersError, UnknownName
from raylabel.workspace import Part, Record, read_parts, write_part

Kind = Literal["label", "skip", "cannot_tell", "retract"]

SECOND_LOOK = "second_look"
"""The purpose, and in a shortlist the strategy, of asking again about an answer that the model doubts."""

GOLD = "gold"
"""The purpose, and in a shortlist the strategy, of asking about an item whose label is known."""

PAGE = "review"
"""The source of answers that were given on the review page."""

READERS = 16
"""Records of answers that are read at once: a page appends many small ones."""


def enough(number: int) -> str:
    """Name of the record that says to go on with what is answered: only the audit is still waited for."""
    return f"{folder(number)}/enough"


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
    """Append answers to their rounds, as `Ledger.append` does.

    Returns:
        How many were new.
    """
    by_round: dict[int, list[Answer]] = defaultdict(list)
    for answer in answers:
        by_round[answer.round].append(answer)
    return sum(len(Ledger(campaign, number).append(found)) for number, found in by_round.items())


class Ledger:
    """The answers of one round as one process knows them: each record is read once, however often it looks again.

    Args:
        campaign: whose workspace.
        number: the round.

    Cost: 1 kB an answer. Opening it reads the round's answers; `refresh` and `append` only what is new.
    """

    def __init__(self, campaign: Campaign, number: int) -> None:
        self.campaign, self.number = campaign, number
        self.names: set[str] = set()
        """The records that were read or written."""
        self.latest: dict[tuple[str, str], dict[str, Any]] = {}
        """As `latest_of` gives it."""
        self._known: set[str] = set()
        self.refresh()

    def refresh(self) -> list[dict[str, Any]]:
        """Read what others have appended since the last look; returns those answers."""
        new = sorted(set(taken(self.campaign, self.number)) - self.names)
        rows = [row for row in collect(self.campaign, self.number, new).to_pylist() if self._note(row)] if new else []
        self.names |= set(new)
        return rows

    def append(self, answers: Sequence[Answer]) -> list[dict[str, Any]]:
        """Append answers; what an annotator has said last of an item is not said again.

        Answers with an id of their own are known by it. Of the others the last one of each annotator and item counts,
        and is new unless it repeats what the annotator's latest answer there says: a correction back is a new answer.

        Returns:
            The new ones, as rows of schema.ANSWERS: they are in the workspace.
        """
        fresh = self.fresh(answers)
        if not fresh:
            return []
        name = hashlib.sha256("\n".join(sorted(row["answer_id"] for row in fresh)).encode()).hexdigest()[:16]
        commit(self.campaign, self.number, name, [self.write(fresh)])
        self.names.add(name)
        return [row for row in fresh if self._note(row)]

    def fresh(self, answers: Iterable[Answer]) -> list[dict[str, Any]]:
        """Those of some answers that say something new, as `append` has it: rows of schema.ANSWERS."""
        return [
            {**{name: getattr(answer, name) for name in schema.ANSWERS.names}, "answer_id": key}
            for key, answer in self._fresh(answers).items()
        ]

    def write(self, rows: Sequence[dict[str, Any]]) -> Part:
        """Write rows beside the answers; they are none before `commit` names them in a record."""
        table = pa.Table.from_pylist(list(rows), schema=schema.ANSWERS)
        return write_part(self.campaign.store, f"{folder(self.number)}/answers/part", table)

    def knows(self, answer_id: str) -> bool:
        """Whether an answer of that id lies in the workspace."""
        return answer_id in self._known

    def _note(self, row: dict[str, Any]) -> bool:
        """Take an answer into account; False if it was."""
        if row["answer_id"] in self._known:
            return False
        self._known.add(row["answer_id"])
        place = row["id"], row["annotator"]
        before = self.latest.get(place)
        if before is None or _order(before) < _order(row):
            self.latest[place] = row
        return True

    def _fresh(self, answers: Iterable[Answer]) -> dict[str, Answer]:
        """The answers that say something new, by key."""
        own = {answer.answer_id: answer for answer in answers if answer.answer_id}
        last = {(answer.id, answer.annotator): answer for answer in answers if not answer.answer_id}
        fresh = {key: answer for key, answer in own.items() if key not in self._known}
        for place, answer in last.items():
            before = self.latest.get(place)
            if before is not None and (before["kind"], before["label"]) == (answer.kind, answer.label):
                continue
            key = answer.key(before["answer_id"] if before else "")
            if key not in self._known:
                fresh[key] = answer
        return fresh


def commit(campaign: Campaign, number: int, name: str, parts: Sequence[Part]) -> None:
    """Make what `Ledger.write` wrote answers of a round, all at once, by one record of that name."""
    campaign.records.commit(f"{folder(number)}/answers/{name}", Record(parts={"answers": list(parts)}))


def latest_of(answers: pa.Table) -> dict[tuple[str, str], dict[str, Any]]:
    """Each annotator's latest answer for each item: that of the latest round, whatever clocks say."""
    rows: Iterable[dict[str, Any]] = answers.to_pylist()
    return {(row["id"], row["annotator"]): row for row in sorted(rows, key=_order)}


def _order(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return row["round"], row["answered_at"], row["answer_id"]


def taken(campaign: Campaign, number: int) -> list[str]:
    """The names of the records that hold the answers of a round so far, sorted."""
    listed = campaign.store.list(f"{folder(number)}/answers")
    return [name.removesuffix(".json") for name in listed if name.endswith(".json")]


def collect(campaign: Campaign, number: int, names: Sequence[str] | None = None) -> pa.Table:
    """The answers of a round, one row for each answer id: all of them, or those of some records.

    Cost: two small reads a record, `READERS` at once.
    """
    place = f"{folder(number)}/answers"
    names = taken(campaign, number) if names is None else names

    def read(name: str) -> pa.Table:
        record = campaign.records.find(f"{place}/{name}")
        return read_parts(campaign.store, record.parts["answers"] if record else (), schema=schema.ANSWERS)

    with ThreadPoolExecutor(READERS) as readers:
        table = pa.concat_tables([schema.ANSWERS.empty_table(), *readers.map(read, names)])
    first: dict[str, int] = {}
    for position, key in enumerate(table.column("answer_id").to_pylist()):
        first.setdefault(key, position)
    return table.take(pa.array(list(first.values()), pa.int64()))


def standing(answers: pa.Table) -> set[str]:
    """The items that have an answer which was not retracted."""
    return {name for (name, _), row in latest_of(answers).items() if row["kind"] != "retract"}


def settled(latest: Mapping[tuple[str, str], Mapping[str, Any]], *, each: int) -> set[str]:
    """The items that want no further answer.

    Args:
        latest: as `latest_of` gives it.
        each: people who answer an item, `labeling.answers_per_item`.
    """
    said: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for (name, _), row in latest.items():
        if row["kind"] != "retract":
            said[name].append(row)
    return {name for name, answers in said.items() if not wants_more(answers, each=each)}


def wants_more(answers: Sequence[Mapping[str, Any]], *, each: int) -> bool:
    """Whether one more person is to be asked about an item.

    `each` people are. One more is where the labels that most of them name are tied, and where none of them gave a label
    and one could not tell: on a page the item goes on to somebody else; a sheet's "cannot_tell" is its last word.

    Args:
        answers: those that stand, one for each annotator: kind, label and source.
        each: people who answer an item.
    """
    if len(answers) != each:
        return len(answers) < each
    labels = Counter(answer["label"] for answer in answers if answer["kind"] == "label")
    if not labels:
        return any(answer["kind"] == "cannot_tell" and answer["source"] == PAGE for answer in answers)
    first, *others = labels.most_common(2)
    return any(count == first[1] for _, count in others)


def purpose_of(item: Mapping[str, Any], audited: set[int]) -> str:
    """What a question of a shortlist is asked for, by its row and strategy."""
    if item["strategy"] == GOLD:  # the audit's second draw may hold it, and asks again
        return GOLD
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
