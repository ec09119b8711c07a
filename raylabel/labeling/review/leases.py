"""Which page shows which item, and until when: a page renews its leases while it is open.

Knows rows, pages and names, and a clock that it is told; knows nothing of questions.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

LEASE_S = 120.0
"""So long after a page was last heard of, its items go to others."""


@dataclass(frozen=True)
class Lease:
    """An item that a page shows."""

    page: str
    annotator: str
    until: float


class Leases:
    """The leases of one round, one for each item at most."""

    def __init__(self) -> None:
        self._lease_of: dict[int, Lease] = {}
        self._rows_of: dict[str, set[int]] = {}

    def __contains__(self, row: int) -> bool:
        return row in self._lease_of

    def find(self, row: int) -> Lease | None:
        """The lease of an item, whether it has run out or not."""
        return self._lease_of.get(row)

    def holder(self, row: int, now: float) -> Lease | None:
        """Who is shown an item now."""
        lease = self._lease_of.get(row)
        return lease if lease is not None and lease.until > now else None

    def of(self, page: str) -> frozenset[int]:
        """The items that a page has."""
        return frozenset(self._rows_of.get(page, ()))

    def expired(self, now: float) -> list[int]:
        """Items of pages that gave no sign of life."""
        return [row for row, lease in self._lease_of.items() if lease.until <= now]

    def add(self, row: int, page: str, annotator: str, now: float) -> None:
        """Lease an item that nobody has, or whose lease has run out."""
        if row in self._lease_of:
            self.drop(row)
        self._lease_of[row] = Lease(page, annotator, now + LEASE_S)
        self._rows_of.setdefault(page, set()).add(row)

    def renew(self, page: str, now: float) -> None:
        """A page gave a sign of life."""
        for row in self._rows_of.get(page, ()):
            self._lease_of[row] = replace(self._lease_of[row], until=now + LEASE_S)

    def drop(self, row: int) -> None:
        """End the lease of an item."""
        page = self._lease_of.pop(row).page
        self._rows_of[page].discard(row)
        if not self._rows_of[page]:
            del self._rows_of[page]
