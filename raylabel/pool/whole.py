"""Whole pictures, as a person sees them: upright, 8 bits a channel, transparency on white; by Pillow.

Headers are read before anything is decoded. Knows bytes and pixels, and needs no torch; knows nothing of shards.
"""

from __future__ import annotations

import io
import warnings

import numpy as np
from PIL import Image, ImageOps

from raylabel.pool import orientation

_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")
"""What Pillow may open; never the formats that start programs of their own, as EPS does."""

# max_pixels decides. catch_warnings around every image would cost more than the header, and is not thread-safe.
warnings.simplefilter("ignore", Image.DecompressionBombWarning)


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


def decode_whole(data: bytes | None, *, max_pixels: int, least: int | None = None) -> Image.Image:
    """Decode one image whole, as a person sees it.

    Args:
        data: as in `decode`.
        max_pixels: as in `decode`.
        least: a JPEG may be shrunk while it is decoded, to no less than so many pixels a side.

    Raises:
        Undecodable: as `decode`.
    """
    if not data:
        raise Undecodable("empty", "no bytes")
    header = open_header(data, max_pixels)
    if least is not None:
        header.draft("RGB", (least, least))
    return show(header)


def to_rgb(image: Image.Image) -> Image.Image:
    """A picture as a person sees it, and as `decode` sees it: upright, 8 bits a channel, transparency on white.

    Raises:
        Undecodable: pixels that are floating-point numbers; nothing says which of them is white.
        OSError, ValueError and others: as Pillow does for what is broken.
    """
    if image.mode == "F":
        raise Undecodable("decode_failed", "floating-point pixels: store them as 8 or 16 bits")
    image.load()  # a PNG may tell its orientation behind its pixels
    # MPO is what Pillow calls a JPEG with further pictures behind the first.
    exif = image.info.get("exif", b"" if image.format in ("JPEG", "MPO") else None)
    if exif is None:
        # TIFF has tags of its own, old PNGs have EXIF as text.
        return _flat(ImageOps.exif_transpose(image))
    # Not Pillow's reading of EXIF: it raises on broken blocks, and for JPEGs `decode` must not wait for it.
    return Image.fromarray(np.ascontiguousarray(orientation.of_exif(exif).turn(np.asarray(_flat(image)))))


def open_header(data: bytes, max_pixels: int) -> Image.Image:
    """Read the header of an image, with Pillow.

    Raises:
        Undecodable: it is no image, or has too many pixels.
    """
    try:
        header = Image.open(io.BytesIO(data), formats=_FORMATS)
    except Image.DecompressionBombError as error:
        raise Undecodable("too_large", str(error)) from None
    except Exception as error:  # noqa: BLE001 - what a parser raises on hostile bytes is nowhere documented
        raise Undecodable("not_an_image", f"starts with {bytes(data[:16])!r} ({type(error).__name__})") from None
    check_size(*header.size, max_pixels)
    return header


def show(header: Image.Image) -> Image.Image:
    """Decode an image whose header was read, as `to_rgb` does.

    Raises:
        Undecodable: it cannot be; nothing else is raised.
    """
    try:
        return to_rgb(header)
    except Undecodable:
        raise
    except Exception as error:  # noqa: BLE001 - as above: AVIF raises RuntimeError, PNG SyntaxError
        text = str(error).partition("\n")[0] or type(error).__name__
        code = "cut" if "truncated" in text.lower() or "incomplete" in text.lower() else "decode_failed"
        raise Undecodable(code, text) from None


def check_size(width: int, height: int, max_pixels: int) -> None:
    """Refuse an image with too many pixels.

    Raises:
        Undecodable: it has.
    """
    if width * height > max_pixels:
        raise Undecodable("too_large", f"{width} x {height} pixels, {max_pixels} are allowed (pool.max_pixels)")


def _flat(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16") or image.mode == "I":
        grey = np.asarray(image, dtype=np.float64)
        return Image.fromarray(np.round(grey.clip(0, 65535) / 257).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, rgba).convert("RGB")
    return image.convert("RGB")
