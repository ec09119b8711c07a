"""MobileNetV2 that notes how many images went into it: what was done twice shows in the sum of two runs."""

from __future__ import annotations

import os
import time

import torch
from task import headless
from torch import nn

BATCH = 32
"""Of the benchmark. Its pool is cut so that every batch is full: a smaller one is a probe, and not the pool's."""
TALLY = "BENCHMARK_TALLY"
"""Environment variable: the file to note in."""


def note(images: int) -> None:
    """Append the time and a number of images; one write, so that lines of several processes stay apart."""
    with open(os.environ[TALLY], "ab", buffering=0) as file:
        file.write(f"{time.time()} {images}\n".encode())


@torch.fx.wrap
def passing(batch: torch.Tensor) -> torch.Tensor:
    """Note a full batch and give it on; wrapped, so that it stays a call where the model is traced."""
    if len(batch) == BATCH:
        note(BATCH)
    return batch


class Counted(nn.Module):
    """(N, 3, S, S) -> (N, 1280)."""

    def __init__(self, weights: str) -> None:
        super().__init__()
        self.inner = headless("mobilenet_v2", weights)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Embed."""
        found: torch.Tensor = self.inner(passing(images))
        return found


def build(weights: str) -> Counted:
    """As raylabel asks for a backbone of the user's own."""
    return Counted(weights)
