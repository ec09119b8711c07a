"""COCO annotations: one for each labeled image, its box the whole image, as COCO has none for classification alone."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from raylabel.reporting.formats.fragments import Draft, gather, leave, remove, write_list
from raylabel.reporting.formats.items import Labeled
from raylabel.workspace import Store

FILE = "annotations.json"


def write_shard(place: Store, number: int, items: Iterator[Labeled], classes: tuple[str, ...]) -> int:
    """Write the images below images/, and leave what is to be said of them."""
    rows = []
    for item in items:
        place.add(f"images/{item.file_name}", item.image)
        width, height = item.header.size
        rows.append({"row": item.row, "file_name": item.file_name, "width": width, "height": height, **item.facts})
    leave(place, number, rows)
    return len(rows)


def finish(place: Store, numbers: Sequence[int], classes: tuple[str, ...]) -> None:
    """Write annotations.json: ids of images and annotations are pool rows, ids of categories indices, each plus one."""
    categories = [{"id": index + 1, "name": name, "supercategory": ""} for index, name in enumerate(classes)]
    with Draft(place, FILE) as file:
        file.write('{"info": {"description": "labeled by raylabel"}, "licenses": [],\n"categories": ')
        file.write(f'{json.dumps(categories, ensure_ascii=False)},\n"images": [')
        write_list(file, (json.dumps(_image(row), ensure_ascii=False) for row in gather(place, numbers)))
        file.write('],\n"annotations": [')
        write_list(file, (json.dumps(_annotation(row), ensure_ascii=False) for row in gather(place, numbers)))
        file.write("]}\n")
    remove(place, numbers)


def _image(row: dict[str, object]) -> dict[str, object]:
    return {"id": int(str(row["row"])) + 1, **{name: row[name] for name in ("file_name", "width", "height")}}


def _annotation(row: dict[str, object]) -> dict[str, object]:
    number, width, height = int(str(row["row"])) + 1, int(str(row["width"])), int(str(row["height"]))
    return {
        "id": number,
        "image_id": number,
        "category_id": int(str(row["label_index"])) + 1,
        "bbox": [0, 0, width, height],
        "area": width * height,
        "iscrowd": 0,
        "attributes": {name: row[name] for name in ("id", "source", "confidence", "certificate")},
    }
