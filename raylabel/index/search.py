"""Look embeddings up in an index: nearest rows of the pool, by squared Euclidean distance."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from raylabel.campaign import Campaign
from raylabel.workspace import Record, indexes


def open_index(campaign: Campaign, record: Record) -> Any:
    """Open an index whose bytes are those its record names, memory-mapped; FAISS never sees others.

    Raises:
        StorageError: a file was changed or is gone.
    """
    return indexes.open_index(campaign.store, record.facts)


def search(index: Any, queries: NDArray[np.float32], *, size: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """The nearest items of each query.

    Args:
        index: from `open_index`.
        queries: (Q, dim) float32.
        size: neighbours for each.

    Returns:
        (Q, size) squared distances, ascending, and (Q, size) pool rows; row -1 where there are fewer items.

    Raises:
        ValueError: queries of another dimension, or not finite.
    """
    distances, rows = index.search(checked_queries(index, queries, size=size), size)
    return distances, rows


def checked_queries(index: Any, queries: NDArray[np.floating], *, size: int) -> NDArray[np.float32]:
    """The queries as FAISS takes them, (Q, dim) float32 in C order.

    Raises:
        ValueError: another dimension than the index's, values that are not finite, or no neighbours asked for.
    """
    if queries.ndim != 2 or queries.shape[1] != index.d:
        raise ValueError(f"queries: got shape {queries.shape}, expected (Q, {index.d}): the index's dimension")
    if size < 1:
        raise ValueError(f"size: got {size}, expected at least 1")
    ready = np.ascontiguousarray(queries, dtype=np.float32)
    bad = np.flatnonzero(~np.isfinite(ready).all(axis=1))
    if len(bad):
        raise ValueError(f"queries: {len(bad)} of {len(ready)} hold NaN or infinity, the first at position {bad[0]}")
    return ready
