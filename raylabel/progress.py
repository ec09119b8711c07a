"""What a run says while it works: bars on a terminal, JSON lines elsewhere. Everything goes to stderr."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

LINE_EVERY_S = 30.0

_console = Console(stderr=True, highlight=False, soft_wrap=True)
_began = time.monotonic()


class Show(Protocol):
    """Told how far a pass has come."""

    def __call__(self, done: int, bound_by: str = "") -> None:
        """Show a pass that has done so many, and what it waits for most now."""


def say(text: str) -> None:
    """Print one line with the seconds since the start."""
    if sys.stderr.isatty():
        _console.print(f"[dim]{time.monotonic() - _began:6.1f} s[/dim]  {escape(text)}")
    else:
        _line({"said": text})


def counted(number: int, noun: str) -> str:
    """A number of things, as in "1 shard" and "1,200 shards"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


@contextmanager
def counting(label: str, *, total: int, unit: str = "images") -> Iterator[Show]:
    """Show how far a pass has come; the block gets a function that is told what is done in all."""
    began = time.monotonic()
    if sys.stderr.isatty():
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=_console, transient=True) as bars:
            bar = bars.add_task(label, total=total, rate="")

            def advance(done: int, bound_by: str = "") -> None:
                bound = f", bound by {bound_by}" if bound_by else ""
                bars.update(bar, completed=done, rate=f"{_rate(done, began):,.0f}/s{bound}")

            yield advance
        return
    last = began

    def line(done: int, bound_by: str = "") -> None:
        nonlocal last
        now = time.monotonic()
        if now - last < LINE_EVERY_S:
            return
        last = now
        rate = _rate(done, began)
        facts: dict[str, Any] = {"stage": label, "done": done, "total": total, "unit": unit, "per_s": round(rate, 1)}
        if bound_by:
            facts["bound_by"] = bound_by
        if rate:
            facts["eta_s"] = round((total - done) / rate)
        _line(facts)

    yield line


def _rate(done: int, began: float) -> float:
    return done / max(time.monotonic() - began, 1e-9)


def _line(facts: dict[str, Any]) -> None:
    at = {"at_s": round(time.monotonic() - _began, 1)}
    print(json.dumps(at | facts, ensure_ascii=False), file=sys.stderr, flush=True)  # noqa: T201
