"""Items that are a file each: what a folder's shards and a list's rows lead to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from raylabel.pool.lists import locate
from raylabel.pool.objects import chunks, get_objects, problem_of
from raylabel.pool.shards import Batch, Item, Plan, Shard, Want
from raylabel.workspace import Store, read_part


@dataclass(frozen=True)
class _Entry:
    """Where an item lies; `size` is None where nobody has looked."""

    row: int
    id: str
    uri: str
    size: int | None
    label: str | int | None


def read_files(
    plan: Plan, shard: Shard, offsets: NDArray[np.int64], *, store: Store, batch_rows: int, want: Want
) -> Iterator[Batch]:
    """Items of a folder's or a list's shard by their place in it; the files of a batch are fetched concurrently.

    A file that is gone, forbidden or of another size than planned gives an item with an error; the others go on.
    """
    assert shard.listing is not None, "a shard of files has a listing"
    listing = read_part(store, shard.listing).take(pa.array(offsets))
    entries = _listed(plan, shard, offsets, listing) if plan.kind == "list" else _found(plan, shard, offsets, listing)
    for chunk in chunks([entry.size for entry in entries], max_count=batch_rows):
        yield Batch(_items(entries[chunk], want))


def _found(plan: Plan, shard: Shard, offsets: NDArray[np.int64], listing: pa.Table) -> list[_Entry]:
    paths, sizes = listing.column("path").to_pylist(), listing.column("size").to_pylist()
    return [
        _Entry(
            row=shard.first_row + int(offset),
            id=path,
            uri=f"{plan.root}/{path}",
            size=size,
            label=path.rsplit("/", 2)[-2] if "/" in path else None,
        )
        for offset, path, size in zip(offsets, paths, sizes, strict=True)
    ]


def _listed(plan: Plan, shard: Shard, offsets: NDArray[np.int64], listing: pa.Table) -> list[_Entry]:
    return [
        _Entry(
            row=shard.first_row + int(offset),
            id=row["id"],
            uri=locate(plan.root, row["uri"]),
            size=None,
            label=row["label"] if row["label"] is not None else row["label_index"],
        )
        for offset, row in zip(offsets, listing.to_pylist(), strict=True)
    ]


def _items(entries: Sequence[_Entry], want: Want) -> tuple[Item, ...]:
    found = get_objects([entry.uri for entry in entries]) if want.image else [None] * len(entries)
    items: list[Item] = []
    for entry, data in zip(entries, found, strict=True):
        image, error = None, None
        if isinstance(data, Exception):
            error = problem_of(entry.uri, data)
        elif data is not None and entry.size is not None and len(data) != entry.size:
            error = ("input_changed", f"it was planned with {entry.size} bytes and has {len(data)} now")
        else:
            image = data
        items.append(Item(entry.row, entry.id, image, entry.label if want.label else None, error))
    return tuple(items)
