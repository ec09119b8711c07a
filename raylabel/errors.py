"""Every error that raylabel raises on purpose, and the exit code each one ends a run with.

    RaylabelError                 1   failed
    ├── ConfigError               2   the TOML, an option or a name in it is wrong
    │   └── UnknownName           2   a name that is not known; says the nearest ones
    ├── PoolError                 2   the pool is missing, unreadable or ambiguous
    ├── WeightsError              2   weights that cannot be read or do not fit the backbone
    ├── AnswersError              2   an answer file that cannot be taken as a whole
    ├── FingerprintError          2   the workspace belongs to another campaign
    ├── QuarantineOverLimit       3   done, but more items were unreadable than the config allows
    ├── StorageError              4   the store failed or filled up; run again to go on
    │   └── FileChanged           4   a file is gone or is not the one that its record names
    ├── WorkerLost                4   a worker process or its node died too often; run again to go on
    ├── LeaseHeld                 5   another driver holds the workspace
    └── WaitingForPeople          10  the shortlist is out and its answers are not all in

A message says what is wrong, where, and what to do next. Knows nothing of any other module.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class RaylabelError(Exception):
    """Root of the tree: a run that failed for a reason that raylabel can name."""

    exit_code = 1


class ConfigError(RaylabelError):
    """A setting is wrong."""

    exit_code = 2


class UnknownName(ConfigError):
    """A name is not among the known ones.

    Args:
        kind: what the name stands for, as in "strategy".
        got: the name as it was written.
        known: every name that would do.
    """

    def __init__(self, kind: str, got: str, known: Iterable[str]) -> None:
        names = sorted(known)
        near = difflib.get_close_matches(got, names, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(names)}"
        super().__init__(f"unknown {kind} {got!r}: {hint}")
        self._args = (kind, got, tuple(names))

    def __reduce__(self) -> tuple[type[UnknownName], tuple[str, str, tuple[str, ...]]]:
        """Travel between processes whole: the message alone could not rebuild the error."""
        return UnknownName, self._args


class PoolError(RaylabelError):
    """The pool is missing, unreadable or ambiguous."""

    exit_code = 2


class WeightsError(RaylabelError):
    """Weights cannot be read or do not fit the backbone."""

    exit_code = 2


class AnswersError(RaylabelError):
    """An answer file cannot be taken as a whole; nothing of it was."""

    exit_code = 2


class FingerprintError(RaylabelError):
    """The workspace was made by another config, class list, model or numeric profile."""

    exit_code = 2


class QuarantineOverLimit(RaylabelError):
    """Everything was labeled, but more items were unreadable than the config allows."""

    exit_code = 3


class StorageError(RaylabelError):
    """The store failed; what was committed stays, and the same command goes on."""

    exit_code = 4


class FileChanged(StorageError):
    """A data file is gone, or its bytes or rows are not those that its record names."""


class WorkerLost(RaylabelError):
    """A worker process or its node died more often than it is tried again; what was committed stays."""

    exit_code = 4


class LeaseHeld(RaylabelError):
    """Another driver is at work on this workspace."""

    exit_code = 5


class WaitingForPeople(RaylabelError):
    """The shortlist is out and its answers are not all in."""

    exit_code = 10
