"""One element ahead: the next chunk is fetched in a thread while the present one is being worked on."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

T = TypeVar("T")

_END: Final = object()


def one_ahead(source: Iterator[T]) -> Iterator[T]:
    """Iterate over a source whose next element is always being made in a thread of its own.

    What the source raises is raised here, in its place. Left early, it waits for the element that is being made,
    then ends the thread and closes the source.

    Cost: two elements in memory, the one given out and the one that is coming.
    """
    try:
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="one-ahead") as thread:
            coming = thread.submit(next, source, _END)
            while (element := coming.result()) is not _END:
                coming = thread.submit(next, source, _END)
                yield element  # type: ignore[misc]  # what is not the end is of the source
    finally:
        close = getattr(source, "close", None)
        if close is not None:
            close()
