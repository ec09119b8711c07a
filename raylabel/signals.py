"""SIGINT and SIGTERM: they stop a run with one message and an exit code of their own, whatever engines make of them.

Knows signals; knows nothing of what they stop.
"""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType


class Stopped(KeyboardInterrupt):
    """A signal asked the run to stop; what was committed stays. Ray hands on no other exception from a handler."""


class Signals:
    """The handler of SIGINT and SIGTERM: the first one stops the run, another one while it ends leaves at once.

    Engines may swallow the exception, or turn it into one of their own: what counts is `first`.
    """

    def __init__(self) -> None:
        self.first: signal.Signals | None = None
        self._told = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self)

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Stop the run, or leave at once where it is stopping already."""
        if self.first is not None:
            os._exit(self.tell())
        self.first = signal.Signals(number)
        raise Stopped

    def tell(self) -> int:
        """Say, once, what stopped the run; returns the exit code."""
        assert self.first is not None, "told of a signal that came"
        if not self._told:
            self._told = True
            text = f"raylabel: stopped by {self.first.name}; run the same command again to go on"
            print(text, file=sys.stderr, flush=True)  # noqa: T201
        return 128 + self.first

    def end(self) -> None:
        """Let signals have their usual effect: what is left is the interpreter's own end."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
