"""Embed the pool: shards -> decode tasks -> backbone actors -> data files, one done record per shard.

A Ray row is one batch of the backbone, so that batches never straddle shards and never depend on how Ray
cuts its blocks. Only names and counts come to the driver.
"""

from __future__ import annotations

import json
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from typing import Any

import pyarrow as pa
import ray
from ray.data import ActorPoolStrategy, DataContext

from raylabel import runtime, schema
from raylabel.campaign import Campaign, EncoderRef, Pieces
from raylabel.inference.actors import EmbedBatches, decode_shard
from raylabel.pool import Plan, Shard
from raylabel.progress import counting, say
from raylabel.workspace import Part, Record, write_part

BLOCK_BYTES = 32 * 1024 * 1024


def first_backbone(campaign: Campaign) -> EncoderRef:
    """Build the configured backbone, load its weights and lay them into the workspace, once."""
    record = campaign.records.once("backbones/first", lambda: runtime.call(_store_first, campaign))
    return EncoderRef(record.facts["digest"], record.facts["dim"])


def _store_first(campaign: Campaign) -> Record:
    from raylabel.models import backbones, weights  # torch is imported in the task, not in the driver

    config = campaign.config.backbone
    encoder = backbones.build(config, seed=campaign.seed("weights"))
    weights.load(encoder, config)
    ref = EncoderRef(weights.digest(encoder, config), encoder.dim)
    campaign.store.write(ref.weights, weights.dump(encoder))
    return Record(facts={"digest": ref.digest, "dim": ref.dim})


def embed(campaign: Campaign, plan: Plan, ref: EncoderRef) -> Pieces:
    """Embed every readable item of the pool under one backbone; shards that are done are not repeated.

    Returns:
        The embedding parts of the whole pool, in row order.

    Cost: one decode and one forward pass per item. Memory: a few blocks per worker, whatever the pool.
    """
    record = campaign.records.once(f"embeddings/{ref.digest}", lambda: _embed(campaign, plan, ref))
    spans = tuple((first, last) for first, last in record.facts["spans"])
    return Pieces(tuple(record.parts["embeddings"]), spans)


def _embed(campaign: Campaign, plan: Plan, ref: EncoderRef) -> Record:
    folder = f"embeddings/{ref.digest}"
    there = set(campaign.store.list(folder))
    todo = [shard for shard in plan.shards if f"{_name(shard)}.json" not in there]
    before = len(plan.shards) - len(todo)
    say(f"embed: {sum(s.rows for s in todo):,} images in {len(todo)} shards, {before} shards done before")
    if todo:
        _run_pipeline(campaign, plan, ref, todo)
    embeddings: list[tuple[int, int, Part]] = []
    quarantine: list[Part] = []
    num_failed = 0
    for shard in plan.shards:
        record = campaign.records.find(f"{folder}/{_name(shard)}")
        assert record is not None, f"{shard.name} was committed by the pipeline"
        for part, (first, last) in zip(record.parts["embeddings"], record.facts["spans"], strict=True):
            embeddings.append((first, last, part))
        quarantine.extend(record.parts["quarantine"])
        num_failed += record.facts["failed"]
    return Record(
        facts={"spans": [[first, last] for first, last, _ in embeddings], "failed": num_failed},
        parts={"embeddings": [part for _, _, part in embeddings], "quarantine": quarantine},
    )


