"""Ray Data's documented script with Ray Data's own checkpoints: what they name as written is not embedded again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import ray
from counted import note
from ray.data.checkpoint import CheckpointConfig
from ray_script import Actor, embed
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
    task = arguments(__doc__ or "", resumes=True)
    ray.init("local", include_dashboard=False, log_to_driver=False)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.checkpoint_config = CheckpointConfig("path", str(Path(task.out).parent / "checkpoint"))
    # A quarter of a core each: in a second run the checkpoint's filter holds a core for itself.
    embed(task, CountedActor, num_cpus=0.25)


if __name__ == "__main__":
    main()
