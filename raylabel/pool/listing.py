"""What lies under a path: Parquet files or images, in one order, the same on disk and in an object store.

Knows names, sizes and etags; opens no file.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from raylabel.config import Pool
from raylabel.errors import PoolError, StorageError
from raylabel.workspace.store import failures, open_filesystem

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif")
PARQUET_SUFFIXES = (".parquet", ".pq")


@dataclass(frozen=True)
class Found:
    """A file: its path relative to the pool's root, its size in bytes, and a tag that changes with its content."""

    path: str
    size: int
    etag: str


def etag_of(info: dict[str, Any]) -> str:
    """The store's own tag of a file's content; on a local disk its time of change and size."""
    tag = info.get("ETag") or info.get("etag")
    return str(tag).strip('"') if tag else f"{info.get('mtime', 0)}-{info['size']}"


def list_pool(pool: Pool) -> tuple[Literal["parquet", "folder"], Iterator[Found]]:
    """Say what the pool is made of, and list its files in the order of their paths' bytes.

    Raises:
        PoolError: nothing is there, nothing usable is there, or both kinds are and the config does not choose.
    """
    try:
        filesystem, root = open_filesystem(pool.path)
        info = filesystem.info(root)
    except FileNotFoundError:
        raise PoolError(f"{pool.path}: there is no such pool; check pool.path") from None
    except failures() as error:
        raise PoolError(f"{pool.path}: the pool cannot be reached ({error}); check pool.path and its rights") from error
    except ValueError as error:
        raise PoolError(f"{pool.path}: names no place ({error}); check pool.path") from error
    if info["type"] == "file":
        return _single(pool, root, info)
    kind = pool.format if pool.format != "auto" else _look(pool, filesystem, root)
    suffixes = PARQUET_SUFFIXES if kind == "parquet" else IMAGE_SUFFIXES
    files = _walk(filesystem, root, "", suffixes)
    first = next(files, None)
    if first is None:
        raise PoolError(
            f"{pool.path}: holds no file ending in {', '.join(suffixes)}, and pool.format asks for {kind!r}; "
            "correct one of the two"
        )
    return kind, itertools.chain([first], files)


def root_of(pool: Pool, kind: str) -> str:
    """The folder that relative paths of the pool start from."""
    if kind == "parquet" and pool.path.lower().endswith(PARQUET_SUFFIXES):
        filesystem, path = open_filesystem(pool.path)
        if filesystem.info(path)["type"] == "file":
            return pool.path.rsplit("/", 1)[0]
    return pool.path.rstrip("/")


def _single(pool: Pool, path: str, info: dict[str, Any]) -> tuple[Literal["parquet"], Iterator[Found]]:
    if not path.lower().endswith(PARQUET_SUFFIXES):
        raise PoolError(f"{pool.path}: expected a folder or a Parquet file; point pool.path at one")
    return "parquet", iter([Found(path.rsplit("/", 1)[-1], int(info["size"]), etag_of(info))])


def _look(pool: Pool, filesystem: Any, root: str) -> Literal["parquet", "folder"]:
    parquet = next(_walk(filesystem, root, "", PARQUET_SUFFIXES), None)
    image = next(_walk(filesystem, root, "", IMAGE_SUFFIXES), None)
    if parquet and image:
        raise PoolError(
            f"{pool.path}: holds Parquet files ({parquet.path}) and images ({image.path}); "
            'set pool.format to "parquet" or "folder"'
        )
    if parquet:
        return "parquet"
    if image:
        return "folder"
    raise PoolError(
        f"{pool.path}: holds no Parquet file and no image ({', '.join(IMAGE_SUFFIXES)}); point pool.path elsewhere"
    )


def _walk(filesystem: Any, root: str, below: str, suffixes: tuple[str, ...]) -> Iterator[Found]:
    """Files below a folder, hidden ones apart, one directory in memory at a time.

    A directory sorts as its name with a slash: the order is that of the whole paths, as an object store lists them.
    """
    for name, entry in _entries(filesystem, f"{root}/{below}".rstrip("/")):
        if name.endswith("/"):
            yield from _walk(filesystem, root, below + name, suffixes)
        elif name.lower().endswith(suffixes):
            yield Found(below + name, int(entry["size"]), etag_of(entry))


def _entries(filesystem: Any, folder: str) -> list[tuple[str, dict[str, Any]]]:
    """What lies directly in a folder, in order; the names of directories end with a slash."""
    entries: list[tuple[str, dict[str, Any]]] = []
    try:
        for found in filesystem.ls(folder, detail=True):
            name = str(found["name"]).rstrip("/").rsplit("/", 1)[-1]
            if name and not name.startswith(".") and str(found["name"]).rstrip("/") != folder:
                entry = _behind_link(filesystem, folder, found) if found.get("islink") else found
                # Spark's _SUCCESS and _temporary/ are no data, but cameras name pictures _DSC0001.JPG.
                if name.startswith("_") and not name.lower().endswith(IMAGE_SUFFIXES):
                    continue
                entries.append((f"{name}/" if entry["type"] == "directory" else name, entry))
    except failures() as error:
        raise StorageError(f"{folder}: could not be listed ({error}); run the same command again") from error
    try:
        return sorted(entries, key=lambda pair: pair[0].encode())
    except UnicodeEncodeError as error:
        raise PoolError(
            f"{folder}: the name {error.object!r} is not UTF-8; rename it, names become the ids of items"
        ) from None


def _behind_link(filesystem: Any, folder: str, link: dict[str, Any]) -> dict[str, Any]:
    """What a link on a local disk leads to; the link itself where that is gone."""
    try:
        found: dict[str, Any] = filesystem.info(link["name"])
    except OSError:
        return link
    inside = os.path.join(os.path.realpath(folder), "")
    if found["type"] == "directory" and inside.startswith(os.path.join(os.path.realpath(link["name"]), "")):
        raise PoolError(f"{link['name']}: this link leads to a folder that it lies in; remove it")
    return found
