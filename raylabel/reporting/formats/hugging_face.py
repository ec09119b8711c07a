"""Parquet as `datasets.load_dataset` reads it: the image decoded by itself, the label a ClassLabel with its names."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from raylabel import schema
from raylabel.reporting.formats.items import Labeled
from raylabel.workspace import Store

GROUP_ROWS = 100
"""Of a row group: some MB of images, as the hub's viewer wants them."""

_FACTS = ("source", "confidence", "round", "model", "certificate")


def features(classes: tuple[str, ...]) -> pa.Schema:
    """The columns, with the features metadata that `datasets` looks for."""
    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    fields: list[tuple[str, Any]] = [("id", pa.string()), ("image", image), ("label", pa.int64())]
    fields += [(name, schema.LABELS.field(name).type) for name in _FACTS]
    values: dict[str, Any] = {"id": {"dtype": "string", "_type": "Value"}}
    for name in _FACTS:
        kind = schema.LABELS.field(name).type
        values[name] = {"dtype": "float32" if kind == pa.float32() else str(kind), "_type": "Value"}
    values |= {"image": {"_type": "Image"}, "label": {"names": list(classes), "_type": "ClassLabel"}}
    return pa.schema(fields, metadata={"huggingface": json.dumps({"info": {"features": values}})})


def write_shard(place: Store, number: int, items: Iterator[Labeled], classes: tuple[str, ...]) -> int:
    """Write one Parquet file of the split "train"."""
    count, columns = 0, features(classes)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "shard.parquet"
        with pq.ParquetWriter(path, columns, compression="zstd", write_page_checksum=True) as writer:
            while group := list(islice(items, GROUP_ROWS)):
                rows = [
                    {
                        "id": item.facts["id"],
                        "image": {"bytes": item.image, "path": item.file_name},
                        "label": item.facts["label_index"],
                        **{name: item.facts[name] for name in _FACTS},
                    }
                    for item in group
                ]
                writer.write_table(pa.Table.from_pylist(rows, schema=columns))
                count += len(rows)
        if count:
            place.upload(path, f"data/train-{number:06d}.parquet")
    return count
