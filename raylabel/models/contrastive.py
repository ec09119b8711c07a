"""Train a small backbone without labels: two distorted views of one picture should lie near each other.

Knows tensors; knows nothing of pools or storage.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torchvision.transforms import v2 as transforms

TEMPERATURE = 0.2


def pretrain(
    backbone: nn.Module,
    pixels: NDArray[np.uint8],
    *,
    dim: int,
    epochs: int,
    seed: int,
    report: Callable[[int, float], None],
) -> None:
    """Fit a backbone to a set of unlabeled pictures, in place.

    Views are shifted, turned, scaled and sheared a little, never mirrored.

    Args:
        backbone: normalised pixels (N, 3, S, S) -> (N, dim).
        pixels: (N, 3, S, S) uint8.
        dim: of the backbone's output.
        epochs: passes over the pictures.
        seed: of the views and the order.
        report: told the epoch and its mean loss.

    Cost: two forward and backward passes per picture and epoch.
    Source: Chen et al. 2020 (SimCLR), equation 1, with the projection left out of what is kept.
    """
    torch.manual_seed(seed)
    view = transforms.RandomAffine(degrees=12, translate=(0.1, 0.1), scale=(0.85, 1.15), shear=8)
    projection = nn.Sequential(nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, 64))
    parameters = [*backbone.parameters(), *projection.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=2e-3, weight_decay=1e-4)
    images = torch.from_numpy(pixels).float().div(255).sub(0.5).div(0.5)
    size = 256
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=2e-3, total_steps=epochs * max(1, len(images) // size)
    )
    backbone.train()
    for epoch in range(epochs):
        losses = []
        for batch in torch.randperm(len(images)).split(size):
            if len(batch) < size and len(images) >= size:
                continue
            views = torch.cat([_distorted(images[batch], view) for _ in range(2)])
            loss = info_nce(projection(backbone(views)))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
        report(epoch, float(np.mean(losses)))
    backbone.eval()


def info_nce(vectors: torch.Tensor) -> torch.Tensor:
    """The contrastive loss of (2N, D) vectors whose row i and row i + N are views of the same picture."""
    normal = nn.functional.normalize(vectors, dim=1)
    similar = normal @ normal.T / TEMPERATURE
    count = len(vectors)
    similar = similar.masked_fill(torch.eye(count, dtype=torch.bool), float("-inf"))
    return nn.functional.cross_entropy(similar, (torch.arange(count) + count // 2) % count)


def _distorted(images: torch.Tensor, view: transforms.Transform) -> torch.Tensor:
    """Each of 16 slices of a batch gets a distortion of its own; one for each picture would cost ten times as much."""
    return torch.cat([view(piece) for piece in images.chunk(16)])
