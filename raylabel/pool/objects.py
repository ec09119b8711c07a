"""Objects of a store, many at a time: fetched concurrently, bounded in number and bytes, each with its own outcome.

Knows URIs and bytes; knows nothing of items.
"""

from __future__ import annotations

import errno
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from raylabel.errors import StorageError
from raylabel.pool.listing import etag_of
from raylabel.pool.shards import ShardUnreadable
from raylabel.workspace import open_filesystem
from raylabel.workspace.store import CONNECTIONS, failures

CHUNK_BYTES = 64 * 1024 * 1024
"""So much is fetched at once, or one object if it is larger."""
ASSUMED_BYTES = 1024 * 1024
"""What an object counts for whose size nobody has looked up."""
GAP_BYTES = 64 * 1024
"""Ranges of one file that lie so near each other are read in one piece."""
SPAN_BYTES = 8 * 1024 * 1024
"""A piece is not longer, so that several come side by side, unless one range is."""

Range = tuple[int, int]
"""First byte and number of bytes."""

_NO_NAME = (IsADirectoryError, NotADirectoryError, ValueError)
_NO_NAME_ERRNO = (errno.ENAMETOOLONG, errno.ELOOP)


def chunks(sizes: Sequence[int | None], *, max_count: int) -> Iterator[slice]:
    """Cut a row of objects into chunks of at most `max_count` objects and `CHUNK_BYTES`, but at least one object.

    Args:
        sizes: bytes of each object; None where they are not known.
        max_count: at least 1.
    """
    start = total = 0
    for position, size in enumerate(sizes):
        counted = ASSUMED_BYTES if size is None else size
        if position > start and (position - start == max_count or total + counted > CHUNK_BYTES):
            yield slice(start, position)
            start = position
            total = 0
        total += counted
    if start < len(sizes):
        yield slice(start, len(sizes))


def get_objects(uris: Sequence[str]) -> list[bytes | Exception]:
    """The bytes of whole objects, or what kept each from being read; on all kinds of stores, mixed."""
    found: list[bytes | Exception] = [b""] * len(uris)
    by_filesystem: dict[Any, list[tuple[int, str]]] = {}
    for position, uri in enumerate(uris):
        filesystem, path = open_filesystem(uri)
        by_filesystem.setdefault(filesystem, []).append((position, path))
    for filesystem, wanted in by_filesystem.items():
        # One request an object: for concurrent pieces of each, the S3 client would ask for its size first.
        options = {"max_concurrency": 1} if "s3" in filesystem.protocol else {}
        paths = [path for _, path in wanted]
        for (position, _), data in zip(wanted, _cat_ranges(filesystem, paths, None, None, options), strict=True):
            found[position] = data
    return found


def get_ranges(uri: str, places: Sequence[Range], *, etag: str) -> dict[Range, bytes]:
    """The bytes of ranges of one file, which is the planned one still after they have been read.

    Raises:
        ShardUnreadable: the file is gone, or has another etag.
        StorageError: the store failed.

    Cost: ranges less than `GAP_BYTES` apart are read in one piece, together with what lies between them.
    """
    spans = _spans(places)
    starts, ends = [start for start, _ in spans], [end for _, end in spans]
    filesystem, path = open_filesystem(uri)
    read = _cat_ranges(filesystem, [path] * len(spans), starts, ends, {}) if spans else []
    if places:
        check_unchanged(uri, etag=etag)
    for (start, end), data in zip(spans, read, strict=True):
        if isinstance(data, Exception) or len(data) != end - start:
            got = data if isinstance(data, Exception) else f"{len(data)} bytes"
            raise StorageError(f"{uri}: bytes {start} to {end} could not be read ({got}); run the same command again")
    found: dict[Range, bytes] = {}
    for offset, size in places:
        piece = bisect_right(starts, offset) - 1
        begin = offset - starts[piece] if size else 0
        found[offset, size] = read[piece][begin : begin + size] if size else b""
    return found


def _spans(places: Iterable[Range]) -> list[tuple[int, int]]:
    """Pieces (first byte, one past last) that hold all ranges, in order; none is empty."""
    spans: list[tuple[int, int]] = []
    for offset, size in sorted(place for place in places if place[1]):
        end = offset + size
        if spans and offset - spans[-1][1] <= GAP_BYTES and end - spans[-1][0] <= SPAN_BYTES:
            spans[-1] = (spans[-1][0], max(end, spans[-1][1]))
        else:
            spans.append((offset, end))
    return spans


def _cat_ranges(filesystem: Any, paths: list[str], starts: Any, ends: Any, options: dict[str, Any]) -> list[Any]:
    # `cat` would take a name such as a[1].jpg for a pattern; ranges are taken of the paths as they are named.
    if filesystem.async_impl:
        options = {**options, "batch_size": CONNECTIONS}
    found: list[Any] = filesystem.cat_ranges(paths, starts, ends, on_error="return", **options)
    return found


def problem_of(uri: str, error: Exception) -> tuple[str, str]:
    """The code and message with which one object among many goes into the quarantine.

    Raises:
        StorageError: the store failed, which says nothing of the object.
        Exception: the error itself, if it is none of a store's.
    """
    from botocore.exceptions import ParamValidationError  # third of a second, as in failures()

    status = getattr(error, "status", None)  # of HTTP
    if isinstance(error, FileNotFoundError) or status == 410:
        return "missing", "there is no such file"
    if isinstance(error, (*_NO_NAME, ParamValidationError)) or getattr(error, "errno", None) in _NO_NAME_ERRNO:
        return "missing", f"this is no name of a file ({error})"
    if isinstance(error, PermissionError) or status in (401, 403, 451):
        return "forbidden", f"its rights do not allow reading it ({error})"
    if not isinstance(error, failures()):
        raise error
    hint = "; take it out of the list if that does not help" if uri.startswith("http") else ""
    raise StorageError(f"{uri}: could not be read ({error}); run the same command again{hint}") from error


@contextmanager
def reaching(uri: str) -> Iterator[None]:
    """Tell a file that a whole shard lies in and that cannot be had from a store that fails.

    Raises:
        ShardUnreadable: it is gone or forbidden.
        StorageError: the store failed.
    """
    try:
        yield
    except FileNotFoundError:
        raise ShardUnreadable("missing", "the file is gone") from None
    except PermissionError as error:
        raise ShardUnreadable("forbidden", f"its rights do not allow reading it ({error})") from None
    except failures() as error:
        raise StorageError(f"{uri}: could not be opened ({error}); run the same command again") from error


def check_unchanged(uri: str, *, etag: str) -> int:
    """See that a file is still the one that was planned.

    Returns:
        Its size in bytes.

    Raises:
        ShardUnreadable: it is gone, or has another etag.
        StorageError: the store failed.
    """
    filesystem, path = open_filesystem(uri)
    with reaching(uri):
        info = filesystem.info(path)
    if etag_of(info) != etag:
        raise ShardUnreadable("input_changed", f"it was planned with etag {etag} and has {etag_of(info)} now")
    return int(info["size"])


@contextmanager
def open_planned(uri: str, *, etag: str, **options: Any) -> Iterator[Any]:
    """Open a file that must still be the one that was planned, for reading bytes.

    Args:
        options: how an object store's file reads ahead (`block_size`, `cache_type`).

    Raises:
        ShardUnreadable: it is gone, or has another etag.
        StorageError: the store failed while it was opened.
    """
    check_unchanged(uri, etag=etag)
    filesystem, path = open_filesystem(uri)
    with reaching(uri):
        handle = filesystem.open(path, "rb", **options)
    with handle:
        yield handle
