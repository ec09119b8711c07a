"""The item, the shard (unit of planning, resuming and quarantine), and the plan that numbers every item of a pool.

Plain data; shard and plan have JSON forms. Opens nothing.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from raylabel.workspace import Part

Kind = Literal["parquet", "folder", "webdataset", "list"]

ROWS = 4_096
"""A shard closes with the row group, file, sample or URI that brings it to so many items."""


@dataclass(frozen=True)
class Item:
    """One item as its pool holds it; `label` is what an oracle would say, None where it was not asked for."""

    row: int
    id: str
    image: bytes | None
    label: str | int | None = None
    error: tuple[str, str] | None = None
    """Why there is no image, where the rest of its shard can be read: missing, forbidden, input_changed or no_image,
    and what was found."""


@dataclass(frozen=True)
class Batch:
    """Consecutive items of one shard."""

    items: tuple[Item, ...]


@dataclass(frozen=True)
class Want:
    """What to read beside row and id."""

    image: bool = True
    label: bool = False


class ShardUnreadable(Exception):
    """A whole shard that cannot be read; the rest of the pool goes on.

    Args:
        code: missing, forbidden, input_changed, unreadable, bad_column or empty.
        message: what was found.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message

    def __reduce__(self) -> tuple[type[ShardUnreadable], tuple[str, str]]:
        """Travel between processes whole."""
        return ShardUnreadable, (self.code, self.message)


@dataclass(frozen=True)
class Shard:
    """Consecutive items of the pool that lie together.

    Args:
        index: position among the plan's shards.
        path: of the Parquet file, tar or list, relative to the pool's root; of a folder's shard the first image.
        first_row: row of its first item in the pool.
        rows: how many items.
        etag: of the Parquet file, tar or list when it was planned; "" for a folder's shard.
        row_groups: first and one-past-last row group; None for all but Parquet.
        first_file_row: position of the first item within its file; 0 for a folder's shard.
        listing: the part that says where each item lies; None for Parquet.
    """

    index: int
    path: str
    first_row: int
    rows: int
    etag: str = ""
    row_groups: tuple[int, int] | None = None
    first_file_row: int = 0
    listing: Part | None = None

    @property
    def name(self) -> str:
        """How messages and the quarantine call it."""
        if self.row_groups is not None:
            return f"{self.path}[{self.row_groups[0]}:{self.row_groups[1]}]"
        if self.etag:
            return f"{self.path}, items {self.first_file_row} to {self.first_file_row + self.rows - 1}"
        return f"{self.path} (+{self.rows - 1})"


@dataclass(frozen=True)
class Plan:
    """What a pool holds, fixed at planning: its shards in order, and what could not be read then.

    Args:
        root: folder that the shards' paths start from.
        kind: what the pool is made of.
        id_column: of a Parquet pool; None where ids are `path#row`, and for all other kinds.
        shards: in pool order; their rows number the items from 0 without a gap.
        unreadable: (path, error code, message) of files that could not be planned.
        starts: the first row of each version's own items: the pool's first plan is version 0, and each growth appends
            rows and adds a version.
    """

    root: str
    kind: Kind
    id_column: str | None
    shards: tuple[Shard, ...]
    unreadable: tuple[tuple[str, str, str], ...] = ()
    starts: tuple[int, ...] = (0,)

    @property
    def num_rows(self) -> int:
        """Items in all, readable or not."""
        return sum(shard.rows for shard in self.shards)

    @property
    def version(self) -> int:
        """How often the pool has grown."""
        return len(self.starts) - 1

    def at(self, version: int) -> Plan:
        """The plan as it was at an earlier version, but for `unreadable`."""
        if version == self.version:
            return self
        end = self.starts[version + 1]
        shards = tuple(shard for shard in self.shards if shard.first_row < end)
        return replace(self, shards=shards, starts=self.starts[: version + 1])

    def by_shard(self, rows: Iterable[int] | NDArray[np.int64]) -> list[tuple[Shard, NDArray[np.int64]]]:
        """Sort pool rows to the shards that hold them; shards without any are left out.

        Raises:
            IndexError: a row lies beyond the pool.
        """
        starts = [shard.first_row for shard in self.shards]
        num_rows = self.num_rows
        found: dict[int, list[int]] = {}
        for row in rows:
            if not 0 <= row < num_rows:
                raise IndexError(f"row {row} of a pool of {num_rows} items")
            found.setdefault(bisect.bisect_right(starts, int(row)) - 1, []).append(int(row))
        return [(self.shards[i], np.array(sorted(found[i]), dtype=np.int64)) for i in sorted(found)]

    def to_json(self) -> dict[str, Any]:
        """The plan as its record stores it."""
        return asdict(self)

    @classmethod
    def from_json(cls, tree: Mapping[str, Any]) -> Plan:
        """The plan that `to_json` stored."""
        shards = tuple(shard_from_json(entry) for entry in tree["shards"])
        unreadable = tuple((path, code, message) for path, code, message in tree["unreadable"])
        return cls(tree["root"], tree["kind"], tree["id_column"], shards, unreadable, tuple(tree["starts"]))


def shard_from_json(entry: Mapping[str, Any]) -> Shard:
    """The shard that `dataclasses.asdict` turned into JSON."""
    groups: Sequence[int] | None = entry["row_groups"]
    listing = entry["listing"]
    return Shard(
        **{
            **entry,
            "row_groups": (groups[0], groups[1]) if groups else None,
            "listing": Part(**listing) if listing else None,
        }
    )
