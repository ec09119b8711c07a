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
        AnswersError: no XML, a document type or entities, which no annotations need; an image of several tags, or a tag
            without a label.

    Cost: one pass; memory of one image, and of what stands before the first.
    """
    number, root = 0, None
    try:
        for event, element in iterparse(source, events=("start", "end"), forbid_dtd=True):
            root = element if root is None else root
            if event == "start" or element.tag != "image":
                continue
            number += 1
            tags = {tag.get("label", "") for tag in element.iter("tag")}
            if "" in tags:
                raise AnswersError(f"{source}, image {number}: has a tag without a label")
            if len(tags) > 1:
                raise AnswersError(
                    f"{source}, image {number}: has the tags {' and '.join(sorted(tags))}; an image has one label"
                )
            yield number, {"file": str(element.get("name", "")), "label": next(iter(tags), "")}
            root.clear()  # an image that was only cleared itself would stay in it, empty
    except DefusedXmlException as error:
        raise AnswersError(f"{source}: holds a document type or entities, which are not read ({error})") from error
    except (ParseError, OSError, ValueError) as error:
        where = f"behind image {number}" if number else "at its start"
        raise AnswersError(f"{source}: no XML {where} ({error}); is the file cut off?") from error
    if not number:
        raise AnswersError(f'{source}: holds no image; expected what CVAT writes as "CVAT for images"')
