"""From what a user types to rows and vectors: an item's id, `row:123`, or an image file.

A file that is there is taken for a file, all else for an id; `id:` before it says that it is an id.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from raylabel import schema
from raylabel.errors import ConfigError
from raylabel.pool import ShardUnreadable, Want
from raylabel.pool.objects import get_objects, problem_of
from raylabel.pool.read import fetch_from
from raylabel.search.opened import Opened, side_by_side
from raylabel.workspace import Part, read_part, read_parts
from raylabel.workspace.vectors import embeddings_of, pick_rows

SUGGESTED_FROM = 20_000
"""The ids that a mistyped one is compared with: those of the first part, at most so many."""


@dataclass(frozen=True, eq=False)
class Query:
    """One thing to look for.

    Args:
        text: as it was typed.
        row: of the item in the pool; None for an image file.
        id: of the item; "" for an image file, and where it is not known yet.
        image: bytes of an image file; None for an item.
        vector: (dim,) float32; None where it is not known yet.
    """

    text: str
    row: int | None = None
    id: str = ""
    image: bytes | None = None
    vector: NDArray[np.float32] | None = None


def spelled_out(texts: Sequence[str]) -> list[str]:
    """Queries with those of `@FILE` in its place: a text with one query on each line; empty lines are passed over.

    Raises:
        ConfigError: a file cannot be read, or nothing is asked.
    """
    found: list[str] = []
    for text in texts:
        if not text.startswith("@"):
            found.append(text)
            continue
        try:
            lines = Path(text[1:]).read_text(encoding="utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{text}: cannot be read ({error}); expected a UTF-8 text, a query a line") from error
        found += [line.strip() for line in lines if line.strip()]
    if not found:
        raise ConfigError(f"{' '.join(texts)}: holds no query; write one a line")
    return found


def resolve(opened: Opened, texts: Sequence[str]) -> list[Query]:
    """Find the item or the bytes that each query means, and the stored embeddings of the items; `@FILE` is spelled out.

    Returns:
        Queries in order; those of image files have no vector yet.

    Raises:
        ConfigError: no such id, row or file, or an item without an embedding; says which.
        StorageError: a file of the workspace is gone or was changed.

    Cost: for ids, the embedding parts of the pool up to the last one that holds one of them; for rows, the parts
    that hold them. Memory: `READERS` parts.
    """
    queries = _with_images([_parsed(text, opened) for text in spelled_out(texts)])
    queries = _with_rows(opened, queries)
    return _with_vectors(opened, queries)


def _parsed(text: str, opened: Opened) -> Query:
    if text.startswith("row:"):
        number, num_rows = text.removeprefix("row:"), opened.plan.num_rows
        if not number.isdecimal():
            raise ConfigError(f"{text}: expected row: and a number, as in row:123")
        if int(number) >= num_rows:
            raise ConfigError(f"{text}: the pool has {num_rows} items, numbered from 0 to {num_rows - 1}")
        return Query(text, row=int(number))
    if text.startswith("id:"):
        return Query(text, id=text.removeprefix("id:"))
    if "://" in text or _is_file(text):
        return Query(text, image=b"")
    return Query(text, id=text)


def _is_file(text: str) -> bool:
    try:
        return Path(text).is_file()
    except (OSError, ValueError):  # an id may be longer than any name, or hold what no name can
        return False


def _with_images(queries: list[Query]) -> list[Query]:
    """Read the image files; a URI that is not there may yet be the id of an item."""
    files = [query for query in queries if query.image is not None]
    read: dict[str, bytes] = {}
    for query, data in zip(files, get_objects([query.text for query in files]), strict=True):
        if isinstance(data, Exception):
            code, message = problem_of(query.text, data)
            if code != "missing":
                raise ConfigError(f"{query.text}: cannot be read ({code}: {message})") from data
        else:
            read[query.text] = data
    found = []
    for query in queries:
        if query.image is not None:
            query = replace(query, image=read[query.text]) if query.text in read else Query(query.text, id=query.text)
        found.append(query)
    return found


def _with_rows(opened: Opened, queries: list[Query]) -> list[Query]:
    wanted = {query.id for query in queries if query.id}
    rows = rows_of(opened, wanted) if wanted else {}
    for query in queries:
        if query.id and query.id not in rows:
            raise ConfigError(_unknown(opened, query.id))
    return [replace(query, row=rows[query.id]) if query.id else query for query in queries]


def rows_of(opened: Opened, ids: Iterable[str]) -> dict[str, int]:
    """The pool rows of ids, those that have an embedding; looks no further than the part that holds the last."""
    open_ids, found = set(ids), dict[str, int]()

    def look(part: Part) -> pa.Table:
        table = read_part(opened.campaign.store, part, columns=["row", "id"])
        return table.filter(pc.is_in(table.column("id"), value_set=pa.array(sorted(open_ids), pa.string())))

    for table in side_by_side(look, opened.pieces.parts):
        found |= dict(zip(table.column("id").to_pylist(), table.column("row").to_pylist(), strict=True))
        if len(found) == len(open_ids):
            break
    return found


def _unknown(opened: Opened, name: str) -> str:
    """Why an id has no embedding."""
    if lost := _in_quarantine(opened, "id", name):
        return f"{name}: {lost}"
    first = read_part(opened.campaign.store, opened.pieces.parts[0], columns=["id"])
    known = first.column("id").slice(0, SUGGESTED_FROM).to_pylist()
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.6)
    hint = f"did you mean {' or '.join(near)}?" if near else f"ids look like {known[0]}"
    return f"{name}: no item has that id, and no image file lies there; {hint}"


def _in_quarantine(opened: Opened, column: str, name: str) -> str:
    """What the quarantine says of an id or of a whole shard; "" if it does not know it."""
    table = read_parts(opened.campaign.store, opened.quarantine.parts["quarantine"], schema=schema.QUARANTINE)
    for row in table.filter(pc.equal(table.column(column), name)).to_pylist():
        if column == "id" or row["id"] is None:
            return f"it is in the quarantine ({row['error_code']}: {row['message']}) and has no embedding"
    return ""


def _with_vectors(opened: Opened, queries: list[Query]) -> list[Query]:
    rows = np.unique([query.row for query in queries if query.row is not None]).astype(np.int64)
    items = items_of(opened, rows)
    found = []
    for query in queries:
        if query.row is not None:
            if query.row not in items:
                raise ConfigError(_quarantined(opened, query.row, query.text))
            name, vector = items[query.row]
            query = replace(query, id=name, vector=vector)
        found.append(query)
    return found


def items_of(opened: Opened, rows: NDArray[np.int64]) -> dict[int, tuple[str, NDArray[np.float32]]]:
    """Id and stored embedding of rows, those that have one.

    Cost: the embedding parts that hold them. Memory: `READERS` parts, and 4 * dim bytes a row.
    """

    def pick(held: tuple[Part, NDArray[np.int64]]) -> pa.Table:
        return pick_rows(opened.campaign.store, *held)

    found: dict[int, tuple[str, NDArray[np.float32]]] = {}
    for table in side_by_side(pick, opened.pieces.holding(rows)):
        vectors = embeddings_of(table).astype(np.float32)
        names = table.column("id").to_pylist()
        found |= {
            row: (name, vector)
            for row, name, vector in zip(table.column("row").to_pylist(), names, vectors, strict=True)
        }
    return found


def _quarantined(opened: Opened, row: int, text: str) -> str:
    """Why a row of the pool has no embedding."""
    [(shard, rows)] = opened.plan.by_shard([row])
    campaign = opened.campaign
    if lost := _in_quarantine(opened, "shard", shard.name):
        return f"{text}: {lost}"
    try:
        [item] = fetch_from(opened.plan, shard, rows, campaign.config.pool, campaign.store, Want(image=False))
    except ShardUnreadable as error:
        return f"{text}: has no embedding, and its shard can no longer be read ({error.code}: {error.message})"
    return f"{text} ({item.id}): {_in_quarantine(opened, 'id', item.id) or 'it has no embedding'}"
