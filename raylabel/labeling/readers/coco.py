"""COCO annotations: an image's label is the category of its annotation; boxes and masks are passed over."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from raylabel.errors import AnswersError
from raylabel.labeling.readers.streamed import values_of


def read_annotations(source: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Annotations in order, each with the file name of its image and the name of its category.

    Raises:
        AnswersError: no COCO, an image or category that is not there, or another category for the same image.

    Cost: three passes; memory of the images' names.
    """
    categories = {}
    for number, found in values_of(source, "categories.item", unit="category"):
        categories[_of(found, "id", source, f"category {number}")] = _of(found, "name", source, f"category {number}")
    files = {}
    for number, found in values_of(source, "images.item", unit="image"):
        files[_of(found, "id", source, f"image {number}")] = _of(found, "file_name", source, f"image {number}")
    if not categories or not files:
        raise AnswersError(f"{source}: expected COCO with images, annotations and categories")
    for number, found in values_of(source, "annotations.item", unit="annotation"):
        where = f"annotation {number}"
        image, category = (_of(found, name, source, where) for name in ("image_id", "category_id"))
        for value, known, name in ((image, files, "image_id"), (category, categories, "category_id")):
            if value not in known:
                raise AnswersError(f"{source}, {where}: {name} {value!r} is not among the {len(known):,} there are")
        yield number, {"file": files[image], "label": categories[category]}


def _of(found: Any, name: str, source: Path, where: str) -> Any:
    if not isinstance(found, dict) or not isinstance(found.get(name), (str, int)):
        raise AnswersError(f"{source}, {where}: expected an object with {name}")
    return found[name]
