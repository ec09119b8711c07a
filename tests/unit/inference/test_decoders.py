import io
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from raylabel.config import Config
from raylabel.inference.decoders import DeviceDecoder, IsolatedDecoder, LocalDecoder
from raylabel.pool.decode import decode


@pytest.fixture
def config(begin) -> Config:
    return begin(pool={"decode_timeout_s": 30.0}).campaign.config


@pytest.fixture
def picture():
    data = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 30, 3), dtype=np.uint8)).save(data, "PNG")
    return data.getvalue()


def test_all_ways_are_the_same(ray_session, config, picture):
    decoders = [LocalDecoder(config), IsolatedDecoder(config), DeviceDecoder(config, "cpu")]
    images = [picture, b"", b"no image", picture]
    expected = decode(picture, config.backbone, max_pixels=config.pool.max_pixels)
    for decoder in decoders:
        first, empty, none, last = decoder.decode_all(images)
        assert np.array_equal(first, expected)
        assert np.array_equal(last, expected)
        assert (empty.code, none.code) == ("empty", "not_an_image")
        assert decoder.decode_all([]) == []


HANGS = """
import sys, time
import raylabel.pool.decode
from raylabel.config import Config
from raylabel.inference.decoders import LocalDecoder
config = Config.model_validate_json(sys.argv[1])
raylabel.pool.decode.decode = lambda data, backbone, max_pixels: time.sleep(float(data))
decoder = LocalDecoder(config)
decoder.decode_all([b"0.1"] * 20)  # longer than the limit together, but no few of them are
time.sleep(1.7)  # longer than the limit, but nothing is being decoded
print("awake", flush=True)
decoder.decode_all([b"60"])
print("never", flush=True)
"""


def test_a_hanging_image_ends_its_process(config):
    short = config.model_copy(update={"pool": config.pool.model_copy(update={"decode_timeout_s": 1.65})})
    done = subprocess.run(
        [sys.executable, "-c", HANGS, short.model_dump_json()], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout == "awake\n"
    assert done.returncode == 1
    assert "Timeout" in done.stderr  # where it hung stands in the worker's log
