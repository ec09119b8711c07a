"""A backbone that costs next to nothing: the mean of each channel. What is left to measure is the engine."""

from __future__ import annotations

import torch
from torch import nn


class MeanPixels(nn.Module):
    """(N, 3, S, S) -> (N, 3)."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Average each channel."""
        return images.mean(dim=(2, 3))


def build() -> MeanPixels:
    """As raylabel asks for a backbone of the user's own."""
    return MeanPixels()
