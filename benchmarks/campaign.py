"""A real campaign: label CIFAR-10 by machine as far as a certificate carries, and compare with the truth.

1,000 training answers in 5 rounds and 1,000 audit answers, at most 5 % wrong with 95 % confidence, a pretrained
backbone that has never seen these pictures, a linear head, the default strategy and confidence, a targeted audit.
The whole pack of 60,000 images is the pool (--quick: 5,000).
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from record import Outcome, arguments, finish, real_data

from raylabel import loop, runtime
from raylabel.config import Config
from raylabel.opening import find_campaign, open_campaign
from raylabel.workspace import Store, hold, read_part

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def settings(pool: Path, workspace: Path, data: Path) -> Config:
    """The campaign's config."""
    return Config.model_validate(
        {
            "workspace": str(workspace),
            "classes": CLASSES,
            "pool": {"path": str(pool), "id_column": "path", "label_column": "label"},
            "backbone": {
                "name": f"{data / 'weights' / 'backbones.py'}:build",
                "options": {"n": "effnet_b4_trunc"},
                "image_size": 128,
            },
            "budget": {"train_answers": 1000, "audit_answers": 1000, "rounds": 5},
            "labeling": {"labeler": "oracle"},
            "acceptance": {"max_error": 0.05, "alpha": 0.05, "looks": "last", "audit": "targeted", "flat_rounds": 5},
        }
    )


def run(config: Config) -> dict[str, Any]:
    """Run the campaign, or go on with it."""
    with hold(Store(config.workspace)) as lease, runtime.session(config.compute):
        report = loop.run(open_campaign(config), lease)
    assert report is not None, "the loop ran to its end"
    return report


def compare(config: Config) -> dict[str, int]:
    """Hold the result against the truth: every id once, machine labels counted, wrong ones counted."""
    truth: dict[str, str] = {}
    for file in sorted(Path(config.pool.path).glob("*.parquet")) or [Path(config.pool.path)]:
        truth.update(zip(*(pq.read_table(file).column(name).to_pylist() for name in ("path", "label")), strict=True))
    campaign = find_campaign(config)
    record = campaign.records.find("labels/labels")
    assert record is not None, "the loop ends by writing the labels"
    seen: set[str] = set()
    counts = {"items": 0, "auto": 0, "wrong_auto": 0, "human": 0}
    for part in record.parts["labels"]:
        for row in read_part(campaign.store, part).to_pylist():
            seen.add(row["id"])
            counts["items"] += 1
            counts["human"] += row["source"] == "human"
            counts["auto"] += row["source"] == "auto"
            counts["wrong_auto"] += row["source"] == "auto" and row["label"] != truth[row["id"]]
    assert seen == truth.keys() and counts["items"] == len(truth), "every id of the pool stands in the result once"
    return counts


def main() -> None:
    """Run, compare and print."""
    options, data = arguments(__doc__ or ""), real_data()
    pool = data / "cifar10" / "part-000.parquet" if options.quick else data / "cifar10"
    place = options.work or Path(tempfile.mkdtemp(prefix="raylabel-campaign-"))
    outcome = Outcome("campaign", ("round", "answers", "right on the audit sample", "labeled by machine"))
    config = settings(pool, place / ("quick" if options.quick else "cifar10"), data)
    began = time.monotonic()
    report = run(config)
    minutes = (time.monotonic() - began) / 60
    for facts in report["rounds"]:
        low, high = facts["audit_sample"]["accuracy_interval"]
        certified = f"{facts['num_auto']:,}" if facts["verdict"] == "certificate" else "none"
        outcome.rows.append((str(facts["round"]), f"{facts['num_answers']:,}", f"{low:.1%} to {high:.1%}", certified))
    counts = compare(config)
    error = counts["wrong_auto"] / counts["auto"] if counts["auto"] else 0.0
    coverage = (counts["auto"] + counts["human"]) / counts["items"]
    outcome.notes = [
        f"{counts['items']:,} images, every id once: {counts['human']:,} labeled by people, "
        f"{counts['auto']:,} by machine (coverage {coverage:.1%}), {error:.2%} of the machine's labels truly wrong, "
        f"{config.acceptance.max_error:.0%} promised. {minutes:.1f} min, with whatever the workspace held before.",
        report["labels"]["sentence"],
    ]
    outcome.ratios = {"true_error_over_promised": round(error / config.acceptance.max_error, 3)}
    outcome.limits = {"coverage": round(coverage, 4), "num_auto": counts["auto"], "true_error": round(error, 5)}
    finish(outcome, save=options.save)


if __name__ == "__main__":
    main()
