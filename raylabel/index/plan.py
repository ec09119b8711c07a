"""Plan an index from rows, dimension and memory: exact while that is cheap, then cells, then shorter codes.

Knows numbers and FAISS's factory strings; knows nothing of files or of the vectors themselves.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from raylabel.campaign import sample_share

EXACT_ROWS = 50_000
FLAT_QUANTIZER_CELLS = 16_384
"""Up to so many cells the nearest is found by a matrix product with all of them; above, by a graph of them: HNSW."""

_ROWS_PER_CELL = 240
_PROBES = 16
_ID_BYTES = 8
_GRAPH_BYTES = 280  # 64 links of 4 bytes to a cell's neighbours on the lowest level, and a tenth for those above


@dataclass(frozen=True)
class IndexPlan:
    """What to build.

    Args:
        factory: FAISS's factory string, without the map of ids.
        num_cells: of the inverted file; 0 where the index is exact.
        num_train: rows that it is trained on, about.
        nprobe: cells to look into, at least; the build raises it until recall is reached. 0 where it is exact.
        memory_bytes: what a process holds of it, beside pages of the codes.
        disk_bytes: codes and ids: so much memory keeps all of it at hand.
    """

    factory: str
    num_cells: int
    num_train: int
    nprobe: int
    memory_bytes: int
    disk_bytes: int


def plan_index(num_rows: int, dim: int, *, memory_bytes: int) -> IndexPlan:
    """Plan the index of a pool.

    Up to 50,000 rows every vector is compared, in float16 as it is stored. Above, about 4 * sqrt(rows) cells, fewer
    where the training sample would be thin, hold float16; where that exceeds the memory, 8 bits a dimension; where
    that does as well, at most 64 bytes of a product quantizer behind a rotation. Its codes take 8 bits and not the
    4 of FAISS's fast scan, whose packed lists can neither be merged on disk nor mapped.

    Args:
        num_rows: readable items of the pool.
        dim: of an embedding.
        memory_bytes: what one machine can spare for the index; the rest is read from its disk.

    Raises:
        ValueError: there are no rows or no dimensions.

    Source: FAISS, "Guidelines to choose an index"; Jegou, Douze and Schmid 2011 (inverted file, product quantizer);
        Ge et al. 2013 (OPQ).
    """
    if num_rows < 1 or dim < 1:
        raise ValueError(f"an index of {num_rows} rows of dimension {dim}; both must be at least 1")
    if num_rows <= EXACT_ROWS:
        held = num_rows * (2 * dim + _ID_BYTES)
        return IndexPlan("SQfp16", 0, 0, 0, memory_bytes=num_rows * _ID_BYTES, disk_bytes=held)
    num_cells = cells_of(num_rows)
    graph = num_cells > FLAT_QUANTIZER_CELLS
    cells = f"IVF{num_cells}_HNSW32" if graph else f"IVF{num_cells}"
    bytes_of_pq = max(1, min(64, dim // 4))
    rotated = min(4 * bytes_of_pq, dim)
    codes = {
        f"{cells},SQfp16": 2 * dim,
        f"{cells},SQ8": dim,
        f"OPQ{bytes_of_pq}_{rotated},{cells},PQ{bytes_of_pq}": bytes_of_pq,
    }
    sizes = {factory: num_rows * (code + _ID_BYTES) for factory, code in codes.items()}
    factory = next((name for name, size in sizes.items() if size <= memory_bytes), list(sizes)[-1])
    return IndexPlan(
        factory,
        num_cells,
        num_train=round(num_rows * sample_share(num_rows)),
        nprobe=_PROBES,
        memory_bytes=num_cells * (4 * (rotated if factory.startswith("OPQ") else dim) + _GRAPH_BYTES * graph),
        disk_bytes=sizes[factory],
    )


def cells_of(num_rows: int) -> int:
    """A power of two near 4 * sqrt(rows), or near rows / 240, so that a cell has some 60 rows to be trained on."""
    return int(2 ** round(math.log2(min(4 * math.sqrt(num_rows), num_rows / _ROWS_PER_CELL))))
