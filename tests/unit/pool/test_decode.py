import io
import pickle
import struct
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps
from torchvision.transforms import v2

from raylabel.config import Backbone
from raylabel.pool.decode import decode
from raylabel.pool.whole import Undecodable, to_rgb

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")

SIZE = 8
SQUASH, CROP = Backbone(image_size=SIZE, fit="squash"), Backbone(image_size=SIZE, fit="crop")
RED, GREEN, BLUE, GREY = (200, 30, 40), (20, 180, 60), (30, 50, 220), (90, 90, 90)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    sink = io.BytesIO()
    image.save(sink, kind, **options)
    return sink.getvalue()


def pixels(data: bytes | None, backbone: Backbone = SQUASH, max_pixels: int = 50_000_000) -> np.ndarray:
    found = decode(data, backbone, max_pixels=max_pixels)
    assert (found.shape, found.dtype) == ((backbone.image_size, backbone.image_size, 3), np.uint8)
    assert found.flags.c_contiguous and found.flags.writeable
    return found


def png_chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def is_flat(found: np.ndarray, colour: tuple[int, int, int], within: int = 0) -> bool:
    return bool((np.abs(found.astype(int) - np.array(colour)) <= within).all())


def quarters(size: int = 32, colours: tuple = (RED, GREEN, BLUE, GREY)) -> Image.Image:
    """A picture whose corners, read like a page, have these colours."""
    image, half = Image.new("RGB", (size, size)), size // 2
    for colour, corner in zip(colours, [(0, 0), (half, 0), (0, half), (half, half)], strict=True):
        image.paste(colour, (*corner, corner[0] + half, corner[1] + half))
    return image


def corners(found: np.ndarray) -> list[tuple[int, ...]]:
    """The colours in the corners of what was decoded, rounded to the palette of `quarters`."""
    palette = [RED, GREEN, BLUE, GREY]
    spots = [found[y, x].astype(int) for y in (1, -2) for x in (1, -2)]
    return [min(palette, key=lambda colour: np.abs(spot - np.array(colour)).sum()) for spot in spots]


def refusal(data: bytes | None, max_pixels: int = 50_000_000) -> Undecodable:
    with pytest.raises(Undecodable) as caught:
        decode(data, SQUASH, max_pixels=max_pixels)
    return caught.value


# --- formats and modes -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "within"), [("JPEG", 3), ("PNG", 0), ("BMP", 0), ("TIFF", 0), ("GIF", 0), ("WEBP", 4), ("AVIF", 4)]
)
def test_every_format_gives_the_colour_that_was_painted(kind, within):
    data = encoded(Image.new("RGB", (24, 17), RED), kind)
    for backbone in (SQUASH, CROP):
        assert is_flat(pixels(data, backbone), RED, within)


@pytest.mark.parametrize(
    ("mode", "value", "kind", "colour", "within"),
    [
        ("L", 77, "PNG", (77, 77, 77), 0),
        ("L", 77, "JPEG", (77, 77, 77), 1),
        ("1", 1, "PNG", (255, 255, 255), 0),
        ("1", 0, "TIFF", (0, 0, 0), 0),
        ("CMYK", (0, 255, 255, 0), "JPEG", (255, 0, 0), 3),
        ("CMYK", (255, 0, 255, 0), "JPEG", (0, 255, 0), 3),
        ("CMYK", (0, 0, 0, 255), "JPEG", (0, 0, 0), 3),
        ("CMYK", (0, 0, 0, 0), "TIFF", (255, 255, 255), 0),
        ("RGBA", (*RED, 255), "PNG", RED, 0),
        ("RGBA", (*RED, 0), "PNG", (255, 255, 255), 0),
        ("RGBA", (0, 0, 255, 51), "PNG", (204, 204, 255), 1),
        ("LA", (0, 51), "PNG", (204, 204, 204), 1),
        ("RGBA", (*RED, 0), "WEBP", (255, 255, 255), 0),
    ],
)
def test_modes_become_rgb_on_white(mode, value, kind, colour, within):
    assert is_flat(pixels(encoded(Image.new(mode, (16, 16), value), kind)), colour, within)


def test_sixteen_bit_grey_is_scaled_not_clipped():
    for value, expected in [(65_535, 255), (0, 0), (25_700, 100), (300, 1), (32_768, 128)]:
        grey = Image.fromarray(np.full((16, 16), value, dtype=np.uint16))
        assert is_flat(pixels(encoded(grey, "PNG")), (expected,) * 3)
        assert is_flat(pixels(encoded(grey, "TIFF")), (expected,) * 3)


def test_a_palette_with_alpha_lies_on_white():
    image = Image.new("P", (16, 16), 1)
    image.putpalette([0, 0, 0, *RED, *BLUE])
    image.paste(2, (8, 0, 16, 16))
    found = pixels(encoded(image, "PNG", transparency=1))
    assert is_flat(found[:, :3], (255, 255, 255)), "the transparent entry, not its hidden red"
    assert is_flat(found[:, 5:], BLUE)
    some = pixels(encoded(image, "PNG", transparency=bytes([255, 51, 255])))
    assert is_flat(some[:, :3], tuple(round(255 + (c - 255) * 0.2) for c in RED), 1)


