"""One folder or s3:// prefix: read, write, list, and create-only writes that exactly one writer wins.

Knows names and bytes; knows nothing of tables, records or campaigns.
"""

from __future__ import annotations

import errno
import functools
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import fsspec
import numpy as np
import tenacity

from raylabel.errors import ConfigError, StorageError

T = TypeVar("T")

CONNECTIONS = 32
"""Requests to one store that a process has under way at a time; the S3 client's own default is 10."""

_BUSY = ("ConditionalRequestConflict", "SlowDown", "reduce your request rate", "Service Unavailable")


def open_filesystem(uri: str) -> tuple[Any, str]:
    """The fsspec filesystem that serves a path or URI, and the path in the form that filesystem takes.

    Listings are never cached: other processes write to the same place.

    Raises:
        ConfigError: nothing here serves that kind of URI.
    """
    protocol = uri.partition("://")[0] if "://" in uri else "file"
    options: dict[str, Any] = {}
    if protocol == "s3":
        options = {"use_listings_cache": False, "config_kwargs": {"max_pool_connections": CONNECTIONS}}
    try:
        filesystem = fsspec.filesystem(protocol, **options)
    except (ImportError, ValueError) as error:
        raise ConfigError(f"{uri}: {error}; give a local path or an s3:// URI") from error
    return filesystem, filesystem._strip_protocol(uri)


@functools.cache
def failures() -> tuple[type[Exception], ...]:
    """Every way in which a store fails: those of a disk, and those of the S3 client that are no OSError.

    Looked up when something has failed: the client's modules take a third of a second to import.
    """
    from http.client import IncompleteRead

    from aiohttp import ClientError
    from botocore.exceptions import BotoCoreError

    return OSError, BotoCoreError, ClientError, IncompleteRead


