"""Run a backbone on batches of one fixed shape: pixels in, float16 embeddings out.

Knows one device; knows nothing of where pixels come from.
"""

from __future__ import annotations

import copy
import ctypes
import queue
import threading
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.fx.experimental.optimization import fuse

from raylabel.models.arithmetic import Arithmetic
from raylabel.models.backbones import Encoder

# What comes out of the object store is read-only, and is only read.
warnings.filterwarnings("ignore", message="The given NumPy array is not writable")


class BatchEncoder:
    """A backbone on its device. Several threads may encode at once: on a GPU their copies and work overlap.

    The encoder that it is made of is left alone.
    """

    def __init__(self, encoder: Encoder, arithmetic: Arithmetic) -> None:
        torch.set_num_threads(arithmetic.threads)
        self.dim = encoder.dim
        self._arithmetic = arithmetic
        self._dtype = getattr(torch, arithmetic.dtype)
        self._device = torch.device(arithmetic.device)
        module = fold_batch_norms(encoder.module) if arithmetic.fused else copy.deepcopy(encoder.module)
        module = module.to(self._device, self._dtype).to(memory_format=torch.channels_last).eval()
        self._module = compiled(module, arithmetic.device) if arithmetic.compiled else module
        self._mean, self._std = (torch.tensor(norm, device=self._device) for norm in (encoder.mean, encoder.std))
        self._forward_lock = threading.Lock()
        self._slots: queue.SimpleQueue[_Slot] = queue.SimpleQueue()

    def encode(self, pixels: NDArray[np.uint8]) -> NDArray[np.float16]:
        """Embed (n, S, S, 3) uint8 pixels, n at most the batch size: (n, dim) float16.

        uint8 travels to the device, cast and normalise happen there: float32 pixels would cost four times the copy.
        """
        count, size = len(pixels), self._arithmetic.batch_size
        if count > size:
            raise ValueError(f"got {count} images, a batch holds {size}")
        with torch.inference_mode():
            if self._device.type == "cuda":
                return self._encode_cuda(pixels)
            if count < size:
                pixels = np.concatenate([pixels, np.zeros((size - count, *pixels.shape[1:]), dtype=np.uint8)])
            features = self._forward(_normalised(_tensor(pixels), self._mean, self._std, self._dtype))
            return _float16(features[:count])

    def _forward(self, batch: torch.Tensor) -> torch.Tensor:
        with self._forward_lock:
            features: torch.Tensor = self._module(batch)
        return features

    def _encode_cuda(self, pixels: NDArray[np.uint8]) -> NDArray[np.float16]:
        """Through pinned buffers and a stream of the caller's own, so that copies run beside another's kernels."""
        try:
            slot = self._slots.get_nowait()
        except queue.Empty:
            shape = (self._arithmetic.batch_size, *pixels.shape[1:])
            slot = _Slot(torch.zeros(shape, dtype=torch.uint8, pin_memory=True), torch.cuda.Stream())
        count = len(pixels)
        slot.pixels[:count].copy_(_tensor(pixels))
        slot.pixels[count:].zero_()
        with torch.cuda.stream(slot.stream):
            there = slot.pixels.to(self._device, non_blocking=True).permute(0, 3, 1, 2)
            scaled = (
                there.to(torch.float32).div_(255).sub_(self._mean.view(1, 3, 1, 1)).div_(self._std.view(1, 3, 1, 1))
            )
            found = self._forward(scaled.to(self._dtype, memory_format=torch.channels_last))
            embeddings = _float16(found[:count])  # waits for this stream alone
        self._slots.put(slot)
        return embeddings


@dataclass
class _Slot:
    """What one batch under way on a GPU holds: pinned pixels and a stream."""

    pixels: torch.Tensor
    stream: torch.cuda.Stream


def keep_freed_memory() -> None:
    """Have this process keep the memory that it frees, for its own next use, until it ends.

    glibc's malloc gives every block of over 32 MB back to the kernel, and a batch's activations are such blocks: each
    layer of each batch would pay for zeroed pages anew, up to a third of a forward pass. Other C libraries are left
    as they are. `M_MMAP_MAX` and `M_TRIM_THRESHOLD` of mallopt(3).

    Cost: the process stays as large as it ever was, be it for one picture of many pixels: for processes that do
    nothing else than embed.

    Raises:
        RuntimeError: glibc refuses.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return
    m_trim_threshold, m_mmap_max = -1, -4
    if not (mallopt(m_mmap_max, 0) and mallopt(m_trim_threshold, 2**31 - 1)):
        raise RuntimeError("mallopt refused M_MMAP_MAX or M_TRIM_THRESHOLD")


def fold_batch_norms(module: nn.Module) -> nn.Module:
    """The same function with every batch norm folded into the convolution before it; the argument is left alone.

    Raises:
        ValueError: torch.fx cannot trace the module, as when its code branches on the data.
    """
    try:
        # torch.fx says of itself that it is experimental, once a process.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            folded: nn.Module = fuse(module)
    except Exception as error:  # what tracing a stranger's code raises is open
        raise ValueError(f"cannot be traced ({type(error).__name__}: {error})") from error
    return folded


def compiled(module: nn.Module, device: str) -> Callable[[torch.Tensor], torch.Tensor]:
    """The module behind torch.compile, for one batch shape; on a CPU its weights are laid out for it, too."""
    frozen: dict[str, Any] = {"freezing": True}
    return torch.compile(module, dynamic=False, options=frozen if device == "cpu" else None)


def _normalised(pixels: torch.Tensor, mean: torch.Tensor, std: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """(n, S, S, 3) uint8 -> (n, 3, S, S) normalised, channels_last.

    Image by image, each as rows of S * 3 values, so that everything stays in the core's cache: five times as fast as
    whole batches.
    """
    count, height, width, channels = pixels.shape
    scale, shift = (1 / (255 * std)).repeat(width), (-mean / std).repeat(width)
    out = torch.empty((count, channels, height, width), dtype=dtype, memory_format=torch.channels_last)
    lines = out.permute(0, 2, 3, 1).view(count, height, width * channels)
    for image, line in zip(pixels.view(count, height, width * channels), lines, strict=True):
        line.copy_(torch.addcmul(shift, image.float(), scale))
    return out


def _tensor(pixels: NDArray[np.uint8]) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(pixels))


def _float16(features: torch.Tensor) -> NDArray[np.float16]:
    found: NDArray[np.float16] = features.to(torch.float16).cpu().numpy()
    return found
