"""Score stored embeddings with a round's head: no image is read, no backbone runs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from raylabel import runtime, schema
from raylabel.campaign import Campaign, Pieces, folder
from raylabel.models.heads import Head
from raylabel.workspace import Part, Record, read_part, write_part
from raylabel.workspace.vectors import embeddings_of


def predict(campaign: Campaign, pieces: Pieces, number: int, head: str) -> Pieces:
    """Predict every readable item of the pool with the head of one round.

    Args:
        campaign: whose pool.
        pieces: the embeddings that the head was fitted on.
        number: the round.
        head: name of the head's file below the workspace.

    Returns:
        The prediction parts, one for each embedding part, in row order.

    Cost: one read of the embeddings, 2 * dim * classes operations an item. Memory: one part per core.
    """

    def score() -> Record:
        parts = list(runtime.map_tasks(_Score(campaign, number, head), pieces.parts))
        return Record(parts={"predictions": parts})

    record = campaign.records.once(f"{folder(number)}/predictions", score)
    return Pieces(tuple(record.parts["predictions"]), pieces.spans)


@dataclass(frozen=True)
class _Score:
    """Score one embedding part, in a task."""

    campaign: Campaign
    number: int
    head: str

    def __call__(self, part: Part) -> Part:
        store = self.campaign.store
        table = read_part(store, part)
        head = Head.from_bytes(store.read(self.head))
        columns = scores(head.probabilities(embeddings_of(table)))
        found = pa.table({"row": table.column("row"), "id": table.column("id"), **columns}, schema=schema.PREDICTIONS)
        return write_part(store, f"{folder(self.number)}/predictions", found)


def scores(probabilities: NDArray[np.float64]) -> dict[str, pa.Array]:
    """The columns of a prediction beside row and id, from (N, K) probabilities.

    Margin is the likeliest class's probability less the second's; entropy is in nats. Ties go to the lower class.
    """
    count, num_classes = probabilities.shape
    keep = min(schema.TOP_K, num_classes)
    order = np.argsort(-probabilities, axis=1, kind="stable")[:, :keep]
    top = np.take_along_axis(probabilities, order, axis=1)
    logs = np.log(np.where(probabilities > 0, probabilities, 1.0))
    offsets = pa.array(np.arange(0, (count + 1) * keep, keep, dtype=np.int32))
    return {
        "label_index": pa.array(order[:, 0].astype(np.int32)),
        "confidence": pa.array(top[:, 0].astype(np.float32)),
        "margin": pa.array((top[:, 0] - top[:, 1]).astype(np.float32)),
        "entropy": pa.array(-(probabilities * logs).sum(axis=1).astype(np.float32)),
        "top_index": pa.ListArray.from_arrays(offsets, pa.array(order.astype(np.int32).ravel())),
        "top_probability": pa.ListArray.from_arrays(offsets, pa.array(top.astype(np.float32).ravel())),
    }
