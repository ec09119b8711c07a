import json

import numpy as np
import pytest
from campaigns import bare_settings as settings

from raylabel import runtime
from raylabel.campaign import BEGUN
from raylabel.errors import ConfigError, FingerprintError
from raylabel.opening import find_campaign, open_campaign
from raylabel.profile import resolve_profile
from raylabel.workspace import Record


def test_profile(ray_session, tmp_path):
    found, measured = resolve_profile(
        settings(tmp_path, compute={"batch_size": 7, "dtype": "auto"}, training={"num_workers": 3})
    )
    assert (found.arithmetic.batch_size, found.arithmetic.threads, found.training_workers) == (7, 1, 3)
    assert found.versions["numpy"] == np.__version__
    assert {"torch", "torchvision", "scikit-learn", "scipy", "pillow", "simplejpeg"} < set(found.versions)
    assert found.arithmetic.device == ("cuda" if runtime.resources()["gpus"] else "cpu")
    assert measured["ms_per_image"].keys() == {"float32", "bfloat16"}


AUTO = {"dtype": "auto"}


def test_what_was_measured_is_kept(ray_session, tmp_path):
    """Opening again measures nothing and takes what is there, unless the config names something else."""
    first = open_campaign(settings(tmp_path, compute=AUTO))
    first.records.commit(BEGUN, Record())
    stored = json.loads((tmp_path / "campaign.json").read_text())
    other = {"float32": "bfloat16", "bfloat16": "float32"}[first.profile.arithmetic.dtype]
    stored["profile"]["arithmetic"]["dtype"] = other  # as if the measurement had gone the other way
    (tmp_path / "campaign.json").write_text(json.dumps(stored))
    again = open_campaign(settings(tmp_path, compute=AUTO))
    assert again.profile.arithmetic.dtype == other
    assert again.fingerprint == find_campaign(settings(tmp_path, compute=AUTO)).fingerprint != first.fingerprint
    open_campaign(settings(tmp_path, compute={"dtype": other}))  # named now, and the same
    with pytest.raises(FingerprintError, match=f"profile.arithmetic.dtype: there '{other}'"):
        open_campaign(settings(tmp_path, compute={"dtype": first.profile.arithmetic.dtype}))


def test_times_are_no_part_of_the_fingerprint(ray_session, tmp_path):
    first = open_campaign(settings(tmp_path, compute=AUTO))
    stored = json.loads((tmp_path / "campaign.json").read_text())
    stored["measured"] = {"ms_per_image": {"float32": 123.0}}
    (tmp_path / "campaign.json").write_text(json.dumps(stored))
    assert find_campaign(settings(tmp_path, compute=AUTO)).fingerprint == first.fingerprint


def test_a_gpu_that_shall_decode_must_be_there(ray_session, tmp_path):
    with pytest.raises(ConfigError, match=r"compute\.gpu_decode: wants a GPU"):
        resolve_profile(settings(tmp_path, compute={"device": "cpu", "gpu_decode": 0.5}))


def test_cuda_without_a_gpu(ray_session, tmp_path):
    if runtime.resources()["gpus"]:
        pytest.skip("this machine has a GPU")
    with pytest.raises(ConfigError, match=r'compute\.device: "cuda", but the Ray session has no GPU'):
        resolve_profile(settings(tmp_path, compute={"device": "cuda"}))
