"""Score stored embeddings with a round's head: no image is read, no backbone runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from raylabel import runtime, schema
from raylabel.campaign import Campaign, Pieces, folder, of_version
from raylabel.workspace import Part, Record, read_part, write_part
from raylabel.workspace.vectors import embeddings_of

if TYPE_CHECKING:
    from raylabel.models.confidence import Confidence
    from raylabel.models.heads import Head  # SciPy and scikit-learn are not for every worker

TASK_ROWS = 32_768
"""Rows that make a task worth its start and its reading of the head; parts are never cut."""

SCORE_ROWS = 8_192
"""Rows scored at a time: bounds the probabilities in memory, whatever the part."""


def predict(campaign: Campaign, pieces: Pieces, number: int, head: str) -> Pieces:
    """Predict every readable item of the pool with the head of one round.

    What was predicted before the pool grew stays; the rows of each version since then get a record of their own.

    Args:
        campaign: whose pool.
        pieces: the embeddings that the head was fitted on.
        number: the round.
        head: name of the head's file below the workspace.

    Returns:
        The prediction parts, one for each embedding part, in row order.

    Cost: one read of the embeddings, 2 * dim * classes operations an item; with a learned confidence 2 * dim more for
    each answered item. Memory: one part per core, and a few times 64 kB per class.
    """

    def score(parts: Sequence[Part], version: int) -> Record:
        scored = runtime.map_tasks(_Score(campaign, number, head), _tasks(parts))
        return Record({"plan": version}, {"predictions": [part for parts in scored for part in parts]})

    name = f"{folder(number)}/predictions"
    record = campaign.records.once(name, lambda: score(pieces.parts, pieces.version))
    found = list(record.parts["predictions"])
    for version in range(record.facts["plan"] + 1, pieces.version + 1):
        more = pieces.added(version).parts
        found += campaign.records.once(of_version(name, version), partial(score, more, version)).parts["predictions"]
    return Pieces(tuple(found), pieces.spans, pieces.starts)


def _tasks(parts: Sequence[Part]) -> Iterator[list[Part]]:
    """Consecutive parts, put together until they make a task."""
    task: list[Part] = []
    for part in parts:
        task.append(part)
        if sum(part.rows for part in task) >= TASK_ROWS:
            yield task
            task = []
    if task:
        yield task


@dataclass(frozen=True)
class _Score:
    """Score a few embedding parts, in a task."""

    campaign: Campaign
    number: int
    head: str

    def __call__(self, parts: list[Part]) -> list[Part]:
        from raylabel.models.confidence import load
        from raylabel.models.heads import Head

        data = self.campaign.store.read(self.head)
        head, confidence = Head.from_bytes(data), load(data)
        return [self._score(head, confidence, part) for part in parts]

    def _score(self, head: Head, confidence: Confidence, part: Part) -> Part:
        store = self.campaign.store
        table = read_part(store, part)
        embeddings = embeddings_of(table)
        scored = pa.concat_tables(
            pa.table(_scores_of(head, confidence, embeddings[start : start + SCORE_ROWS]))
            for start in range(0, len(embeddings), SCORE_ROWS)
        )
        columns = {"row": table.column("row"), "id": table.column("id")}
        columns |= {name: scored.column(name) for name in scored.column_names}
        return write_part(store, f"{folder(self.number)}/predictions", pa.table(columns, schema=schema.PREDICTIONS))


def _scores_of(head: Head, confidence: Confidence, embeddings: NDArray[np.float16]) -> dict[str, pa.Array]:
    """The columns of a slice of rows."""
    from raylabel.acceptance import softmax

    logits = head.logits(embeddings)
    columns = scores(softmax(logits, head.temperature))
    found = confidence.of(embeddings, logits, columns["label_index"].to_numpy())
    return columns | {"confidence": pa.array(found.astype(np.float32))}


def scores(probabilities: NDArray[np.float64]) -> dict[str, pa.Array]:
    """The columns of a prediction beside row, id and confidence, from (N, K) probabilities.

    Margin is the likeliest class's probability less the second's; entropy is in nats. Ties go to the lower class.

    Cost: O(N * K) for each of the TOP_K classes that are kept.
    """
    count, num_classes = probabilities.shape
    keep = min(schema.TOP_K, num_classes)
    order = _likeliest(probabilities, keep)
    top = np.take_along_axis(probabilities, order, axis=1)
    logs = np.log(np.where(probabilities > 0, probabilities, 1.0))
    offsets = pa.array(np.arange(0, (count + 1) * keep, keep, dtype=np.int32))
    return {
        "label_index": pa.array(order[:, 0].astype(np.int32)),
        "margin": pa.array((top[:, 0] - top[:, 1]).astype(np.float32)),
        "entropy": pa.array(-(probabilities * logs).sum(axis=1).astype(np.float32)),
        "top_index": pa.ListArray.from_arrays(offsets, pa.array(order.astype(np.int32).ravel())),
        "top_probability": pa.ListArray.from_arrays(offsets, pa.array(top.astype(np.float32).ravel())),
    }


def _likeliest(probabilities: NDArray[np.float64], keep: int) -> NDArray[np.int64]:
    """(N, keep) classes, the likeliest first; ties go to the lower class."""
    if probabilities.shape[1] <= schema.TOP_K:
        return np.argsort(-probabilities, axis=1, kind="stable")
    # Taking the greatest `keep` times over is 20 times as fast as sorting a thousand classes.
    left, rows = probabilities.copy(), np.arange(len(probabilities))
    order = np.empty((len(probabilities), keep), dtype=np.int64)
    for place in range(keep):
        order[:, place] = left.argmax(axis=1)
        left[rows, order[:, place]] = -1.0
    return order
