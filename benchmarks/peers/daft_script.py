"""Daft as its own benchmark of image classification has it: decode, apply a transform, call a class, write.

https://github.com/Eventual-Inc/Daft/tree/main/benchmarking/ai/image_classification
Runs in an environment of its own: `make peers` makes it.
"""

from __future__ import annotations

import os
from typing import Any

import daft
import numpy as np
import torch
from daft import DataType, col
from PIL import Image
from task import MEAN, STD, Embedder, Task, Watch, arguments, square, table_of
from torchvision import transforms

DONE = DataType.struct({"embedding": DataType.binary(), "done_at": DataType.float64()})


def main() -> None:
    """Embed and write."""
    watch, task, cores = Watch(), arguments(__doc__ or ""), os.cpu_count() or 1
    normalise = transforms.Compose([transforms.ToTensor(), transforms.Normalize(MEAN, STD)])

    def transform(image: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        found: np.ndarray[Any, Any] = normalise(square(Image.fromarray(image), task.image_size)).numpy()
        return found

    @daft.cls(max_concurrency=cores)
    class Model:
        """The model."""

        def __init__(self, task: Task) -> None:
            self._embedder = Embedder(task)

        @daft.method.batch(return_dtype=DONE, batch_size=task.batch_size)
        def __call__(self, images: daft.Series) -> list[dict[str, Any]]:
            """Embed a batch."""
            if len(images) == 0:
                return []
            pixels = torch.from_numpy(np.array(images.to_pylist()))
            done: list[dict[str, Any]] = (
                table_of([""] * len(images), self._embedder.embed_normalised(pixels))
                .select(["embedding", "done_at"])
                .to_pylist()
            )
            return done

    shape = (3, task.image_size, task.image_size)
    frame = daft.read_parquet(list(task.files)).select("path", "image")
    frame = frame.with_column("image", col("image").decode_image(mode=daft.ImageMode.RGB))
    frame = frame.with_column(
        "image", col("image").apply(transform, return_dtype=DataType.tensor(DataType.float32(), shape=shape))
    )
    frame = frame.with_column("done", Model(task)(col("image")))
    frame = frame.select(
        col("path").alias("id"),
        col("done").get("embedding").alias("embedding"),
        col("done").get("done_at").alias("done_at"),
    )
    frame.write_parquet(task.out)
    watch.report("daft_script", task)


if __name__ == "__main__":
    main()
