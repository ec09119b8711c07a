"""Choose how a backbone computes on this machine, by measuring: once, when a campaign begins."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from raylabel.config import Backbone, Compute
from raylabel.models.arithmetic import Arithmetic, Choice
from raylabel.models.backbones import Encoder, build
from raylabel.models.encode import BatchEncoder, fold_batch_norms

IMAGES = 8
REPEATS = 3
LEAST_RATIO = 1.2
LEAST_SAVED_MS = 0.2
"""bfloat16 is taken where it is at least this many times as fast and saves at least so much an image: below that,
decoding is the bound and the sharper numbers are free."""

BATCH_SIZES = {"cpu": 32, "cuda": 256}


def choose(backbone: Backbone, compute: Compute, device: str) -> Choice:
    """Choose dtype, folding, compiling and batch size for a backbone on a device.

    What the config names is taken as it is. bfloat16 on a CPU is chosen by measuring single-threaded forward passes of
    the backbone itself, with random weights; on a GPU it is taken wherever the device has it.

    Cost: a few forward passes of 8 images.
    """
    torch.set_num_threads(1)
    encoder = build(backbone)
    base = Arithmetic(
        device=device,
        dtype="float32",
        fused=_can_fold(encoder, backbone.image_size),
        compiled=compute.compile == "on" or (compute.compile == "auto" and device == "cuda"),
        batch_size=compute.batch_size or BATCH_SIZES[device],
        threads=1,
        gpu_decode=compute.gpu_decode or 0.0,
    )
    if compute.dtype != "auto":
        return Choice(replace(base, dtype=compute.dtype), {}, "compute.dtype names it")
    if device == "cuda":
        has = torch.cuda.is_bf16_supported()
        dtype = "bfloat16" if has else "float32"
        return Choice(replace(base, dtype=dtype), {}, f"the GPU {'has' if has else 'lacks'} bfloat16")
    dtypes = ("float32", "bfloat16")
    found = measure(encoder, backbone.image_size, [replace(base, dtype=dtype) for dtype in dtypes])
    return decide(base, dict(zip(dtypes, found, strict=True)))


def decide(base: Arithmetic, ms_per_image: dict[str, float]) -> Choice:
    """Take bfloat16 only where it pays.

    Args:
        base: everything else about the arithmetic.
        ms_per_image: of "float32" and "bfloat16".
    """
    wide, short = ms_per_image["float32"], ms_per_image["bfloat16"]
    pays = wide >= LEAST_RATIO * short and wide - short >= LEAST_SAVED_MS
    why = f"measured: {wide:.2f} ms an image in float32, {short:.2f} in bfloat16"
    return Choice(replace(base, dtype="bfloat16" if pays else "float32"), ms_per_image, why)


def measure(encoder: Encoder, side: int, candidates: Sequence[Arithmetic]) -> list[float]:
    """Milliseconds an image of a forward pass, pixels to embeddings, uncompiled: each its best of a few, in turns."""
    ready = [BatchEncoder(encoder, replace(own, batch_size=IMAGES, compiled=False)) for own in candidates]
    pixels = np.random.default_rng(0).integers(0, 256, (IMAGES, side, side, 3), dtype=np.uint8)
    best = [math.inf] * len(ready)
    for turn in range(1 + REPEATS):
        for number, own in enumerate(ready):
            began = time.perf_counter()
            own.encode(pixels)
            if turn:  # the first one warms up
                best[number] = min(best[number], time.perf_counter() - began)
    return [seconds / IMAGES * 1000 for seconds in best]


def _can_fold(encoder: Encoder, side: int) -> bool:
    """Whether the folded module can be made and is the same function, to float32's rounding, on noise."""
    try:
        folded = fold_batch_norms(encoder.module)
    except ValueError:
        return False
    noise = torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        plain, other = encoder.module(noise), folded(noise)
    return bool(torch.allclose(plain, other, rtol=1e-3, atol=1e-3 * float(plain.abs().max())))
