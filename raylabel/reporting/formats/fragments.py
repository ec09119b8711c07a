"""One JSON file about all items, put together from what each shard leaves: nothing holds all of it at once.

Knows JSON lines in a store; knows nothing of what stands in them.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

from raylabel.workspace import Store


def leave(place: Store, number: int, rows: Sequence[Any]) -> None:
    """Leave what a shard has to say, as one JSON value a line."""
    place.write(_name(number), "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode())


def gather(place: Store, numbers: Sequence[int]) -> Iterator[Any]:
    """What the shards have left, in their order."""
    for number in numbers:
        # Not splitlines: ids may hold what it takes for an end of line.
        for line in place.read(_name(number)).decode().split("\n")[:-1]:
            yield json.loads(line)


def remove(place: Store, numbers: Sequence[int]) -> None:
    """Remove what the shards have left."""
    for number in numbers:
        place.remove(_name(number))


def write_list(file: TextIO, values: Iterator[str]) -> None:
    """Write JSON texts with commas between them."""
    for count, value in enumerate(values):
        file.write((",\n" if count else "") + value)


class Draft:
    """A text file that is written beside and then stands in the store whole.

    Args:
        place: where.
        name: of the file.
    """

    def __init__(self, place: Store, name: str) -> None:
        self.place, self.name = place, name

    def __enter__(self) -> TextIO:
        """Open it."""
        self._folder = tempfile.TemporaryDirectory()
        self._path = Path(self._folder.name) / "draft"
        self._file = self._path.open("w", encoding="utf-8")
        return self._file

    def __exit__(self, kind: object, *_: object) -> None:
        """Put it in its place, unless something was raised."""
        self._file.close()
        if kind is None:
            self.place.upload(self._path, self.name)
        self._folder.cleanup()


def _name(number: int) -> str:
    return f"fragments/{number:06d}.jsonl"
