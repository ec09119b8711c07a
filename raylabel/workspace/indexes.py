"""Index files: an index that a record names is checked, brought to this node, and mapped into memory.

An index is one file, or two: what is searched first, and `.ivfdata`, the vectors of all cells, which stay on disk.
Knows files, sha256 and FAISS's reader; knows nothing of how an index is built or what it is asked.
"""

from __future__ import annotations

import functools
import hashlib
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from raylabel.errors import StorageError
from raylabel.workspace.store import Store

_BLOCK = 1 << 20


def open_index(store: Store, facts: Mapping[str, Any], *, backbone: str | None = None) -> Any:
    """Open an index whose bytes are those its record names; FAISS never sees others. Nothing of it is copied.

    Args:
        store: the workspace.
        facts: of the record: index and sha256, data and data_sha256 (None where it is one file), factory, num_rows,
            dim, nprobe, backbone.
        backbone: the digest that the index has to be of; None to take it as it is.

    Returns:
        The FAISS index, memory-mapped and read-only, at its record's default probes.

    Raises:
        StorageError: a file was changed or is gone, or the index is of another backbone, dimension or size.

    Cost: one read of the files to check them, once per process; in s3://, one download per node, into the folder
    for temporary files. Memory: the coarse quantizer, and pages that the system may take back.
    """
    import faiss  # as models' libraries: not for every process that reads a workspace

    if backbone is not None and facts["backbone"] != backbone:
        raise StorageError(
            f"{store.uri(facts['index'])}: an index of backbone {facts['backbone'][:12]}, asked for one of "
            f"{backbone[:12]}; build one for this backbone first"
        )
    files = [(facts["index"], facts["sha256"])]
    if facts["data"] is not None:
        files.append((facts["data"], facts["data_sha256"]))
    path, *data = checked_files(store, files)
    mapping = faiss.IO_FLAG_SKIP_IVF_DATA if data else faiss.IO_FLAG_MMAP_IFC
    index = faiss.read_index(str(path), faiss.IO_FLAG_READ_ONLY | mapping)
    if data:
        # FAISS looks for the lists where they lay when they were written; told here, it prints nothing about it.
        lists: Any = faiss.downcast_InvertedLists(_inverted_file(index).invlists)
        lists.filename = str(data[0])
        lists.do_mmap()
    if (index.d, index.ntotal) != (facts["dim"], facts["num_rows"]):
        raise StorageError(
            f"{store.uri(facts['index'])}: holds {index.ntotal:,} vectors of dimension {index.d}, its record says "
            f"{facts['num_rows']:,} of {facts['dim']}; remove {store.uri('index')} and run again"
        )
    if facts["nprobe"]:
        _inverted_file(index).nprobe = facts["nprobe"]
    return index


def _inverted_file(index: Any) -> Any:
    import faiss

    return faiss.extract_index_ivf(index)


def checked_files(store: Store, files: Sequence[tuple[str, str]], *, cache: Path | None = None) -> list[Path]:
    """Paths on this node of files that belong together, each with the bytes that its record names.

    Args:
        store: the workspace.
        files: name below the workspace and sha256 of each.
        cache: where those of an object store are kept; a folder of this user's for temporary files by default.

    Raises:
        StorageError: a file was changed or is gone.

    Cost: a file is hashed once per process, as long as its size and time of change stay what they were.
    """
    if store.is_local:
        paths = [Path(store.uri(name)) for name, _ in files]
    else:
        paths = _fetched(store, files, cache or _cache())
    _check(
        files,
        paths,
        places=[str(path) for path in paths],
        folder=store.uri("index") if store.is_local else str(paths[0].parent),
    )
    return paths


def sha256_of(path: Path) -> str:
    """The sha256 of a file of any size, in hexadecimal; read block by block."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


@functools.lru_cache(maxsize=64)
def _sha256(path: Path, size: int, mtime_ns: int) -> str:
    """The sha256 of a file as long as it was not written to: size and time of change are part of the key."""
    return sha256_of(path)


def _cache() -> Path:
    return Path(tempfile.gettempdir()) / f"raylabel-{os.getuid()}" / "indexes"


def _fetched(store: Store, files: Sequence[tuple[str, str]], cache: Path) -> list[Path]:
    """Download files that belong together into a folder that goes by their content; whoever is first wins."""
    folder = cache / hashlib.sha256("".join(sha256 for _, sha256 in files).encode()).hexdigest()
    if not folder.is_dir():
        cache.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=cache))
        try:
            paths = [draft / Path(name).name for name, _ in files]
            for path, (name, _) in zip(paths, files, strict=True):
                try:
                    store.download(name, path)
                except FileNotFoundError:
                    raise _gone(store.uri(name), store.uri("index")) from None
            _check(files, paths, places=[store.uri(name) for name, _ in files], folder=store.uri("index"))
            try:
                draft.rename(folder)
            except OSError:
                if not folder.is_dir():  # there, another process of this node was faster, and its files are the same
                    raise
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    return [folder / Path(name).name for name, _ in files]


def _check(files: Sequence[tuple[str, str]], paths: Sequence[Path], *, places: Sequence[str], folder: str) -> None:
    """Raise unless each file has the bytes it should have; a message names its place, and the folder to remove."""
    for (_, sha256), path, place in zip(files, paths, places, strict=True):
        try:
            found = path.stat()
            digest = _sha256(path, found.st_size, found.st_mtime_ns)
        except FileNotFoundError:
            raise _gone(place, folder) from None
        if digest != sha256:
            raise StorageError(
                f"{place}: its sha256 is {digest[:12]}…, its record says {sha256[:12]}…; remove {folder} and run again"
            )


def _gone(place: str, folder: str) -> StorageError:
    return StorageError(f"{place}: a record names this file, but it is gone; remove {folder} and run again")
