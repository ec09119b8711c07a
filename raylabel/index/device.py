"""What FAISS computes on: the GPU where there is one, and as many cores as a task has to itself."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any

import faiss

TEMP_BYTES = 256 * 1024 * 1024
"""Memory of the GPU that FAISS sets aside for a search; several tasks may share one GPU."""


def to_gpu(index: Any) -> Any:
    """The index on this machine's first GPU; as it is, where there is none.

    Args:
        index: one that FAISS can put there; here always a flat one, of the centres of cells.
    """
    if not faiss.get_num_gpus():
        return index
    resources = faiss.StandardGpuResources()
    resources.setTempMemory(TEMP_BYTES)
    moved: Any = faiss.index_cpu_to_gpu(resources, 0, index)  # it shares the resources: they live as long as it does
    return moved


def inverted_file(index: Any) -> Any:
    """The part of an index of cells that holds them, as FAISS's class for its codes: behind a rotation, if any."""
    return faiss.downcast_index(faiss.extract_index_ivf(index))


def rotation(index: Any) -> Any | None:
    """What vectors go through before they come to the cells; None where that is nothing."""
    chained = isinstance(index, faiss.IndexPreTransform)
    chain: Any = index.chain if chained else None
    return faiss.downcast_VectorTransform(chain.at(0)) if chained else None


def cell_finder(ivf: Any) -> Any:
    """An index that finds the nearest cell: on a GPU a flat one of all centres, elsewhere the quantizer itself."""
    if not faiss.get_num_gpus():
        return ivf.quantizer
    centres = faiss.IndexFlatL2(ivf.d)
    centres.add(ivf.quantizer.reconstruct_n(0, ivf.nlist))
    return to_gpu(centres)


@contextlib.contextmanager
def threads(count: int | None = None) -> Iterator[None]:
    """Let FAISS use so many threads in the block; all cores of this machine by default."""
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(count or len(os.sched_getaffinity(0)))
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)
