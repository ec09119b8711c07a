"""Which way up a picture is: read from a JPEG's EXIF, applied to arrays of pixels.

Knows bytes and arrays; knows nothing of decoders.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_EXIF = b"Exif\0\0"
_TAG = 0x0112
_SHORT = 3
_APP1, _END_OF_IMAGE, _START_OF_SCAN, _FILL = 0xE1, 0xD9, 0xDA, 0xFF


@dataclass(frozen=True)
class Orientation:
    """How a picture as stored becomes a picture as shown: transposed first, then mirrored.

    Attributes:
        transposed: rows and columns change places.
        rows_mirrored: then the first row becomes the last.
        columns_mirrored: then the first column becomes the last.
    """

    transposed: bool = False
    rows_mirrored: bool = False
    columns_mirrored: bool = False

    def turn(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The picture as shown: a view of (H, W, ...) pixels as stored."""
        if self.transposed:
            pixels = pixels.swapaxes(0, 1)
        return pixels[:: -1 if self.rows_mirrored else 1, :: -1 if self.columns_mirrored else 1]

    def square(self, height: int, width: int) -> tuple[int, int, int]:
        """Where the middle square of the picture as shown lies in the picture as stored.

        An odd pixel too many stays at the end of the picture as shown, so it may be the stored picture's first.

        Returns:
            top, left and side.
        """
        side = min(height, width)
        mirrored = (self.rows_mirrored, self.columns_mirrored)
        if self.transposed:
            mirrored = mirrored[::-1]
        top, left = ((over + flip) // 2 for over, flip in zip((height - side, width - side), mirrored, strict=True))
        return top, left, side


_AS_STORED = Orientation()
_BY_VALUE = {
    2: Orientation(columns_mirrored=True),
    3: Orientation(rows_mirrored=True, columns_mirrored=True),
    4: Orientation(rows_mirrored=True),
    5: Orientation(transposed=True),
    6: Orientation(transposed=True, columns_mirrored=True),
    7: Orientation(transposed=True, rows_mirrored=True, columns_mirrored=True),
    8: Orientation(transposed=True, rows_mirrored=True),
}


def of_jpeg(data: bytes) -> Orientation:
    """Which way up a JPEG is; as stored if it does not say so, or not in a way that can be read.

    Cost: some microseconds; segments before the first scan are skipped from one to the next.
    """
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == _FILL:
            at += 1
            continue
        if marker in (_START_OF_SCAN, _END_OF_IMAGE):
            break
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if marker == _APP1 and data.startswith(_EXIF, at + 4):
            return of_exif(data[at + 4 : end])
        at = end
    return _AS_STORED


def of_exif(exif: bytes) -> Orientation:
    """Which way up a picture with this EXIF block is; as stored if the block does not say so or is broken."""
    tiff = exif.removeprefix(_EXIF)
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    if order is None:
        return _AS_STORED
    try:
        (start,) = struct.unpack_from(f"{order}I", tiff, 4)
        (count,) = struct.unpack_from(f"{order}H", tiff, start)
        for number in range(count):
            tag, kind, _, value = struct.unpack_from(f"{order}HHIH", tiff, start + 2 + 12 * number)
            if tag == _TAG:
                return _BY_VALUE.get(value, _AS_STORED) if kind == _SHORT else _AS_STORED
    except struct.error:
        # Cut or scrambled: viewers show such a picture as it is stored.
        return _AS_STORED
    return _AS_STORED
