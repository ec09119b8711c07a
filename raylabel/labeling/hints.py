"""What helps people with an item: others like it, the model's guesses, and answered items that lie near.

Made where a shortlist is picked, as all of it is in memory there. Audit items and second looks get none: whoever sees a
guess tends to agree with it.
Knows arrays; knows nothing of pages.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from raylabel import schema
from raylabel.models.heads import Head
from raylabel.sampling.clusters import k_means

GUESSES = 5
NEIGHBOURS = 6
ITEMS_PER_CLUSTER = 24
MAX_CLUSTERS = 256
CHUNK = 4_096


def hints_of(
    rows: NDArray[np.int64],
    embeddings: NDArray[np.float16],
    *,
    head: Head | None,
    answered: NDArray[np.int64],
    answered_embeddings: NDArray[np.float32],
    rng: np.random.Generator,
) -> pa.Table:
    """Hints for picked items.

    Args:
        rows: (n,) of the pool.
        embeddings: (n, D), theirs.
        head: of the round before; None where there is none, and then groups are clusters instead of guessed classes.
        answered: (m,) rows of training answers.
        answered_embeddings: (m, D), theirs.
        rng: for the clusters.

    Returns:
        Columns of schema.HINTS, in the order of `rows`. Guesses and neighbours: the best first; ties by the lower
        class, and by the lower position in `answered`.

    Cost: O(n * m * D); of clusters O(n * k * D), k at most `MAX_CLUSTERS`.
    """
    wide = embeddings.astype(np.float32)
    if head is None:
        num = min(len(rows), MAX_CLUSTERS, -(-len(rows) // ITEMS_PER_CLUSTER))
        group = k_means(wide, num, rng=rng).labels.astype(np.int32)
        index, probability = np.empty((len(rows), 0), np.int32), np.empty((len(rows), 0), np.float32)
    else:
        found = head.probabilities(embeddings)
        index = np.argsort(-found, axis=1, kind="stable")[:, :GUESSES].astype(np.int32)
        probability = np.take_along_axis(found, index, axis=1).astype(np.float32)
        group = index[:, 0]
    columns = {
        "row": rows,
        "group": group,
        "top_index": index.tolist(),
        "top_probability": probability.tolist(),
        "neighbours": answered[_nearest(wide, answered_embeddings)].tolist(),
    }
    return pa.table(columns, schema=schema.HINTS)


def _nearest(points: NDArray[np.float32], among: NDArray[np.float32]) -> NDArray[np.int64]:
    """(n, k) positions of the nearest by Euclidean distance, k at most `NEIGHBOURS`."""
    num = min(NEIGHBOURS, len(among))
    out = np.empty((len(points), num), dtype=np.int64)
    squares = (among**2).sum(axis=1)
    for start in range(0, len(points), CHUNK):
        # |p|^2 is the same for all that a point is compared with.
        distances = squares - 2 * points[start : start + CHUNK] @ among.T
        out[start : start + CHUNK] = np.argsort(distances, axis=1, kind="stable")[:, :num]
    return out
