"""Run a backbone on batches of one fixed shape: pixels in, float16 embeddings out."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from raylabel.models.backbones import Encoder


class BatchEncoder:
    """A backbone on its device.

    Args:
        encoder: the backbone, weights loaded.
        device: "cpu" or "cuda".
        batch_size: every batch is padded to this many images, so that one image's embedding never depends on
            how many others came with it.
        threads: of torch, on a CPU.
    """

    def __init__(self, encoder: Encoder, *, device: str, batch_size: int, threads: int) -> None:
        torch.set_num_threads(threads)
        self.dim = encoder.dim
        self._size = batch_size
        self._device = torch.device(device)
        self._module = encoder.module.to(self._device).to(memory_format=torch.channels_last).eval()
        self._mean = torch.tensor(encoder.mean, device=self._device).view(1, 3, 1, 1)
        self._std = torch.tensor(encoder.std, device=self._device).view(1, 3, 1, 1)

    def encode(self, pixels: NDArray[np.uint8]) -> NDArray[np.float16]:
        """Embed (n, S, S, 3) uint8 pixels, n at most the batch size: (n, dim) float16.

        Cast and normalise happen on the device: moving float32 pixels costs four times as much.
        """
        count = len(pixels)
        padded = np.zeros((self._size, *pixels.shape[1:]), dtype=np.uint8)
        padded[:count] = pixels
        with torch.inference_mode():
            batch = torch.from_numpy(padded).to(self._device, non_blocking=True).permute(0, 3, 1, 2).float().div_(255)
            batch = batch.sub_(self._mean).div_(self._std).contiguous(memory_format=torch.channels_last)
            features: NDArray[np.float16] = self._module(batch)[:count].to(torch.float16).cpu().numpy()
        return features
