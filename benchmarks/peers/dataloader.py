"""PyTorch's DataLoader, as somebody who knows it would write it: workers read and decode, this process embeds."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from task import Embedder, Task, Watch, arguments, square, table_of
from torch.utils.data import DataLoader, IterableDataset, get_worker_info
from torchvision.io import ImageReadMode, decode_image

WRITE_BATCHES = 64


class Images(IterableDataset[tuple[str, torch.Tensor]]):
    """Ids and uint8 pixels; each worker takes every n-th row group."""

    def __init__(self, task: Task) -> None:
        self._task = task

    def __iter__(self) -> Iterator[tuple[str, torch.Tensor]]:
        """Read, decode and resize."""
        torch.set_num_threads(1)
        worker = get_worker_info()
        assert worker is not None, "the loader has workers"
        groups = [(name, g) for name in self._task.files for g in range(pq.read_metadata(name).num_row_groups)]
        for name, group in groups[worker.id :: worker.num_workers]:
            for batch in pq.ParquetFile(name).iter_batches(64, row_groups=[group], columns=["path", "image"]):
                for path, image in zip(batch["path"].to_pylist(), batch["image"], strict=True):
                    data = torch.frombuffer(bytearray(image.as_buffer()), dtype=torch.uint8)
                    yield path, square(decode_image(data, mode=ImageReadMode.RGB), self._task.image_size)


def main() -> None:
    """Embed and write."""
    watch, task, cores = Watch(), arguments(__doc__ or ""), os.cpu_count() or 1
    embedder = Embedder(task)
    loader = DataLoader(Images(task), batch_size=task.batch_size, num_workers=cores, prefetch_factor=4)
    tables: list[pa.Table] = []
    written = 0
    for ids, pixels in loader:
        tables.append(table_of(list(ids), embedder.embed_pixels(pixels)))
        if len(tables) == WRITE_BATCHES:
            pq.write_table(pa.concat_tables(tables), Path(task.out) / f"{written:05d}.parquet", compression="none")
            tables, written = [], written + 1
    if tables:
        pq.write_table(pa.concat_tables(tables), Path(task.out) / f"{written:05d}.parquet", compression="none")
    watch.report("dataloader", task)


if __name__ == "__main__":
    main()
