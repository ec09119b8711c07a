"""raylabel's own embedding pass, from the same command line as its peers."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
from ray_script import object_store
from task import Task, Watch, arguments

from raylabel import inference, runtime
from raylabel.campaign import Campaign
from raylabel.config import Config
from raylabel.opening import open_campaign
from raylabel.planned import plan_once
from raylabel.workspace import Part, read_part


def config_of(task: Task, place: Path) -> Config:
    """The campaign of a task; its files are linked into a folder of their own, which is the pool."""
    pool = place / "pool"
    pool.mkdir()
    for file in task.files:
        (pool / Path(file).name).symlink_to(Path(file).resolve())
    own = f"{Path(__file__).with_name('mean_pixels.py')}:build"
    return Config.model_validate(
        {
            "workspace": str(place / "workspace"),
            "classes": ("one", "other"),
            "pool": {"path": str(pool), "id_column": "path"},
            "backbone": {
                "name": own if task.backbone == "none" else task.backbone,
                "weights": task.weights,
                "image_size": task.image_size,
            },
            "budget": {"train_answers": 10, "audit_answers": 0},
            "compute": {"dtype": task.dtype, "batch_size": task.batch_size, "decode": task.decode},
        }
    )


def embed(campaign: Campaign) -> tuple[list[Part], dict[str, float]]:
    """The whole pass; the parts that it wrote and how fast it was."""
    plan = plan_once(campaign)
    ref = inference.first_backbone(campaign)
    pieces = inference.embed(campaign, plan, ref)
    record = campaign.records.find(f"embeddings/{ref.digest}")
    assert record is not None, "embed commits it"
    return list(pieces.parts), dict(record.facts["speed"])


def main() -> None:
    """Embed, and copy what was written to where the peers write."""
    watch, task = Watch(), arguments(__doc__ or "")
    process = psutil.Process()
    with tempfile.TemporaryDirectory() as place:
        config = config_of(task, Path(place))
        began = time.time()
        with runtime.session(config.compute):
            ray_s = time.time() - began
            campaign = open_campaign(config)
            parts, speed = embed(campaign)
            ended = time.time()
            store = object_store()
        for number, part in enumerate(parts):
            table = read_part(campaign.store, part)
            first = ended - speed["seconds"]
            done = pa.array([first] + [ended] * (table.num_rows - 1))
            found = pa.table({"id": table["id"], "embedding": table["embedding"], "done_at": done})
            pq.write_table(found, Path(task.out) / f"{number:05d}.parquet")
    total = ended - process.create_time()
    watch.report(
        "raylabel",
        task,
        seconds=speed["images"] / speed["achieved"],
        total_s=total,
        startup_s=total - speed["seconds"],
        ray_s=ray_s,
        actors_s=speed["start_s"],
        limit_per_s=speed["limit"],
        **store,
    )


if __name__ == "__main__":
    main()
