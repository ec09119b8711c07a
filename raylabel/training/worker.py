"""What each Ray Train worker runs: the fine-tuning loop, one slice of every global batch."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import ray.train
import torch
from ray.train.torch import get_device, prepare_model
from torch import nn

from raylabel.campaign import EncoderRef
from raylabel.errors import PoolError
from raylabel.models import backbones, weights
from raylabel.pool import ShardUnreadable, Want
from raylabel.pool.decode import decode
from raylabel.pool.read import fetch_from
from raylabel.pool.whole import Undecodable
from raylabel.training.work import Work

_BATCH_NORM = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


class Tuned(nn.Module):
    """A backbone with a linear layer on top."""

    def __init__(self, encoder: backbones.Encoder, num_classes: int) -> None:
        super().__init__()
        self.backbone = encoder.module
        self.head = nn.Linear(encoder.dim, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Normalised pixels (N, 3, S, S) -> logits (N, K)."""
        logits: torch.Tensor = self.head(self.backbone(x))
        return logits


def train_worker(settings: dict[str, Any]) -> None:
    """Train for the configured epochs, reporting a checkpoint after each; goes on from the last one if there is any.

    Every step's gradient is that of the whole global batch, whatever the number of workers. Batch normalisation
    keeps its pretrained statistics: a few hundred answers would only spoil them.
    """
    work: Work = settings["work"]
    config, context = work.campaign.config, ray.train.get_context()
    rank, world = context.get_world_rank(), context.get_world_size()
    if work.campaign.profile.arithmetic.device == "cuda":
        # Same weights after a kill as without one: no autotuned and no atomic kernels.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.backends.cudnn.benchmark = False
        torch.use_deterministic_algorithms(True, warn_only=True)
    torch.manual_seed(work.seed)
    encoder = backbones.build(config.backbone, seed=work.seed)
    weights.fit(encoder, weights.read(work.campaign.store.uri(work.ref.weights)), source=work.ref.weights)
    torch.manual_seed(work.seed)
    tuned = Tuned(encoder, len(config.classes))
    optimizer = torch.optim.AdamW(tuned.parameters(), lr=config.training.learning_rate, weight_decay=0.01)
    first = _restore(tuned, optimizer)
    model = prepare_model(tuned)
    pixels, labels = _images(work)
    for epoch in range(first, config.training.epochs):
        loss = _epoch(model, optimizer, (pixels, labels), work, encoder, (epoch, rank, world))
        metrics = {"loss": loss, "epoch": epoch, "world_size": world, "dim": encoder.dim, "digest": ""}
        if epoch == config.training.epochs - 1:
            metrics["digest"] = _store(work, encoder, write=rank == 0)
        with tempfile.TemporaryDirectory() as place:
            checkpoint = None
            if rank == 0:
                state = {"model": tuned.state_dict(), "optimizer": optimizer.state_dict(), "epoch": epoch}
                torch.save(state, Path(place) / "state.pt")
                checkpoint = ray.train.Checkpoint.from_directory(place)
            ray.train.report(metrics, checkpoint=checkpoint)


def _restore(tuned: Tuned, optimizer: torch.optim.Optimizer) -> int:
    """Load the last checkpoint, if there is one; return the epoch to begin with."""
    checkpoint = ray.train.get_checkpoint()
    if checkpoint is None:
        return 0
    with checkpoint.as_directory() as place:
        state = torch.load(Path(place) / "state.pt", map_location="cpu", weights_only=True)
    tuned.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    return int(state["epoch"]) + 1


def _images(work: Work) -> tuple[torch.Tensor, torch.Tensor]:
    config = work.campaign.config
    pixels, labels = [], []
    for shard, rows in work.shards:
        try:
            for item in fetch_from(work.plan, shard, rows, config.pool, work.campaign.store, Want()):
                found = decode(item.image, config.backbone, max_pixels=config.pool.max_pixels)
                pixels.append(torch.from_numpy(found))
                labels.append(work.labels[item.row])
        except (ShardUnreadable, Undecodable) as error:
            raise PoolError(
                f"{shard.name}: an answered image in it can no longer be read ({error.code}: {error.message}); "
                "restore the pool as it was planned"
            ) from error
    return torch.stack(pixels), torch.tensor(labels)


def _epoch(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    data: tuple[torch.Tensor, torch.Tensor],
    work: Work,
    encoder: backbones.Encoder,
    where: tuple[int, int, int],
) -> float:
    """One pass; returns the mean loss of this worker's images."""
    epoch, rank, world = where
    (pixels, labels), device = data, get_device()
    settings = work.campaign.config.training
    mean = torch.tensor(encoder.mean, device=device).view(1, 3, 1, 1)
    std = torch.tensor(encoder.std, device=device).view(1, 3, 1, 1)
    rng = np.random.default_rng([work.seed, epoch])
    order = rng.permutation(len(labels))
    flips = torch.from_numpy(rng.random(len(labels)) < 0.5)
    model.train()
    for layer in model.modules():
        if isinstance(layer, _BATCH_NORM):
            layer.eval()
    losses: list[float] = []
    for start in range(0, len(order), settings.batch_size):
        batch = order[start : start + settings.batch_size]
        if len(batch) < world:
            break
        mine = torch.from_numpy(batch[rank::world])
        images = pixels[mine].to(device).permute(0, 3, 1, 2).float().div(255).sub(mean).div(std)
        if settings.flip:
            images = torch.where(flips[mine].to(device).view(-1, 1, 1, 1), images.flip(3), images)
        each = nn.functional.cross_entropy(model(images), labels[mine].to(device), reduction="sum")
        optimizer.zero_grad()
        # DDP averages over workers: scale so that the average is the mean over the global batch.
        (each * (world / len(batch))).backward()
        optimizer.step()
        losses.append(each.item() / len(mine))
    return float(np.mean(losses))


def _store(work: Work, encoder: backbones.Encoder, *, write: bool) -> str:
    encoder.module.eval()
    digest = weights.digest(encoder, work.campaign.config.backbone)
    if write:
        work.campaign.store.write(EncoderRef(digest, encoder.dim).weights, weights.dump(encoder))
    return digest