def test_an_animation_is_its_first_frame():
    frames = [Image.new("RGB", (16, 16), colour) for colour in (RED, GREEN, BLUE)]
    for kind, within in (("GIF", 0), ("WEBP", 4), ("PNG", 0)):
        data = encoded(frames[0], kind, save_all=True, append_images=frames[1:], duration=100)
        assert getattr(Image.open(io.BytesIO(data)), "n_frames", 1) == 3
        assert is_flat(pixels(data), RED, within)


def test_a_transparent_gif_lies_on_white():
    image = Image.new("P", (16, 16), 0)
    image.putpalette([*RED, *BLUE])
    assert is_flat(pixels(encoded(image, "GIF", transparency=0)), (255, 255, 255))


AS_SHOWN = {
    1: (RED, GREEN, BLUE, GREY),
    2: (GREEN, RED, GREY, BLUE),
    3: (GREY, BLUE, GREEN, RED),
    4: (BLUE, GREY, RED, GREEN),
    5: (RED, BLUE, GREEN, GREY),
    6: (BLUE, RED, GREY, GREEN),
    7: (GREY, GREEN, BLUE, RED),
    8: (GREEN, GREY, RED, BLUE),
}
"""The corners a viewer shows for each EXIF orientation, of a picture stored as RED GREEN / BLUE GREY."""


