"""Answers as other tools write them: each reader gives rows with the fields of a sheet, one after another.

Knows files; knows nothing of campaigns, classes or what was asked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raylabel.errors import AnswersError
from raylabel.labeling.readers import coco, cvat, hugging_face, image_folder, label_studio, sheet

Rows = Iterator[tuple[int, dict[str, Any]]]


@dataclass(frozen=True)
class Reader:
    """How a file is read.

    Args:
        read: numbers and rows of a file: `id`, or `file` where it knows images by their file names; `label` or `kind`,
            and what else a sheet may hold.
        unit: what the numbers count: "line", "task", ...
        source: of its answers, as schema.ANSWERS keeps it.
    """

    read: Callable[[Path], Rows]
    unit: str = "line"
    source: str = "file"


SHEET = Reader(sheet.read_sheet)
READERS = {
    ".csv": SHEET,
    ".jsonl": SHEET,
    ".parquet": Reader(hugging_face.read_table, "row", "huggingface"),
    ".xml": Reader(cvat.read_annotations, "image", "cvat"),
}
"""By the end of a file's name. A folder is one of classes; a .json file begins with what it is."""
FOLDER = Reader(image_folder.read_folder, "file", "imagefolder")
LABEL_STUDIO = Reader(label_studio.read_tasks, "task", "labelstudio")
COCO = Reader(coco.read_annotations, "annotation", "coco")


def reader_of(source: Path) -> Reader:
    """The reader of a file or folder.

    Raises:
        AnswersError: none reads it.
    """
    if source.is_dir():
        return FOLDER
    if source.suffix in READERS:
        return READERS[source.suffix]
    if source.suffix == ".json":
        try:
            with source.open("rb") as file:
                start = file.read(4096).removeprefix(b"\xef\xbb\xbf").lstrip()
        except OSError as error:
            raise AnswersError(f"{source}: cannot be read ({error})") from error
        return COCO if start.startswith(b"{") else LABEL_STUDIO
    raise AnswersError(
        f"{source}: expected a .csv or .jsonl file, a .json of Label Studio or COCO, a .xml of CVAT, a .parquet of "
        "Hugging Face, or a folder of classes"
    )
