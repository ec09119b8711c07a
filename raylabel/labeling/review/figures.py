"""How the work goes: answers a minute, how far annotators agree with each other and with what they were shown.

Counted as answers come, so that asking costs nothing. Guesses are compared only where they were shown: nothing here
says which items are audited.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

RECENT_S = 300.0
"""Rates are over so long, or since the first answer where that was later."""


@dataclass
class Person:
    """One annotator's figures in a round."""

    num_answers: int = 0
    num_guessed: int = 0
    """Labels given beside a guess ..."""
    num_confirmed: int = 0
    """... that name the guess."""
    seconds: float = 0.0
    num_timed: int = 0
    recent: deque[float] = field(default_factory=deque)
    seen: float = float("-inf")
    """When a page of theirs was last heard of."""


class Figures:
    """The figures of one round."""

    def __init__(self) -> None:
        self.people: dict[str, Person] = defaultdict(Person)
        self._pairs: dict[str, tuple[tuple[str, int, int], ...]] = {}
        self._agreed: Counter[str] = Counter()
        self._shared: Counter[str] = Counter()

    def seen(self, annotator: str, now: float) -> None:
        """A page of this annotator was heard of."""
        self.people[annotator].seen = now

    def hear(
        self,
        answer: Mapping[str, Any],
        *,
        before: Mapping[str, Any] | None,
        standing: Mapping[str, Mapping[str, Any]],
        guess: str | None,
        at: float,
    ) -> None:
        """Count an answer.

        Args:
            answer: row of schema.ANSWERS.
            before: what of the same annotator and item stood until now.
            standing: the item's answers that stand now, by annotator.
            guess: the label that was shown as the model's first guess; None where none was.
            at: when, in seconds of the clock that `summary` is asked by.
        """
        person = self.people[answer["annotator"]]
        for row, by in ((before, -1), (answer if answer["kind"] != "retract" else None, 1)):
            if row is None:
                continue
            person.num_answers += by
            if guess is not None and row["kind"] == "label":
                person.num_guessed += by
                person.num_confirmed += by * (row["label"] == guess)
        if answer["kind"] != "retract":
            person.recent.append(at)
            if answer["seconds"] is not None:
                person.seconds += answer["seconds"]
                person.num_timed += 1
        self._compare(answer["id"], standing)

    def summary(self, now: float) -> dict[str, Any]:
        """Figures as the page shows them: per_minute, agreement (None where nobody shares an item), and people."""
        people = [
            {
                "name": name,
                "num_answers": person.num_answers,
                "per_minute": self._rate(person, now),
                "seconds": person.seconds / person.num_timed if person.num_timed else None,
                "agreement": _share(self._agreed[name], self._shared[name]),
                "confirmed": _share(person.num_confirmed, person.num_guessed),
                "is_here": now - person.seen < 15.0,
            }
            for name, person in sorted(self.people.items())
        ]
        return {
            "per_minute": sum(person["per_minute"] for person in people),
            "agreement": _share(self._agreed.total(), self._shared.total()),
            "people": people,
        }

    def _compare(self, name: str, standing: Mapping[str, Mapping[str, Any]]) -> None:
        """Count each annotator's labels of an item against the others'."""
        for who, agreed, shared in self._pairs.pop(name, ()):
            self._agreed[who] -= agreed
            self._shared[who] -= shared
        labels = {who: row["label"] for who, row in standing.items() if row["kind"] == "label"}
        if len(labels) < 2:
            return
        each = Counter(labels.values())
        self._pairs[name] = tuple((who, each[label] - 1, len(labels) - 1) for who, label in labels.items())
        for who, agreed, shared in self._pairs[name]:
            self._agreed[who] += agreed
            self._shared[who] += shared

    def _rate(self, person: Person, now: float) -> float:
        while person.recent and person.recent[0] < now - RECENT_S:
            person.recent.popleft()
        if not person.recent:
            return 0.0
        return 60.0 * len(person.recent) / min(RECENT_S, max(now - person.recent[0], 10.0))


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
