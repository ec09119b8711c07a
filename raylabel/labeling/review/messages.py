"""What the page sends, checked, and what it gets: never a strategy, score, reason or purpose."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from raylabel.labeling.review.asked import Said
from raylabel.labeling.review.questions import Question
from raylabel.labeling.review.queue import Screen

MOST_ITEMS = 100
"""Of a screen or a submission."""

Row = Annotated[int, Field(ge=0, lt=2**63)]
Id = Annotated[str, Field(pattern=r"^[A-Za-z0-9-]{8,64}$")]


class _Message(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Next(_Message):
    """A page asks for its next screen."""

    page: Id
    single: bool
    size: Annotated[int, Field(ge=1, le=MOST_ITEMS)]
    keep: Annotated[list[Row], Field(max_length=5 * MOST_ITEMS)] = []


class Item(_Message):
    """What is said of one item."""

    row: Row
    kind: Literal["label", "skip", "cannot_tell"]
    label: Annotated[int, Field(ge=0)] | None = None
    comment: Annotated[str, Field(max_length=1_000)] | None = None


class Submission(_Message):
    """A page submits answers; sent again with the same id they change nothing."""

    page: Id
    round: Annotated[int, Field(ge=0)]
    submission: Id
    seconds: Annotated[float, Field(ge=0, le=86_400)] | None = None
    items: Annotated[list[Item], Field(min_length=1, max_length=MOST_ITEMS)]

    def said(self, num_classes: int) -> list[Said]:
        """Its items, each once.

        Raises:
            ValueError: a label without a class, or with one that is none; a class without a label; an item twice.
        """
        for item in self.items:
            if (item.kind == "label") != (item.label is not None) or (item.label or 0) >= num_classes:
                raise ValueError(f"item {item.row}: unknown class, or none for a label")
        if len({item.row for item in self.items}) < len(self.items):
            raise ValueError("an item stands there twice")
        return [Said(item.row, item.kind, item.label, item.comment) for item in self.items]


class Page(_Message):
    """A page is open and shows rows, undoes its annotator's last submission, or is closed."""

    page: Id
    rows: Annotated[list[Row], Field(max_length=5 * MOST_ITEMS)] = []


def screen_of(screen: Screen, number: int | None) -> dict[str, Any]:
    """A screen as the browser gets it."""
    shows_guesses = screen.kind != "bare"
    return {
        "kind": screen.kind,
        "round": number,
        "group": screen.group,
        "items": [item_of(question, shows_guesses=shows_guesses) for question in screen.questions],
    }


def item_of(question: Question, *, shows_guesses: bool = True) -> dict[str, Any]:
    """An item as the browser gets it."""
    shown = shows_guesses and question.group is not None
    return {
        "row": question.row,
        "id": question.id,
        "guesses": [list(guess) for guess in question.guesses] if shown else [],
        "neighbours": [list(near) for near in question.neighbours] if shown else [],
    }