def _run_pipeline(campaign: Campaign, plan: Plan, ref: EncoderRef, todo: list[Shard]) -> None:
    context = DataContext.get_current()
    context.enable_progress_bars = False
    context.target_max_block_size = BLOCK_BYTES
    found = runtime.resources()
    on_gpu = campaign.profile.device == "cuda"
    workers = campaign.config.compute.workers or int(found["gpus"] if on_gpu else found["cpus"]) or 1
    workers = min(workers, len(todo))
    # Half a core each: on a machine without a GPU as many decode tasks as actors fit beside each other.
    share = {"num_cpus": 0.5} if not on_gpu else {"num_cpus": 1}
    claim = {"num_cpus": 0, "num_gpus": 1} if on_gpu else {"num_cpus": min(0.5, found["cpus"] / (2 * workers))}
    head = replace(plan, shards=(), unreadable=())
    work = ray.data.from_items([{"shard": json.dumps(asdict(shard))} for shard in todo], override_num_blocks=len(todo))
    with warnings.catch_warnings():
        # Ray's default is to try for ever; it has no named parameter for a bound yet, only this deprecated one.
        warnings.simplefilter("ignore", DeprecationWarning)
        batches = work.map_batches(
            decode_shard,
            batch_size=1,
            batch_format="pyarrow",
            fn_kwargs={"campaign": campaign, "plan": head},
            ray_remote_args_fn=_bounded_task,
            **share,
        )
        written = batches.map_batches(
            EmbedBatches,
            batch_size=None,
            batch_format="pyarrow",
            fn_constructor_args=(campaign, ref),
            compute=ActorPoolStrategy(size=workers),
            ray_remote_args_fn=_bounded_actor,
            **claim,
        )
    shards = {shard.index: shard for shard in todo}
    with counting("embed", total=sum(shard.rows for shard in todo)) as count:
        for shard, results in _by_shard(written, shards, count):
            _commit_shard(campaign, ref, shard, results)


def _bounded_task() -> dict[str, Any]:
    """A worker that dies is tried again, but not for ever, as Ray Data would by default."""
    return {"max_retries": 2}


def _bounded_actor() -> dict[str, Any]:
    """Actors come back as often as need be; the batch that they died of is tried twice more."""
    return {"max_restarts": -1, "max_task_retries": 2}


def _by_shard(
    written: Any, shards: dict[int, Shard], count: Callable[[int], None]
) -> Iterator[tuple[Shard, list[dict[str, Any]]]]:
    """Collect what actors report until all rows of a shard are accounted for; holds open shards only."""
    opened: dict[int, list[dict[str, Any]]] = defaultdict(list)
    accounted: dict[int, int] = defaultdict(int)
    try:
        for block in written.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
            for result in (json.loads(text) for text in block.column("result").to_pylist()):
                index = result["shard"]
                opened[index].append(result)
                accounted[index] += result["accounted"]
                count(result["accounted"])
                if accounted[index] == shards[index].rows:
                    yield shards[index], opened.pop(index)
    except ray.exceptions.RayError as error:
        raise runtime.cause_of(error) from error


def _commit_shard(campaign: Campaign, ref: EncoderRef, shard: Shard, results: list[dict[str, Any]]) -> None:
    pieces = sorted((r["span"], Part(**r["part"])) for r in results if r["part"] is not None)
    failed = sorted((f for result in results for f in result["failed"]), key=lambda f: int(f["row"]))
    num_failed = len(failed)
    if any(result["broken"] for result in results):
        # Nothing of a shard that broke half-way counts, not even what was embedded before.
        pieces, failed, num_failed = [], [f for f in failed if f["id"] is None], shard.rows
    parts = {"embeddings": [part for _, part in pieces], "quarantine": []}
    if failed:
        columns = {name: [f[name] for f in failed] for name in ("id", "error_code", "message")}
        columns |= {"shard": [shard.name] * len(failed), "stage": ["embed"] * len(failed)}
        table = pa.table({name: columns[name] for name in schema.QUARANTINE.names}, schema=schema.QUARANTINE)
        parts["quarantine"] = [write_part(campaign.store, f"quarantine/{_name(shard)}", table)]
    facts = {"rows": shard.rows, "spans": [span for span, _ in pieces], "failed": num_failed}
    campaign.records.commit(f"embeddings/{ref.digest}/{_name(shard)}", Record(facts=facts, parts=parts))


def _name(shard: Shard) -> str:
    return f"shard-{shard.index:06d}"
