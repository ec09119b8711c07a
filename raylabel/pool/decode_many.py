"""JPEGs decoded and resized in batches by a device of their own: nvJPEG, beside the CPU's decoders.

What does not suit the device, or what it refuses, is decoded one by one as `raylabel.pool.decode` does it.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import simplejpeg
import torch
from numpy.typing import NDArray
from torchvision.io import ImageReadMode, decode_jpeg

from raylabel.config import Backbone
from raylabel.pool import orientation
from raylabel.pool.decode import decode, to_size
from raylabel.pool.whole import Undecodable

_END = b"\xff\xd9"

# torchvision points to TorchCodec, whose packages do not cover every platform that raylabel runs on yet.
warnings.filterwarnings("ignore", message=".*TorchCodec.*")


def decode_many(
    images: Sequence[bytes | None], backbone: Backbone, *, max_pixels: int, device: str
) -> list[NDArray[np.uint8] | Undecodable]:
    """Decode a batch.

    Args:
        images: encoded images, of any format.
        backbone: its `image_size` and `fit` say how pictures are brought to size.
        max_pixels: width times height that is still decoded.
        device: "cuda"; "cpu" runs the same steps without one.

    Returns:
        For each image (image_size, image_size, 3) uint8 as `decode` gives it, to the rounding of another decoder, or
        the reason that there is none. JPEGs are not shrunk while they are decoded.

    Cost: device memory for all pictures of the batch at their own size.
    """
    suited = [number for number, data in enumerate(images) if _suits(data, max_pixels)]
    pixels = dict(zip(suited, _on_device([images[number] for number in suited], device), strict=False))
    found: list[NDArray[np.uint8] | Undecodable] = []
    for number, data in enumerate(images):
        try:
            if number in pixels:
                turn = orientation.of_jpeg(data or b"")
                found.append(to_size(pixels[number].permute(1, 2, 0), turn, backbone))
            else:
                found.append(decode(data, backbone, max_pixels=max_pixels))
        except Undecodable as error:
            found.append(error)
    return found


def _suits(data: bytes | None, max_pixels: int) -> bool:
    """Whether the device may have it: a whole JPEG of grey or colours, not too large."""
    if not data or not data.startswith(b"\xff\xd8\xff") or _END not in data[-64:]:
        return False
    try:
        height, width, colours, _ = simplejpeg.decode_jpeg_header(data)
    except ValueError:
        return False
    return colours in ("YCbCr", "Gray") and height * width <= max_pixels


def _on_device(images: Sequence[bytes | None], device: str) -> list[torch.Tensor]:
    """(3, H, W) uint8 of each; none where the device refuses one of them, for it does not say which."""
    if not images:
        return []
    encoded = [torch.frombuffer(bytearray(data or b""), dtype=torch.uint8) for data in images]
    try:
        return list(decode_jpeg(encoded, mode=ImageReadMode.RGB, device=device))
    except RuntimeError:
        return []
