"""Every table's columns, in one place: plain Arrow types, written as Parquet: zstd, but for the vectors.

`row` is the item's position in the pool plan (int64), `id` its stable name.
Knows Arrow types; knows nothing of where tables lie or who fills them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import pyarrow as pa

TOP_K: Final = 10
"""Predictions of more classes than this keep the top ones only; fewer classes are kept whole."""

Fields = list[tuple[str, Any]]

_ROW: Fields = [("row", pa.int64())]
_ID: Fields = [("id", pa.string())]

AUDIT = pa.schema(
    _ROW
    + _ID
    + [("stratum", pa.string()), ("inclusion_probability", pa.float64()), ("draw", pa.int32()), ("seed", pa.int64())]
)

PREDICTIONS = pa.schema(
    _ROW
    + _ID
    + [
        ("label_index", pa.int32()),
        ("confidence", pa.float32()),
        ("margin", pa.float32()),
        ("entropy", pa.float32()),
        ("top_index", pa.list_(pa.int32())),
        ("top_probability", pa.list_(pa.float32())),
    ]
)

SHORTLIST = pa.schema(
    _ROW + _ID + [("position", pa.int32()), ("strategy", pa.string()), ("score", pa.float32()), ("reason", pa.string())]
)

HINTS = pa.schema(
    [
        *_ROW,
        ("group", pa.int32()),
        ("top_index", pa.list_(pa.int32())),
        ("top_probability", pa.list_(pa.float32())),
        ("neighbours", pa.list_(pa.int64())),
    ]
)
"""What a page shows beside items that a strategy picked: their group, a head's top guesses, the nearest answered."""

ANSWERS = pa.schema(
    [
        ("answer_id", pa.string()),
        ("id", pa.string()),
        ("kind", pa.string()),
        ("label", pa.string()),
        ("annotator", pa.string()),
        ("answered_at", pa.timestamp("us", tz="UTC")),
        ("seconds", pa.float32()),
        ("round", pa.int32()),
        ("purpose", pa.string()),
        ("source", pa.string()),
        ("comment", pa.string()),
    ]
)

RESOLVED = pa.schema(_ROW + _ID + [("purpose", pa.string()), ("label_index", pa.int32()), ("round", pa.int32())])
"""A round's answers after consensus: one row for each item answered; label_index -1 where nobody could tell."""

HELD_OUT = pa.schema([*_ROW, ("confidence", pa.float32()), ("correct", pa.bool_())])
"""Training answers as heads see them that did not learn from them: confidence of the label, and whether it is right."""

GOLD = pa.schema([*_ROW, *_ID, ("label_index", pa.int32())])
"""Items whose label is known: asked to measure who answers, and for nothing else."""

DOUBTS = pa.schema([*_ROW, *_ID, ("label_index", pa.int32()), ("suggested_index", pa.int32()), ("score", pa.float32())])
"""Training answers of a round that its held-out model thinks wrong, the likeliest first; score: the probability."""

NEIGHBOURS = pa.schema([*_ROW, ("neighbours", pa.list_(pa.int64())), ("distances", pa.list_(pa.float32()))])
"""The nearest other items of each item, nearest first: their rows, -1 where there are fewer, and squared distances."""

LABELS = pa.schema(
    _ID
    + [
        ("label", pa.string()),
        ("label_index", pa.int32()),
        ("source", pa.string()),
        ("confidence", pa.float32()),
        ("round", pa.int32()),
        ("model", pa.string()),
        ("certificate", pa.string()),
    ]
)

QUARANTINE = pa.schema(
    _ID + [("shard", pa.string()), ("stage", pa.string()), ("error_code", pa.string()), ("message", pa.string())]
)

LISTING = pa.schema([("path", pa.string()), ("size", pa.int64()), ("etag", pa.string())])
"""The files of one shard of a folder pool, in order."""

SAMPLES = pa.schema(
    [
        ("key", pa.string()),
        ("offset", pa.int64()),
        ("size", pa.int64()),
        ("label_offset", pa.int64()),
        ("label_size", pa.int64()),
    ]
)
"""The samples of one shard of a tar, in order: where in the tar their image and label lie; null where there is none."""

URIS = pa.schema(
    [
        ("id", pa.string()),
        ("uri", pa.string()),
        ("label", pa.string()),
        ("label_index", pa.int64()),
        ("metadata", pa.string()),
    ]
)
"""The rows of one shard of a list of URIs, in order; a label is a class's name or its index, or both are null.
`metadata` is a JSON object of the configured columns, null where there are none."""

ANSWER_KINDS: Final = ("label", "skip", "cannot_tell", "retract")


def embeddings(*, dim: int, backbone: str) -> pa.Schema:
    """Columns of stored embeddings: float16 little-endian, `dim` values each, as fixed-size binary."""
    fields = [*_ROW, *_ID, ("embedding", pa.binary(2 * dim))]
    return pa.schema(fields, metadata={"dim": str(dim), "dtype": "float16", "backbone": backbone})


def votes(functions: Sequence[str]) -> pa.Schema:
    """Columns of labeling functions' votes: one for each function, named like it: a label index, -1 to abstain."""
    return pa.schema([*_ROW, *_ID, *((name, pa.int16()) for name in functions)])
