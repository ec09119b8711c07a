"""What lies under a path: Parquet files or images, in one order, the same on disk and in an object store.

Knows names, sizes and etags; opens no file.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from raylabel.config import Pool
from raylabel.errors import PoolError
from raylabel.workspace.store import open_filesystem

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
    except (OSError, ImportError, ValueError) as error:
        raise PoolError(f"{pool.path}: the pool cannot be reached ({error}); check pool.path and its rights") from error
    if info["type"] == "file":
        return _single(pool, root, info)
    kind = pool.format if pool.format != "auto" else _look(pool, filesystem, root)
    suffixes = PARQUET_SUFFIXES if kind == "parquet" else IMAGE_SUFFIXES
    return kind, _walk(filesystem, root, "", suffixes)


def root_of(pool: Pool, kind: str) -> str:
    """The folder that relative paths of the pool start from."""
    if kind == "parquet" and pool.path.endswith(PARQUET_SUFFIXES):
        return pool.path.rsplit("/", 1)[0]
    return pool.path.rstrip("/")


def _single(pool: Pool, path: str, info: dict[str, Any]) -> tuple[Literal["parquet"], Iterator[Found]]:
    if not path.endswith(PARQUET_SUFFIXES):
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
    folder = f"{root}/{below}".rstrip("/")
    entries = []
    for entry in filesystem.ls(folder, detail=True):
        name = str(entry["name"]).rstrip("/").rsplit("/", 1)[-1]
        if name and not name.startswith((".", "_")) and str(entry["name"]).rstrip("/") != folder:
            entries.append((f"{name}/" if entry["type"] == "directory" else name, entry))
    for name, entry in sorted(entries, key=lambda pair: pair[0].encode()):
        if name.endswith("/"):
            yield from _walk(filesystem, root, below + name, suffixes)
        elif name.lower().endswith(suffixes):
            yield Found(below + name, int(entry["size"]), etag_of(entry))
