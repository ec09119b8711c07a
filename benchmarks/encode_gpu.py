"""Embedding on a GPU: raylabel's encoder in each arithmetic, and JPEGs decoded by the GPU itself, held against the CPU.

Uses no Ray. `python benchmarks/encode_gpu.py PHOTOS.parquet` (a column `image` of JPEGs) prints a table and, as its
last line, one JSON object. Two threads feed the GPU, as an actor's do: pinned buffers, a stream each.
"""

from __future__ import annotations

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow.parquet as pq
import torch

from raylabel.config import Backbone
from raylabel.models import backbones
from raylabel.models.arithmetic import Arithmetic
from raylabel.models.encode import BatchEncoder
from raylabel.pool.decode import decode
from raylabel.pool.decode_many import decode_many

BATCH, BATCHES, THREADS, MAX_PIXELS = 256, 60, 2, 50_000_000


def rate(encoder: BatchEncoder, pixels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> float:
    """Images a second, after a batch that is not counted."""
    with ThreadPoolExecutor(THREADS) as feeders:
        list(feeders.map(encoder.encode, [pixels] * 2 * THREADS))
        began = time.perf_counter()
        list(feeders.map(encoder.encode, [pixels] * BATCHES))
    return BATCH * BATCHES / (time.perf_counter() - began)


def main() -> None:
    """Measure and print."""
    table = pq.read_table(sys.argv[1], columns=["image"]).slice(0, 2 * BATCH)
    images = [image for image in table.column("image").to_pylist() if image]
    closing: dict[str, object] = {"benchmark": "encode_gpu", "device": torch.cuda.get_device_name()}
    for name in ("resnet50", "vit_b_16"):
        backbone = Backbone(name=name, weights="none")
        pixels = np.stack([decode(image, backbone, max_pixels=MAX_PIXELS) for image in images[:BATCH]])
        pixels = np.concatenate([pixels] * (-(-BATCH // len(pixels))))[:BATCH]
        encoder = backbones.build(backbone, seed=0)
        plain = BatchEncoder(encoder, Arithmetic("cpu", "float32", False, False, 32, 16))
        truth = plain.encode(pixels[:32]).astype(np.float64)
        for dtype, fused, compiled in (
            ("float32", False, False),
            ("bfloat16", False, False),
            ("bfloat16", True, False),
            ("bfloat16", True, True),
        ):
            arithmetic = Arithmetic("cuda", dtype, fused, compiled, BATCH, 1)
            there = BatchEncoder(encoder, arithmetic)
            began = time.perf_counter()
            found = there.encode(pixels)[:32].astype(np.float64)
            first_s = time.perf_counter() - began
            cosine = (found * truth).sum(1) / np.linalg.norm(found, axis=1) / np.linalg.norm(truth, axis=1)
            images_s = rate(there, pixels)
            again = np.array_equal(there.encode(pixels)[:32].astype(np.float64), found)
            print(
                f"| {name} | {arithmetic.in_words()} | {images_s:,.0f} images/s | first batch {first_s:.1f} s | "
                f"least cosine to float32 on the CPU {cosine.min():.5f} | the same twice: {again} |",
                flush=True,
            )
            closing[f"{name}, {dtype}, folded {fused}, compiled {compiled}"] = round(images_s)
    backbone = Backbone(name="resnet50", weights="none")
    ones = [decode(image, backbone, max_pixels=MAX_PIXELS) for image in images]
    for device in ("cuda", "cpu"):
        decode_many(images[:32], backbone, max_pixels=MAX_PIXELS, device=device)
        began = time.perf_counter()
        many = decode_many(images, backbone, max_pixels=MAX_PIXELS, device=device)
        spent = time.perf_counter() - began
        off = np.mean([np.abs(np.asarray(a, int) - np.asarray(b, int)).mean() for a, b in zip(many, ones, strict=True)])
        print(f"| JPEGs by batch | {device} | {len(images) / spent:,.0f} images/s | mean difference {off:.2f} levels |")
        closing[f"jpegs {device}"] = round(len(images) / spent)
        closing[f"jpegs {device}, levels off"] = round(float(off), 3)
    print(json.dumps(closing))


if __name__ == "__main__":
    main()
