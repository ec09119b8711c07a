"""Add embeddings to cells: runs of consecutive parts, each in a task that commits the lists it made."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import faiss
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from raylabel.campaign import Campaign, EncoderRef, Pieces, priority_of
from raylabel.index.device import cell_finder, inverted_file, rotation, threads
from raylabel.index.files import drafts, folder_of, keep, read_whole, unique
from raylabel.workspace import Part, Record, read_part, write_part
from raylabel.workspace.vectors import embeddings_of

RUN_ROWS = 65_536
QUERIES = 500
"""Items whose neighbours recall is measured on, about."""


@dataclass(frozen=True)
class Run:
    """Consecutive parts that one task works on: a part alone is too small to carry lists of every cell."""

    number: int
    parts: tuple[Part, ...]
    spans: tuple[tuple[int, int], ...]


def runs(pieces: Pieces, *, first: int = 0, rows: int = RUN_ROWS) -> Iterator[Run]:
    """Cut the parts from number `first` on into runs that end with the part that brings them to so many rows."""
    begin, held, number = first, 0, 0
    for end, part in enumerate(pieces.parts[first:], start=first + 1):
        held += part.rows
        if held >= rows or end == len(pieces.parts):
            yield Run(number, pieces.parts[begin:end], pieces.spans[begin:end])
            begin, held, number = end, 0, number + 1


def version_prefix(version: int) -> str:
    """How everything begins that lies in an index's folder only until that version is merged and committed."""
    return f"add-{version:04d}-"


def run_prefix(version: int, num_rows: int) -> str:
    """With the items of the pool: one that has grown since a build was stopped is built anew."""
    return f"{version_prefix(version)}{num_rows}-"


def name_of_run(backbone: str, version: int, num_rows: int, number: int) -> str:
    """The record of a run."""
    return f"{folder_of(backbone)}/{run_prefix(version, num_rows)}{number:06d}"


class Adder:
    """Adds vectors to an index of cells, as FAISS does; but the cells are found on the GPU, where there is one.

    Args:
        index: trained, held in memory.
    """

    def __init__(self, index: Any) -> None:
        self._index = index  # owns what follows
        self._ivf = inverted_file(index)
        self._rotate = rotation(index)
        self._finder = cell_finder(self._ivf)

    def add(self, vectors: NDArray[np.float32], rows: NDArray[np.int64]) -> None:
        """Add (n, dim) vectors under their (n,) rows."""
        if self._rotate is not None:
            vectors = self._rotate.apply(vectors)
        cells = np.ascontiguousarray(self._finder.search(vectors, 1)[1][:, 0])
        self._ivf.add_core(len(vectors), *(faiss.swig_ptr(array) for array in (vectors, rows, cells)))


@dataclass(frozen=True)
class Add:
    """Add the embeddings of a run to an empty copy of the trained index, and commit its lists.

    Args:
        campaign: in whose workspace.
        ref: the backbone.
        trained: name and sha256 of the trained index.
        version: of the index.
        num_rows: readable items that the index will hold.
    """

    campaign: Campaign
    ref: EncoderRef
    trained: tuple[str, str]
    version: int
    num_rows: int

    def __call__(self, run: Run) -> int:
        """Returns the rows added. The record: facts lists (file name), sha256; parts queries, a sample of the run.

        Cost: 2 * num_cells * dim operations a row with a flat quantizer. Memory: codes of the run, and one part.
        """
        name = name_of_run(self.ref.digest, self.version, self.num_rows, run.number)
        self.campaign.records.once(name, lambda: self._add(run))
        return sum(part.rows for part in run.parts)

    def _add(self, run: Run) -> Record:
        store, folder = self.campaign.store, folder_of(self.ref.digest)
        index = read_whole(store, *self.trained)
        adder, queries = Adder(index), []
        with threads(1):
            for part in run.parts:
                table = read_part(store, part)
                rows = np.ascontiguousarray(table.column("row").to_numpy())
                adder.add(embeddings_of(table).astype(np.float32), rows)
                queries.append(table.filter(pa.array(is_query(self.campaign, rows, num_rows=self.num_rows))))
        prefix = run_prefix(self.version, self.num_rows)
        with drafts(store, folder) as draft:
            path = draft / unique(f"{prefix}lists", ".lists")
            writer = faiss.FileIOWriter(str(path))
            faiss.write_InvertedLists(inverted_file(index).invlists, writer)
            del writer  # closes the file
            lists, sha256 = keep(store, path, folder)
        part = write_part(store, f"{folder}/{prefix}queries", pa.concat_tables(queries))
        return Record(facts={"lists": lists, "sha256": sha256}, parts={"queries": [part]})


def is_query(campaign: Campaign, rows: NDArray[np.int64], *, num_rows: int) -> NDArray[np.bool_]:
    """Which rows recall is measured on: about `QUERIES`, those of lowest priority; training takes the highest."""
    chosen: NDArray[np.bool_] = priority_of(campaign, rows) < QUERIES / num_rows
    return chosen
