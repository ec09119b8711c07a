import io
import pickle
import struct
import time
import zlib
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from torchvision.transforms import v2

from raylabel.config import Backbone
from raylabel.pool.decode import Undecodable, decode

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
    return table.column("image").slice(0, 4).to_pylist()


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_resizing_agrees_with_torchvisions_own_transforms(photos, kind):
    for photo in photos:
        image = Image.open(io.BytesIO(photo)).convert("RGB")
        data = photo if kind == "JPEG" else encoded(image, "PNG", compress_level=1)
        tensor = v2.functional.to_dtype(v2.functional.pil_to_tensor(image), torch.float32)
        squashed = v2.Resize([64, 64], antialias=True)(tensor).round()
        found = pixels(data, Backbone(image_size=64, fit="squash")).astype(float)
        assert np.abs(found - squashed.permute(1, 2, 0).numpy()).max() <= (1 if kind == "PNG" else 4)
        side = min(image.size)
        cut = v2.Resize([64, 64], antialias=True)(v2.CenterCrop(side)(tensor)).round()
        found = pixels(data, Backbone(image_size=64)).astype(float)
        assert np.abs(found - cut.permute(1, 2, 0).numpy()).max() <= (1 if kind == "PNG" else 4)


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


def test_a_cut_cmyk_jpeg_is_refused():
    noise = np.random.default_rng(1).integers(0, 256, (64, 64, 4), dtype=np.uint8)
    data = encoded(Image.fromarray(noise, "CMYK"), "JPEG")
    assert refusal(data[: len(data) // 2]).code == "cut"


def test_a_broken_image_is_refused():
    data = bytearray(encoded(Image.new("RGB", (64, 64), RED), "PNG"))
    data[60] ^= 0xFF
    assert refusal(bytes(data)).code in ("decode_failed", "cut")


def test_an_image_with_too_many_pixels_is_refused_and_one_with_just_as_many_is_not():
    data = encoded(Image.new("RGB", (20, 10), RED), "PNG")
    assert is_flat(pixels(data, max_pixels=200), RED)
    found = refusal(data, max_pixels=199)
    assert (found.code, found.message) == ("too_large", "20 x 10 pixels, 199 are allowed (pool.max_pixels)")


def png_chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


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
