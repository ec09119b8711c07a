import io
import struct

import numpy as np
import pytest
from PIL import Image, ImageOps

from raylabel.pool.orientation import Orientation, of_exif, of_jpeg

STORED = np.arange(6, dtype=np.uint8).reshape(2, 3, 1)
AS_SHOWN = {
    1: [[0, 1, 2], [3, 4, 5]],
    2: [[2, 1, 0], [5, 4, 3]],
    3: [[5, 4, 3], [2, 1, 0]],
    4: [[3, 4, 5], [0, 1, 2]],
    5: [[0, 3], [1, 4], [2, 5]],
    6: [[3, 0], [4, 1], [5, 2]],
    7: [[5, 2], [4, 1], [3, 0]],
    8: [[2, 5], [1, 4], [0, 3]],
}
"""By hand, from the EXIF standard: which sides of the picture the stored first row and first column are."""


def tiff(value: int, *, order: str = "<", kind: int = 3, tag: int = 0x0112) -> bytes:
    """An EXIF block with a camera's name and an orientation."""
    head = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(f"{order}I", 8)
    name = struct.pack(f"{order}HHII", 0x010F, 2, 3, 0)
    number = struct.pack(f"{order}H", value) + b"\0\0" if kind == 3 else struct.pack(f"{order}I", value)
    return head + struct.pack(f"{order}H", 2) + name + struct.pack(f"{order}HHI", tag, kind, 1) + number + bytes(4)


def jpeg(*segments: bytes) -> bytes:
    """A JPEG with these segments before the ones it needs."""
    sink = io.BytesIO()
    Image.new("RGB", (16, 8)).save(sink, "JPEG")
    data = sink.getvalue()
    return data[:2] + b"".join(segments) + data[2:]


def segment(marker: int, body: bytes) -> bytes:
    return bytes((0xFF, marker)) + struct.pack(">H", len(body) + 2) + body


def app1(value: int) -> bytes:
    return segment(0xE1, b"Exif\0\0" + tiff(value))


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("value", AS_SHOWN)
def test_turns_as_the_standard_says(value, order):
    turn = of_exif(b"Exif\0\0" + tiff(value, order=order))
    assert turn.turn(STORED)[..., 0].tolist() == AS_SHOWN[value]
    assert of_exif(tiff(value, order=order)) == turn, "some writers leave the name of the block out"
    assert of_jpeg(jpeg(app1(value))) == turn


@pytest.mark.parametrize("value", AS_SHOWN)
@pytest.mark.parametrize(("height", "width"), [(4, 9), (9, 4), (5, 8), (8, 5), (6, 6), (1, 4), (4, 1)])
def test_the_square_is_the_middle_of_the_picture_as_shown(value, height, width):
    turn = of_exif(tiff(value))
    stored = np.arange(height * width, dtype=np.uint8).reshape(height, width)
    shown = turn.turn(stored)
    side = min(shown.shape)
    top, left = ((over - side) // 2 for over in shown.shape)
    expected = shown[top : top + side, left : left + side]
    top, left, found = turn.square(height, width)
    assert found == side
    assert np.array_equal(turn.turn(stored[top : top + side, left : left + side]), expected)


@pytest.mark.parametrize("value", AS_SHOWN)
def test_agrees_with_pillow(value):
    exif = Image.Exif()
    exif[0x0112] = value
    exif[0x010F], exif[0x0131] = "Maker", "Software of some length"
    sink = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (6, 10), dtype=np.uint8)
    Image.fromarray(noise).save(sink, "JPEG", exif=exif)
    image = Image.open(io.BytesIO(sink.getvalue()))
    stored, shown = np.asarray(image), np.asarray(ImageOps.exif_transpose(image))
    assert np.array_equal(of_jpeg(sink.getvalue()).turn(stored), shown)


def test_exif_is_found_among_other_segments_and_only_before_the_picture():
    comment = segment(0xFE, b"Exif\0\0" + tiff(3))
    xmp = segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + tiff(3))
    turned = of_exif(tiff(6))
    assert of_jpeg(jpeg(comment, xmp, app1(6))) == turned
    assert of_jpeg(jpeg(b"\xff\xff\xff", app1(6))) == turned, "fill bytes may stand before a marker"
    assert of_jpeg(jpeg(app1(6), app1(3))) == turned, "the first counts"
    assert of_jpeg(jpeg(comment, xmp)) == Orientation()
    assert of_jpeg(jpeg() + app1(6)) == Orientation()


@pytest.mark.parametrize(
    "exif",
    [b"", b"Exif\0\0", b"Exif\0\0II*\0", b"JJ*\0" + tiff(6)[4:], tiff(6)[:21], tiff(0), tiff(9), tiff(6, kind=4)]
    + [tiff(6, tag=0x0113), b"II*\0\xff\xff\xff\xff" + tiff(6)[8:], b"II*\0\x08\0\0\0\xff\xff" + bytes(30)],
)
def test_what_cannot_be_read_turns_nothing(exif):
    assert of_exif(exif) == Orientation()
    assert of_jpeg(jpeg(segment(0xE1, b"Exif\0\0" + exif))) == Orientation()


def test_a_jpeg_of_any_length_can_be_asked():
    data = jpeg(app1(6))
    where = data.index(b"Exif") + 6 + len(tiff(6)) - 4
    for length in range(len(data)):
        assert of_jpeg(data[:length]) == (of_exif(tiff(6)) if length >= where - 2 else Orientation()), length
