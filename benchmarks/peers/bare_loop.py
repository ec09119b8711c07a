"""The limit: plain loops without a framework, everything in memory, one process per core.

Rates of decoding alone, of the forward pass alone (one process per core with one thread each, and one process with a
thread per core), and of both in one loop. On a CPU the times of decoding and forward add up, whoever schedules them.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch
from task import Embedder, Task, Watch, arguments, square, table_of
from torchvision.io import ImageReadMode, decode_image

STAGES = ("decode", "forward", "both")


def encoded(task: Task) -> tuple[list[str], list[bytes]]:
    """Ids and bytes of all images."""
    tables = [pq.read_table(file, columns=["path", "image"]) for file in task.files]
    ids = [path for table in tables for path in table["path"].to_pylist()]
    return ids, [data for table in tables for data in table["image"].to_pylist()]


def decode(images: list[bytes], size: int) -> torch.Tensor:
    """(N, 3, size, size) uint8."""
    decoded = (
        decode_image(torch.frombuffer(bytearray(data), dtype=torch.uint8), mode=ImageReadMode.RGB) for data in images
    )
    return torch.stack([square(pixels, size) for pixels in decoded])


def loop(task: Task, share: slice, threads: int, stages: tuple[str, ...], start: Barrier) -> dict[str, Any]:
    """Run each stage over a share of the images, all processes beginning it together; seconds of each."""
    ids, images = encoded(task)
    ids, images = ids[share], images[share]
    embedder = Embedder(task, threads)
    cuts = range(0, len(images), task.batch_size)
    blank = torch.zeros(task.batch_size, 3, task.image_size, task.image_size, dtype=torch.uint8)
    embedder.embed_pixels(blank)
    decode(images[:2], task.image_size)
    done = []

    def both() -> None:
        for at in cuts:
            pixels = decode(images[at : at + task.batch_size], task.image_size)
            done.append(table_of(ids[at : at + task.batch_size], embedder.embed_pixels(pixels)))
            pq.write_table(done[-1], Path(task.out) / f"{share.start}-{at:06d}.parquet", compression="none")

    work: dict[str, Callable[[], object]] = {
        "decode": lambda: [decode(images[at : at + task.batch_size], task.image_size) for at in cuts],
        "forward": lambda: [embedder.embed_pixels(blank[: len(images[at : at + task.batch_size])]) for at in cuts],
        "both": both,
    }
    seconds = {}
    for stage in stages:
        start.wait()
        began = time.perf_counter()
        work[stage]()
        seconds[stage] = time.perf_counter() - began
    return seconds


def rates(task: Task, *, processes: int, threads: int, stages: tuple[str, ...]) -> dict[str, float]:
    """Images/s of each stage over all processes, by the slowest of them."""
    shares = [slice(number, None, processes) for number in range(processes)]
    context = multiprocessing.get_context("spawn")
    with context.Manager() as manager, context.Pool(processes) as pool:
        start = manager.Barrier(processes)
        found = pool.starmap(loop, [(task, share, threads, stages, start) for share in shares], chunksize=1)
    images = sum(pq.read_metadata(file).num_rows for file in task.files)
    return {stage: images / max(seconds[stage] for seconds in found) for stage in stages}


def main() -> None:
    """Measure and print."""
    watch, task, cores = Watch(), arguments(__doc__ or ""), os.cpu_count() or 1
    one = rates(task, processes=1, threads=cores, stages=("forward",))
    each = rates(task, processes=cores, threads=1, stages=STAGES)
    forward = max(one["forward"], each["forward"])
    more = {
        "decode_per_s": each["decode"],
        "forward_per_s": each["forward"],
        "forward_one_process_per_s": one["forward"],
        "both_per_s": each["both"],
        "limit_per_s": 1 / (1 / each["decode"] + 1 / forward),
    }
    watch.report("bare_loop", task, **{name: float(np.round(rate, 2)) for name, rate in more.items()})


if __name__ == "__main__":
    main()
