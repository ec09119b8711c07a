"""Look embeddings up in an index: nearest rows of the pool, by squared Euclidean distance."""

from __future__ import annotations

import hashlib
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from raylabel.campaign import Campaign
from raylabel.errors import StorageError
from raylabel.workspace import Record

PROBES = 32


def open_index(campaign: Campaign, record: Record) -> Any:
    """Read an index whose bytes are those its record names; FAISS never sees others.

    Raises:
        StorageError: the file was changed or is gone.
    """
    try:
        data = campaign.store.read(record.facts["index"])
    except FileNotFoundError:
        raise StorageError(
            f"{campaign.store.uri(record.facts['index'])}: a record names this file, but it is gone; "
            "remove the index folder and run again"
        ) from None
    digest = hashlib.sha256(data).hexdigest()
    if digest != record.facts["sha256"]:
        raise StorageError(
            f"{campaign.store.uri(record.facts['index'])}: its sha256 is {digest[:12]}…, its record says "
            f"{record.facts['sha256'][:12]}…; remove the index folder and run again"
        )
    index = faiss.deserialize_index(np.frombuffer(data, dtype=np.uint8))
    if record.facts["factory"].startswith("IVF"):
        faiss.extract_index_ivf(index).nprobe = PROBES
    return index


def search(index: Any, queries: NDArray[np.float32], *, size: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """The nearest items of each query.

    Args:
        index: from `open_index`.
        queries: (Q, dim) float32.
        size: neighbours for each.

    Returns:
        (Q, size) squared distances, ascending, and (Q, size) pool rows; row -1 where there are fewer items.
    """
    distances, rows = index.search(np.ascontiguousarray(queries, dtype=np.float32), size)
    return distances, rows
