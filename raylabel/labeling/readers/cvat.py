"""CVAT's "for images" XML: an image's label is its tag; shapes are passed over."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import iterparse

from raylabel.errors import AnswersError


def read_annotations(source: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Images in order, each with its name and its tag; one without a tag is a question still open.

    Raises:
        AnswersError: no XML, a document type or entities, which no annotations need, or an image of several tags.

    Cost: one pass; memory of one image.
    """
    number = 0
    try:
        for _, element in iterparse(source, forbid_dtd=True):
            if element.tag != "image":
                continue
            number += 1
            tags = {str(tag.get("label")) for tag in element.iter("tag")}
            if len(tags) > 1:
                raise AnswersError(
                    f"{source}, image {number}: has the tags {' and '.join(sorted(tags))}; an image has one label"
                )
            yield number, {"file": str(element.get("name", "")), "label": next(iter(tags), "")}
            element.clear()
    except DefusedXmlException as error:
        raise AnswersError(f"{source}: holds a document type or entities, which are not read ({error})") from error
    except (ParseError, OSError, ValueError) as error:
        where = f"behind image {number}" if number else "at its start"
        raise AnswersError(f"{source}: no XML {where} ({error}); is the file cut off?") from error
    if not number:
        raise AnswersError(f'{source}: holds no image; expected what CVAT writes as "CVAT for images"')
