"""From an image's bytes to uint8 pixels of one size, as a person would see them.

JPEGs go through torchvision, everything else through Pillow; the header is read before anything is decoded.
Knows bytes and pixels; knows nothing of shards or models.
"""

from __future__ import annotations

import io
import warnings

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torchvision.io import ImageReadMode, decode_jpeg
from torchvision.transforms.v2 import functional as transforms

from raylabel.config import Backbone

_OTHER_FORMATS = ("PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")
"""What Pillow may open beside JPEG; never the formats that start programs of their own, as EPS does."""


class Undecodable(Exception):
    """An image that cannot be turned into pixels.

    Args:
        code: empty, not_an_image, too_large, cut or decode_failed.
        message: what was found.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message

    def __reduce__(self) -> tuple[type[Undecodable], tuple[str, str]]:
        """Travel between processes whole."""
        return Undecodable, (self.code, self.message)


def decode(data: bytes | None, backbone: Backbone, *, max_pixels: int) -> NDArray[np.uint8]:
    """Decode one image and resize it.

    Args:
        data: the encoded image: JPEG, PNG, WebP, GIF (first frame), BMP, TIFF or AVIF.
        backbone: its `image_size` and `fit` say how the picture is brought to size.
        max_pixels: width times height that is still decoded.

    Returns:
        (3, image_size, image_size) uint8 RGB, turned as its EXIF orientation says; transparency lies on white,
        16-bit grey is scaled to 8.

    Raises:
        Undecodable: with a code; nothing is decoded before the header has been checked.
    """
    if not data:
        raise Undecodable("empty", "no bytes")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            header = Image.open(io.BytesIO(data), formats=("JPEG", *_OTHER_FORMATS))
    except Image.DecompressionBombError as error:
        raise Undecodable("too_large", str(error)) from None
    except Exception as error:  # noqa: BLE001 - what a parser raises on hostile bytes is nowhere documented
        start = bytes(data[:16])
        raise Undecodable("not_an_image", f"starts with {start!r} ({type(error).__name__})") from None
    width, height = header.size
    if width * height > max_pixels:
        raise Undecodable("too_large", f"{width} x {height} pixels, {max_pixels} are allowed (pool.max_pixels)")
    try:
        if header.format == "JPEG" and header.mode in ("RGB", "L"):
            # A private copy: torch wants a writable buffer.
            pixels = decode_jpeg(
                torch.frombuffer(bytearray(data), dtype=torch.uint8),
                mode=ImageReadMode.RGB,
                apply_exif_orientation=True,
            )
        else:
            pixels = torch.from_numpy(np.array(to_rgb(header))).permute(2, 0, 1)
        return np.ascontiguousarray(_to_size(pixels, backbone).numpy())
    except Exception as error:  # noqa: BLE001 - as above: AVIF raises RuntimeError, WebP's EXIF struct.error
        text = str(error).partition("\n")[0] or type(error).__name__
        code = "cut" if "truncated" in text.lower() or "incomplete" in text.lower() else "decode_failed"
        raise Undecodable(code, text) from None


def to_rgb(image: Image.Image) -> Image.Image:
    """A picture as a person sees it: upright, 8 bits a channel, transparency on white."""
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I;16") or image.mode == "I":
        grey = np.asarray(image, dtype=np.float64)
        return Image.fromarray(np.round(grey.clip(0, 65535) / 257).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, rgba).convert("RGB")
    return image.convert("RGB")


def _to_size(pixels: torch.Tensor, backbone: Backbone) -> torch.Tensor:
    size = backbone.image_size
    height, width = pixels.shape[1:]
    if (height, width) == (size, size):
        return pixels
    if backbone.fit == "squash":
        squashed: torch.Tensor = transforms.resize(pixels, [size, size], antialias=True)
        return squashed
    # Cut to the square first: a 1 x 20000 strip must not become 224 x 4480000.
    side = min(height, width)
    square: torch.Tensor = transforms.resize(transforms.center_crop(pixels, [side, side]), [size, size], antialias=True)
    return square
