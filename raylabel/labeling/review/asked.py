"""One round as it is asked: its queue, its answers in the workspace, and how the work goes.

Knows a campaign and people's names; knows nothing of HTTP.
"""

from __future__ import annotations

import hashlib
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from raylabel.campaign import Campaign, Rows
from raylabel.errors import RaylabelError
from raylabel.labeling.answers import GOLD, PAGE, Answer, Kind, Ledger
from raylabel.labeling.review.commits import Commits
from raylabel.labeling.review.figures import Figures
from raylabel.labeling.review.questions import Question, questions_of
from raylabel.labeling.review.queue import Queue, Screen
from raylabel.workspace import Record


@dataclass(frozen=True)
class Said:
    """What somebody says of an item on the page; `label` is a class's index, None unless the kind is "label"."""

    row: int
    kind: Kind
    label: int | None = None
    comment: str | None = None


@dataclass(frozen=True)
class Taken:
    """What became of a submission: rows whose answers lie in the workspace, and why others were refused."""

    saved: tuple[int, ...]
    refused: Mapping[int, str]


class AskedRound:
    """A round whose shortlist is out.

    Args:
        campaign: whose workspace.
        number: the round.
        shortlist: its record.
        audit: rows of the audit sample.
    """

    def __init__(self, campaign: Campaign, number: int, shortlist: Record, audit: Rows) -> None:
        self.campaign, self.number = campaign, number
        questions = questions_of(campaign, number, shortlist, audit)
        each = campaign.config.labeling.answers_per_item
        self.queue = Queue(questions, each=each, rng=np.random.default_rng())
        self.num_items = len(questions)
        self._beside = {row for question in questions for row, _ in question.neighbours}
        self.figures = Figures()
        self.ledger = Ledger(campaign, number)
        self.commits = Commits(self.ledger)
        self._clock = datetime.min.replace(tzinfo=UTC)
        self._given: dict[str, list[tuple[datetime, list[int]]]] = defaultdict(list)
        """Each annotator's submissions on the page: when, and which rows; the last one last."""
        self._hear_stored()

    def shows(self, row: int) -> bool:
        """Whether the page may show a picture of this row: it asks about it, or shows it beside an item."""
        return row in self.queue.by_row or row in self._beside

    def has_training_label(self) -> bool:
        """Whether a model can learn anything from this round so far."""
        return any(
            answer["kind"] == "label" and question.purpose not in ("audit", GOLD)
            for question in self.queue.by_row.values()
            for answer in self.queue.said_of(question.row).values()
        )

    def next(self, annotator: str, page: str, *, size: int, single: bool, keep: Sequence[int]) -> Screen:
        """As `Queue.next`, now."""
        return self.queue.next(annotator, page, time.monotonic(), size=size, single=single, keep=keep)

    def beat(self, annotator: str, page: str, rows: Sequence[int]) -> None:
        """A page is open, and shows these items."""
        now = time.monotonic()
        self.queue.renew(annotator, page, now, rows)
        self.figures.seen(annotator, now)

    async def answer(
        self, annotator: str, page: str, submission: str, said: Sequence[Said], *, seconds: float | None
    ) -> Taken:
        """Take a submission; what is saved lies in the workspace when this returns, and sent again changes nothing.

        Args:
            annotator: who says it.
            page: that shows the items.
            submission: unique to it.
            said: of its items.
            seconds: spent on each.

        Raises:
            StorageError: nothing of it was saved.
        """
        now, at = time.monotonic(), self._time()
        refused: dict[int, str] = {}
        answers: dict[int, Answer] = {}
        for each in said:
            key = _key(annotator, submission, each.row)
            reason = "" if self.ledger.knows(key) else self.queue.refuse(each.row, annotator, page, now)
            if reason:
                refused[each.row] = reason
            else:
                answers[each.row] = self._answer(annotator, each, key, at=at, seconds=seconds)
        with self.queue.writing(list(answers)):
            for row in await self.commits.add(list(answers.values())):
                self._hear(row, time.monotonic())
        return Taken(tuple(answers), refused)

    async def undo(self, annotator: str, page: str) -> list[tuple[Question, Mapping[str, Any]]]:
        """Retract an annotator's last submission, and lease its items to the page again.

        Returns:
            The items, each with what was said of it; none where there is nothing to undo.
        """
        given = self._given[annotator]
        while given:
            at, rows = given.pop()  # at once: a second undo takes back what was sent before
            before = {row: self.queue.said_of(row).get(annotator) for row in rows}
            stood = {row: said for row, said in before.items() if said is not None and said["answered_at"] == at}
            if not stood:
                continue
            try:
                await self._retract(annotator, list(stood))
            except RaylabelError:
                given.append((at, rows))
                raise
            self.queue.take(annotator, page, time.monotonic(), stood)
            return [(self.queue.as_shown(row), said) for row, said in stood.items()]
        return []

    async def look(self) -> None:
        """Take in what others have appended, such as a sheet's answers."""
        for row in await self.commits.refresh():
            self._hear(row, time.monotonic())

    async def _retract(self, annotator: str, rows: Sequence[int]) -> None:
        at = self._time()
        answers = [
            self._answer(annotator, Said(row, "retract"), _key(annotator, f"undo {at.isoformat()}", row), at=at)
            for row in rows
        ]
        for answer in await self.commits.add(answers):
            self._hear(answer, time.monotonic())

    def _answer(self, annotator: str, said: Said, key: str, *, at: datetime, seconds: float | None = None) -> Answer:
        question = self.queue.by_row[said.row]
        return Answer(
            id=question.id,
            kind=said.kind,
            label=None if said.label is None else self.campaign.config.classes[said.label],
            annotator=annotator,
            answered_at=at,
            round=self.number,
            purpose=question.purpose,
            source=PAGE,
            seconds=seconds,
            comment=said.comment or None,
            answer_id=key,
        )

    def _hear(self, row: Mapping[str, Any], at: float) -> None:
        """Take an answer that lies in the workspace into account."""
        place = self.queue.row_of.get(row["id"])
        if place is None or self.ledger.latest[row["id"], row["annotator"]]["answer_id"] != row["answer_id"]:
            return
        standing = self.queue.said_of(place)
        before = standing.get(row["annotator"])
        # Whoever judges after somebody else saw no guess.
        alone = not standing.keys() - {row["annotator"]}
        guesses = self.queue.by_row[place].guesses if alone else ()
        guess = self.campaign.config.classes[guesses[0][0]] if guesses else None
        self.queue.hear(row)
        self.figures.hear(row, before=before, standing=self.queue.said_of(place), guess=guess, at=at)
        if row["source"] == PAGE and row["kind"] != "retract":
            given = self._given[row["annotator"]]
            if not given or given[-1][0] != row["answered_at"]:
                given.append((row["answered_at"], []))
            given[-1][1].append(place)

    def _hear_stored(self) -> None:
        """Take the answers into account that were there when the server started."""
        stored = sorted(self.ledger.latest.values(), key=lambda row: row["answered_at"])
        for row in stored:
            self._clock = row["answered_at"]
            age = (datetime.now(UTC) - row["answered_at"]).total_seconds()
            self._hear(row, time.monotonic() - max(age, 0.0))

    def _time(self) -> datetime:
        """Now, and later than all before: a submission is known by its time, and the last word by being last."""
        self._clock = max(datetime.now(UTC), self._clock + timedelta(microseconds=1))
        return self._clock


def _key(annotator: str, submission: str, row: int) -> str:
    return hashlib.sha256(f"{annotator}\x1f{submission}\x1f{row}".encode()).hexdigest()[:24]
