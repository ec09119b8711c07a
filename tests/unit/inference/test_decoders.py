import io
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from raylabel.config import Config
from raylabel.inference.decoders import IsolatedDecoder, LocalDecoder
from raylabel.pool.decode import Undecodable


@pytest.fixture
def config(begin) -> Config:
    return begin(pool={"decode_timeout_s": 30.0}).campaign.config


@pytest.fixture
def picture():
    data = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 30, 3), dtype=np.uint8)).save(data, "PNG")
    return data.getvalue()


def test_apart_is_the_same_as_here(ray_session, config, picture):
    here, apart = LocalDecoder(config), IsolatedDecoder(config)
    expected = here(picture)
    here.pause()
    assert expected.shape == (16, 16, 3)
    assert np.array_equal(apart(picture), expected)
    for decoder in (here, apart):
        with pytest.raises(Undecodable, match="no bytes") as caught:
            decoder(b"")
        assert caught.value.code == "empty"
        decoder.pause()


HANGS = """
import sys, time
from raylabel.config import Config
from raylabel.inference.decoders import LocalDecoder
config = Config.model_validate_json(sys.argv[1])
decoder = LocalDecoder(config)
decoder._decode = lambda data: time.sleep(float(data))
decoder(b"0")
decoder.pause()
time.sleep(1.5)  # longer than the limit, but nothing is being decoded
print("awake", flush=True)
decoder(b"60")
print("never", flush=True)
"""


def test_a_hanging_image_ends_its_process(config):
    short = config.model_copy(update={"pool": config.pool.model_copy(update={"decode_timeout_s": 1.0})})
    done = subprocess.run(
        [sys.executable, "-c", HANGS, short.model_dump_json()], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout == "awake\n"
    assert done.returncode == 1
    assert "Timeout" in done.stderr  # where it hung stands in the worker's log
