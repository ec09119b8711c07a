"""Fine-tuning on Ray Train: two workers, a new backbone, the pool embedded again; killed and resumed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
from campaigns import LEAN, result_of, run, write_toml

from raylabel.config import Config
from raylabel.demo import DIGITS, write_pool


def settings(place: Path, address: str) -> Config:
    """A small campaign whose second round tunes the backbone with two workers."""
    write_pool(place / "pool")
    return Config.model_validate(
        {
            "workspace": str(place / "workspace"),
            "classes": DIGITS,
            "pool": {"path": str(place / "pool"), "label_column": "label"},
            "backbone": {"name": "tiny_cnn", "weights": "none", "image_size": 16},
            "budget": {"train_answers": 200, "audit_answers": 200, "rounds": 2},
            "labeling": {"labeler": "oracle"},
            "training": {"finetune_at": [1], "epochs": 12, "learning_rate": 3e-3, "num_workers": 2, "flip": False},
            "acceptance": {"max_error": 0.2, "looks": "last"},
            "compute": {**LEAN, "address": address},
        }
    )


@pytest.fixture(scope="module")
def tuned(ray_session: str, tmp_path_factory: pytest.TempPathFactory) -> Config:
    """The campaign, run from the command line."""
    place = tmp_path_factory.mktemp("finetune")
    config = settings(place, ray_session)
    run(config)
    return config


def facts_of(config: Config, name: str) -> Any:
    from raylabel.opening import find_campaign

    record = find_campaign(config).records.find(name)
    assert record is not None
    return record.facts


def test_the_backbone_is_another_and_better(tuned: Config) -> None:
    first, second = (facts_of(tuned, f"rounds/000{number}/model") for number in range(2))
    tuning = facts_of(tuned, "rounds/0001/backbone")
    assert tuning["world_size"] == 2
    assert tuning["epoch"] == 11
    assert first["backbone"] != second["backbone"] == tuning["digest"]
    # Judged on every fifth answer, which the backbone was not tuned on: not on what it has memorised.
    assert len(tuning["seen"]) == 160
    assert second["num_judged"] == 40
    assert second["accuracy"] > first["accuracy"]


def test_the_pool_was_embedded_again(tuned: Config) -> None:
    embedded = sorted(path.stem for path in (Path(tuned.workspace) / "embeddings").glob("*.json"))
    assert len(embedded) == 2
    weights = [
        safetensors.torch.load_file(Path(tuned.workspace) / "backbones" / f"{digest}.safetensors")
        for digest in embedded
    ]
    assert weights[0].keys() == weights[1].keys()
    assert any((weights[0][name] != weights[1][name]).any() for name in weights[0])


def test_a_campaign_with_two_backbones_is_verified(tuned: Config) -> None:
    from raylabel.verify import open_workspace, verify

    facts = verify(open_workspace(tuned.workspace))
    assert [check["differs"] for check in facts["checks"]] == [[]] * 8


def test_killed_while_tuning(tuned: Config, ray_session: str, tmp_path: Path) -> None:
    """Killed after some epochs and resumed, the tuned backbone is bit for bit that of the run left alone."""
    config = settings(tmp_path, ray_session)
    toml = write_toml(config, tmp_path / "campaign.toml")
    process = subprocess.Popen(
        [sys.executable, "-m", "raylabel", "run", str(toml)], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
    place = Path(config.workspace) / "rounds" / "0001" / "finetune"
    while process.poll() is None and len(list(place.glob("run/checkpoint_*"))) < 2:
        time.sleep(0.01)
    assert process.poll() is None, "the run ended before it could be killed"
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    run(config)
    assert facts_of(config, "rounds/0001/backbone")["digest"] == facts_of(tuned, "rounds/0001/backbone")["digest"]
    assert result_of(config) == result_of(tuned)
