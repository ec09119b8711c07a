"""What lies under a path: images, Parquet files, tars or a list, in one order, the same on disk and in a store.

Knows names, sizes and etags; opens no file.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from raylabel.config import Pool
from raylabel.errors import PoolError, StorageError
from raylabel.pool.shards import Kind, Shard
from raylabel.workspace import Part
from raylabel.workspace.store import failures, open_filesystem

T = TypeVar("T")

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif")
PARQUET_SUFFIXES = (".parquet", ".pq")
COMPRESSED_SUFFIXES = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")

_NAMES: dict[Kind, str] = {"parquet": "Parquet files", "webdataset": "tars", "folder": "images"}
"""What "auto" tells apart in a folder."""
_ANY = (*PARQUET_SUFFIXES, ".tar", *IMAGE_SUFFIXES)
_IN_FOLDERS: dict[Kind, tuple[str, ...]] = {
    "parquet": PARQUET_SUFFIXES,
    "webdataset": (".tar", *COMPRESSED_SUFFIXES),
    "folder": IMAGE_SUFFIXES,
    "list": PARQUET_SUFFIXES,
}
_ALONE: dict[Kind, tuple[str, ...]] = {
    "parquet": PARQUET_SUFFIXES,
    "webdataset": (".tar",),
    "list": (".csv", ".jsonl", *PARQUET_SUFFIXES),
}
"""What one file may be; the first kind that fits is what "auto" takes."""
_FILES = (*PARQUET_SUFFIXES, ".tar", ".csv", ".jsonl")


@dataclass(frozen=True)
class Found:
    """A file: its path relative to the pool's root, its size in bytes, and a tag that changes with its content."""

    path: str
    size: int
    etag: str


def cut(found: Found, rows: Iterator[T], size: int, *, write: Callable[[list[T]], Part]) -> Iterator[Shard]:
    """Cut what lies in one file into shards of consecutive rows; index and first row count from the file's start.

    Args:
        found: the file.
        rows: what it holds, in order.
        size: rows of a shard, at most.
        write: lays down where the rows of a shard lie.

    Memory: one shard's rows.
    """
    first = index = 0
    while chunk := list(itertools.islice(rows, size)):
        yield Shard(
            index=index,
            path=found.path,
            first_row=first,
            rows=len(chunk),
            etag=found.etag,
            first_file_row=first,
            listing=write(chunk),
        )
        first += len(chunk)
        index += 1


def etag_of(info: dict[str, Any]) -> str:
    """The store's own tag of a file's content; on a local disk its time of change and size."""
    tag = info.get("ETag") or info.get("etag")
    return str(tag).strip('"') if tag else f"{info.get('mtime', 0)}-{info['size']}"


