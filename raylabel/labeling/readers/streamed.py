"""JSON of any size, value by value, with its faults as errors of the file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ijson

from raylabel.errors import AnswersError

MAX_DEPTH = 64
"""Annotations nest a dozen levels; ijson names every level's path in full, which is quadratic in the depth."""


def values_of(source: Path, prefix: str, *, unit: str) -> Iterator[tuple[int, Any]]:
    """Number and value of each element of an array in a JSON file, from 1.

    Args:
        source: the file.
        prefix: where the array's elements lie, as ijson has it: "item", "images.item".
        unit: what an element is called.

    Raises:
        AnswersError: no JSON, no UTF-8, or nested deeper than `MAX_DEPTH`; says behind which element. No array there.

    Cost: one pass; memory of one element.
    """
    number = 0
    try:
        with source.open("rb") as file:
            if file.read(3) != b"\xef\xbb\xbf":
                file.seek(0)
            events = ijson.parse(_shallow(ijson.basic_parse(file, use_float=True)))
            inside = _array_at(prefix.removesuffix("item").removesuffix("."), events, source)
            for number, value in enumerate(ijson.items(inside, prefix), start=1):
                yield number, value
    except (ijson.JSONError, UnicodeDecodeError, _TooDeep) as error:
        where = f"behind {unit} {number}" if number else "at its start"
        if isinstance(error, _TooDeep):
            raise AnswersError(f"{source}: nested deeper than {MAX_DEPTH} levels {where}; no annotations are") from None
        raise AnswersError(f"{source}: no JSON {where} ({_plain(error)}); is the file cut off?") from error
    except OSError as error:
        raise AnswersError(f"{source}: cannot be read ({error})") from error


class _TooDeep(Exception):
    """JSON nested deeper than `MAX_DEPTH`."""


def _shallow(events: Iterator[tuple[str, Any]]) -> Iterator[tuple[str, Any]]:
    """Events as they come, before ijson makes a path of each; refuses those that nest too deeply."""
    depth = 0
    for event, value in events:
        if event in ("start_map", "start_array"):
            depth += 1
            if depth > MAX_DEPTH:
                raise _TooDeep
        elif event in ("end_map", "end_array"):
            depth -= 1
        yield event, value


def _array_at(path: str, events: Iterator[tuple[str, str, Any]], source: Path) -> Iterator[tuple[str, str, Any]]:
    """Events as they come; refuses a file that holds something else at a path than an array, or nothing."""
    seen = False
    for event in events:
        if event[0] == path:
            if event[1] not in ("start_array", "end_array"):
                raise AnswersError(f"{source}: expected an array{f' of {path}' if path else ''}, found another value")
            seen = True
        yield event
    if not seen:
        raise AnswersError(f"{source}: expected an array of {path}, found none")


def _plain(error: Exception) -> str:
    return " ".join(str(error).split())[:120]
