"""Ray Data as its documentation shows it for image classification: read, map a row, map batches in actors, write.

https://docs.ray.io/en/latest/data/examples/pytorch_resnet_batch_prediction.html
"""

from __future__ import annotations

import io
import os
from typing import Any

import numpy as np
import pyarrow as pa
import ray
import torch
from PIL import Image
from ray._private import internal_api
from task import MEAN, STD, Embedder, Task, Watch, arguments, square, table_of
from torchvision import transforms


def preprocess(row: dict[str, Any], image_size: int) -> dict[str, Any]:
    """One row: decode, resize, to a normalised float tensor."""
    transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize(MEAN, STD)])
    image = Image.open(io.BytesIO(row["image"])).convert("RGB")
    return {"path": row["path"], "image": transform(square(image, image_size)).numpy()}


class Actor:
    """The model."""

    def __init__(self, task: Task) -> None:
        self._embedder = Embedder(task)

    def __call__(self, batch: dict[str, np.ndarray[Any, Any]]) -> pa.Table:
        """Embed a batch."""
        pixels = torch.as_tensor(np.ascontiguousarray(batch["image"]))
        return table_of([str(path) for path in batch["path"]], self._embedder.embed_normalised(pixels))


def embed(task: Task, actor: type, *, num_cpus: float) -> None:
    """Read, preprocess, embed in as many actors as there are cores, and write.

    Args:
        task: what, and where to.
        actor: the model.
        num_cpus: what each task and actor claims.
    """
    dataset = ray.data.read_parquet(list(task.files), columns=["path", "image"])
    dataset = dataset.map(preprocess, fn_kwargs={"image_size": task.image_size}, num_cpus=num_cpus)
    embedded = dataset.map_batches(
        actor,
        fn_constructor_args=(task,),
        batch_size=task.batch_size,
        compute=ray.data.ActorPoolStrategy(size=os.cpu_count() or 1),
        num_cpus=num_cpus,
    )
    embedded.write_parquet(task.out)


def object_store() -> dict[str, int]:
    """The size of the object store, and what went from it to the disk since Ray was started; bytes."""
    state = internal_api.get_state_from_address(ray.get_runtime_context().gcs_address)
    stats = internal_api.get_memory_info_reply(state).store_stats
    return {"object_store_bytes": int(stats.object_store_bytes_avail), "spilled_bytes": int(stats.spilled_bytes_total)}


def main() -> None:
    """Embed and write."""
    watch, task = Watch(), arguments(__doc__ or "")
    ray.init("local", include_dashboard=False, log_to_driver=False)
    ray.data.DataContext.get_current().enable_progress_bars = False
    # Half a core each: with one each, as many actors as cores would leave none for reading.
    embed(task, Actor, num_cpus=0.5)
    watch.report("ray_script", task, **object_store())


if __name__ == "__main__":
    main()