@pytest.mark.parametrize("orientation", AS_SHOWN)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_pictures_are_turned_as_their_exif_says(kind, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    found = pixels(encoded(quarters(), kind, exif=exif))
    assert corners(found) == list(AS_SHOWN[orientation])


def test_a_picture_is_turned_before_it_is_brought_to_size():
    exif = Image.Exif()
    exif[0x0112] = 6
    wide = Image.new("RGB", (64, 16), GREY)
    wide.paste(RED, (0, 0, 16, 16))
    for kind in ("JPEG", "PNG"):
        cut = pixels(encoded(wide, kind, exif=exif), CROP)
        assert is_flat(cut, GREY, 6), "turned it is 16 x 64; its middle 16 x 16 holds no red"
        bent = pixels(encoded(wide, kind, exif=exif), SQUASH)
        assert is_flat(bent[:1], RED, 12) and is_flat(bent[4:], GREY, 6), "red is above"


# --- size ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backbone", [SQUASH, CROP])
def test_one_pixel_fills_the_picture(backbone):
    assert is_flat(pixels(encoded(Image.new("RGB", (1, 1), RED), "PNG"), backbone), RED)


@pytest.mark.parametrize("size", [(1, 20_000), (20_000, 1)])
@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_a_strip_is_cut_or_bent_without_being_blown_up(size, kind):
    strip = Image.new("RGB", size, BLUE)
    middle = tuple(n // 2 for n in size)
    strip.paste(GREEN, (*(max(0, m - 50) for m in middle), *(m + 50 for m in middle)))
    data = encoded(strip, kind, **({"quality": 98, "subsampling": 0} if kind == "JPEG" else {}))
    big = Backbone(image_size=224)
    assert is_flat(pixels(data, big), GREEN, 3), "the middle pixel"
    bent = pixels(data, Backbone(image_size=224, fit="squash"))
    ends = bent[:50] if size[1] > 1 else bent[:, :50]
    assert is_flat(ends, BLUE, 3)


def test_a_picture_of_the_right_size_is_left_as_it_is():
    noise = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
    found = pixels(encoded(Image.fromarray(noise), "PNG"))
    assert np.array_equal(found, noise)


def test_crop_keeps_the_middle_of_the_longer_side():
    image = Image.new("RGB", (32, 16), RED)
    image.paste(GREEN, (8, 0, 24, 16))
    assert is_flat(pixels(encoded(image, "PNG"), CROP), GREEN)
    assert is_flat(pixels(encoded(image.rotate(90, expand=True), "PNG"), CROP), GREEN)
    bent = pixels(encoded(image, "PNG"), SQUASH)
    assert is_flat(bent[:, :1], RED) and is_flat(bent[:, 3:5], GREEN) and is_flat(bent[:, -1:], RED)


def test_squash_of_pixels_in_pairs_by_hand():
    columns = np.array([0, 100, 0, 100, 200, 200, 40, 40], dtype=np.uint8)
    image = Image.fromarray(np.broadcast_to(columns[None, :, None], (8, 8, 3)).copy())
    found = pixels(encoded(image, "PNG"), Backbone(image_size=4, fit="squash"))
    assert (found == found[:1, :, :1]).all(), "rows and channels are alike"
    # An antialiased halving weighs 4 pixels by 1 3 3 1; at the border what is left of the weights counts.
    by_hand = [(3 * 0 + 3 * 100 + 1 * 0) / 7, (100 + 0 + 300 + 200) / 8, (100 + 600 + 600 + 40) / 8, (200 + 240) / 7]
    assert np.abs(found[0, :, 0].astype(float) - by_hand).max() <= 1


@pytest.fixture(scope="module")
def photos(data) -> list[bytes]:
    table = pq.ParquetFile(data / "trashnet" / "part-000.parquet").read_row_group(0, columns=["image"])
    return table.column("image").to_pylist()


@pytest.mark.parametrize(("kind", "size", "within"), [("JPEG", 200, 1), ("PNG", 64, 1)])
def test_resizing_agrees_with_torchvisions_own_transforms(photos, kind, size, within):
    for photo in photos[:4]:
        image = Image.open(io.BytesIO(photo)).convert("RGB")
        data = photo if kind == "JPEG" else encoded(image, "PNG", compress_level=1)
        tensor = v2.functional.to_dtype(v2.functional.pil_to_tensor(image), torch.float32)
        squashed = v2.Resize([size, size], antialias=True)(tensor).round().permute(1, 2, 0).numpy()
        found = pixels(data, Backbone(image_size=size, fit="squash")).astype(float)
        assert np.abs(found - squashed).max() <= within
        cut = v2.Resize([size, size], antialias=True)(v2.CenterCrop(min(image.size))(tensor)).round()
        found = pixels(data, Backbone(image_size=size)).astype(float)
        assert np.abs(found - cut.permute(1, 2, 0).numpy()).max() <= within


# --- every format and mode against pixels worked out from what was painted -------------------------------------------


def triangle(length: int, size: int) -> np.ndarray:
    """(size, length) weights of an antialiased linear resize, as its definition says."""
    scale = length / size
    reach = max(scale, 1.0)
    centres = (np.arange(size)[:, None] + 0.5) * scale
    weights = np.clip(1 - np.abs((np.arange(length)[None] + 0.5 - centres) / reach), 0, None)
    return weights / weights.sum(axis=1, keepdims=True)


def reference(picture: np.ndarray, backbone: Backbone) -> np.ndarray:
    """What the model should see of (H, W, 3) pixels as a person sees them: slow, obvious, in float64."""
    if backbone.fit == "crop":
        side = min(picture.shape[:2])
        top, left = ((over - side) // 2 for over in picture.shape[:2])
        picture = picture[top : top + side, left : left + side]
    rows, columns = (triangle(length, backbone.image_size) for length in picture.shape[:2])
    return np.einsum("ih,hwc,jw->ijc", rows, picture.astype(np.float64), columns, optimize=True)


def painted() -> np.ndarray:
    """45 x 61 pixels, smooth enough for lossy formats, and alike under no turn, mirror or change of channels."""
    y, x = np.mgrid[0:45, 0:61] / 61
    waves = [np.sin(5 * x + 2 * y), np.cos(4 * y - 3 * x), np.sin(7 * y) * np.cos(2 * x)]
    return np.round(127.5 + 100 * np.stack(waves, axis=-1) * (0.4 + 0.6 * x[..., None])).astype(np.uint8)


RGB = painted()
HIDE = np.round(np.linspace(0, 255, 61) * np.ones((45, 1))).astype(np.uint8)
LUMA = RGB @ np.array([0.299, 0.587, 0.114])
GREY8 = np.round(LUMA).astype(np.uint8)
DEEP = np.round(LUMA * 257).astype(np.uint16)


def on_white(colour: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    share = alpha[..., None] / 255
    return colour * share + 255 * (1 - share)


def three(grey: np.ndarray) -> np.ndarray:
    return np.repeat(grey[..., None].astype(np.float64), 3, axis=2)


def saved(array: np.ndarray, kind: str, *, mode: str = "", **options: object) -> bytes:
    image = Image.fromarray(array)
    return encoded(image.convert(mode) if mode else image, kind, **options)


def deep_png(samples: np.ndarray, colour_type: int) -> bytes:
    """A PNG of (H, W, channels) 16-bit samples, which Pillow cannot write."""
    height, width, _ = samples.shape
    lines = samples.astype(">u2").reshape(height, -1)
    header = struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0)
    body = zlib.compress(b"".join(b"\0" + line.tobytes() for line in lines))
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", body) + png_chunk(b"IEND", b"")


def deep_tiff(samples: np.ndarray) -> bytes:
    """A TIFF of (H, W, 3) 16-bit samples in one strip, which Pillow cannot write."""
    height, width, channels = samples.shape
    body = samples.astype("<u2").tobytes()
    entries = [(256, 3, 1, width), (257, 3, 1, height), (258, 3, 3, 8), (259, 3, 1, 1), (262, 3, 1, 2)]
    entries += [(273, 4, 1, 14), (277, 3, 1, channels), (278, 3, 1, height), (279, 4, 1, len(body))]
    tags = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    head = b"II*\0" + struct.pack("<I", 14 + len(body)) + struct.pack("<3H", 16, 16, 16)
    return head + body + struct.pack("<H", len(entries)) + tags + bytes(4)


def ink() -> np.ndarray:
    """(H, W, 4) cyan, magenta, yellow and black, as amounts of ink."""
    return np.dstack([255 - RGB, np.round(HIDE / 3).astype(np.uint8)])


def inked() -> np.ndarray:
    """Light that is left after ink: (1 - c)(1 - k)."""
    inks = ink().astype(np.float64)
    return (255 - inks[..., :3]) * (255 - inks[..., 3:]) / 255


def ycck() -> bytes:
    """A JPEG of Adobe's YCCK kind: ink stored inverted, its colours as luma and chroma, transform 2 in APP14."""
    inks = ink()
    planes = np.dstack([np.asarray(Image.fromarray(inks[..., :3]).convert("YCbCr")), 255 - inks[..., 3]])
    # Pillow inverts what it saves as CMYK.
    data = bytearray(encoded(Image.fromarray(255 - planes, "CMYK"), "JPEG", quality=98))
    adobe = data.index(b"Adobe")
    assert data[adobe + 11] == 0
    data[adobe + 11] = 2
    return bytes(data)


def turned(kind: str, value: int, **options: object) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = value
    return saved(RGB, kind, exif=exif, **options)


def frames(kind: str, **options: object) -> bytes:
    others = [Image.fromarray(255 - RGB), Image.fromarray(RGB[::-1])]
    return saved(RGB, kind, save_all=True, append_images=others, **options)


def posters() -> tuple[Image.Image, np.ndarray]:
    """A picture of 16 colours with its palette, and its pixels."""
    levels = RGB // 128 * 150 + 40
    index = (levels[..., 0] > 100) * 1 + (levels[..., 1] > 100) * 2 + (levels[..., 2] > 100) * 4
    palette = [40 + 150 * (entry >> channel & 1) for entry in range(8) for channel in range(3)]
    image = Image.fromarray(index.astype(np.uint8), "P")
    image.putpalette(palette)
    return image, levels.astype(np.float64)


def float_tiff() -> bytes:
    return encoded(Image.fromarray(RGB[..., 0].astype(np.float32) / 255), "TIFF")


POSTER, POSTER_PIXELS = posters()
PALETTE_ALPHA = bytes([255, 0, 128, 255, 255, 64, 255, 255])
POSTER_ALPHA = np.frombuffer(PALETTE_ALPHA, np.uint8)[np.asarray(POSTER)]
BILEVEL = np.where(LUMA[..., None] > 128, 255.0, 0.0) * np.ones(3)
FINE = {"quality": 98, "subsampling": 0}
SHOWN = {
    1: RGB,
    2: RGB[:, ::-1],
    3: RGB[::-1, ::-1],
    4: RGB[::-1],
    5: RGB.swapaxes(0, 1),
    6: np.rot90(RGB, -1),
    7: np.rot90(RGB, 2).swapaxes(0, 1),
    8: np.rot90(RGB),
}

# name: bytes, pixels as a person sees them, mean and largest error that is allowed
GOLDEN: dict[str, tuple[bytes, np.ndarray, float, float]] = {
    "jpeg 4:4:4": (saved(RGB, "JPEG", **FINE), RGB, 0.6, 4),
    "jpeg 4:2:0": (saved(RGB, "JPEG", quality=95), RGB, 1.2, 8),
    "jpeg progressive": (saved(RGB, "JPEG", progressive=True, **FINE), RGB, 0.6, 4),
    "jpeg with restarts": (saved(RGB, "JPEG", restart_marker_blocks=2, **FINE), RGB, 0.6, 4),
    "jpeg stored as rgb": (saved(RGB, "JPEG", keep_rgb=True, quality=98), RGB, 0.6, 4),
    "jpeg grey": (saved(GREY8, "JPEG", quality=98), three(LUMA), 0.6, 4),
    "jpeg cmyk": (encoded(Image.fromarray(ink(), "CMYK"), "JPEG", quality=98), inked(), 1, 5),
    "jpeg ycck": (ycck(), inked(), 1.2, 6),
    "mpo": (frames("MPO", quality=98, subsampling=0), RGB, 0.6, 4),
    "png rgb": (saved(RGB, "PNG"), RGB, 0.6, 1.1),
    "png grey": (saved(GREY8, "PNG"), three(LUMA), 0.6, 1.6),
    "png grey 16": (saved(DEEP, "PNG"), three(LUMA), 0.6, 1.6),
    "png rgb 16": (deep_png(RGB.astype(np.uint16) * 257, 2), RGB, 0.6, 1.1),
    "png grey alpha": (saved(np.dstack([GREY8, HIDE]), "PNG"), on_white(three(LUMA), HIDE), 0.7, 1.8),
    "png grey alpha 16": (
        deep_png(np.dstack([DEEP, HIDE.astype(np.uint16) * 257]), 4),
        on_white(three(LUMA), HIDE),
        0.9,
        2.1,
    ),
    "png rgba": (saved(np.dstack([RGB, HIDE]), "PNG"), on_white(RGB, HIDE), 0.7, 1.8),
    "png rgba 16": (deep_png(np.dstack([RGB, HIDE]).astype(np.uint16) * 257, 6), on_white(RGB, HIDE), 0.7, 1.8),
    "png palette": (encoded(POSTER, "PNG"), POSTER_PIXELS, 0.6, 1.1),
    "png palette alpha": (
        encoded(POSTER, "PNG", transparency=PALETTE_ALPHA),
        on_white(POSTER_PIXELS, POSTER_ALPHA),
        0.7,
        1.8,
    ),
    "png black and white": (encoded(Image.fromarray(LUMA > 128), "PNG"), BILEVEL, 0.6, 1.1),
    "apng": (frames("PNG", duration=100), RGB, 0.6, 1.1),
    "webp lossless": (saved(RGB, "WEBP", lossless=True), RGB, 0.6, 1.1),
    "webp lossy": (saved(RGB, "WEBP", quality=95), RGB, 2, 10),
    "webp rgba": (saved(np.dstack([RGB, HIDE]), "WEBP", lossless=True, exact=True), on_white(RGB, HIDE), 0.7, 1.8),
    "webp animated": (frames("WEBP", lossless=True, duration=100), RGB, 0.6, 1.1),
    "gif": (encoded(POSTER, "GIF"), POSTER_PIXELS, 0.6, 1.1),
    "gif transparent": (
        encoded(POSTER, "GIF", transparency=5),
        np.where(np.asarray(POSTER)[..., None] == 5, 255.0, POSTER_PIXELS),
        0.6,
        1.1,
    ),
    "gif animated": (
        encoded(POSTER, "GIF", save_all=True, append_images=[POSTER.rotate(180)], duration=100),
        POSTER_PIXELS,
        0.6,
        1.1,
    ),
    "bmp": (saved(RGB, "BMP"), RGB, 0.6, 1.1),
    "bmp palette": (encoded(POSTER, "BMP"), POSTER_PIXELS, 0.6, 1.1),
    "tiff": (saved(RGB, "TIFF"), RGB, 0.6, 1.1),
    "tiff lzw": (saved(RGB, "TIFF", compression="tiff_lzw"), RGB, 0.6, 1.1),
    "tiff deflate": (saved(RGB, "TIFF", compression="tiff_adobe_deflate"), RGB, 0.6, 1.1),
    "tiff grey 16": (saved(DEEP, "TIFF"), three(LUMA), 0.6, 1.6),
    "tiff rgb 16": (deep_tiff(RGB.astype(np.uint16) * 257), RGB, 0.6, 1.1),
    "tiff integers": (saved(DEEP.astype(np.int32), "TIFF"), three(LUMA), 0.6, 1.6),
    "tiff grey": (saved(GREY8, "TIFF"), three(LUMA), 0.6, 1.6),
    "tiff palette": (encoded(POSTER, "TIFF"), POSTER_PIXELS, 0.6, 1.1),
    "tiff cmyk": (encoded(Image.fromarray(ink(), "CMYK"), "TIFF"), inked(), 0.8, 2),
    "tiff rgba": (saved(np.dstack([RGB, HIDE]), "TIFF"), on_white(RGB, HIDE), 0.7, 1.8),
    "avif": (saved(RGB, "AVIF", quality=95, subsampling="4:4:4"), RGB, 1.5, 8),
    "avif animated": (frames("AVIF", quality=95, subsampling="4:4:4", duration=100), RGB, 1.5, 8),
    "avif rgba": (
        saved(np.dstack([RGB, HIDE]), "AVIF", quality=95, subsampling="4:4:4"),
        on_white(RGB, HIDE),
        1.5,
        8,
    ),
    **{f"jpeg turned {value}": (turned("JPEG", value, **FINE), SHOWN[value], 0.6, 4) for value in SHOWN},
    **{f"png turned {value}": (turned("PNG", value), SHOWN[value], 0.6, 1.1) for value in SHOWN},
    **{f"webp turned {value}": (turned("WEBP", value, lossless=True), SHOWN[value], 0.6, 1.1) for value in SHOWN},
    **{f"tiff turned {value}": (turned("TIFF", value), SHOWN[value], 0.6, 1.1) for value in SHOWN},
    **{
        f"avif turned {value}": (turned("AVIF", value, quality=95, subsampling="4:4:4"), SHOWN[value], 1.5, 8)
        for value in SHOWN
    },
}
SIZES = [Backbone(image_size=size, fit=fit) for size in (24, 40, 90) for fit in ("crop", "squash")]


def errors(found: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """The mean and the largest difference."""
    apart = np.abs(found.astype(np.float64) - expected)
    return np.array([apart.mean(), apart.max()])


def wrong_ways(found: np.ndarray) -> dict[str, np.ndarray]:
    """What mistakes would look like; none of them may pass for the picture."""
    wrong = {
        "mirrored": found[:, ::-1],
        "upside down": found[::-1],
        "transposed": found.swapaxes(0, 1),
        "rotated": np.rot90(found),
        "negative": 255 - found,
    }
    is_grey = (found == found[..., :1]).all()
    return wrong if is_grey else {**wrong, "channels swapped": found[..., ::-1]}


@pytest.mark.parametrize("name", GOLDEN)
def test_golden_the_model_sees_what_was_painted(name):
    data, picture, mean, largest = GOLDEN[name]
    for backbone in SIZES:
        found, expected = pixels(data, backbone), reference(picture, backbone)
        assert (errors(found, expected) <= (mean, largest)).all(), (backbone, errors(found, expected))
        for what, wrong in wrong_ways(found).items():
            assert errors(wrong, expected)[0] > 4 * mean, what


@pytest.mark.parametrize("name", GOLDEN)
def test_golden_a_person_sees_what_the_model_sees(name):
    data, picture, mean, largest = GOLDEN[name]
    shown = to_rgb(Image.open(io.BytesIO(data)))
    assert shown.mode == "RGB"
    assert (errors(np.asarray(shown), picture) <= (mean + 0.4, largest + 4)).all()
    for backbone in SIZES:
        found, expected = pixels(data, backbone), reference(np.asarray(shown), backbone)
        assert (errors(found, expected) <= (0.6, 2)).all(), (backbone, errors(found, expected))


def test_floating_point_pixels_are_refused_and_not_guessed():
    found = refusal(float_tiff())
    assert (found.code, found.message) == ("decode_failed", "floating-point pixels: store them as 8 or 16 bits")


def test_integers_beyond_sixteen_bits_are_white_and_below_zero_black():
    steps = np.repeat(np.array([[-5, 0, 25_700, 65_535, 70_000, 2**31 - 1, 0, 0]], dtype=np.int32), 8, axis=0)
    found = pixels(encoded(Image.fromarray(steps), "TIFF"))
    assert found[0, :, 0].tolist() == [0, 0, 100, 255, 255, 255, 0, 0]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_picture_with_a_broken_exif_is_shown_as_stored_to_model_and_person(kind):
    backbone = Backbone(image_size=24, fit="squash")
    exif = Image.Exif()
    exif[0x0112] = 6
    whole = exif.tobytes()
    for broken in (whole.replace(b"MM\0*", b"MM\xff\xff"), whole[:12], whole[:20], b"Exif\0\0garbage"):
        data = saved(RGB, kind, exif=broken, **(FINE if kind == "JPEG" else {"lossless": True}))
        assert errors(pixels(data, backbone), reference(RGB, backbone))[0] < 0.6
        assert errors(np.asarray(to_rgb(Image.open(io.BytesIO(data)))), RGB)[0] < 0.6


def test_orientation_in_a_pngs_text_counts():
    """As ImageMagick wrote it before PNG had a place for EXIF."""
    exif = Image.Exif()
    exif[0x0112] = 6
    block = exif.tobytes()
    text = f"\nexif\n{len(block):8d}\n{block.hex()}\n".encode("latin-1")
    data = saved(RGB, "PNG")
    end = data.index(b"IDAT") - 4
    data = data[:end] + png_chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(text)) + data[end:]
    backbone = Backbone(image_size=24, fit="squash")
    assert errors(pixels(data, backbone), reference(SHOWN[6], backbone))[0] < 0.6


# --- JPEGs that are shrunk while they are decoded --------------------------------------------------------------------


def enlarged(photo: bytes, size: tuple[int, int], **options: object) -> bytes:
    image = Image.open(io.BytesIO(photo))
    return encoded(image.resize(size, Image.Resampling.BICUBIC), "JPEG", quality=90, **options)


@pytest.mark.parametrize(
    ("size", "target", "options", "mean"),
    [
        ((640, 480), 224, {}, 2),  # 1/2, then resized
        ((640, 480), 224, {"progressive": True}, 2),
        ((640, 480), 224, {"subsampling": 0}, 2),
        ((1024, 768), 224, {}, 2),
        ((2048, 1536), 160, {}, 2),  # 1/8, then resized
        ((512, 384), 192, {}, 2),  # 1/2 and nothing more
        ((512, 384), 96, {}, 2),  # 1/4 and nothing more
        ((512, 384), 48, {}, 3),  # 1/8 and nothing more: the mean of each 8 x 8 block, crisper than a triangle
    ],
)
def test_a_shrunk_photo_is_close_to_the_whole_one_resized(photos, size, target, options, mean):
    for photo in photos[:: len(photos) // 2]:
        data = enlarged(photo, size, **options)
        whole = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
        for fit in ("crop", "squash"):
            backbone = Backbone(image_size=target, fit=fit)
            found, expected = pixels(data, backbone), reference(whole, backbone)
            assert (errors(found, expected) <= (mean, 80)).all(), errors(found, expected)
            for shifted in (np.roll(expected, by, axis=axis) for by in (1, -1) for axis in (0, 1)):
                assert errors(found, shifted)[0] > errors(found, expected)[0], "it lies where it should, to the pixel"
            assert errors(found[..., ::-1], expected)[0] > 2 * mean


def test_only_a_photo_of_twice_the_target_is_shrunk(photos):
    """At 2 x target - 1 it is the whole picture, resized: to the rounding; at 2 x target its details differ."""
    image = Image.open(io.BytesIO(photos[0]))
    for fit in ("crop", "squash"):
        for side, least, most in ((127, 0, 1.1), (128, 3, 80)):
            data = encoded(image.resize((side + 60, side)), "JPEG", quality=90)
            backbone = Backbone(image_size=64, fit=fit)
            whole = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
            assert least <= errors(pixels(data, backbone), reference(whole, backbone))[1] <= most


@pytest.mark.parametrize("value", SHOWN)
def test_a_shrunk_photo_is_turned_as_its_exif_says(photos, value):
    exif = Image.Exif()
    exif[0x0112] = value
    data = enlarged(photos[0], (401, 300), exif=exif)
    upright = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))))
    for fit in ("crop", "squash"):
        backbone = Backbone(image_size=64, fit=fit)
        found, expected = pixels(data, backbone), reference(upright, backbone)
        assert errors(found, expected)[0] <= 2
        if value != 1:
            stored = reference(np.asarray(Image.open(io.BytesIO(data))), backbone)
            assert errors(found, stored)[0] > 5


