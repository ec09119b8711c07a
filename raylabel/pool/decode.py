"""From an image's bytes to uint8 pixels of one size, as a person would see them.

JPEGs go through libjpeg-turbo, shrunk while they are decoded if they are large; everything else through Pillow.
Headers are read before anything is decoded. docs/images.md says what becomes of each format.
Knows bytes and pixels; knows nothing of shards or models.
"""

from __future__ import annotations

import numpy as np
import simplejpeg
import torch
from numpy.typing import NDArray

from raylabel.config import Backbone
from raylabel.pool import orientation
from raylabel.pool.orientation import Orientation
from raylabel.pool.whole import Undecodable, check_size, open_header, show

_JPEG = b"\xff\xd8\xff"
_HARMLESS = (
    "extraneous bytes",
    "unknown JFIF revision",
    "Unknown Adobe color",
    "Invalid SOS",
    "Inconsistent progression",
)
"""What libjpeg warns of in files that are whole and that every viewer shows."""


def decode(data: bytes | None, backbone: Backbone, *, max_pixels: int) -> NDArray[np.uint8]:
    """Decode one image and resize it, with antialiasing.

    A JPEG whose shorter side is at least 2, 4 or 8 times the target's is decoded at 1/2, 1/4 or 1/8 of its size.

    Args:
        data: the encoded image: JPEG, PNG, WebP, GIF (first frame), BMP, TIFF or AVIF.
        backbone: its `image_size` and `fit` say how the picture is brought to size.
        max_pixels: width times height that is still decoded.

    Returns:
        (image_size, image_size, 3) uint8 RGB, C-contiguous, turned as its EXIF orientation says; transparency lies
        on white, 16-bit grey is scaled to 8.

    Raises:
        Undecodable: with a code; nothing is decoded before the header has been checked.

    Cost: of a JPEG, 4-8 ns a pixel as stored, 2-3 ns where it is shrunk, and the resize. Threads decode side by side.
    """
    if not data:
        raise Undecodable("empty", "no bytes")
    if data.startswith(_JPEG):
        try:
            height, width, colours, _ = simplejpeg.decode_jpeg_header(data)
        except ValueError:
            # Pillow reads some more of them, and says what is wrong with the others.
            return _other(data, backbone, max_pixels)
        if colours in ("YCbCr", "Gray", "RGB"):
            check_size(width, height, max_pixels)
            return _jpeg(data, (height, width), backbone, max_pixels)
    return _other(data, backbone, max_pixels)


def _jpeg(data: bytes, size: tuple[int, int], backbone: Backbone, max_pixels: int) -> NDArray[np.uint8]:
    height, width = size
    # Halves only: what libjpeg-turbo has no vector code for, as 3/8, takes longer than the next larger half.
    shrink = next((by for by in (8, 4, 2) if min(size) >= by * backbone.image_size), 1)
    try:
        pixels = simplejpeg.decode_jpeg(data, min_height=-(-height // shrink), min_width=-(-width // shrink))
    except ValueError as error:
        message = str(error)
        if any(text in message for text in _HARMLESS):
            return _other(data, backbone, max_pixels)
        raise Undecodable("cut" if "Premature end of JPEG file" in message else "decode_failed", message) from None
    return to_size(torch.from_numpy(pixels), orientation.of_jpeg(data), backbone)


def _other(data: bytes, backbone: Backbone, max_pixels: int) -> NDArray[np.uint8]:
    pixels = np.array(show(open_header(data, max_pixels)))
    return to_size(torch.from_numpy(pixels), Orientation(), backbone)


def to_size(pixels: torch.Tensor, turn: Orientation, backbone: Backbone) -> NDArray[np.uint8]:
    """Cut, resize and turn a picture; turning comes last, where it has the fewest pixels to move.

    Args:
        pixels: (H, W, 3) uint8 as stored, on the CPU or a GPU.
        turn: how it is shown.
        backbone: its `image_size` and `fit`.

    Returns:
        (image_size, image_size, 3) uint8, C-contiguous.
    """
    size = backbone.image_size
    if backbone.fit == "crop":
        # Cut to the square first: a 1 x 20000 strip must not become 224 x 4480000.
        top, left, side = turn.square(*pixels.shape[:2])
        pixels = pixels[top : top + side, left : left + side]
    height, width = pixels.shape[:2]
    if (height, width) != (size, size):
        # torch resizes uint8 fastest where each pixel's channels lie together and the batch has true strides; on a
        # GPU it resizes floating-point numbers only, whose weighted means stay within 0 to 255.
        batch = pixels.contiguous().view(1, height, width, 3).permute(0, 3, 1, 2)
        batch = batch.float() if batch.is_cuda else batch
        resized = torch.nn.functional.interpolate(batch, (size, size), mode="bilinear", antialias=True)
        pixels = (resized.round() if batch.is_cuda else resized).permute(0, 2, 3, 1)[0].to(torch.uint8)
    return np.ascontiguousarray(turn.turn(pixels.cpu().numpy()))
