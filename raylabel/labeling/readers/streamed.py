"""JSON of any size, value by value, with its faults as errors of the file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ijson

from raylabel.errors import AnswersError


def values_of(source: Path, prefix: str, *, unit: str) -> Iterator[tuple[int, Any]]:
    """Number and value of each element of an array in a JSON file, from 1.

    Args:
        source: the file.
        prefix: where the array lies, as ijson has it: "item", "images.item".
        unit: what an element is called.

    Raises:
        AnswersError: no JSON, or no UTF-8; says behind which element.

    Cost: one pass; memory of one element.
    """
    number = 0
    try:
        with source.open("rb") as file:
            if file.read(3) != b"\xef\xbb\xbf":
                file.seek(0)
            for number, value in enumerate(ijson.items(file, prefix, use_float=True), start=1):
                yield number, value
    except (ijson.JSONError, UnicodeDecodeError) as error:
        where = f"behind {unit} {number}" if number else "at its start"
        raise AnswersError(f"{source}: no JSON {where} ({_plain(error)}); is the file cut off?") from error
    except OSError as error:
        raise AnswersError(f"{source}: cannot be read ({error})") from error


def _plain(error: Exception) -> str:
    return " ".join(str(error).split())[:120]