@dataclass(frozen=True)
class Store:
    """A place for named objects.

    Args:
        root: an absolute local folder or an s3:// prefix. Travels between processes.

    Raises:
        StorageError: from every method, when the store fails; names the object and what failed.
    """

    root: str

    @property
    def is_local(self) -> bool:
        """Whether objects are files on this machine."""
        return "://" not in self.root

    def uri(self, name: str) -> str:
        """The full path or URI of an object."""
        return f"{self.root.rstrip('/')}/{name}" if name else self.root.rstrip("/")

    def read(self, name: str) -> bytes:
        """The bytes of an object.

        Raises:
            FileNotFoundError: there is no such object.
        """
        filesystem, path = open_filesystem(self.uri(name))
        with self._failing("read", name):
            data: bytes = _retried(lambda: filesystem.cat_file(path))
            return data

    def view(self, name: str) -> memoryview:
        """The bytes of a large object, as `read` gives them.

        A local file goes into an array of NumPy's, which the system backs by large pages: a tenth of the time.

        Raises:
            FileNotFoundError: there is no such object.
        """
        if not self.is_local:
            return memoryview(self.read(name))
        with self._failing("read", name):
            return np.fromfile(self.uri(name), dtype=np.uint8).data

    def write(self, name: str, data: bytes | memoryview) -> None:
        """Write an object whole; one that was there is replaced. A reader never sees half of it."""
        with self._failing("write", name):
            if self.is_local:
                target, draft = self._draft(name, data)
                os.replace(draft, target)
            else:
                filesystem, path = open_filesystem(self.uri(name))
                body = bytes(data)  # the S3 client takes no memoryview
                _retried(lambda: filesystem.pipe_file(path, body))

    def add(self, name: str, data: bytes) -> None:
        """Write a new object of an export: unlike a workspace's it is not forced to disk, which takes longer.

        Raises:
            StorageError: the store failed, or, on a local disk, there is such a file.
        """
        with self._failing("write", name):
            if self.is_local:
                target = Path(self.uri(name))
                target.parent.mkdir(parents=True, exist_ok=True)
                with target.open("xb") as file:
                    file.write(data)
            else:
                filesystem, path = open_filesystem(self.uri(name))
                _retried(lambda: filesystem.pipe_file(path, data))

    def download(self, name: str, path: Path) -> None:
        """Copy an object of any size into a file of this machine, which appears under its name bit by bit.

        Raises:
            FileNotFoundError: there is no such object.
        """
        filesystem, source = open_filesystem(self.uri(name))
        with self._failing("read", name):
            _retried(lambda: filesystem.get_file(source, str(path)))

    def upload(self, path: Path, name: str) -> None:
        """Move a file of any size from this machine into the workspace; the file is gone afterwards."""
        with self._failing("write", name):
            if self.is_local:
                target = Path(self.uri(name))
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.move(path, target)
                with target.open("rb") as file:
                    os.fsync(file.fileno())
            else:
                filesystem, target_path = open_filesystem(self.uri(name))
                _retried(lambda: filesystem.put_file(str(path), target_path))
                path.unlink()

    def create(self, name: str, data: bytes) -> bool:
        """Write an object only if there is none of that name.

        Of any number of writers, on any machines, exactly one is told True. `data` must hold something
        unique to the writer: after an ambiguous failure the object is read back and compared with it.

        Returns:
            Whether this call created it.
        """
        with self._failing("create", name):
            if self.is_local:
                target, draft = self._draft(name, data)
                try:
                    os.link(draft, target)
                except FileExistsError:
                    return False
                finally:
                    os.unlink(draft)
                return True
            return self._create_remote(name, data)

    def exists(self, name: str) -> bool:
        """Whether there is an object of that name."""
        filesystem, path = open_filesystem(self.uri(name))
        with self._failing("look at", name):
            try:
                return bool(_retried(lambda: filesystem.info(path))["type"] == "file")
            except FileNotFoundError:
                return False

    def walk(self) -> list[str]:
        """Names of all objects, in whatever folder, sorted; drafts of objects are none."""
        filesystem, path = open_filesystem(self.uri(""))
        with self._failing("list", ""):
            found = _retried(lambda: filesystem.find(path))
        names = (str(name).removeprefix(path).lstrip("/") for name in found)
        return sorted(n for n in names if n and not n.endswith("/") and not n.rpartition("/")[2].startswith(".draft-"))

    def list(self, prefix: str) -> list[str]:
        """Names of the objects directly below a folder, sorted; none where the folder is missing."""
        with self._failing("list", prefix):
            try:
                if self.is_local:
                    # Not fsspec: it asks the disk about each of what may be many thousand small files.
                    with os.scandir(self.uri(prefix)) as entries:
                        return sorted(e.name for e in entries if e.is_file() and not e.name.startswith(".draft-"))
                filesystem, path = open_filesystem(self.uri(prefix))
                found = _retried(lambda: filesystem.ls(path, detail=True))
            except FileNotFoundError:
                return []
        names = (str(entry["name"]).rsplit("/", 1)[-1] for entry in found if entry["type"] == "file")
        # An object store's console marks a folder by an empty object whose name ends with the slash.
        return sorted(name for name in names if name and not name.startswith(".draft-"))

    def remove(self, name: str) -> None:
        """Remove an object; one that is gone already is no error."""
        filesystem, path = open_filesystem(self.uri(name))
        with self._failing("remove", name):
            try:
                _retried(lambda: filesystem.rm_file(path))
            except FileNotFoundError:
                return

    def _create_remote(self, name: str, data: bytes) -> bool:
        filesystem, path = open_filesystem(self.uri(name))
        try:
            _retried(lambda: filesystem.pipe_file(path, data, mode="create"))
        except failures() as error:
            # 412 arrives as FileExistsError or EINVAL; any other failure may hide a write that went through.
            try:
                found = _retried(lambda: filesystem.cat_file(path))
            except FileNotFoundError:
                raise error from None
            return bool(found == data)
        return True

    def _draft(self, name: str, data: bytes | memoryview) -> tuple[Path, Path]:
        target = Path(self.uri(name))
        target.parent.mkdir(parents=True, exist_ok=True)
        draft = target.parent / f".draft-{uuid.uuid4().hex}"
        try:
            with draft.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        except OSError:
            draft.unlink(missing_ok=True)
            raise
        return target, draft

    @contextmanager
    def _failing(self, verb: str, name: str) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError as error:
            if verb == "read":
                raise
            raise self._failure(verb, name, error) from error
        except failures() as error:
            raise self._failure(verb, name, error) from error

    def _failure(self, verb: str, name: str, error: Exception) -> StorageError:
        full = getattr(error, "errno", None) == errno.ENOSPC
        hint = "free some space" if full else "check the path, its rights and the network"
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        return StorageError(
            f"{self.uri(name)}: could not {verb} it ({reason}); {hint}, then run the same command again: "
            "it goes on from the last committed step"
        )


def _is_busy(error: BaseException) -> bool:
    """Whether the store asks to come again: 409 and 503 arrive as EBUSY, or by name in the message."""
    if not isinstance(error, OSError) or isinstance(error, (FileNotFoundError, FileExistsError)):
        return False
    return error.errno == errno.EBUSY or any(mark in str(error) for mark in _BUSY)


def _retried(call: Callable[[], T]) -> T:
    """Run a store call again, at most 5 times in about 8 s, while the store says that it is busy."""
    return tenacity.Retrying(
        retry=tenacity.retry_if_exception(_is_busy),
        wait=tenacity.wait_random_exponential(multiplier=0.2, max=4),
        stop=tenacity.stop_after_attempt(5),
        reraise=True,
    )(call)
