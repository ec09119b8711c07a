"""Commands that are looked at while they run: their workers' memory, and what is left when they are killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil
from sidebyside import STDERR_LINES, PeerFailed

GONE_WITHIN_S = 30.0
LOOK_EVERY_S = 0.02


class Child:
    """A command in a process group of its own.

    Args:
        command: to run; its output goes to files beside `log`.
        log: path without suffix.
        environment: beside this process's own.
    """

    def __init__(self, command: Sequence[str], log: Path, *, environment: Mapping[str, str]) -> None:
        self._command, self._log = command, log
        self.began = time.time()
        with self._file("out").open("wb") as out, self._file("err").open("wb") as err:
            self._popen = subprocess.Popen(
                command, stdout=out, stderr=err, env={**os.environ, **environment}, start_new_session=True
            )
        self._process = psutil.Process(self._popen.pid)

    def _file(self, suffix: str) -> Path:
        return self._log.with_name(f"{self._log.name}.{suffix}")

    def runs(self) -> bool:
        """Whether it has not ended."""
        return self._popen.poll() is None

    def workers(self) -> list[psutil.Process]:
        """Ray's worker processes below it; those that end meanwhile are left out."""
        found = []
        for process in self._descendants():
            try:
                if process.cmdline()[:1] and process.cmdline()[0].startswith("ray::"):
                    found.append(process)
            except (psutil.NoSuchProcess, psutil.ZombieProcess, IndexError):  # it ended since it was listed
                continue
        return found

    def _descendants(self) -> list[psutil.Process]:
        try:
            return self._process.children(recursive=True)
        except psutil.NoSuchProcess:  # it ended since it was asked
            return []

    def finish(self) -> float:
        """Wait for its end; seconds from its start.

        Raises:
            PeerFailed: it failed; holds the end of its error output.
        """
        code = self._popen.wait()
        seconds = time.time() - self.began
        if code != 0:
            said = "\n".join(self._file("err").read_text(errors="replace").splitlines()[-STDERR_LINES:])
            raise PeerFailed(f"exit code {code} from {' '.join(self._command)}\n{said}")
        return seconds

    def report(self) -> dict[str, Any]:
        """The line of JSON that it closed with."""
        found: dict[str, Any] = json.loads(self._file("out").read_text().splitlines()[-1])
        return found

    def kill(self) -> float:
        """SIGKILL to its process group; seconds from its start to that.

        Returns when nothing of it is left. What Ray started notices by itself that its driver is gone; what has not
        after half a minute is killed, too.
        """
        below = self._descendants()
        os.killpg(self._popen.pid, signal.SIGKILL)
        seconds = time.time() - self.began
        self._popen.wait()
        until = time.monotonic() + GONE_WITHIN_S
        while any(map(_lives, below)) and time.monotonic() < until:
            time.sleep(LOOK_EVERY_S)
        for process in filter(_lives, below):
            process.kill()
        return seconds


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