def list_pool(pool: Pool) -> tuple[Kind, Iterator[Found]]:
    """Say what the pool is made of, and list its files in the order of their paths' bytes.

    Raises:
        PoolError: nothing is there, nothing usable is there, or several kinds are and the config does not choose.

    Cost: one pass over the names, another before it where the format is "auto"; on a local disk one directory is in
    memory at a time, of an object store one page.
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
        return _single(pool), iter([Found(root.rsplit("/", 1)[-1], int(info["size"]), etag_of(info))])
    kind = pool.format if pool.format != "auto" else _look(pool, filesystem, root)
    suffixes = _IN_FOLDERS[kind]
    files = _files(filesystem, root, suffixes)
    first = next(files, None)
    if first is None:
        raise PoolError(
            f"{pool.path}: holds no file ending in {', '.join(suffixes)}, and pool.format asks for {kind!r}; "
            "correct one of the two"
        )
    return kind, itertools.chain([first], files)


def root_of(pool: Pool) -> str:
    """The folder that relative paths of the pool start from."""
    if pool.path.lower().endswith(_FILES):
        filesystem, path = open_filesystem(pool.path)
        if filesystem.info(path)["type"] == "file":
            return pool.path.rsplit("/", 1)[0]
    return pool.path.rstrip("/")


def _single(pool: Pool) -> Kind:
    """What a pool of one file is."""
    name = pool.path.lower()
    if name.endswith(COMPRESSED_SUFFIXES):
        raise PoolError(f"{pool.path}: members of a compressed tar cannot be read singly; unpack it to .tar")
    kinds = [kind for kind, suffixes in _ALONE.items() if name.endswith(suffixes)]
    if not kinds:
        raise PoolError(
            f"{pool.path}: expected a folder, a Parquet file, a .tar, or a list of URIs (.csv, .jsonl); "
            "point pool.path at one"
        )
    if pool.format == "auto":
        return kinds[0]
    if pool.format not in kinds:
        raise PoolError(f"{pool.path}: is no {pool.format!r}, which pool.format asks for; correct one of the two")
    return pool.format


def _look(pool: Pool, filesystem: Any, root: str) -> Kind:
    """The one kind of files below a folder."""
    seen: dict[Kind, str] = {}
    compressed = ""
    for found in _files(filesystem, root, (*_ANY, *COMPRESSED_SUFFIXES)):
        name = found.path.lower()
        if name.endswith(COMPRESSED_SUFFIXES):
            compressed = compressed or found.path
            continue
        seen.setdefault(next(kind for kind in _NAMES if name.endswith(_IN_FOLDERS[kind])), found.path)
        if len(seen) > 1:
            there = " and ".join(f"{_NAMES[kind]} ({path})" for kind, path in sorted(seen.items(), reverse=True))
            choices = " or ".join(f'"{kind}"' for kind in sorted(seen, reverse=True))
            raise PoolError(f"{pool.path}: holds {there}; set pool.format to {choices}")
    if seen:
        return next(iter(seen))
    if compressed:
        raise PoolError(
            f"{pool.path}: members of a compressed tar ({compressed}) cannot be read singly; unpack it to .tar"
        )
    raise PoolError(
        f"{pool.path}: holds no Parquet file, no .tar and no image ({', '.join(IMAGE_SUFFIXES)}); "
        "point pool.path elsewhere"
    )


def _files(filesystem: Any, root: str, suffixes: tuple[str, ...]) -> Iterator[Found]:
    """Files below a folder, hidden ones apart, in the order of their paths' bytes."""
    if "s3" in filesystem.protocol:
        return _pages(filesystem, root, suffixes)
    return _walk(filesystem, root, "", suffixes)


def _pages(filesystem: Any, root: str, suffixes: tuple[str, ...]) -> Iterator[Found]:
    """Keys below a prefix as the store lists them, page by page: it sorts them by their bytes itself."""
    bucket, folder, _ = filesystem.split_path(root)
    prefix, last = f"{folder}/" if folder else "", b""
    token: dict[str, str] = {}
    while True:
        try:
            page = filesystem.call_s3("list_objects_v2", Bucket=bucket, Prefix=prefix, **token, **filesystem.req_kw)
        except failures() as error:
            raise StorageError(f"{root}: could not be listed ({error}); run the same command again") from error
        for entry in page.get("Contents", []):
            path = str(entry["Key"]).removeprefix(prefix)
            if path.encode() < last:
                raise PoolError(f"{root}: the store lists {path!r} out of order; copy the pool to one that sorts keys")
            last = path.encode()
            if path.lower().endswith(suffixes) and not any(map(_is_hidden, path.split("/"))):
                yield Found(path, int(entry["Size"]), etag_of(entry | {"size": entry["Size"]}))
        if not page.get("IsTruncated"):
            return
        token = {"ContinuationToken": page["NextContinuationToken"]}


def _is_hidden(name: str) -> bool:
    # Spark's _SUCCESS and _temporary/ are no data, but cameras name pictures _DSC0001.JPG.
    return name.startswith(".") or (name.startswith("_") and not name.lower().endswith(IMAGE_SUFFIXES))


def _walk(filesystem: Any, root: str, below: str, suffixes: tuple[str, ...]) -> Iterator[Found]:
    """Files below a folder of a local disk, one directory in memory at a time.

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
            if name and not _is_hidden(name) and str(found["name"]).rstrip("/") != folder:
                entry = _behind_link(filesystem, folder, found) if found.get("islink") else found
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
