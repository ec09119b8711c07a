"""How many gold items each annotator is shown: one of so many answers, as far as there are any.

The queue asks each of them once, like any other question. Whoever got fewer than their share gets some before it is
their turn, and once all are answered some that others have answered.
Knows rows and names; knows nothing of leases, screens or labels.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import islice

import numpy as np

from raylabel.labeling.answers import GOLD
from raylabel.labeling.review.questions import Question


class Measuring:
    """The gold items of one round.

    Args:
        questions: of the round.
        every: one of so many answers is about a gold item.
        rng: places them.
    """

    def __init__(self, questions: Sequence[Question], *, every: int, rng: np.random.Generator) -> None:
        self.every, self.rng = every, rng
        self.rows = [question.row for question in questions if question.purpose == GOLD]
        self._known = set(self.rows)
        self._num_said: Counter[str] = Counter()
        self._num_gold: Counter[str] = Counter()

    def __contains__(self, row: int) -> bool:
        return row in self._known

    def count(self, row: int, annotator: str, by: int) -> None:
        """An annotator has one answer more of an item that stands, or one less."""
        self._num_said[annotator] += by
        self._num_gold[annotator] += by * (row in self._known)

    def lacking(self, annotator: str) -> int:
        """How many gold items an annotator has answered too few."""
        return max(self._num_said[annotator] // self.every - self._num_gold[annotator], 0)

    def mixed(self, rows: Sequence[int], gold: Iterable[int], *, size: int, lacking: int) -> list[int]:
        """Put gold items at random places of a screen whose items are shown bare, in place of its last ones.

        Args:
            rows: of the screen, in their order; the gold items among them count.
            gold: rows to take from.
            size: of the screen, at most; no more than half of it become gold items.
            lacking: how many are wanted.
        """
        there = {row for row in rows if row in self._known}
        most = max(min(lacking - len(there), size - size // 2), 0)
        more = list(islice((row for row in gold if row not in there), most))
        mixed = list(rows[: size - len(more)])
        for row in more:
            mixed.insert(int(self.rng.integers(len(mixed) + 1)), row)
        return mixed
