"""The fields of a row of answers: which there are, and what each of them can hold.

Knows rows as readers give them; knows nothing of files, campaigns, classes or what was asked.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np

from raylabel.errors import AnswersError

FIELDS = ("id", "label", "kind", "annotator", "answered_at", "seconds", "comment", "answer_id", "round")
"""What a sheet may hold of an answer; what else stands in it is passed over."""
MAX_SECONDS = float(np.finfo(np.float32).max)
"""What schema.ANSWERS holds; anything above it would be stored as infinite."""
_SHOWN = 40


def text_of(value: Any) -> str:
    """A field as its text; JSON's 0 is a text, null is none."""
    return "" if value is None else str(value)


def check_fields(row: Mapping[str, Any], *, where: str) -> None:
    """Refuse a row of which a field is no text or number, or a text that no file can hold.

    Raises:
        AnswersError: says which field.
    """
    for name in (*FIELDS, "file"):
        value = row.get(name)
        if isinstance(value, dict | list | bytes):
            raise AnswersError(f"{where}: {name} is neither a text nor a number")
        if isinstance(value, str) and not value.isascii():
            try:
                value.encode()
            except UnicodeEncodeError:
                shown = ascii(value[:_SHOWN])
                raise AnswersError(f"{where}: {name} {shown} holds half a character, which is no Unicode") from None


def time_of(value: Any, *, where: str) -> datetime:
    """A time in UTC; one without an offset is in UTC already.

    Raises:
        AnswersError: no ISO 8601 time, or one outside of the years 1 to 9999 in UTC.
    """
    text = text_of(value)
    try:
        found = datetime.fromisoformat(text)
        return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
    except ValueError:
        raise AnswersError(f"{where}: answered_at {text[:_SHOWN]!r} is no ISO 8601 time") from None
    except OverflowError:
        raise AnswersError(
            f"{where}: answered_at {text[:_SHOWN]!r} lies outside of the years 1 to 9999 in UTC"
        ) from None


def seconds_of(value: Any, *, where: str) -> float | None:
    """How long an answer took; None where it is not said.

    Raises:
        AnswersError: no number, negative, or more than `MAX_SECONDS`.
    """
    text = text_of(value).strip()
    if not text:
        return None
    try:
        found = float(text)
    except ValueError:
        found = -1.0
    if not 0 <= found <= MAX_SECONDS:
        raise AnswersError(f"{where}: seconds {text[:_SHOWN]!r} is no number of seconds")
    return found


def round_of(value: Any, asked: Mapping[int, str], *, where: str) -> int:
    """The round that a row answers, so that an old sheet is no second look: the last that asked where it names none.

    Args:
        value: the field.
        asked: the rounds that asked about the item, and what for.
        where: the row stands, for messages.

    Raises:
        AnswersError: it is none of those.
    """
    text = text_of(value).strip()
    if not text:
        return max(asked)
    found = {str(number): number for number in asked}.get(text.lstrip("0") or text[-1:])
    if found is None:
        known = " and ".join(map(str, asked))
        raise AnswersError(
            f"{where}: round {text[:_SHOWN]!r} has not asked about this item; it was asked in round {known}"
        )
    return found
