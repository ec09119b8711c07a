"""What a run says while it works: bars on a terminal, a line every 30 s elsewhere. Everything goes to stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

LINE_EVERY_S = 30.0

_console = Console(stderr=True, highlight=False, soft_wrap=True)
_began = time.monotonic()


def say(text: str) -> None:
    """Print one line with the seconds since the start."""
    if sys.stderr.isatty():
        _console.print(f"[dim]{time.monotonic() - _began:6.1f} s[/dim]  {escape(text)}")
    else:
        print(f"{time.monotonic() - _began:6.1f} s  {text}", file=sys.stderr, flush=True)  # noqa: T201


@contextmanager
def counting(label: str, *, total: int, unit: str = "images") -> Iterator[Callable[[int], None]]:
    """Show how far a pass has come; the block gets a function that is told how much more is done."""
    if sys.stderr.isatty():
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=_console, transient=True) as bars:
            bar = bars.add_task(label, total=total)
            yield lambda count: bars.advance(bar, count)
        return
    began = last = time.monotonic()
    done = 0

    def count(more: int) -> None:
        nonlocal last, done
        done += more
        now = time.monotonic()
        if now - last >= LINE_EVERY_S:
            last = now
            rate = done / (now - began)
            left = f", {rate:,.0f}/s, about {(total - done) / rate:,.0f} s left" if done else ""
            say(f"{label}: {done:,} of {total:,} {unit}{left}")

    yield count
