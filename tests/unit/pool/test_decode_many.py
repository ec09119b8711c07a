import io

import numpy as np
import pytest
from PIL import Image

from raylabel.config import Backbone
from raylabel.pool.decode import Undecodable, decode
from raylabel.pool.decode_many import decode_many

LIMIT = 1_000_000


def smooth(height, width, seed):
    """A picture without sharp edges, so that another decoder's rounding stays small."""
    small = np.random.default_rng(seed).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)


def encoded(image, kind="JPEG", **options):
    data = io.BytesIO()
    image.save(data, kind, **options)
    return data.getvalue()


def turned(image, value):
    exif = Image.Exif()
    exif[0x0112] = value
    return encoded(image, exif=exif)


@pytest.fixture(scope="module")
def images():
    plain = encoded(smooth(90, 120, 0), quality=95)
    return [
        plain,
        encoded(smooth(70, 50, 1).convert("L")),
        turned(smooth(60, 101, 2), 6),
        turned(smooth(61, 100, 3), 3),
        encoded(smooth(40, 40, 4), "PNG"),
        encoded(smooth(40, 60, 5).convert("CMYK")),
        None,
        plain[: len(plain) // 2],
        b"no image",
        encoded(smooth(64, 64, 6)),
        encoded(smooth(1200, 1200, 7), quality=30),
    ]


@pytest.mark.parametrize("fit", ["crop", "squash"])
def test_the_same_as_one_by_one(images, fit):
    """On the CPU's device the steps are nvJPEG's: to a few levels of rounding, and with the same refusals."""
    backbone = Backbone(image_size=48, fit=fit)
    found = decode_many(images, backbone, max_pixels=LIMIT, device="cpu")
    codes = {}
    for number, (data, pixels) in enumerate(zip(images, found, strict=True)):
        try:
            expected = decode(data, backbone, max_pixels=LIMIT)
        except Undecodable as error:
            assert isinstance(pixels, Undecodable)
            codes[number] = pixels.code
            assert (pixels.code, pixels.message) == (error.code, error.message)
        else:
            assert pixels.shape == (48, 48, 3)
            assert pixels.flags.c_contiguous
            difference = np.abs(pixels.astype(int) - expected)
            assert difference.mean() < 1.5
            assert np.abs(pixels[::-1].astype(int) - expected).mean() > 4 * difference.mean() + 4
    assert codes == {6: "empty", 7: "cut", 8: "not_an_image", 10: "too_large"}


def test_one_that_the_device_refuses_takes_nobody_along(images):
    """Damage that the header does not show fails the whole batch there; one by one, only it is refused."""
    damaged = bytearray(images[0])
    tables = damaged.index(b"\xff\xc4")
    damaged[tables + 5 : tables + 40] = b"\xff" * 35
    found = decode_many([images[0], bytes(damaged), images[9]], Backbone(image_size=48), max_pixels=LIMIT, device="cpu")
    assert np.array_equal(found[0], decode(images[0], Backbone(image_size=48), max_pixels=LIMIT))
    assert isinstance(found[1], Undecodable)
    assert found[2].shape == (48, 48, 3)


def test_nothing():
    assert decode_many([], Backbone(), max_pixels=LIMIT, device="cpu") == []
