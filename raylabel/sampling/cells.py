"""The cells of an inverted-file index, and a draw from them that is as spread out as they are.

Knows FAISS indexes whose ids are rows of the pool, read into memory or mapped from a file; knows nothing of where they
lie. Every cell is sorted by row when it is read, so that nothing depends on the order in which it was filled.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import faiss
import numpy as np

from raylabel.sampling.arrays import FloatArray, IndexArray
from raylabel.sampling.checks import INT64, check_array
from raylabel.sampling.narrow import random_priority


@dataclass(frozen=True, eq=False)
class Cells:
    """An index with inverted lists, cell by cell. Make one with `cells_of`.

    Args:
        index: the faiss.IndexIVF; its lists may be mapped from a file.
        owner: the index that it is a part of, or itself: FAISS frees what nobody holds.
    """

    index: Any
    owner: Any

    def __len__(self) -> int:
        """How many cells there are, empty ones included."""
        return int(self.index.nlist)

    def sizes(self) -> IndexArray:
        """(cells,) int64 rows in each."""
        lists = self.index.invlists
        return np.array([lists.list_size(cell) for cell in range(len(self))], dtype=np.int64)

    def rows(self, cell: int) -> IndexArray:
        """(n,) int64 rows of the pool in a cell, ascending; a copy."""
        return np.sort(self._ids(cell))

    def vectors(self, cell: int) -> tuple[IndexArray, FloatArray]:
        """Read the rows of a cell and their embeddings, as far as the index keeps them.

        Returns:
            (n,) int64 rows of the pool, ascending, and (n, D) float32 decoded embeddings. D and the axes are those that
            the index quantizes: behind a rotation they are rotated, which changes no distance.

        Cost: O(n * D) time and memory.
        """
        ids = self._ids(cell)
        decoded = np.empty((len(ids), self.index.d), dtype=np.float32)
        if len(ids):
            lists = self.index.invlists
            codes = lists.get_codes(cell)
            which = np.full(len(ids), cell, dtype=np.int64)
            self.index.decode_vectors(len(ids), codes, faiss.swig_ptr(which), faiss.swig_ptr(decoded))
            lists.release_codes(cell, codes)
        order = np.argsort(ids)
        return ids[order], decoded[order]

    def _ids(self, cell: int) -> IndexArray:
        lists, count = self.index.invlists, self.index.invlists.list_size(cell)
        if not count:
            return np.empty(0, dtype=np.int64)
        pointer = lists.get_ids(cell)
        ids: IndexArray = faiss.rev_swig_ptr(pointer, count).copy()
        lists.release_ids(cell, pointer)
        return ids


def cells_of(index: Any) -> Cells | None:
    """Find the cells of an index; None where it has none, as a flat one.

    Args:
        index: a faiss.Index whose ids are rows of the pool.

    Raises:
        ValueError: its lists hold positions and a map beside them the rows.
    """
    found = faiss.try_extract_index_ivf(index)
    if found is None:
        return None
    if isinstance(faiss.downcast_index(index), faiss.IndexIDMap | faiss.IndexIDMap2):
        raise ValueError("index: its ids lie in a map beside the cells, expected inverted lists that hold pool rows")
    return Cells(found, owner=index)


def quotas(sizes: IndexArray, limit: int) -> IndexArray:
    """Share out `limit` places among cells in proportion to their sizes, one at least to each that is not empty.

    What is left after the first place of each goes by largest remainder of its share, ties to the lower cell. With more
    cells than places, each cell's first place is not for granted, and all places go by largest remainder.

    Args:
        sizes: (cells,) int64, at least 0.
        limit: places, at least 0.

    Returns:
        (cells,) int64, none above its size; their sum is the lesser of `limit` and the sum of sizes.

    Raises:
        ValueError: a size or `limit` is negative.

    Cost: O(cells log cells) time.
    Source: the method of Hamilton, in whole numbers.
    """
    check_array("sizes", sizes, shape=("cells",), dtypes=INT64)
    for name, lowest in (("limit", limit), ("sizes", int(sizes.min(initial=0)))):
        if lowest < 0:
            raise ValueError(f"{name}: got {lowest}, expected at least 0")
    if int(sizes.sum()) <= limit:
        return sizes.copy()
    filled = sizes > 0
    sure: IndexArray = filled.astype(np.int64) if int(filled.sum()) <= limit else np.zeros_like(sizes)
    rest, places = sizes - sure, limit - int(sure.sum())
    shares, remainders = np.divmod(rest * places, max(int(rest.sum()), 1))
    best = np.argsort(-remainders, kind="stable")[: places - int(shares.sum())]
    shares[best] += 1
    return sure + shares


def count_free(cells: Cells, which: Iterable[int], *, barred: IndexArray) -> IndexArray:
    """Count the rows of some cells that are not barred.

    Args:
        cells: of the index.
        which: the cells to look at.
        barred: (b,) int64 rows, ascending.

    Returns:
        (cells looked at,) int64, in the order of `which`.

    Cost: O(n log b) time in their n rows.
    """
    return np.array([int(_free(cells.rows(cell), barred).sum()) for cell in which], dtype=np.int64)


def draw(
    cells: Cells, which: Iterable[int], *, places: IndexArray, barred: IndexArray, seed: int, round_number: int
) -> IndexArray:
    """Draw from each cell as many rows as it has places: those of highest `random_priority` that are not barred.

    Args:
        cells: of the index.
        which: the cells to draw from.
        places: (cells looked at,) int64 rows to take from each of `which`, in that order.
        barred: (b,) int64 rows, ascending.
        seed: as in `random_priority`.
        round_number: as in `random_priority`.

    Returns:
        (n,) int64 rows of the pool, cell by cell; fewer where a cell has fewer.

    Cost: O(n log b) time in the n rows of the cells.
    """
    drawn = [np.empty(0, dtype=np.int64)]
    for cell, count in zip(which, places.tolist(), strict=True):
        rows = cells.rows(cell)
        rows = rows[_free(rows, barred)]
        if count < len(rows):
            priority = random_priority(rows, seed=seed, round_number=round_number)
            rows = rows[np.argsort(-priority, kind="stable")[:count]]
        drawn.append(rows)
    return np.concatenate(drawn)


def _free(rows: IndexArray, barred: IndexArray) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Which of `rows` are not in the ascending `barred`."""
    return ~holds(barred, rows)


def holds(among: IndexArray, rows: IndexArray) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Tell which of `rows` are in the ascending `among`; O(n log m) time, without a sort."""
    if not len(among):
        return np.zeros(len(rows), dtype=np.bool_)
    place = np.minimum(np.searchsorted(among, rows), len(among) - 1)
    found: np.ndarray[Any, np.dtype[np.bool_]] = among[place] == rows
    return found
