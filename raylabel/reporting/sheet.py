"""A contact sheet: lines of thumbnails with captions beneath, as one picture.

Knows pixels and text; knows nothing of items, pools or indexes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from raylabel.errors import ConfigError

SIDE = 112
"""Pixels a side of a thumbnail."""

MAX_LINES = 100
MAX_COLUMNS = 33
"""Of a sheet: so many stay below what a JPEG can hold (65,535 pixels a side) and 190 MB of memory."""

SUFFIXES = (".png", ".jpg", ".jpeg")

_GAP = 8
_LEAD_GAP = 24
_TEXT_LINES = 2
_TEXT_HEIGHT = 13
_TEXT_SIZE = 10
_LINE_HEIGHT = SIDE + _TEXT_LINES * _TEXT_HEIGHT + 2 * _GAP
_WHITE, _BLACK, _GREY = (255, 255, 255), (0, 0, 0), (224, 224, 224)


@dataclass(frozen=True, eq=False)
class Cell:
    """One thumbnail.

    Args:
        picture: (SIDE, SIDE, 3) uint8 RGB, or in words why there is none.
        captions: beneath it, at most two; what does not fit loses its middle.
    """

    picture: NDArray[np.uint8] | str
    captions: tuple[str, ...]


def place(line: int, column: int) -> tuple[int, int]:
    """Left and top pixel of a thumbnail: the first of each line stands apart from the others."""
    return _GAP + column * (SIDE + _GAP) + (_LEAD_GAP if column else 0), _GAP + line * _LINE_HEIGHT


def check_target(target: Path) -> None:
    """Refuse a file that no sheet can be written to.

    Raises:
        ConfigError: the name ends in something else, or its folder is not there.
    """
    if target.suffix.lower() not in SUFFIXES:
        raise ConfigError(f"{target}: expected a name that ends in .png, .jpg or .jpeg")
    if not target.parent.is_dir():
        raise ConfigError(f"{target}: there is no folder {target.parent}; make it or choose another")


def draw(lines: Sequence[Sequence[Cell]]) -> Image.Image:
    """Draw a sheet.

    Args:
        lines: at most `MAX_LINES` of at most `MAX_COLUMNS` cells.

    Returns:
        The sheet, RGB on white; `place` says where each thumbnail lies in it.
    """
    columns = max((len(line) for line in lines), default=0)
    assert len(lines) <= MAX_LINES and columns <= MAX_COLUMNS, "whoever asks for more says what is left out"
    sheet = Image.new("RGB", place(len(lines), columns), _WHITE)
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(_TEXT_SIZE)
    for number, line in enumerate(lines):
        for column, cell in enumerate(line):
            left, top = place(number, column)
            if isinstance(cell.picture, str):
                pen.rectangle((left, top, left + SIDE - 1, top + SIDE - 1), fill=_GREY)
                pen.text((left + 4, top + SIDE // 2 - 6), fitted(cell.picture, font, SIDE - 8), _BLACK, font=font)
            else:
                sheet.paste(Image.fromarray(cell.picture), (left, top))
            for row, caption in enumerate(cell.captions):
                at = (left, top + SIDE + 2 + row * _TEXT_HEIGHT)
                pen.text(at, fitted(caption, font, SIDE), _BLACK, font=font)
    return sheet


def write(lines: Sequence[Sequence[Cell]], target: Path) -> dict[str, Any]:
    """Draw a sheet and write it as .png or .jpg.

    Returns:
        Facts: `file` and `num_lines`.

    Raises:
        ConfigError: the file cannot be written.
    """
    try:
        draw(lines).save(target, quality=90)
    except OSError as error:
        raise ConfigError(f"{target}: cannot be written ({error.strerror or error}); choose another place") from error
    return {"file": str(target), "num_lines": len(lines)}


def fitted(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    """A text that is no wider than so many pixels: its middle gives way, as the ends of paths tell them apart."""
    text = text.replace("\n", " ")
    if font.getlength(text) <= width:
        return text
    kept = len(text) - 1
    while kept > 1 and font.getlength(_shortened(text, kept)) > width:
        kept -= 1
    return _shortened(text, kept)


def _shortened(text: str, kept: int) -> str:
    """The text with so many of its characters, a third of them from its start."""
    head = kept // 3
    return f"{text[:head]}...{text[len(text) - (kept - head) :]}"
