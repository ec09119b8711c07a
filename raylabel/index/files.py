"""Index files on their way into the workspace: written in a draft folder, hashed, moved to a unique name."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import faiss

from raylabel.workspace import Store
from raylabel.workspace.indexes import checked_files, sha256_of

DRAFT = ".draft-"


def folder_of(backbone: str) -> str:
    """Where a backbone's index files lie."""
    return f"index/{backbone}"


def unique(prefix: str, suffix: str) -> str:
    """A file name that no other writer uses."""
    return f"{prefix}-{uuid.uuid4().hex}{suffix}"


@contextlib.contextmanager
def drafts(store: Store, folder: str) -> Iterator[Path]:
    """A folder for files on their way: beside their place, so that moving them is renaming; gone after the block."""
    beside = Path(store.uri(folder)) if store.is_local else None
    if beside is not None:
        beside.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=DRAFT, dir=beside))
    try:
        yield draft
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def keep(store: Store, path: Path, folder: str) -> tuple[str, str]:
    """Move a draft into the workspace under its own name.

    Returns:
        Its name below the workspace, and its sha256.
    """
    sha256 = sha256_of(path)
    name = f"{folder}/{path.name}"
    store.upload(path, name)
    return name, sha256


def read_whole(store: Store, name: str, sha256: str) -> Any:
    """Read an index into memory, to be added to."""
    [path] = checked_files(store, [(name, sha256)])
    return faiss.read_index(str(path))


def sweep(store: Store, folder: str, prefix: str) -> None:
    """Remove what a build has left over: objects whose name begins so, and drafts of tasks that were killed."""
    for name in store.list(folder):
        if name.startswith(prefix):
            store.remove(f"{folder}/{name}")
    if store.is_local:
        for draft in Path(store.uri(folder)).glob(f"{DRAFT}*/"):
            shutil.rmtree(draft, ignore_errors=True)
