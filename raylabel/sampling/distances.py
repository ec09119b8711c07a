"""Squared Euclidean distances between float32 embeddings, taken difference by difference.

The usual shortcut |a|² + |b|² - 2ab loses what near-duplicates differ by, and its matrix product may
add up in another order with another number of threads. Differences are exact for equal points (0), good to
a few float32 ulp otherwise, and run on one thread in one order. Knows arrays; knows nothing of strategies.
"""

from __future__ import annotations

import faiss
import numpy as np
from numpy.typing import NDArray

from raylabel.sampling.arrays import FloatArray

# A block of rows that stays in a core's second-level cache while many points are held against it.
BLOCK_BYTES = 1 << 20


class Rows:
    """Rows to measure many points against, one after another.

    Args:
        rows: (N, D) float32, C-contiguous.
    """

    def __init__(self, rows: FloatArray) -> None:
        # FAISS reads raw pointers: a strided view would be read as if it were dense.
        assert rows.flags.c_contiguous
        self.rows, self._squared = rows, np.empty(len(rows), dtype=np.float32)
        self._pointers = faiss.swig_ptr(self._squared), faiss.swig_ptr(rows)

    def from_point(self, point: FloatArray) -> FloatArray:
        """Measure a point, (D,) float32, contiguous, as `squared_distances` does.

        Returns:
            (N,) float32 squared Euclidean distances; the next call overwrites them.

        Cost: O(N * D) time.
        """
        assert point.flags.c_contiguous and point.shape == self.rows.shape[1:]
        squared, rows = self._pointers
        faiss.fvec_L2sqr_ny(  # type: ignore[attr-defined]  # the stubs of FAISS 1.15 leave it out
            squared, faiss.swig_ptr(point), rows, self.rows.shape[1], len(self.rows)
        )
        return self._squared


def squared_distances(point: FloatArray, rows: FloatArray) -> FloatArray:
    """Measure one point against every row.

    Args:
        point: (D,) float32, contiguous.
        rows: (N, D) float32, C-contiguous.

    Returns:
        (N,) float32 squared Euclidean distances.

    Cost: O(N * D) time, O(N) memory.
    """
    return Rows(rows).from_point(point)


def nearest_squared_distances(rows: FloatArray, points: FloatArray) -> FloatArray:
    """Measure every row against the point nearest to it.

    Args:
        rows: (N, D) float32, C-contiguous.
        points: (M, D) float32, C-contiguous; M may be 0.

    Returns:
        (N,) float32 squared Euclidean distances, infinite where M is 0.

    Cost: O(N * M * D) time, O(N) memory.
    """
    nearest = np.full(len(rows), np.inf, dtype=np.float32)
    step = max(1, BLOCK_BYTES // (4 * rows.shape[1]))
    for start in range(0, len(rows), step):
        block = rows[start : start + step]
        folded = nearest[start : start + step]
        for point in points:
            np.minimum(folded, squared_distances(point, block), out=folded)
    return nearest


def condensed_distances(rows: FloatArray) -> NDArray[np.float64]:
    """Measure every pair of rows, in the order that `scipy.cluster.hierarchy` reads.

    Args:
        rows: (N, D) float32, C-contiguous.

    Returns:
        (N * (N - 1) / 2,) float64 Euclidean distances, not squared: pairs (0, 1), (0, 2), ... (N - 2, N - 1).

    Cost: O(N² * D) time, 4 * N² bytes of memory.
    """
    num_rows = len(rows)
    condensed = np.empty(num_rows * (num_rows - 1) // 2, dtype=np.float64)
    start = 0
    for position in range(num_rows - 1):
        stop = start + num_rows - 1 - position
        condensed[start:stop] = squared_distances(rows[position], rows[position + 1 :])
        start = stop
    return np.sqrt(condensed, out=condensed)
