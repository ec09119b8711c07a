import json

import pytest
from campaigns import digits_settings, invoke, write_toml

from raylabel.bench import advise, bound
from raylabel.config import Config
from raylabel.demo import write_pool

FACTS = {"storage": 900.0, "workers": 2, "decode": 400.0, "model": 200.0, "limit": 133.0, "of_limit": 0.95}


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, "model"),
        ({"decode": 150.0}, "decode"),
        ({"storage": 60.0}, "storage"),  # two readers of 60 a second feed less than 133
        ({"storage": 67.0}, "model"),
        ({"of_limit": 0.69}, "engine"),
    ],
)
def test_bound(changed, expected):
    assert bound({**FACTS, **changed}) == expected


def test_advice_names_what_to_change():
    config = Config.model_validate({"workspace": "w", "classes": ["a", "b"], "pool": {"path": "p"}})
    bounds = ("storage", "decode", "model", "engine")
    said = {name: advise({**FACTS, "mean_kb": 310.0, "bound_by": name}, config) for name in bounds}
    assert "nearer to 224 pixels a side (310 kB each now)" in said["decode"]
    assert "backbone.image_size" in said["model"]
    assert "same region" in said["storage"]
    assert "--images" in said["engine"]


def test_throughput(ray_session, tmp_path):
    """The whole verb on a small pool: the sample, its limits and the pass agree, and the workspace stays empty."""
    write_pool(tmp_path / "pool")
    config = digits_settings(tmp_path / "pool", tmp_path / "workspace")
    toml = write_toml(config, tmp_path / "campaign.toml")
    done = invoke("bench", "throughput", toml, "--images", 128, "--json")
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    assert facts["images"] == 128
    assert facts["limit"] == pytest.approx(1 / (1 / facts["decode"] + 1 / facts["model"]))
    assert facts["of_limit"] == pytest.approx(facts["achieved"] / facts["limit"])
    assert min(facts[name] for name in ("storage", "decode", "model", "achieved", "start_s")) > 0
    assert facts["advice"] == advise(facts, config)
    assert not (tmp_path / "workspace").exists()
