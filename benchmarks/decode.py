"""Bytes to pixels on one thread: raylabel's decoder beside a bare torchvision loop, Pillow and simplejpeg.

TrashNet's photos at their own size (512 x 384, JPEG quality 75), and the same photos enlarged and stored again, because
larger ones are not at hand. All decoders give the middle square as 224 x 224 uint8. They take turns on every few
photos, so that other work on the machine disturbs all alike; what is timed is processor time.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from statistics import median

import numpy as np
import pyarrow.parquet as pq
import simplejpeg
import torch
from numpy.typing import NDArray
from PIL import Image
from record import Outcome, arguments, finish, real_data
from torchvision.io import ImageReadMode, decode_jpeg
from torchvision.transforms.v2 import functional as transforms

from raylabel.config import Backbone
from raylabel.pool.decode import decode

TARGET = 224
OWN = (512, 384)
LIMITS = {OWN: 0.95, (640, 480): 1.4, (1024, 768): 1.4, (2048, 1536): 1.4}
"""Sizes of the photos, and the least that raylabel's speed may be of the bare torchvision loop's."""
REPEATS = 5
TURN = 10
"""Photos that one decoder gets before it is the next one's turn."""
LARGEST_ERROR = 2.0
"""Mean difference, in levels of 255, from the whole picture resized by Pillow."""
BACKBONE = Backbone(image_size=TARGET)
REFERENCE, BASE, OURS = "Pillow", "torchvision loop", "raylabel"

Pixels = NDArray[np.uint8]


def with_raylabel(data: bytes) -> Pixels:
    """What the pipeline calls for each item."""
    return decode(data, BACKBONE, max_pixels=50_000_000)


def with_torchvision(data: bytes) -> Pixels:
    """The shortest loop body that does the same; it asks for no EXIF and never shrinks."""
    pixels = decode_jpeg(torch.frombuffer(bytearray(data), dtype=torch.uint8), mode=ImageReadMode.RGB)
    return _square(pixels)


def with_simplejpeg(data: bytes) -> Pixels:
    """libjpeg-turbo through simplejpeg, whole, and torchvision's resize."""
    return _square(torch.from_numpy(simplejpeg.decode_jpeg(data)).permute(2, 0, 1))


def with_pillow(data: bytes) -> Pixels:
    """Pillow, whole."""
    return _pillow_square(Image.open(io.BytesIO(data)))


def with_draft(data: bytes) -> Pixels:
    """Pillow's draft mode, which shrinks while decoding."""
    image = Image.open(io.BytesIO(data))
    image.draft("RGB", (TARGET, TARGET))
    return _pillow_square(image)


DECODERS: dict[str, Callable[[bytes], Pixels]] = {
    BASE: with_torchvision,
    OURS: with_raylabel,
    "simplejpeg": with_simplejpeg,
    REFERENCE: with_pillow,
    "Pillow, draft": with_draft,
}


def _square(pixels: torch.Tensor) -> Pixels:
    side = min(pixels.shape[1:])
    square = transforms.center_crop(pixels, [side, side])
    found: Pixels = transforms.resize(square, [TARGET, TARGET], antialias=True).permute(1, 2, 0).numpy()
    return found


def _pillow_square(image: Image.Image) -> Pixels:
    side = min(image.size)
    left, top = ((over - side) // 2 for over in image.size)
    box = (left, top, left + side, top + side)
    return np.asarray(image.convert("RGB").resize((TARGET, TARGET), Image.Resampling.BILINEAR, box=box))


def photos(count: int) -> list[bytes]:
    """The first photos of TrashNet's first file."""
    file = pq.ParquetFile(real_data() / "trashnet" / "part-000.parquet")
    found: list[bytes] = next(file.iter_batches(batch_size=count, columns=["image"])).column("image").to_pylist()
    return found


def enlarge(photo: bytes, size: tuple[int, int]) -> bytes:
    """The photo, enlarged, as a JPEG of quality 85."""
    sink = io.BytesIO()
    Image.open(io.BytesIO(photo)).resize(size, Image.Resampling.BICUBIC).save(sink, "JPEG", quality=85)
    return sink.getvalue()


def measure(images: list[bytes], repeats: int) -> tuple[dict[str, list[float]], dict[str, float]]:
    """Seconds of processor time for all images, once for each repeat; and the mean difference from the reference."""
    apart = dict.fromkeys(DECODERS, 0.0)
    for data in images:
        expected = DECODERS[REFERENCE](data).astype(np.int16)
        for name, function in DECODERS.items():
            apart[name] += float(np.abs(function(data) - expected).mean()) / len(images)
    seconds: dict[str, list[float]] = {name: [] for name in DECODERS}
    for _ in range(repeats):
        spent = dict.fromkeys(DECODERS, 0.0)
        for start in range(0, len(images), TURN):
            for name, function in DECODERS.items():
                began = time.process_time()
                for data in images[start : start + TURN]:
                    function(data)
                spent[name] += time.process_time() - began
        for name, total in spent.items():
            seconds[name].append(total)
    return seconds, apart


def main() -> None:
    """Measure every size with every decoder and print the ratios to the bare torchvision loop."""
    options = arguments(__doc__ or "")
    torch.set_num_threads(1)
    count, every, repeats = (20, 2, 2) if options.quick else (300, 5, REPEATS)
    own = photos(count)
    outcome = Outcome("decode", ("photos", "decoder", "images/s", f"/ {BASE}", "mean difference"))
    for size, limit in LIMITS.items():
        images = own if size == OWN else [enlarge(photo, size) for photo in own[::every]]
        seconds, apart = measure(images, repeats)
        where = f"{size[0]} x {size[1]}"
        for name in DECODERS:
            ratio = median(base / mine for base, mine in zip(seconds[BASE], seconds[name], strict=True))
            rate = len(images) / median(seconds[name])
            outcome.rows.append((where, name, f"{rate:,.0f}", f"{ratio:.2f}", f"{apart[name]:.2f}"))
            outcome.peers[f"{where}, {name}"] = round(rate)
            if apart[name] > LARGEST_ERROR:
                raise SystemExit(f"{name} shows another picture: {outcome.rows[-1]}")
            if name == OURS:
                outcome.ratios[where], outcome.limits[where] = round(ratio, 3), limit
    outcome.notes = [
        f"{count} photos at their own size, one in {every} enlarged; one thread; median of {repeats}.",
        f"Asked of {OURS} / {BASE}: "
        + ", ".join(f"{limit} at {where}" for where, limit in outcome.limits.items())
        + (": held." if all(outcome.ratios[name] >= limit for name, limit in outcome.limits.items()) else ": MISSED."),
        f"Mean difference: of 255 levels, from the whole picture resized by Pillow; {LARGEST_ERROR} are allowed.",
    ]
    finish(outcome, save=options.save)


if __name__ == "__main__":
    main()
