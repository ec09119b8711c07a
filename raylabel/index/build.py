"""Build the FAISS index of one backbone's embeddings, in one task; its ids are pool rows."""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass

import faiss
import numpy as np

from raylabel import runtime
from raylabel.campaign import Campaign, EncoderRef, Pieces
from raylabel.progress import say
from raylabel.workspace import Record, read_part
from raylabel.workspace.vectors import embeddings_of

EXACT_ROWS = 200_000
TRAIN_PER_CELL = 64


def factory_of(num_rows: int) -> str:
    """The FAISS factory string for so many rows: exact in float16 at first, then cells of about 4 * sqrt(rows)."""
    if num_rows <= EXACT_ROWS:
        return "SQfp16"
    return f"IVF{2 ** round(np.log2(4 * num_rows**0.5))},SQfp16"


def build(campaign: Campaign, ref: EncoderRef, pieces: Pieces) -> Record:
    """Build the index of a backbone; once.

    Returns:
        Its record: facts index (file name), sha256, factory, num_rows, dim.

    Cost: one read of the embeddings. Memory of the task: 2 * dim bytes an item, and one part.
    """

    def make() -> Record:
        record = runtime.call(_Build(campaign, ref, pieces))
        say(f"index: {record.facts['num_rows']:,} embeddings in a {record.facts['factory']} index")
        return record

    return campaign.records.once(f"index/{ref.digest}", make)


@dataclass(frozen=True)
class _Build:
    """Train on parts spread over the pool, add part by part, and write the index."""

    campaign: Campaign
    ref: EncoderRef
    pieces: Pieces

    def __call__(self) -> Record:
        factory = factory_of(self.pieces.num_rows)
        index = faiss.index_factory(self.ref.dim, f"IDMap2,{factory}", faiss.METRIC_L2)
        if not index.is_trained:
            index.train(self._sample(factory))
        for part in self.pieces.parts:
            table = read_part(self.campaign.store, part)
            index.add_with_ids(embeddings_of(table).astype(np.float32), table.column("row").to_numpy())
        data = faiss.serialize_index(index).tobytes()
        name = f"index/{self.ref.digest}/{uuid.uuid4().hex}.faiss"
        self.campaign.store.write(name, data)
        return Record(
            facts={
                "index": name,
                "sha256": hashlib.sha256(data).hexdigest(),
                "factory": factory,
                "num_rows": index.ntotal,
                "dim": self.ref.dim,
            }
        )

    def _sample(self, factory: str) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
        """Training vectors: whole parts, evenly spread over the pool, enough for every cell."""
        cells = int(factory.removeprefix("IVF").split(",")[0]) if factory.startswith("IVF") else 1
        each = self.pieces.num_rows / len(self.pieces.parts)
        wanted = min(len(self.pieces.parts), 1 + int(cells * TRAIN_PER_CELL / each))
        chosen = np.linspace(0, len(self.pieces.parts) - 1, wanted).round().astype(int)
        tables = (read_part(self.campaign.store, self.pieces.parts[i]) for i in np.unique(chosen))
        return np.concatenate([embeddings_of(table).astype(np.float32) for table in tables])
