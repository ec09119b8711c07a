"""FiftyOne's image classification dataset: images in data/, all labels with their confidence in labels.json."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from raylabel.reporting.formats.fragments import Draft, gather, leave, remove, write_list
from raylabel.reporting.formats.items import Labeled
from raylabel.workspace import Store

FILE = "labels.json"


def write_shard(place: Store, number: int, items: Iterator[Labeled], classes: tuple[str, ...]) -> int:
    """Write the images below data/, named by their rows, and leave what is to be said of them."""
    rows = []
    for item in items:
        key = f"{item.row:012d}"
        place.add(f"data/{key}{item.suffix}", item.image)
        told = {"label": item.facts["label_index"], "confidence": item.facts["confidence"]}
        told["attributes"] = {name: item.facts[name] for name in ("id", "source", "certificate")}
        rows.append((key, told))
    leave(place, number, rows)
    return len(rows)


def finish(place: Store, numbers: Sequence[int], classes: tuple[str, ...]) -> None:
    """Write labels.json: class names, and of each key its class's index, confidence and attributes."""
    with Draft(place, FILE) as file:
        file.write(f'{{"classes": {json.dumps(list(classes), ensure_ascii=False)},\n"labels": {{')
        told = gather(place, numbers)
        write_list(file, (f"{json.dumps(key)}: {json.dumps(found, ensure_ascii=False)}" for key, found in told))
        file.write("}}\n")
    remove(place, numbers)
