"""A backbone of 60 thousand weights for pictures of 16 to 64 pixels: small enough to train while one watches."""

from __future__ import annotations

import torch
from torch import nn


class TinyCNN(nn.Module):
    """Three convolutions with group normalisation, average and maximum pooled: (N, 3, S, S) -> (N, 128)."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs in ((3, 32), (32, 64), (64, 64)):
            layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.GroupNorm(8, outputs), nn.GELU(), nn.MaxPool2d(2)]
        self.layers = nn.Sequential(*layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Encode normalised pixels."""
        maps = self.layers(x)
        return torch.cat([maps.mean((2, 3)), maps.amax((2, 3))], dim=1)
