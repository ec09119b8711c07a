"""Train an index on the sample that the embedding pass has taken; in one task, on all cores or on the GPU."""

from __future__ import annotations

from dataclasses import dataclass

import faiss
import numpy as np
from numpy.typing import NDArray

from raylabel.campaign import Campaign, EncoderRef, in_sample
from raylabel.errors import StorageError
from raylabel.index.device import inverted_file, threads, to_gpu
from raylabel.index.files import drafts, folder_of, keep, unique
from raylabel.index.plan import IndexPlan
from raylabel.workspace import Record, read_part
from raylabel.workspace.vectors import embeddings_of


@dataclass(frozen=True)
class Train:
    """Train an empty index and write it.

    Args:
        campaign: in whose workspace.
        ref: the backbone.
        plan: what to train.
        num_rows: readable items that the index will hold.
        last_row: of those; samples of later items are left alone.
    """

    campaign: Campaign
    ref: EncoderRef
    plan: IndexPlan
    num_rows: int
    last_row: int

    def __call__(self) -> Record:
        """Returns the record: facts trained (file name), trained_sha256, num_train, factory, num_cells, nprobe.

        Cost: k-means, 20 passes of 2 * num_train * num_cells * dim operations. Memory: 4 * dim bytes a sampled row.
        """
        index = faiss.index_factory(self.ref.dim, self.plan.factory, faiss.METRIC_L2)
        ivf = inverted_file(index)
        if self.plan.factory.endswith("SQfp16"):
            ivf.by_residual = False  # the stored vectors are float16: kept as they are, nothing is lost
        vectors = read_sample(self.campaign, self.ref, num_rows=self.num_rows, last_row=self.last_row)
        if len(vectors) < self.plan.num_cells:
            raise StorageError(
                f"{self.campaign.store.uri(folder_of(self.ref.digest))}: {len(vectors):,} sampled embeddings to train "
                f"{self.plan.num_cells:,} cells on; the embedding pass writes about {self.plan.num_train:,}: remove "
                f"embeddings/{self.ref.digest} and run again"
            )
        centres = to_gpu(faiss.IndexFlatL2(ivf.d))
        ivf.clustering_index = centres
        with threads():
            index.train(vectors)
        ivf.clustering_index = None
        store, folder = self.campaign.store, folder_of(self.ref.digest)
        with drafts(store, folder) as draft:
            path = draft / unique("trained", ".faiss")
            faiss.write_index(index, str(path))
            name, sha256 = keep(store, path, folder)
        plan = self.plan
        made = {"trained": name, "trained_sha256": sha256, "num_train": len(vectors)}
        return Record(facts=made | {"factory": plan.factory, "num_cells": plan.num_cells, "nprobe": plan.nprobe})


def read_sample(campaign: Campaign, ref: EncoderRef, *, num_rows: int, last_row: int) -> NDArray[np.float32]:
    """The training vectors: what the records of embedded shards name as their sample, in row order.

    Shards of a smaller pool have sampled more densely; of theirs only the rows that this pool's share keeps are taken,
    so that a grown pool trains on what it would have, had it been there from the start.

    Returns:
        (n, dim) float32, n about num_rows * sample_share(num_rows).
    """
    folder = f"embeddings/{ref.digest}"
    rows, vectors = [np.empty(0, dtype=np.int64)], [np.empty((0, ref.dim), dtype=np.float16)]
    for name in campaign.store.list(folder):
        if not name.startswith("shard-") or not name.endswith(".json"):
            continue
        record = campaign.records.require(f"{folder}/{name.removesuffix('.json')}", missing=f"{name} is gone")
        for part in record.parts["sample"]:
            table = read_part(campaign.store, part, columns=["row", "embedding"])
            found = table.column("row").to_numpy()
            wanted = in_sample(campaign, found, num_rows=num_rows) & (found <= last_row)
            rows.append(found[wanted])
            vectors.append(embeddings_of(table)[wanted])
    order = np.argsort(np.concatenate(rows), kind="stable")
    sample: NDArray[np.float32] = np.concatenate(vectors)[order].astype(np.float32)
    return sample
