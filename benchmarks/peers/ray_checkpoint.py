"""Ray Data's documented script with Ray Data's own checkpoints: what they name as written is not embedded again."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import ray
from counted import note
from ray.data.checkpoint import CheckpointConfig
from ray_script import Actor, preprocess
from task import arguments


class CountedActor(Actor):
    """The model, which notes what went into it; its output keeps the column that checkpoints go by."""

    def __call__(self, batch: dict[str, np.ndarray[Any, Any]]) -> pa.Table:
        """Embed a batch."""
        note(len(batch["path"]))
        table = super().__call__(batch)
        return table.append_column("path", table["id"])


def main() -> None:
    """Embed and write what is missing."""
    task, cores = arguments(__doc__ or "", resumes=True), os.cpu_count() or 1
    ray.init("local", include_dashboard=False, log_to_driver=False)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.checkpoint_config = CheckpointConfig("path", str(Path(task.out).parent / "checkpoint"))
    # A quarter of a core each: in a second run the checkpoint's filter holds a core for itself.
    dataset = ray.data.read_parquet(list(task.files), columns=["path", "image"])
    dataset = dataset.map(preprocess, fn_kwargs={"image_size": task.image_size}, num_cpus=0.25)
    embedded = dataset.map_batches(
        CountedActor,
        fn_constructor_args=(task,),
        batch_size=task.batch_size,
        compute=ray.data.ActorPoolStrategy(size=cores),
        num_cpus=0.25,
    )
    embedded.write_parquet(task.out)


if __name__ == "__main__":
    main()
