"""From an image's bytes to uint8 pixels of one size, as a person would see them.

JPEGs go through libjpeg-turbo, shrunk while they are decoded if they are large; everything else through Pillow.
Headers are read before anything is decoded. docs/images.md says what becomes of each format.
Knows bytes and pixels; knows nothing of shards or models.
"""

from __future__ import annotations

import io
import warnings

import numpy as np
import simplejpeg
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps

from raylabel.config import Backbone
from raylabel.pool import orientation
from raylabel.pool.orientation import Orientation

_JPEG = b"\xff\xd8\xff"
_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")
"""What Pillow may open; never the formats that start programs of their own, as EPS does."""

_HARMLESS = (
    "extraneous bytes",
    "unknown JFIF revision",
    "Unknown Adobe color",
    "Invalid SOS",
    "Inconsistent progression",
)
"""What libjpeg warns of in files that are whole and that every viewer shows."""

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
            _check_size(width, height, max_pixels)
            return _jpeg(data, (height, width), backbone, max_pixels)
    return _other(data, backbone, max_pixels)


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
    header = _opened(data, max_pixels)
    if least is not None:
        header.draft("RGB", (least, least))
    return _shown(header)


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


def _flat(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16") or image.mode == "I":
        grey = np.asarray(image, dtype=np.float64)
        return Image.fromarray(np.round(grey.clip(0, 65535) / 257).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, rgba).convert("RGB")
    return image.convert("RGB")


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
    pixels = np.array(_shown(_opened(data, max_pixels)))
    return to_size(torch.from_numpy(pixels), Orientation(), backbone)


def _opened(data: bytes, max_pixels: int) -> Image.Image:
    """The header, as Pillow reads it."""
    try:
        header = Image.open(io.BytesIO(data), formats=_FORMATS)
    except Image.DecompressionBombError as error:
        raise Undecodable("too_large", str(error)) from None
    except Exception as error:  # noqa: BLE001 - what a parser raises on hostile bytes is nowhere documented
        raise Undecodable("not_an_image", f"starts with {bytes(data[:16])!r} ({type(error).__name__})") from None
    _check_size(*header.size, max_pixels)
    return header


def _shown(header: Image.Image) -> Image.Image:
    """The pixels, as `to_rgb` gives them."""
    try:
        return to_rgb(header)
    except Undecodable:
        raise
    except Exception as error:  # noqa: BLE001 - as above: AVIF raises RuntimeError, PNG SyntaxError
        text = str(error).partition("\n")[0] or type(error).__name__
        code = "cut" if "truncated" in text.lower() or "incomplete" in text.lower() else "decode_failed"
        raise Undecodable(code, text) from None


def _check_size(width: int, height: int, max_pixels: int) -> None:
    if width * height > max_pixels:
        raise Undecodable("too_large", f"{width} x {height} pixels, {max_pixels} are allowed (pool.max_pixels)")


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
