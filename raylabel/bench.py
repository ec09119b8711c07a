"""`raylabel bench throughput`: what storage, decoding and the model could do on a pool of the user's, and what is done.

Each limit is measured alone, one worker a core, on a sample of the pool; then the engine embeds the same sample.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from raylabel import inference, runtime
from raylabel.config import Backbone, Config
from raylabel.errors import PoolError
from raylabel.models.arithmetic import Arithmetic
from raylabel.opening import open_campaign
from raylabel.planned import plan_once
from raylabel.pool import Item, Plan, ShardUnreadable, plan_pool, read_shard
from raylabel.workspace import Store

PIECES = 8
"""The sample is read from so many places of the pool, evenly apart."""

FILE_ROWS = 256
LIMIT_IMAGES = 256
"""Images that each worker decodes and embeds to find a limit."""


def throughput(config: Config, *, num_images: int) -> dict[str, Any]:
    """Measure a campaign's pool and backbone on the session's machines; nothing is written to its workspace.

    Args:
        config: the campaign.
        num_images: of the sample.

    Returns:
        Items a second: `storage`, `decode`, `model` alone, `limit` of decoding and model together, and `achieved`;
        `of_limit`, `start_s`, `arithmetic`, `bound_by` and `advice`.

    Raises:
        PoolError: nothing of the sample can be read.
    """
    with tempfile.TemporaryDirectory(prefix="raylabel-bench-") as place:
        items, storage, size = _sample(config, Path(place), num_images)
        pool = _lay_out(items, Path(place) / "pool")
        small = _on(config, pool, Path(place))
        campaign = open_campaign(small)
        plan = plan_once(campaign)
        ref = inference.first_backbone(campaign)
        inference.embed(campaign, plan, ref)
        record = campaign.records.find(f"embeddings/{ref.digest}")
        assert record is not None, "embed commits it"
        speed, arithmetic = record.facts["speed"], campaign.profile.arithmetic
        if arithmetic.device == "cuda":
            # Decode tasks and the GPU work beside each other: the pass itself measures both at full load.
            alone = {name: speed[name] for name in ("decode", "model", "limit")}
        else:
            alone = _limits(config, items, arithmetic)
    facts = {
        "images": len(items),
        "mean_kb": round(size / len(items) / 1000, 1),
        "workers": _workers(config),
        "arithmetic": arithmetic.in_words(),
        "storage": storage,
        **alone,
        "achieved": speed["achieved"],
        "of_limit": speed["achieved"] / alone["limit"],
        "start_s": speed["start_s"],
    }
    facts["bound_by"] = bound(facts)
    facts["advice"] = advise(facts, config)
    return facts


def _sample(config: Config, place: Path, num_images: int) -> tuple[list[Item], float, int]:
    """Items from places evenly apart, how many one reader reads a second, and their bytes."""
    store = Store(str(place / "plan"))
    plan = plan_pool(config.pool, store, labels_needed=False)
    chosen = sorted({int(at) for at in np.linspace(0, len(plan.shards) - 1, PIECES)})
    each = -(-num_images // len(chosen))
    items: list[Item] = []
    began = time.perf_counter()
    for index in chosen:
        try:
            items += [item for item in _first(plan, index, config, store, each) if item.image is not None]
        except ShardUnreadable:
            continue  # a run would quarantine it; the others tell as much
    seconds = time.perf_counter() - began
    if not items:
        raise PoolError(f"{config.pool.path}: no image of the sample could be read; `raylabel run` quarantines them")
    return items[:num_images], len(items) / seconds, sum(len(item.image or b"") for item in items)


def _first(plan: Plan, index: int, config: Config, store: Store, count: int) -> Iterator[Item]:
    for batch in read_shard(plan, plan.shards[index], pool=config.pool, store=store, batch_rows=count):
        for item in batch.items:
            yield item
            count -= 1
            if not count:
                return


def _lay_out(items: list[Item], pool: Path) -> Path:
    pool.mkdir()
    for start in range(0, len(items), FILE_ROWS):
        some = items[start : start + FILE_ROWS]
        table = pa.table({"id": [f"{item.row}" for item in some], "image": [item.image for item in some]})
        pq.write_table(table, pool / f"{start:08d}.parquet", compression="none", use_dictionary=False)
    return pool


def _on(config: Config, pool: Path, place: Path) -> Config:
    """The campaign on another pool, in a workspace of its own, without people."""
    tree = config.model_dump()
    tree["workspace"] = str(place / "workspace")
    tree["pool"] |= {"path": str(pool), "format": "parquet", "image_column": "image", "id_column": "id"}
    tree["labeling"] |= {"labeler": "files"}
    tree["budget"] |= {"audit_answers": 0}
    return Config.model_validate(tree)


def _workers(config: Config) -> int:
    return config.compute.workers or max(int(runtime.resources()["cpus"]), 1)


def _limits(config: Config, items: list[Item], arithmetic: Arithmetic) -> dict[str, float]:
    """Decoding and model, each alone, all workers at once."""
    workers = _workers(config)
    images = [item.image for item in items[:LIMIT_IMAGES]]
    work = [(images, config.backbone, config.pool.max_pixels, arithmetic)] * workers
    rates = list(runtime.map_tasks(_alone, work))
    decode, model = (sum(rate[index] for rate in rates) for index in (0, 1))
    return {"decode": decode, "model": model, "limit": 1 / (1 / decode + 1 / model)}


def _alone(work: tuple[list[bytes | None], Backbone, int, Arithmetic]) -> tuple[float, float]:
    """Images a second of decoding, and of the model, in this process."""
    from raylabel.models.backbones import build  # torch is imported in the task, not in the driver
    from raylabel.models.encode import BatchEncoder, keep_freed_memory
    from raylabel.pool.decode import decode
    from raylabel.pool.whole import Undecodable

    images, backbone, max_pixels, arithmetic = work
    keep_freed_memory()  # as the actors do
    encoder = BatchEncoder(build(backbone), arithmetic)
    size = arithmetic.batch_size
    pixels = np.zeros((size, backbone.image_size, backbone.image_size, 3), dtype=np.uint8)
    encoder.encode(pixels)
    began = time.perf_counter()
    for number, image in enumerate(images):
        try:
            pixels[number % size] = decode(image, backbone, max_pixels=max_pixels)
        except Undecodable:
            continue
    decoded = time.perf_counter()
    for start in range(0, len(images), size):
        encoder.encode(pixels[: min(size, len(images) - start)])
    ended = time.perf_counter()
    batches = -(-len(images) // size)
    return len(images) / (decoded - began), batches * size / (ended - decoded)


def bound(facts: dict[str, Any]) -> str:
    """What holds the pass back most: storage, decode, model or engine (what lies between them)."""
    if facts["storage"] * facts["workers"] < facts["limit"]:
        return "storage"
    if facts["of_limit"] < 0.7:
        return "engine"
    return "decode" if facts["decode"] < facts["model"] else "model"


def advise(facts: dict[str, Any], config: Config) -> str:
    """What to change, for what a pass is bound by."""
    side = config.backbone.image_size
    return {
        "storage": "bring the pool nearer (same region or local disk), or write it as Parquet or tars of 100 MB and "
        "more: many small objects cost a request each",
        "decode": f"store the pictures nearer to {side} pixels a side ({facts['mean_kb']:,.0f} kB each now), or add "
        "cores: CPU-only nodes decode for others",
        "model": "take a smaller backbone or backbone.image_size, leave compute.dtype at auto, or add cores or a GPU",
        "engine": "measure again with more images (--images): the sample may be too short for its start and end; on a "
        "busy machine, see what else runs",
    }[facts["bound_by"]]
