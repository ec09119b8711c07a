"""The demo: 1,797 real handwritten digits, labeled on this machine, without network or weights."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from raylabel import loop, runtime
from raylabel.config import Config
from raylabel.opening import open_campaign
from raylabel.progress import say
from raylabel.workspace import Store, hold, read_part

SIDE = 16
SHARDS = 6
EPOCHS = 8
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def run_demo(folder: Path) -> dict[str, Any]:
    """Write the pool, train a backbone without labels, run the campaign, and compare its labels with the truth.

    Args:
        folder: gets `pool/`, `backbone.safetensors` and `workspace/`; running it again goes on, or shows the result.

    Returns:
        The report, with `demo`: the outcome in one sentence and the error among the machine's labels.
    """
    folder = folder.resolve()
    truth = write_pool(folder / "pool")
    say(f"the pool: {len(truth):,} pictures of handwritten digits (UCI, by way of scikit-learn) in {folder / 'pool'}")
    config = demo_config(folder)
    with hold(Store(config.workspace)) as lease, runtime.session(config.compute):
        if not Path(config.backbone.weights).exists():
            say(f"the backbone: a small network learns from the pictures alone, no labels, for {EPOCHS} passes")
            loss = runtime.call(train_backbone, folder, config, num_cpus=runtime.resources()["cpus"])
            say(f"the backbone: trained (loss {loss:.2f}), kept in {config.backbone.weights}")
        say("the campaign: answers come from the known truth, as they would from people")
        report = loop.run(open_campaign(config), lease)
    assert report is not None, "the loop ran to its end"
    return {**report, "demo": _compare(config, report, truth)}


def demo_config(folder: Path) -> Config:
    """The demo's campaign."""
    return Config.model_validate(
        {
            "workspace": str(folder / "workspace"),
            "classes": DIGITS,
            "pool": {"path": str(folder / "pool"), "label_column": "label"},
            "backbone": {
                "name": "tiny_cnn",
                "weights": str(folder / "backbone.safetensors"),
                "image_size": SIDE,
                "mean": (0.5, 0.5, 0.5),
                "std": (0.5, 0.5, 0.5),
            },
            "budget": {"train_answers": 200, "audit_answers": 300, "rounds": 2},
            "labeling": {"labeler": "oracle"},
        }
    )


def write_pool(folder: Path) -> dict[str, str]:
    """Write the digits as PNGs into Parquet shards, unless they are there.

    Returns:
        The true class of every id.
    """
    from sklearn.datasets import load_digits

    digits = load_digits()
    ids = [f"digit-{number:04d}" for number in range(len(digits.target))]
    labels = [DIGITS[index] for index in digits.target]
    if not folder.exists():
        draft = folder.with_name("pool.draft")
        draft.mkdir(parents=True, exist_ok=True)
        pngs = [_png(image) for image in digits.images]
        for shard, rows in enumerate(np.array_split(np.arange(len(ids)), SHARDS)):
            columns = {
                name: [values[row] for row in rows]
                for name, values in (("id", ids), ("image", pngs), ("label", labels))
            }
            pq.write_table(pa.table(columns), draft / f"digits-{shard}.parquet", use_dictionary=["label"])
        draft.rename(folder)
    return dict(zip(ids, labels, strict=True))


def _png(image: np.ndarray[Any, Any]) -> bytes:
    grey = Image.fromarray((image * (255 / 16)).round().astype(np.uint8)).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    data = io.BytesIO()
    grey.save(data, format="PNG")
    return data.getvalue()


def train_backbone(folder: Path, config: Config) -> float:
    """Train the demo's backbone on the pool's pictures and keep its weights; returns the last loss."""
    import torch

    from raylabel.models import backbones, weights
    from raylabel.models.contrastive import pretrain
    from raylabel.pool.decode import decode

    images = pq.read_table(folder / "pool", columns=["image"]).column("image").to_pylist()
    pixels = np.stack([decode(data, config.backbone, max_pixels=config.pool.max_pixels) for data in images])
    pixels = np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))
    torch.set_num_threads(os.cpu_count() or 1)
    encoder = backbones.build(config.backbone)
    losses: list[float] = []
    pretrain(
        encoder.module, pixels, dim=encoder.dim, epochs=EPOCHS, seed=0, report=lambda epoch, loss: losses.append(loss)
    )
    Store(str(folder)).write("backbone.safetensors", weights.dump(encoder))
    return losses[-1]


def _compare(config: Config, report: dict[str, Any], truth: dict[str, str]) -> dict[str, Any]:
    """The outcome in one sentence, with the error that only the demo can know."""
    from raylabel.campaign import find_labels
    from raylabel.opening import find_campaign

    campaign = find_campaign(config)
    record = find_labels(campaign)
    assert record is not None, "the loop ends by writing the labels"
    auto = wrong = 0
    for part in record.parts["labels"]:
        for row in read_part(campaign.store, part, columns=["id", "label", "source"]).to_pylist():
            if row["source"] == "auto":
                auto += 1
                wrong += row["label"] != truth[row["id"]]
    budget, promise = config.budget, config.acceptance
    by_machine = (
        f"{auto:,} labeled by machine, at most {promise.max_error:.0%} wrong with {1 - promise.alpha:.0%} confidence "
        f"(truly wrong: {wrong / auto:.1%})"
        if auto
        else f"none labeled by machine ({report['labels']['sentence']})"
    )
    sentence = (
        f"{len(truth):,} images: {budget.audit_answers} audited, {budget.train_answers} answered for training, "
        f"{by_machine}, {report['labels']['num_undecided']:,} left undecided.\n"
        f"Labels, answers, models and certificate lie in {config.workspace}; report.json there tells the whole story."
    )
    return {"sentence": sentence, "num_auto": auto, "num_wrong": wrong}
