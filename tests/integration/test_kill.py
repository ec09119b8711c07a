"""A driver killed in each of its steps, and the node under it: the result is that of a run left alone.

These tests kill processes: they have a Ray cluster of their own, of two nodes.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from campaigns import raylabel, result_of, settings, write_toml

from raylabel.config import Config

# Each names a file whose appearance says that a step has ended and the next one has begun.
STEPS = {
    "plan": "campaign.json",
    "audit": "pool/plan-0000.json",
    "backbone": "audit/draw-0000.json",
    "embed, before any shard": "backbones/first.json",
    "embed, between shards": "embeddings/*/shard-*.json",
    "index": "embeddings/*.json",
    "select": "index/*.json",
    "ask": "rounds/0000/shortlist.json",
    "ask, answers in": "rounds/0000/answers/*.json",
    "train": "rounds/0000/answered.json",
    "predict": "rounds/0000/model.json",
    "accept": "rounds/0000/predictions.json",
    "commit": "rounds/0000/verdict.json",
    "select again": "rounds/0000/round.json",
    "labels": "rounds/0001/round.json",
    "labels, written": "labels/labels-*.parquet",
    "report": "labels/labels.json",
}


@pytest.fixture(scope="module")
def cluster(s3_server: str) -> Iterator[Any]:
    """Two nodes of one core each; drivers connect to it by address, this process does not."""
    from ray.cluster_utils import Cluster

    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    nodes.add_node(num_cpus=1)
    yield nodes
    nodes.shutdown()


def start(toml: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "raylabel", "run", str(toml)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def kill_when(process: "subprocess.Popen[str]", workspace: Path, pattern: str) -> bool:
    """kill -9 as soon as this driver holds its lease and a file is there; False if the run ended before."""
    before = len(list(workspace.glob("driver.lease/*.json")))
    while process.poll() is None:
        holds = len(list(workspace.glob("driver.lease/*.json"))) > before
        if holds and any(workspace.glob(pattern)):
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            return True
        time.sleep(0.002)
    return False


def test_killed_in_every_step(
    cluster: Any, baseline: tuple[Config, dict[str, Any]], cifar_slice: Path, data: Path, tmp_path: Path
) -> None:
    workspace = tmp_path / "workspace"
    config = settings(str(cifar_slice), str(workspace), data, compute={"address": cluster.address})
    toml = write_toml(config, tmp_path / "campaign.toml")
    killed = []
    for step, pattern in STEPS.items():
        if kill_when(process := start(toml), workspace, pattern):
            killed.append(step)
        else:
            pytest.fail(f"{step}: the run ended first: {process.stdout.read() if process.stdout else ''}")
    assert killed == list(STEPS)
    last = raylabel("run", toml, "--json")
    assert last.returncode == 0, last.stderr
    assert result_of(config) == result_of(baseline[0])
    fences = sorted((workspace / "driver.lease").iterdir())
    assert len(fences) == len(STEPS) + 1


def test_killed_node(
    cluster: Any, baseline: tuple[Config, dict[str, Any]], cifar_slice: Path, data: Path, tmp_path: Path
) -> None:
    workspace = tmp_path / "workspace"
    config = settings(str(cifar_slice), str(workspace), data, compute={"address": cluster.address})
    toml = write_toml(config, tmp_path / "campaign.toml")
    victim = cluster.add_node(num_cpus=1)
    process = start(toml)
    while process.poll() is None and not any(workspace.glob("embeddings/*/part-*.parquet")):
        time.sleep(0.01)
    cluster.remove_node(victim, allow_graceful=False)
    out, _ = process.communicate(timeout=400)
    assert process.returncode == 0, out
    assert result_of(config) == result_of(baseline[0])


@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 143), ("SIGINT", 130)])
def test_signal(cluster: Any, cifar_slice: Path, data: Path, tmp_path: Path, name: str, code: int) -> None:
    workspace = tmp_path / "workspace"
    config = settings(str(cifar_slice), str(workspace), data, compute={"address": cluster.address})
    process = start(write_toml(config, tmp_path / "campaign.toml"))
    while process.poll() is None and not any(workspace.glob("backbones/first.json")):
        time.sleep(0.01)
    process.send_signal(signal.Signals[name])
    out, _ = process.communicate(timeout=120)
    assert process.returncode == code, out
    assert "run the same command again" in out
    assert "Traceback" not in out
    lease = json.loads(sorted((workspace / "driver.lease").iterdir())[-1].read_text())
    assert lease["released"] is True


def stopped_by(process: "subprocess.Popen[str]", out: str, name: str) -> None:
    """It ended by this signal and said so once, without a traceback."""
    assert process.returncode == 128 + signal.Signals[name], out
    assert out.count("raylabel: ") == 1
    assert f"raylabel: stopped by {name}; run the same command again to go on\n" in out
    assert "Traceback" not in out and "Exception ignored" not in out


def start_until(running: str, config: Config, toml: Path) -> "subprocess.Popen[str]":
    """Start a run on a Ray session of its own; returns once a process whose name begins so runs below it."""
    process = start(write_toml(config, toml))
    with contextlib.suppress(psutil.NoSuchProcess):
        driver = psutil.Process(process.pid)
        while not any(child.name().startswith(running) for child in driver.children(recursive=True)):
            time.sleep(0.01)
    return process


def test_signal_while_ray_starts(cifar_slice: Path, data: Path, tmp_path: Path) -> None:
    """Ray's own handler is in place then; it would exit with another code, and silently."""
    config = settings(str(cifar_slice), str(tmp_path / "workspace"), data)
    process = start_until("gcs_server", config, tmp_path / "campaign.toml")
    process.terminate()
    out, _ = process.communicate(timeout=120)
    stopped_by(process, out, "SIGTERM")
    lease = json.loads((tmp_path / "workspace" / "driver.lease" / "000001.json").read_text())
    assert lease["released"] is True


def test_second_signal_while_the_first_one_ends_the_run(cifar_slice: Path, data: Path, tmp_path: Path) -> None:
    """The run, which waits for its first task, leaves at once, with the code of the first signal."""
    config = settings(str(cifar_slice), str(tmp_path / "workspace"), data)
    process = start_until("ray::_", config, tmp_path / "campaign.toml")
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=120)
    assert time.monotonic() - began < 2  # ending Ray takes longer
    stopped_by(process, out, "SIGINT")
