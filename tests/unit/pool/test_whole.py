"""What `decode` shows of formats and orientations is held by its own tests: it shows them by this."""

import io
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image, ImageOps

from raylabel.pool.whole import Undecodable, decode_whole


def encoded(image, kind, **options):
    sink = io.BytesIO()
    image.save(sink, kind, **options)
    return sink.getvalue()


def quarters(size):
    """A picture whose corners have four colours."""
    image, half = Image.new("RGB", (size, size)), size // 2
    for colour, corner in (((200, 30, 40), (0, 0)), ((20, 180, 60), (half, 0)), ((30, 50, 220), (0, half))):
        image.paste(colour, (*corner, corner[0] + half, corner[1] + half))
    return image


def test_a_whole_picture_is_shown_as_it_is_and_a_jpeg_no_smaller_than_wanted():
    for kind in ("PNG", "WEBP", "BMP"):
        found = decode_whole(
            encoded(quarters(64), kind, **({"lossless": True} if kind == "WEBP" else {})), max_pixels=10**6
        )
        assert np.array_equal(np.asarray(found), np.asarray(quarters(64)))
    large = encoded(quarters(512), "JPEG", quality=95)
    assert decode_whole(large, max_pixels=10**6).size == (512, 512)
    assert decode_whole(large, max_pixels=10**6, least=100).size == (128, 128)


def test_a_whole_picture_is_turned_as_it_says():
    image, exif = quarters(64), Image.Exif()
    exif[0x0112] = 6
    found = decode_whole(encoded(image, "JPEG", exif=exif, quality=95), max_pixels=10**6)
    expected = np.asarray(
        ImageOps.exif_transpose(Image.open(io.BytesIO(encoded(image, "JPEG", exif=exif, quality=95))))
    )
    assert np.array_equal(np.asarray(found), expected)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "empty"),
        (b"<svg onload=alert(1)>", "not_an_image"),
        (encoded(quarters(64), "PNG")[:-60], "cut"),
        (encoded(quarters(200), "PNG"), "too_large"),
    ],
)
def test_what_is_no_whole_picture(data, code):
    with pytest.raises(Undecodable) as caught:
        decode_whole(data, max_pixels=10_000)
    assert caught.value.code == code


def test_pictures_for_people_need_no_torch():
    code = "import sys, raylabel.labeling.review; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
