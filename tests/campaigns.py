"""Campaigns that several suites run, and the command line as a user runs it."""

import contextlib
import io
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from raylabel import run as drive
from raylabel import schema
from raylabel.cli import main
from raylabel.config import Config
from raylabel.demo import DIGITS
from raylabel.opening import find_campaign
from raylabel.workspace import read_part, read_parts

UNTRACEABLE = """
import torch

class Moody(torch.nn.Module):
    def forward(self, images):
        pooled = images.mean((2, 3))
        return pooled if images.sum() > 0 else -pooled

def build():
    return Moody()
"""
"""Code of a backbone that branches on its data; `TRACEABLE` does not."""
TRACEABLE = UNTRACEABLE.replace(" if images.sum() > 0 else -pooled", "")

CLASSES = ("airplane", "automobile", "frog")

LEAN = {"workers": 1, "dtype": "float32"}
"""One model actor, and nothing measured: for small pools, on which a second one would cost more than it embeds."""


def settings(pool: str, workspace: str, data: Path, **sections: dict[str, Any]) -> Config:
    """The campaign of these tests; `sections` replaces settings in single sections."""
    tree: dict[str, Any] = {
        "workspace": workspace,
        "classes": CLASSES,
        "pool": {"path": pool, "id_column": "path", "label_column": "label"},
        "backbone": {
            "name": f"{data / 'weights' / 'backbones.py'}:build",
            "options": {"n": "resnet18_l3"},
            "image_size": 64,
        },
        "budget": {"train_answers": 200, "audit_answers": 300, "rounds": 2},
        "labeling": {"labeler": "oracle"},
        "acceptance": {"max_error": 0.1},
        # Named, not measured: two workspaces that are compared must compute alike on a noisy machine.
        "compute": {"dtype": "float32"},
    }
    return _config(tree, sections)


def digits_settings(pool: Path, workspace: Path, /, **sections: dict[str, Any]) -> Config:
    """A small campaign on the demo's digits, answered by the oracle; `sections` as above."""
    tree: dict[str, Any] = {
        "workspace": str(workspace),
        "classes": DIGITS,
        "pool": {"path": str(pool), "label_column": "label"},
        "backbone": {"name": "tiny_cnn", "weights": "none", "image_size": 16},
        "budget": {"train_answers": 100, "audit_answers": 100, "rounds": 1},
        "labeling": {"labeler": "oracle"},
        "acceptance": {"max_error": 0.3},
        "compute": LEAN,
    }
    return _config(tree, sections)


def bare_settings(workspace: Path, /, **sections: Any) -> Config:
    """A campaign whose pool nobody looks at; `sections` replaces settings in single sections, or others whole."""
    tree: dict[str, Any] = {
        "workspace": str(workspace),
        "classes": ["ant", "bee"],
        "pool": {"path": "/nowhere"},
        "budget": {"train_answers": 10, "audit_answers": 0, "rounds": 5},
        "compute": {"dtype": "float32"},  # as above
    }
    return _config(tree, sections)


def _config(tree: dict[str, Any], sections: dict[str, Any]) -> Config:
    for name, value in sections.items():
        tree[name] = {**tree.get(name, {}), **value} if isinstance(value, dict) else value
    return Config.model_validate(tree)


def run(config: Config) -> dict[str, Any]:
    """Run a campaign in this process, on the session that is there."""
    report = drive(config)
    assert report is not None
    return report


def result_of(config: Config) -> dict[str, Any]:
    """What two runs of one campaign must agree in: labels, sorted by id, and every round's shortlist in order."""
    campaign = find_campaign(config)
    labels = campaign.records.find("labels/labels")
    assert labels is not None
    rows = [row for part in labels.parts["labels"] for row in read_part(campaign.store, part).to_pylist()]
    shortlists = []
    for number in range(config.budget.rounds):
        record = campaign.records.find(f"rounds/{number:04d}/shortlist")
        assert record is not None
        table = read_parts(campaign.store, record.parts["shortlist"], schema=schema.SHORTLIST)
        shortlists.append(table.select(["id", "position", "strategy", "score"]).to_pylist())
    return {"labels": sorted(rows, key=lambda row: row["id"]), "shortlists": shortlists}


def truth_of(pool: Path) -> dict[str, str]:
    """The true class of every id."""
    table = pq.read_table(pool, columns=["path", "label"])
    return dict(zip(table.column("path").to_pylist(), table.column("label").to_pylist(), strict=True))


def free_port() -> int:
    """A port of the loopback interface that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _toml(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_toml(below)}" for key, below in value.items()) + "}"
    return json.dumps(value)


def write_toml(config: Config, target: Path) -> Path:
    """A config as the TOML that a user would have written."""
    lines: list[str] = []
    tree = config.model_dump(mode="json", exclude_defaults=True)
    for name in sorted(tree, key=lambda name: isinstance(tree[name], dict)):
        if isinstance(tree[name], dict):
            lines.append(f"[{name}]")
            for key, value in tree[name].items():
                lines.append(f"{key} = {_toml(value)}")
        else:
            lines.append(f"{name} = {json.dumps(tree[name])}")
    target.write_text("\n".join(lines) + "\n")
    return target


def raylabel(*arguments: object, env: dict[str, str] | None = None) -> "subprocess.CompletedProcess[str]":
    """Run the command line in a process of its own, as a user would."""
    return subprocess.run(
        [sys.executable, "-m", "raylabel", *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**os.environ, **(env or {})},
        timeout=500,
        check=False,
    )


def invoke(*arguments: object) -> "subprocess.CompletedProcess[str]":
    """Run the command line in this process, on the Ray session that is there: its workers are warm."""
    out, err = io.StringIO(), io.StringIO()
    argv, handlers = sys.argv, {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    sys.argv = ["raylabel", *map(str, arguments)]
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            main()
        code = 0
    except SystemExit as stopped:
        code = stopped.code if isinstance(stopped.code, int) else int(bool(stopped.code))
    finally:
        sys.argv = argv
        for number, handler in handlers.items():
            signal.signal(number, handler)
    return subprocess.CompletedProcess(sys.argv, code, out.getvalue(), err.getvalue())
