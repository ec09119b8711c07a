"""Merge the lists of all runs, on disk, into one index of two files; and the exact index of a small pool."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pyarrow as pa

from raylabel.campaign import Campaign, EncoderRef
from raylabel.index.add import Run, is_query, name_of_run
from raylabel.index.device import inverted_file
from raylabel.index.files import drafts, folder_of, keep, read_whole, unique
from raylabel.workspace import Part, Record, read_part, write_part
from raylabel.workspace.indexes import checked_files, open_index
from raylabel.workspace.vectors import embeddings_of


@dataclass(frozen=True)
class Merge:
    """Merge what was there before and the lists of the runs, in row order, into a new index.

    Args:
        campaign: in whose workspace.
        ref: the backbone.
        trained: name and sha256 of the trained index.
        version: of the index.
        num_runs: whose lists are merged.
        num_rows: readable items in all.
        before: the index that is grown; None for the first.
    """

    campaign: Campaign
    ref: EncoderRef
    trained: tuple[str, str]
    version: int
    num_runs: int
    num_rows: int
    before: Record | None

    def __call__(self) -> Record:
        """Returns the record: facts index, sha256, data, data_sha256, num_rows; parts queries.

        Cost: one read and one write of all codes. Memory: the coarse quantizer; lists are mapped.
        Disk: the index a second time while it is merged; with an object store, on the local disk.
        """
        store, folder = self.campaign.store, folder_of(self.ref.digest)
        with drafts(store, folder) as draft:
            sources = [] if self.before is None else [open_index(store, self.before.facts, backbone=self.ref.digest)]
            lists = [inverted_file(source).invlists for source in sources]
            queries = [] if self.before is None else list(self.before.parts["queries"])
            for number in range(self.num_runs):
                name = name_of_run(self.ref.digest, self.version, self.num_rows, number)
                record = self.campaign.records.require(name, missing=f"the lists {name} are gone; run again")
                lists.append(self._lists(record.facts, draft / "fetched"))
                queries += record.parts["queries"]
            path = draft / unique("part", ".faiss")
            data = path.with_suffix(".ivfdata")
            num_rows = self._write(lists, path, data)
            assert num_rows == self.num_rows, f"{num_rows} rows merged of {self.num_rows}"
            del lists, sources
            named = dict(zip(("data", "data_sha256"), keep(store, data, folder), strict=True))
            named |= dict(zip(("index", "sha256"), keep(store, path, folder), strict=True))
        return Record(facts={**named, "num_rows": num_rows}, parts={"queries": [self._queries(queries)]})

    def _lists(self, facts: Mapping[str, Any], fetched: Path) -> Any:
        """The lists of a run, mapped; those of an object store are fetched into the draft folder, not to stay."""
        [path] = checked_files(self.campaign.store, [(facts["lists"], facts["sha256"])], cache=fetched)
        return faiss.read_InvertedLists(faiss.FileIOReader(str(path)), faiss.IO_FLAG_MMAP | faiss.IO_FLAG_READ_ONLY)

    def _write(self, lists: list[Any], path: Path, data: Path) -> int:
        index = read_whole(self.campaign.store, *self.trained)
        ivf = inverted_file(index)
        pointers = faiss.InvertedListsPtrVector()  # type: ignore[attr-defined]
        for found in lists:
            pointers.push_back(found)
        merged: Any = faiss.OnDiskInvertedLists(ivf.nlist, ivf.code_size, str(data))
        num_rows: int = merged.merge_from_multiple(pointers.data(), pointers.size(), False)
        ivf.replace_invlists(merged, True)
        merged.this.disown()
        index.ntotal = ivf.ntotal = num_rows
        faiss.write_index(index, str(path))
        return num_rows

    def _queries(self, parts: list[Part]) -> Part:
        """Those that a pool of this size is measured on; a smaller one took more of its rows."""
        store, folder = self.campaign.store, folder_of(self.ref.digest)
        table = pa.concat_tables([read_part(store, part) for part in parts])
        chosen = is_query(self.campaign, table.column("row").to_numpy(), num_rows=self.num_rows)
        return write_part(store, f"{folder}/queries", table.filter(pa.array(chosen)))


@dataclass(frozen=True)
class AddExact:
    """Build the exact index of a small pool, in one task: what was there before, and the parts of a run.

    Args:
        campaign: in whose workspace.
        ref: the backbone.
        factory: without the map of ids.
        before: the index that is grown; None for the first.
    """

    campaign: Campaign
    ref: EncoderRef
    factory: str
    before: Record | None

    def __call__(self, run: Run) -> Record:
        """Returns the record: facts index, sha256, data (None), data_sha256 (None), num_rows.

        Memory: 2 * dim bytes an item, and one part.
        """
        store, folder = self.campaign.store, folder_of(self.ref.digest)
        if self.before is None:
            index = faiss.index_factory(self.ref.dim, f"IDMap2,{self.factory}", faiss.METRIC_L2)
        else:
            index = read_whole(store, self.before.facts["index"], self.before.facts["sha256"])
        for part in run.parts:
            table = read_part(store, part)
            index.add_with_ids(embeddings_of(table).astype(np.float32), table.column("row").to_numpy())
        with drafts(store, folder) as draft:
            path = draft / unique("part", ".faiss")
            faiss.write_index(index, str(path))
            name, sha256 = keep(store, path, folder)
        return Record(
            facts={"index": name, "sha256": sha256, "data": None, "data_sha256": None, "num_rows": index.ntotal},
            parts={"queries": []},
        )
