"""The jobs, submitted as users do: a head started by cluster/local.sh, with token authentication."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from campaigns import digits_settings, free_port, write_toml

from raylabel.demo import write_pool

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A running head; yields the environment that its printed `export` lines ask for."""
    env = {
        **os.environ,
        "PORT": str(free_port()),
        "DASHBOARD_PORT": str(free_port()),
        "AGENT_PORT": str(free_port()),  # the session of the other tests has the usual one
        "RAYLABEL_CLUSTER_DIR": str(tmp_path_factory.mktemp("head")),
        "RAYLABEL_BIN": str(Path(sys.executable).parent),
    }
    env.pop("RAY_ADDRESS", None)
    script = ROOT / "cluster" / "local.sh"
    started = subprocess.run([script, "start"], env=env, capture_output=True, text=True, timeout=400, check=False)
    assert started.returncode == 0, started.stderr
    assert "waiting until a first job has run on it" in started.stderr
    pid = Path(env["RAYLABEL_CLUSTER_DIR"]) / "pid"
    process = psutil.Process(int(pid.read_text()))
    said = dict(
        pair.split("=", 1)
        for line in started.stdout.splitlines()
        if line.startswith("export ")
        for pair in line.removeprefix("export ").split()
    )
    try:
        yield {**env, **said}
    finally:
        subprocess.run([script, "stop"], env=env, timeout=90, check=True)
    assert not process.is_running()
    assert not pid.exists()


def submit(env: dict[str, str], *arguments: str) -> "subprocess.CompletedProcess[str]":
    ray = Path(sys.executable).parent / "ray"
    return subprocess.run(
        [ray, "job", "submit", "--working-dir", "jobs", "--", "python", *arguments],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )


def test_jobs(head: dict[str, str], tmp_path: Path) -> None:
    truth = write_pool(tmp_path / "pool")
    config = digits_settings(tmp_path / "pool", tmp_path / "workspace", acceptance={"max_error": 0.2})
    toml = str(write_toml(config, tmp_path / "campaign.toml"))
    embedded = submit(head, "embed.py", toml)
    assert embedded.returncode == 0, embedded.stdout + embedded.stderr
    assert list((tmp_path / "workspace").glob("embeddings/*.json"))
    trained = submit(head, "train.py", toml)
    assert trained.returncode == 0, trained.stdout + trained.stderr
    assert list((tmp_path / "workspace").glob("rounds/0000/model.json"))
    [line] = re.findall(r"^ray job submit .*", (ROOT / "README.md").read_text(), flags=re.MULTILINE)
    shutil.copytree(ROOT / "jobs", tmp_path / "jobs")
    done = subprocess.run(
        ["bash", "-c", line],
        cwd=tmp_path,
        env={**head, "PATH": f"{Path(sys.executable).parent}:{head['PATH']}"},
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(truth):,} images: 200 labeled by people" in done.stdout


def test_without_the_token_nothing_runs(head: dict[str, str]) -> None:
    env = {name: value for name, value in head.items() if name != "RAY_AUTH_TOKEN_PATH"}
    env |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0" * 64}
    refused = submit(env, "run.py", "nothing.toml")
    assert refused.returncode != 0
    assert "nothing.toml" not in refused.stdout
