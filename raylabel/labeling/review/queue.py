"""Who is shown what: piles of open questions, leases so that nobody gets another's item, and answers that close them.

Knows questions, names and a clock that it is told; knows nothing of storage, HTTP or pictures.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import numpy as np

from raylabel.labeling.answers import wants_more
from raylabel.labeling.review.leases import Lease, Leases
from raylabel.labeling.review.questions import Question

SMALL_PILE = 4
"""Groups of fewer items are no grid: theirs are shown one by one."""

Pile = OrderedDict[int, None]


@dataclass(frozen=True)
class Screen:
    """What a page is to show next.

    Args:
        kind: "group" (one guessed class or cluster), "bare" (tiles without a guess), "single" (one by one), or "empty".
        questions: the items, leased to the page.
        group: of a "group".
    """

    kind: str
    questions: tuple[Question, ...] = ()
    group: int | None = None


class Queue:
    """The questions of one round.

    Args:
        questions: in shortlist order.
        each: people who answer an item, `labeling.answers_per_item`.
        rng: chooses between screens with and without guesses, in proportion to what is open.
    """

    def __init__(self, questions: Sequence[Question], *, each: int, rng: np.random.Generator) -> None:
        self.each, self.rng = each, rng
        self.by_row = {question.row: question for question in questions}
        self.row_of = {question.id: question.row for question in questions}
        self._place = {question.row: place for place, question in enumerate(questions)}
        self._said: dict[int, dict[str, Mapping[str, Any]]] = {}
        self._leases = Leases()
        self._order: Pile = OrderedDict((question.row, None) for question in questions)
        self._piles: dict[int | None, Pile] = {}
        self._last: dict[str, int | None] = {}
        self._open = set(self.by_row)
        self._begun: dict[str, int] = {}
        self._writing: Counter[int] = Counter()
        self.is_short = False
        best_first = sorted(questions, key=lambda q: -q.guesses[0][1] if q.guesses else 0.0)
        for question in best_first:
            self._pile(question.row)[question.row] = None

    @property
    def num_open(self) -> int:
        """Items that want another answer."""
        return len(self._open)

    def num_open_to(self, annotator: str) -> int:
        """Items that want an answer of this annotator."""
        return len(self._open) - self._begun.get(annotator, 0)

    def said_of(self, row: int) -> dict[str, Mapping[str, Any]]:
        """The answers of an item that stand, by annotator."""
        return self._said.get(row, {})

    def hear(self, answer: Mapping[str, Any]) -> None:
        """Take an answer of the workspace into account: a row of schema.ANSWERS, the annotator's latest of its item."""
        row = self.row_of.get(answer["id"])
        if row is None:
            return
        said, annotator = self._said.setdefault(row, {}), answer["annotator"]
        self._count(row, -1)
        self._shelve(row)
        if answer["kind"] == "retract":
            said.pop(annotator, None)
        else:
            said[annotator] = answer
        if self._wanted(row):
            self._open.add(row)
        else:
            self._open.discard(row)
        self._count(row, 1)
        lease = self._leases.find(row)
        if lease is not None and lease.annotator == annotator:
            self._leases.drop(row)
        if row not in self._leases:
            self._offer(row, first=not said)

    def shorten(self) -> None:
        """People say that it is enough: one answer does for each item, and only those shown bare are still asked.

        The audit's are among those, and are asked whatever happens; nobody can tell which they are.
        """
        self.is_short = True
        for row in [row for row in self._open if not self._wanted(row)]:
            self._count(row, -1)
            self._open.discard(row)
            self._shelve(row)

    def next(
        self, annotator: str, page: str, now: float, *, size: int, single: bool = False, keep: Collection[int] = ()
    ) -> Screen:
        """Lease a page its next items.

        Args:
            annotator: never gets an item that it has answered.
            page: one open page; it gives back what it holds, but for `keep`.
            now: seconds.
            size: at most so many items.
            single: one by one, in shortlist order.
            keep: rows that the page still shows.

        Returns:
            A screen; "empty" where nothing is open to this annotator.
        """
        self.renew(annotator, page, now, keep)
        self.give_back(page, keep=keep)
        kind, group, pile = "single", None, self._order
        if not single:
            kind, group, pile = self._chosen(annotator, page)
        rows = list(islice(self._eligible(pile, annotator), size))
        if not rows:
            return Screen("empty")
        for row in rows:
            self._lease(row, page, annotator, now)
        self._last[page] = group
        return Screen(kind, tuple(self.as_shown(row) for row in rows), group)

    def take(self, annotator: str, page: str, now: float, rows: Iterable[int]) -> None:
        """Lease a page these items, as far as nobody holds them: what it takes back by undoing, or shows already."""
        for row in rows:
            if self.holder(row, now) is None:
                self._lease(row, page, annotator, now)

    def holder(self, row: int, now: float) -> Lease | None:
        """Who is shown an item now."""
        return self._leases.holder(row, now)

    def renew(self, annotator: str, page: str, now: float, rows: Iterable[int]) -> None:
        """A page gave a sign of life, and says what it shows: what nobody else was given stays its own.

        After a crash the server knows of no leases; this is how it learns of them again.
        """
        self.sweep(now)
        self._leases.renew(page, now)
        open_to_it = (row for row in rows if row in self._open and annotator not in self._said.get(row, ()))
        self.take(annotator, page, now, open_to_it)

    def give_back(self, page: str, *, keep: Collection[int] = ()) -> None:
        """Items that a page no longer shows are open again, before all others."""
        self._return(self._leases.of(page) - set(keep))

    def sweep(self, now: float) -> None:
        """Items of pages that gave no sign of life are open again."""
        self._return(self._leases.expired(now))

    def refuse(self, row: int, annotator: str, page: str, now: float) -> str:
        """Why an annotator may not answer an item now; "" if it may."""
        if row not in self.by_row:
            return "this round does not ask about that item"
        lease = self.holder(row, now)
        if lease is not None and lease.annotator != annotator:
            return f"{lease.annotator} has that item now: yours was given on after two minutes without a sign of life"
        if lease is not None and lease.page != page:
            return "another of your pages shows that item"
        if lease is None and row not in self._open and annotator not in self.said_of(row):
            return "that item has its answers already"
        return ""

    @contextmanager
    def writing(self, rows: Sequence[int]) -> Iterator[None]:
        """Answers of these items are being written: whatever becomes of their page, nobody is given them meanwhile."""
        self._writing.update(rows)
        for row in rows:  # a lease may have run out, and its item be open to others again
            if row not in self._leases:
                self._shelve(row)
        try:
            yield
        finally:
            self._writing.subtract(rows)
            for row in rows:
                if row not in self._leases:
                    self._offer(row, first=not self._said.get(row))

    def coming(self, count: int) -> list[int]:
        """Rows that are likely to be shown next: to be fetched ahead."""
        heads = [islice(pile, count) for pile in self._piles.values()]
        return list(islice(self._order, count)) + [row for head in heads[:SMALL_PILE] for row in head]

    def _chosen(self, annotator: str, page: str) -> tuple[str, int | None, Pile]:
        """The pile of the next grid."""
        bare = self._piles.get(None, OrderedDict())
        num_bare, num_all = len(bare), len(self._order)
        has_bare = any(True for _ in self._eligible(bare, annotator))
        grouped = {group: pile for group, pile in self._piles.items() if group is not None and pile}
        if has_bare and (not grouped or self.rng.random() < num_bare / num_all):
            return "bare", None, bare
        last = self._last.get(page)
        group = last if last in grouped else max(grouped, key=lambda g: len(grouped[g]), default=None)
        if group is None:
            return "single", None, self._order
        if len(grouped[group]) >= SMALL_PILE or len(grouped) == 1:
            return "group", group, grouped[group]
        mixed = (row for pile in grouped.values() for row in pile)
        return "single", None, OrderedDict((row, None) for row in mixed)

    def as_shown(self, row: int) -> Question:
        """A question as the next person sees it: whoever judges after somebody else judges without help."""
        question = self.by_row[row]
        return replace(question, group=None, guesses=(), neighbours=()) if self._said.get(row) else question

    def _wanted(self, row: int) -> bool:
        said = list(self._said.get(row, {}).values())
        if self.is_short:
            return not said and self.by_row[row].group is None
        return wants_more(said, each=self.each)

    def _eligible(self, pile: Iterable[int], annotator: str) -> Iterable[int]:
        return (row for row in pile if annotator not in self._said.get(row, ()))

    def _pile(self, row: int) -> Pile:
        """Where an item lies while nobody has it: once answered it goes on bare, so that the next answer is free."""
        group = None if self._said.get(row) else self.by_row[row].group
        return self._piles.setdefault(group, OrderedDict())

    def _return(self, rows: Iterable[int]) -> None:
        """Offer items again, the first of the shortlist first."""
        for row in sorted(rows, key=self._place.__getitem__, reverse=True):
            self._leases.drop(row)
            self._offer(row)

    def _offer(self, row: int, *, first: bool = True) -> None:
        if row in self._open and not self._writing[row]:
            for pile in (self._order, self._pile(row)):
                pile[row] = None
                pile.move_to_end(row, last=not first)

    def _shelve(self, row: int) -> None:
        self._order.pop(row, None)
        self._pile(row).pop(row, None)

    def _lease(self, row: int, page: str, annotator: str, now: float) -> None:
        self._shelve(row)
        self._leases.add(row, page, annotator, now)

    def _count(self, row: int, by: int) -> None:
        """Count the open items that each annotator has answered."""
        if row in self._open:
            for annotator in self._said.get(row, ()):
                self._begun[annotator] = self._begun.get(annotator, 0) + by
