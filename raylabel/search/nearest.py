"""The nearest items of each query, by exact distance, with their labels.

An index names the candidates; order and distances come from the stored embeddings, so that they are the same whatever
index there is.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from raylabel.campaign import Campaign, find_labels
from raylabel.index import open_index
from raylabel.index import search as search_index
from raylabel.reporting import sheet
from raylabel.reporting.sheet import Cell
from raylabel.search.images import thumbnail, thumbnails, with_vectors
from raylabel.search.opened import Opened, facts_of, open_newest, side_by_side
from raylabel.search.queries import Query, items_of, resolve
from raylabel.workspace import Part, read_part

EXACT_CODES = ("Flat", "SQfp16")
"""How an index may end that holds embeddings as they are stored."""

RERANKED = 4
"""Other indexes are asked for so many times the neighbours, of which the nearest are kept."""


def look_up(campaign: Campaign, texts: Sequence[str], *, size: int, target: Path | None = None) -> dict[str, Any]:
    """Find the nearest items of each query.

    Args:
        campaign: any that has an index; it may be at work.
        texts: each the id of an item, `row:123`, or an image file.
        size: neighbours of each, at least 1; an item is no neighbour of its own.
        target: where to write a contact sheet, a line for each query, the query first.

    Returns:
        Facts: `backbone`, `index`, `num_rows`, `sheet`, and `queries`: for each `query`, `row` and `id` (null for an
        image file) and `neighbours`: `rank` (from 1), `row`, `id`, `distance` (Euclidean), `label` and `source`
        (null where there is no result yet).

    Raises:
        ConfigError: no index, a query that means nothing, an image that cannot be decoded, or a place that cannot be
            written to.
        StorageError: a file of the workspace is gone or was changed.

    Cost: one search of the index, the embedding parts that hold a query or a neighbour, and the labels of those.
    """
    if target is not None:
        sheet.check_target(target)
    opened = open_newest(campaign)
    queries = with_vectors(opened, resolve(opened, texts))
    found = _nearest(opened, queries, size)
    labels = labels_of(opened, {item["id"]: item["row"] for items in found for item in items})
    for items in found:
        for item in items:
            item["label"], item["source"] = labels.get(item["id"], (None, None))
    facts = facts_of(opened) | {
        "queries": [
            {"query": query.text, "row": query.row, "id": query.id or None, "neighbours": items}
            for query, items in zip(queries, found, strict=True)
        ],
        "sheet": None,
    }
    if target is not None:
        facts["sheet"] = sheet.write(_lines(opened, queries, found), target)
    return facts


def _nearest(opened: Opened, queries: Sequence[Query], size: int) -> list[list[dict[str, Any]]]:
    exact = opened.index.facts["factory"].rsplit(",", 1)[-1] in EXACT_CODES
    index = open_index(opened.campaign, opened.index)
    vectors = np.stack([query.vector for query in queries if query.vector is not None])
    wanted = min((size + 1) * (1 if exact else RERANKED), opened.pieces.num_rows)
    _, candidates = search_index(index, vectors, size=wanted)
    items = items_of(opened, np.unique(candidates[candidates >= 0]))
    return [_ranked(opened, query, rows, items, size) for query, rows in zip(queries, candidates, strict=True)]


def _ranked(
    opened: Opened, query: Query, rows: NDArray[np.int64], items: dict[int, tuple[str, NDArray[np.float32]]], size: int
) -> list[dict[str, Any]]:
    """The nearest of some rows; ties break by id."""
    ranked = []
    vector = query.vector
    assert vector is not None, "every query was resolved"
    for row in rows.tolist():
        if row >= 0 and not _is_itself(opened, query, row, items[row][0]):
            distance = float(np.linalg.norm(items[row][1].astype(np.float64) - vector))
            ranked.append((distance, items[row][0], row))
    return [
        {"rank": rank, "row": row, "id": name, "distance": distance}
        for rank, (distance, name, row) in enumerate(sorted(ranked)[:size], start=1)
    ]


def _is_itself(opened: Opened, query: Query, row: int, name: str) -> bool:
    """Whether an item is what was asked for: by row, or the file of the pool that was named by its path or URI."""
    if query.row is not None:
        return row == query.row
    here = query.text if "://" in query.text else str(Path(query.text).resolve())
    return here in (name, f"{opened.plan.root}/{name}") or query.text == name


def labels_of(opened: Opened, rows_by_id: dict[str, int]) -> dict[str, tuple[str | None, str]]:
    """Label and source of items; none where the campaign has no result yet.

    Cost: the parts of the result that hold them. They follow the order of the embedding parts, so those at the same
    places are read first, and others only for what is still missing.
    """
    record = find_labels(opened.campaign)
    if record is None:
        return {}
    parts = list(record.parts["labels"])
    held = {part.name for part, _ in opened.pieces.holding(np.array(sorted(rows_by_id.values()), dtype=np.int64))}
    likely = {place for place, part in enumerate(opened.pieces.parts) if part.name in held}
    order = sorted(range(len(parts)), key=lambda place: place not in likely)
    names = pa.array(sorted(rows_by_id), pa.string())

    def look(part: Part) -> pa.Table:
        table = read_part(opened.campaign.store, part, columns=["id", "label", "source"])
        return table.filter(pc.is_in(table.column("id"), value_set=names))

    found: dict[str, tuple[str | None, str]] = {}
    for table in side_by_side(look, [parts[place] for place in order]):
        found |= {row["id"]: (row["label"], row["source"]) for row in table.to_pylist()}
        if len(found) == len(rows_by_id):
            break
    return found


def _lines(opened: Opened, queries: Sequence[Query], found: list[list[dict[str, Any]]]) -> list[list[Cell]]:
    """The sheet's lines: of the first queries and neighbours, as many as a sheet takes."""
    queries, found = queries[: sheet.MAX_LINES], [items[: sheet.MAX_COLUMNS - 1] for items in found[: sheet.MAX_LINES]]
    rows = {item["row"] for items in found for item in items} | {q.row for q in queries if q.row is not None}
    pictures = thumbnails(opened, rows)
    lines = []
    for query, items in zip(queries, found, strict=True):
        own = thumbnail(opened, query.image) if query.row is None else pictures[query.row]
        cells = [Cell(pictures[item["row"]], (item["id"], f"{item['distance']:.4g}")) for item in items]
        lines.append([Cell(own, (query.id or query.text, "query")), *cells])
    return lines
