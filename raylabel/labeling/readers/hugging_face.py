"""Parquet of Hugging Face datasets: a label column of class names, or of indices whose names the metadata holds."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from raylabel.errors import AnswersError
from raylabel.labeling.readers.fields import FIELDS

BATCH_ROWS = 4_096


def read_table(source: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Rows in order: `id`, or the path within the image; `label`, and what else a sheet may hold. Images are not read.

    Raises:
        AnswersError: no Parquet, or no column `label`, or neither `id` nor an image with a path; features metadata that
            is none; a value that cannot be read.
    """
    try:
        with pq.ParquetFile(source) as file:
            yield from _rows(source, file)
    except (pa.ArrowException, OSError) as error:
        raise AnswersError(f"{source}: cannot be read ({' '.join(str(error).split())[:200]})") from error


def _rows(source: Path, file: pq.ParquetFile) -> Iterator[tuple[int, dict[str, Any]]]:
    columns = file.schema_arrow
    has_path = "image" in columns.names and pa.types.is_struct(columns.field("image").type)
    for name in FIELDS:
        if columns.names.count(name) > 1:
            raise AnswersError(f"{source}: has more than one column {name!r}")
    if "label" not in columns.names or not ("id" in columns.names or has_path):
        raise AnswersError(f"{source}: expected a column label, and id or an image with a path")
    named, names = [name for name in FIELDS if name in columns.names], _class_names(source, columns)
    wanted = named if "id" in named else [*named, "image.path"]
    number = 0
    for batch in file.iter_batches(batch_size=BATCH_ROWS, columns=wanted):
        try:
            rows = batch.to_pylist()
        except (ValueError, OverflowError) as error:  # no UTF-8, or a time that Python does not know
            told = " ".join(str(error).split())[:200]
            raise AnswersError(f"{source}, behind row {number}: a value cannot be read ({told})") from error
        for row in rows:
            number += 1
            if "image" in row:
                row["file"] = (row.pop("image") or {}).get("path") or ""
            if names is not None and row["label"] is not None:
                row["label"] = _name(names, row["label"], where=f"{source}, row {number}")
            yield number, row


def _class_names(source: Path, columns: pa.Schema) -> list[str] | None:
    """The names of a ClassLabel, as the features metadata has them; None where labels are names themselves."""
    told = (columns.metadata or {}).get(b"huggingface")
    if told is None:
        return None
    try:
        found = json.loads(told)
    except (ValueError, RecursionError) as error:
        raise AnswersError(f"{source}: its features metadata is no JSON ({error})") from error
    for name in ("info", "features", "label"):
        if not isinstance(found, dict):
            raise AnswersError(
                f"{source}: its features metadata is none of Hugging Face: expected an object with {name}"
            )
        found = found.get(name, {})
    names = found.get("names") if isinstance(found, dict) else None
    return [str(name) for name in names] if isinstance(names, list) else None


def _name(names: list[str], index: Any, *, where: str) -> str:
    """The name of a class; -1 stands for none, as in `datasets`."""
    if index == -1:
        return ""
    if not isinstance(index, int) or not 0 <= index < len(names):
        raise AnswersError(f"{where}: label {index!r} is none of the {len(names)} classes that the metadata names")
    return names[index]