def test_a_shrunk_grey_photo(photos):
    grey = Image.open(io.BytesIO(photos[0])).convert("L")
    backbone = Backbone(image_size=64)
    data = encoded(grey, "JPEG", quality=95)
    whole = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    found = pixels(data, backbone)
    assert errors(found, reference(whole, backbone))[0] <= 2
    assert (found == found[..., :1]).all()


# --- what is no picture ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("data", [b"", None])
def test_no_bytes_are_empty(data):
    assert (refusal(data).code, refusal(data).message) == ("empty", "no bytes")


@pytest.mark.parametrize(
    "data", [b"<!DOCTYPE html><html>404 Not Found</html>", b"\x00" * 500, b"\xff\xd8", b"GIF89a", bytes(range(256))]
)
def test_what_is_no_image_says_how_it_starts(data):
    found = refusal(data)
    assert found.code == "not_an_image"
    assert found.message.startswith(f"starts with {data[:16]!r}")


@pytest.mark.parametrize("kind", ["EPS", "PPM", "ICO", "TGA", "PCX"])
def test_formats_beyond_the_documented_ones_are_never_opened(kind):
    assert refusal(encoded(Image.new("RGB", (16, 16), RED), kind)).code == "not_an_image"


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP", "TIFF", "GIF"])
def test_a_cut_image_is_not_shown_as_half_a_picture(kind):
    noise = np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    data = encoded(Image.fromarray(noise), kind)
    assert refusal(data[: len(data) // 2]).code == "cut"


CUTTABLE = {
    "baseline": {},
    "progressive": {"progressive": True},
    "restarts": {"restart_marker_blocks": 3},
    "optimized": {"optimize": True, "subsampling": 0},
}


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("kind", CUTTABLE)
def test_a_jpeg_cut_anywhere_is_refused_whole_or_shrunk(kind, mode):
    """libjpeg alone would only warn, and paint the rest grey."""
    noise = np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    data = saved(noise, "JPEG", mode=mode, **CUTTABLE[kind])
    for backbone in (Backbone(image_size=8), Backbone(image_size=60)):
        pixels(data, backbone)
        for length in [*range(len(data) // 3, len(data) - 2, 97), len(data) - 2, len(data) - 1]:
            with pytest.raises(Undecodable) as caught:
                decode(data[:length], backbone, max_pixels=10_000)
            assert caught.value.code in ("cut", "decode_failed"), length
            assert kind == "progressive" or caught.value.code == "cut", (length, caught.value)


def test_a_jpeg_with_damage_in_its_picture_is_refused():
    """What libjpeg warns of and most viewers show: a picture that is grey or shifted from some row on."""
    noise = np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    data = encoded(Image.fromarray(noise), "JPEG")
    middle = len(data) // 2
    for damaged in (data[:middle] + b"\xff\xd9", data[:middle] + data[middle + 400 :]):
        found = refusal(damaged)
        assert (found.code, found.message) == ("decode_failed", "Corrupt JPEG data: premature end of data segment")


def test_a_jpeg_that_is_whole_but_untidy_is_shown():
    """Cameras and old programs write such files, and every viewer shows them."""
    data = saved(RGB, "JPEG", restart_marker_blocks=2, **FINE)
    tables = data.index(b"\xff\xdb")
    untidy = {
        "bytes between segments": data[:tables] + bytes(9) + data[tables:],
        "bytes before the end": data[:-2] + bytes(9) + data[-2:],
        "bytes behind the end": data + b"appended" * 99,
        "an unknown revision of JFIF": data.replace(b"JFIF\0\1\1", b"JFIF\0\0\0"),
    }
    for backbone in SIZES:
        for what, other in untidy.items():
            assert other != data
            assert errors(pixels(other, backbone), pixels(data, backbone))[1] <= 3, (what, backbone)


def test_pictures_decoded_side_by_side_are_those_decoded_one_by_one(photos):
    sources = [*photos[:4], *(GOLDEN[name][0] for name in ("png rgba", "gif", "jpeg turned 6", "avif"))] * 4
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda data: pixels(data, Backbone(image_size=64)), sources))
    for data, picture in zip(sources, found, strict=True):
        assert np.array_equal(picture, pixels(data, Backbone(image_size=64)))


def test_a_broken_image_is_refused():
    data = bytearray(encoded(Image.new("RGB", (64, 64), RED), "PNG"))
    data[60] ^= 0xFF
    assert refusal(bytes(data)).code in ("decode_failed", "cut")


def test_an_image_with_too_many_pixels_is_refused_and_one_with_just_as_many_is_not():
    data = encoded(Image.new("RGB", (20, 10), RED), "PNG")
    assert is_flat(pixels(data, max_pixels=200), RED)
    found = refusal(data, max_pixels=199)
    assert (found.code, found.message) == ("too_large", "20 x 10 pixels, 199 are allowed (pool.max_pixels)")


def bomb(width: int, height: int) -> bytes:
    """A PNG of `width` x `height` black pixels, each one bit, packed a thousandfold."""
    line = 1 + width // 8 + bool(width % 8)
    body = zlib.compress(bytes(line * height), 9)
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", body) + png_chunk(b"IEND", b"")


def peak_kb() -> int:
    """The most memory this process has held since `/proc/self/clear_refs` was told to forget it."""
    return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="memory is measured as Linux tells it")
def test_bombs_are_refused_from_their_headers_with_bounded_memory_and_time():
    large = bytearray(bomb(13_000, 13_000))
    larger = bytearray(large)
    larger[16:33] = struct.pack(">II", 60_000, 60_000) + large[24:29] + struct.pack(">I", 0)
    larger[29:33] = struct.pack(">I", zlib.crc32(larger[12:29]))
    jpeg = bytearray(encoded(Image.new("L", (16, 16)), "JPEG"))
    at = jpeg.index(b"\xff\xc0")
    jpeg[at + 5 : at + 9] = struct.pack(">HH", 60_000, 60_000)
    frames = [Image.new("RGB", (16, 16), colour) for colour in (RED, BLUE)]
    webp = bytearray(encoded(frames[0], "WEBP", save_all=True, append_images=frames[1:]))
    at = webp.index(b"VP8X") + 12
    webp[at : at + 6] = struct.pack("<I", 12_999)[:3] * 2
    gif = bytearray(encoded(Image.new("L", (16, 16)), "GIF"))
    gif[6:10] = struct.pack("<HH", 65_535, 65_535)
    bombs = [bytes(data) for data in (large, larger, jpeg, gif, webp)]
    for kind in ("PNG", "JPEG", "GIF", "WEBP"):
        pixels(encoded(Image.new("RGB", (300, 300)), kind))
    Path("/proc/self/clear_refs").write_text("5")
    before, began = peak_kb(), time.process_time()
    assert [refusal(data).code for data in bombs] == ["too_large"] * 5
    assert max(len(data) for data in bombs) < 100_000
    assert peak_kb() - before < 64_000, "decoding the first alone would take 507 MB"
    assert time.process_time() - began < 2


def test_refusals_travel_between_processes_whole():
    found = pickle.loads(pickle.dumps(Undecodable("cut", "half of it")))
    assert (found.code, found.message, str(found)) == ("cut", "half of it", "half of it")


NOISE = Image.fromarray(np.random.default_rng(2).integers(0, 256, (24, 20, 3), dtype=np.uint8))
TURNED = Image.Exif()
TURNED[0x0112] = 6
SOURCES = [
    *(encoded(NOISE, kind, exif=TURNED) for kind in ("JPEG", "PNG", "WEBP", "TIFF", "AVIF")),
    *(encoded(NOISE, kind) for kind in ("BMP", "GIF")),
    encoded(NOISE.convert("CMYK"), "JPEG"),
    encoded(NOISE.quantize(16), "PNG", transparency=3),
]


@settings(max_examples=300, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(
    st.sampled_from(SOURCES),
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=6),
    st.booleans(),
)
def test_whatever_is_done_to_the_bytes_it_is_a_picture_or_a_refusal(source, changes, near):
    data = bytearray(source)
    for where, value in changes:
        data[int(where * (min(len(data), 80) if near else len(data)))] = value
    try:
        found = decode(bytes(data), SQUASH, max_pixels=1_000_000)
    except Undecodable as error:
        assert error.code in ("not_an_image", "too_large", "cut", "decode_failed") and error.message
    else:
        assert (found.shape, found.dtype) == ((SIZE, SIZE, 3), np.uint8)


def test_errors_of_decoders_that_are_no_os_error_are_refusals():
    """Found by mutation: RuntimeError from the boxes of an AVIF, struct.error from the EXIF of a WebP."""
    avif, webp = encoded(NOISE, "AVIF"), encoded(NOISE, "WEBP", exif=TURNED)
    places = [(avif, at) for at in range(300)] + [(webp, at) for at in range(webp.index(b"EXIF"), len(webp))]
    refused = 0
    for source, at in places:
        for flip in (0x01, 0x55, 0xFF):
            data = bytearray(source)
            data[at] ^= flip
            try:
                decode(bytes(data), SQUASH, max_pixels=1_000_000)
            except Undecodable:
                refused += 1
    assert 100 < refused < 3 * len(places)
