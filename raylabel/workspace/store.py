"""One folder or s3:// prefix: read, write, list, and create-only writes that exactly one writer wins.

Knows names and bytes; knows nothing of tables, records or campaigns.
"""

from __future__ import annotations

import errno
import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import fsspec
import tenacity

from raylabel.errors import StorageError

T = TypeVar("T")

_RETRYABLE = ("ConditionalRequestConflict", "SlowDown", "409", "reduce your request rate", "Service Unavailable")


def open_filesystem(uri: str) -> tuple[Any, str]:
    """The fsspec filesystem that serves a path or URI, and the path in the form that filesystem takes.

    Listings are never cached: other processes write to the same place.
    """
    options: dict[str, Any] = {"use_listings_cache": False} if uri.startswith("s3://") else {}
    filesystem, path = fsspec.core.url_to_fs(uri, **options)
    return filesystem, path


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

    def write(self, name: str, data: bytes) -> None:
        """Write an object whole; one that was there is replaced. A reader never sees half of it."""
        with self._failing("write", name):
            if self.is_local:
                target, draft = self._draft(name, data)
                os.replace(draft, target)
            else:
                filesystem, path = open_filesystem(self.uri(name))
                _retried(lambda: filesystem.pipe_file(path, data))

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
        with self._failing("look up", name):
            return bool(_retried(lambda: filesystem.isfile(path)))

    def list(self, prefix: str) -> list[str]:
        """Names of the objects directly below a folder, sorted; none where the folder is missing."""
        filesystem, path = open_filesystem(self.uri(prefix))
        with self._failing("list", prefix):
            try:
                found = _retried(lambda: filesystem.ls(path, detail=True))
            except FileNotFoundError:
                return []
        names = (str(entry["name"]).rsplit("/", 1)[-1] for entry in found if entry["type"] == "file")
        return sorted(name for name in names if not name.startswith(".draft-"))

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
        except OSError as error:
            # 412 arrives as FileExistsError or EINVAL; any other failure may hide a write that went through.
            try:
                found = filesystem.cat_file(path)
            except FileNotFoundError:
                raise error from None
            return bool(found == data)
        return True

    def _draft(self, name: str, data: bytes) -> tuple[Path, Path]:
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
        except FileNotFoundError:
            raise
        except OSError as error:
            hint = "free some space" if error.errno == errno.ENOSPC else "check the path, its rights and the network"
            reason = error.strerror or str(error) or type(error).__name__
            raise StorageError(
                f"{self.uri(name)}: could not {verb} it ({reason}); {hint}, then run the same command again: "
                "it goes on from the last committed step"
            ) from error


def _retried(call: Callable[[], T]) -> T:
    """Run a store call again, at most 5 times in about 8 s, while the store says that it is busy."""
    return tenacity.Retrying(
        retry=tenacity.retry_if_exception(lambda e: isinstance(e, OSError) and any(m in str(e) for m in _RETRYABLE)),
        wait=tenacity.wait_random_exponential(multiplier=0.2, max=4),
        stop=tenacity.stop_after_attempt(5),
        reraise=True,
    )(call)
