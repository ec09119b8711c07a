"""Commit-once: a step has happened if and only if its record exists.

A record is a small JSON object, created once, that names the data files of its step. Running a step again
finds the record and returns it, so that resuming a campaign is running it again.
Knows names, parts and a fingerprint; knows nothing of what the steps do.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from raylabel.errors import FingerprintError, RaylabelError
from raylabel.workspace.store import Store
from raylabel.workspace.tables import Part


@dataclass(frozen=True)
class Record:
    """What a step left behind.

    Args:
        facts: JSON values that later steps need.
        parts: the data files, by table name.
    """

    facts: Mapping[str, Any] = field(default_factory=dict)
    parts: Mapping[str, Sequence[Part]] = field(default_factory=dict)


@dataclass(frozen=True)
class Records:
    """The records of one campaign.

    Args:
        store: the workspace.
        fingerprint: of the campaign; a record with another one is refused.
    """

    store: Store
    fingerprint: str

    def find(self, name: str) -> Record | None:
        """The record of that name, or None where its step has not been committed.

        Raises:
            FingerprintError: the record belongs to another campaign.
        """
        try:
            data = self.store.read(f"{name}.json")
        except FileNotFoundError:
            return None
        tree = json.loads(data)
        if tree["fingerprint"] != self.fingerprint:
            raise FingerprintError(
                f"{self.store.uri(name)}.json was written by a campaign with fingerprint {tree['fingerprint'][:12]}, "
                f"this one has {self.fingerprint[:12]}; use another workspace"
            )
        parts = {table: tuple(Part(**part) for part in found) for table, found in tree["parts"].items()}
        return Record(facts=tree["facts"], parts=parts)

    def require(self, name: str, *, missing: str) -> Record:
        """The record of that name.

        Args:
            name: of the record.
            missing: what to tell whoever comes too early: what is not there yet, and what makes it.

        Raises:
            RaylabelError: its step has not been committed.
            FingerprintError: the record belongs to another campaign.
        """
        record = self.find(name)
        if record is None:
            raise RaylabelError(f"{self.store.root}: {missing}")
        return record

    def once(self, name: str, make: Callable[[], Record]) -> Record:
        """Return the record of that name; where there is none, run `make` and commit what it returns.

        When another writer was faster, its record is the one that counts.
        """
        found = self.find(name)
        if found is not None:
            return found
        return self.commit(name, make())

    def commit(self, name: str, record: Record) -> Record:
        """Create the record, or return the one that another writer created first."""
        tree = {
            "fingerprint": self.fingerprint,
            "writer": uuid.uuid4().hex,
            "facts": dict(record.facts),
            "parts": {table: [part.to_json() for part in parts] for table, parts in record.parts.items()},
        }
        if self.store.create(f"{name}.json", json.dumps(tree, indent=1).encode()):
            return record
        found = self.find(name)
        assert found is not None, f"{name}.json exists: its creation was refused for that reason"
        return found
