"""A folder for each class, as torchvision's ImageFolder and many others read it."""

from __future__ import annotations

from collections.abc import Iterator

from raylabel.file_names import safe_name
from raylabel.reporting.formats.items import Labeled
from raylabel.workspace import Store


def write_shard(place: Store, number: int, items: Iterator[Labeled], classes: tuple[str, ...]) -> int:
    """Write each image below its class's folder, under its id."""
    count = 0
    for item in items:
        place.add(f"{safe_name(item.facts['label'])}/{item.file_name}", item.image)
        count += 1
    return count
