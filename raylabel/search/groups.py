"""Near-duplicates in a whole pool: each item's neighbours in the index, part by part in tasks, folded into groups."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raylabel import runtime
from raylabel.campaign import Campaign
from raylabel.errors import RaylabelError
from raylabel.index import open_index
from raylabel.index import search as search_index
from raylabel.progress import counted
from raylabel.reporting import sheet
from raylabel.reporting.sheet import Cell
from raylabel.sampling.duplicates import THRESHOLD, Links
from raylabel.search.images import thumbnails
from raylabel.search.nearest import labels_of
from raylabel.search.opened import Opened, facts_of, open_newest
from raylabel.search.queries import items_of
from raylabel.workspace import Part, Record, read_part
from raylabel.workspace.vectors import embeddings_of

NEIGHBOURS = 16
"""Looked at for each item; a group may be larger, as it also holds its items' neighbours' neighbours."""

MAX_ITEMS = 1_000_000
"""So many items of a pool may have near-duplicates; the driver holds 16 bytes of each."""

MEAN_PARTS = 16
"""The pool's mean embedding is that of so many parts, evenly spread."""

TASKS_PER_CPU = 4
"""Each task opens the index once."""


def find_duplicates(campaign: Campaign, *, size: int, target: Path | None = None) -> dict[str, Any]:
    """Find the groups of near-duplicates of a pool; wants a Ray session, but not the driver's lease.

    Two items belong together where their distance is at most sqrt(2 - 2 * THRESHOLD) of the distance of one of them
    from the pool's mean: of items as far from it as each other, those whose cosine, less the mean, is at least
    THRESHOLD.

    Args:
        campaign: any that has an index; it may be at work.
        size: how many groups to list, the largest first.
        target: where to write a contact sheet, a line for each group.

    Returns:
        Facts: `backbone`, `index`, `num_rows`, `threshold`, `num_groups`, `num_items` (in groups), `sheet`, and
        `groups`: for each its `num_items` and the first `sheet.MAX_COLUMNS` of its `items`: `row`, `id`, `label`,
        `source`, and `distance` from the first.

    Raises:
        ConfigError: no index, or a place that cannot be written to.
        StorageError: a file of the workspace is gone or was changed.
        RaylabelError: more than `MAX_ITEMS` items have near-duplicates.

    Cost: one search of the index for every item, and one read of the embeddings. An index of coarse codes (PQ) finds
    fewer. Memory of the driver: 16 bytes an item that has a near-duplicate.
    """
    if target is not None:
        sheet.check_target(target)
    opened = open_newest(campaign)
    ratio = float(np.sqrt(2 - 2 * THRESHOLD))
    work = _Link(campaign, opened.index, opened.pieces.num_rows, mean=_mean(opened), ratio=ratio)
    links = runtime.fold(work, _tasks(opened.pieces.parts), _merged)
    groups = links.finish() if links is not None else []
    listed = _described(opened, groups[:size])
    facts = facts_of(opened) | {
        "threshold": THRESHOLD,
        "num_groups": len(groups),
        "num_items": sum(len(rows) for rows in groups),
        "groups": listed,
        "sheet": None,
    }
    if target is not None:
        facts["sheet"] = sheet.write(_lines(opened, listed), target)
    return facts


def _mean(opened: Opened) -> NDArray[np.float64]:
    parts = opened.pieces.parts
    chosen = np.unique(np.linspace(0, len(parts) - 1, min(len(parts), MEAN_PARTS)).round().astype(int))
    sums = list(runtime.map_tasks(_Sum(opened.campaign), [parts[place] for place in chosen]))
    mean: NDArray[np.float64] = np.sum([total for total, _ in sums], axis=0) / sum(count for _, count in sums)
    return mean


@dataclass(frozen=True)
class _Sum:
    """Sum and number of a part's embeddings, in a task."""

    campaign: Campaign

    def __call__(self, part: Part) -> tuple[NDArray[np.float64], int]:
        embeddings = embeddings_of(read_part(self.campaign.store, part, columns=["embedding"]))
        return embeddings.sum(axis=0, dtype=np.float64), len(embeddings)


def _tasks(parts: Sequence[Part]) -> Iterator[list[Part]]:
    """Consecutive parts, so many together that every core gets a few tasks."""
    each = max(1, round(len(parts) / (TASKS_PER_CPU * max(1.0, runtime.resources()["cpus"]))))
    for start in range(0, len(parts), each):
        yield list(parts[start : start + each])


@dataclass(frozen=True, eq=False)
class _Link:
    """Link the items of a few parts to their near-duplicates, in a task.

    Args:
        campaign: whose pool.
        index: its record.
        num_rows: that it holds.
        mean: of the pool, (dim,).
        ratio: the largest distance of near-duplicates, as a share of an item's distance from the mean.
    """

    campaign: Campaign
    index: Record
    num_rows: int
    mean: NDArray[np.float64]
    ratio: float

    def __call__(self, parts: list[Part]) -> Links:
        index = open_index(self.campaign, self.index)
        links = Links.of(np.empty((0, 2), dtype=np.int64))
        for part in parts:
            table = read_part(self.campaign.store, part, columns=["row", "embedding"])
            rows, embeddings = table.column("row").to_numpy(), embeddings_of(table).astype(np.float32)
            squared, found = search_index(index, embeddings, size=min(NEIGHBOURS + 1, self.num_rows))
            reach = self.ratio * np.linalg.norm(embeddings - self.mean, axis=1)
            near = (found >= 0) & (squared <= reach[:, None] ** 2)
            pairs = np.stack([np.broadcast_to(rows[:, None], found.shape)[near], found[near]], axis=1)
            links = _merged(links, Links.of(pairs.astype(np.int64)))
        return links


def _merged(one: Links, other: Links) -> Links:
    both = one.merge(other)
    if len(both.rows) > MAX_ITEMS:
        raise RaylabelError(
            f"more than {counted(MAX_ITEMS, 'item')} of this pool are near-duplicates of others; take the copies out "
            "of the pool first, or look at a part of it"
        )
    return both


def _described(opened: Opened, groups: Sequence[NDArray[np.int64]]) -> list[dict[str, Any]]:
    shown = [rows[: sheet.MAX_COLUMNS] for rows in groups]
    items = items_of(opened, np.concatenate([*shown, np.empty(0, dtype=np.int64)]))
    labels = labels_of(opened, {name: row for row, (name, _) in items.items()})
    found = []
    for rows, all_rows in zip(shown, groups, strict=True):
        first = items[int(rows[0])][1].astype(np.float64)
        described = [_item(row, *items[row], first=first) for row in rows.tolist()]
        for item in described:
            item["label"], item["source"] = labels.get(item["id"], (None, None))
        found.append({"num_items": len(all_rows), "items": described})
    return found


def _item(row: int, name: str, vector: NDArray[np.float32], *, first: NDArray[np.float64]) -> dict[str, Any]:
    return {"row": row, "id": name, "distance": float(np.linalg.norm(vector - first))}


def _lines(opened: Opened, groups: list[dict[str, Any]]) -> list[list[Cell]]:
    groups = groups[: sheet.MAX_LINES]
    pictures = thumbnails(opened, [item["row"] for group in groups for item in group["items"]])
    return [
        [Cell(pictures[item["row"]], (item["id"], f"{item['distance']:.4g}")) for item in group["items"]]
        for group in groups
    ]
