"""Embed the pool: shards -> actors that decode (or are fed by decode tasks) and embed -> one done record per shard.

Ray Data hands whole shards to a fixed pool of actors, which commit them. Only numbers come to the driver.
"""

from __future__ import annotations

import json
import logging
import pickle
import threading
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from raylabel import runtime
from raylabel.campaign import BEGUN, Campaign, EncoderRef, Pieces
from raylabel.inference.actors import EmbedShards, Job, head_of, shard_name
from raylabel.meter import Meter, Rates, Work, bound_by, rates
from raylabel.pool import Plan, Shard
from raylabel.progress import Show, counted, counting, say
from raylabel.workspace import Part, Record

LOOK_EVERY_S = 1.0
MOST_DECODERS = 64


def first_backbone(campaign: Campaign) -> EncoderRef:
    """Build the configured backbone, load its weights and lay them into the workspace, once."""
    record = campaign.records.once(BEGUN, lambda: runtime.call_with_models(_store_first, campaign))
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
    todo = [shard for shard in plan.shards if f"{shard_name(shard)}.json" not in there]
    before = len(plan.shards) - len(todo)
    shards, done = counted(len(todo), "shard"), counted(before, "shard")
    say(f"embed: {sum(shard.rows for shard in todo):,} images in {shards}, {done} done before")
    speed = _run_pipeline(campaign, plan, ref, todo) if todo else {}
    embeddings: list[tuple[int, int, Part]] = []
    quarantine: list[Part] = []
    num_failed = 0
    for shard in plan.shards:
        record = campaign.records.find(f"{folder}/{shard_name(shard)}")
        assert record is not None, f"{shard.name} was committed by the pipeline"
        for part, (first, last) in zip(record.parts["embeddings"], record.facts["spans"], strict=True):
            embeddings.append((first, last, part))
        quarantine.extend(record.parts["quarantine"])
        num_failed += record.facts["failed"]
    return Record(
        facts={"spans": [[first, last] for first, last, _ in embeddings], "failed": num_failed, "speed": speed},
        parts={"embeddings": [part for _, _, part in embeddings], "quarantine": quarantine},
    )


@dataclass(frozen=True)
class Team:
    """How many work on a pass.

    Args:
        models: actors that hold the backbone.
        decoders: decode tasks at once, all actors together; None where actors decode themselves.
        claim: what each actor claims of Ray.
    """

    models: int
    decoders: int | None
    claim: dict[str, float]


def team(campaign: Campaign, cluster: Mapping[str, float], *, num_shards: int) -> Team:
    """Size the pools of workers: one actor a core, or one a GPU with the cores to decode for it.

    Args:
        campaign: its config may name workers, and where to decode.
        cluster: "cpus" and "gpus", as `runtime.resources` gives them.
        num_shards: nobody is left without one.
    """
    compute = campaign.config.compute
    on_gpu = campaign.profile.arithmetic.device == "cuda"
    models = compute.workers or int(cluster["gpus"] if on_gpu else cluster["cpus"]) or 1
    models = min(models, num_shards)
    in_tasks = on_gpu if compute.decode == "auto" else compute.decode == "tasks"
    if not in_tasks:
        # A core each, less what Ray Data's own small tasks want beside them.
        return Team(models, None, {"num_cpus": min(0.9, cluster["cpus"] / (models + 1)), "num_gpus": float(on_gpu)})
    decoders = max(models, min(int(cluster["cpus"]), MOST_DECODERS * models, num_shards))
    return Team(models, decoders, {"num_cpus": 0.0, "num_gpus": float(on_gpu)})


def _run_pipeline(campaign: Campaign, plan: Plan, ref: EncoderRef, todo: list[Shard]) -> dict[str, float]:
    """Have shards embedded and committed; those that lost their worker are done again, every image decoded apart.

    Returns:
        How fast it went: `start_s`, `seconds` and items a second by stage, as `Rates` names them.
    """
    crew = team(campaign, runtime.resources(), num_shards=len(todo))
    job = Job(campaign, head_of(plan), plan.num_rows, ref, in_tasks=crew.decoders is not None, isolate=False)
    # On the driver's own node: any other may be lost while the pass goes on without it.
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    meter = ray.remote(num_cpus=0, scheduling_strategy=here)(Meter).remote()
    began = time.time()
    with (
        counting("embed", total=sum(shard.rows for shard in todo)) as show,
        _watching(meter, show, decodes_itself=not job.in_tasks),
    ):
        lost = _pass(job, meter, crew, todo)
        if lost:
            names = ", ".join(shard.name for shard in lost[:3]) + (", ..." if len(lost) > 3 else "")
            shards = counted(len(lost), "shard")
            say(f"embed: {shards} lost their worker ({names}); again, each image decoded in a process apart")
            careful = replace(job, in_tasks=False, isolate=True)
            missing = _pass(careful, meter, crew, lost)
            assert not missing, "what the second pass loses, it raises"
    work, first = ray.get([meter.total.remote(), meter.first.remote()])
    first_at, first_items = first or (time.time(), 0)
    seconds = time.time() - first_at
    found = rates(work, images=work.items - first_items, seconds=seconds, models=crew.models, decoders=crew.decoders)
    say(_summary(work.items, found, start_s=first_at - began, seconds=seconds))
    return {"images": work.items, "start_s": first_at - began, "seconds": seconds, **asdict(found)}


def _pass(job: Job, meter: Any, crew: Team, todo: Sequence[Shard]) -> list[Shard]:
    """Run shards through the actors, which commit them; gives those that never came."""
    from ray.data import ActorPoolStrategy, from_items  # a second to import, and this module's tasks run without it

    open_shards = {shard.index: shard for shard in todo}
    at_once = -(-crew.decoders // crew.models) if job.in_tasks and crew.decoders else 1
    with _ray_data(may_lose=not job.isolate), warnings.catch_warnings():
        # Ray's default is to try for ever; it has no named parameter for a bound yet, only this deprecated one.
        warnings.simplefilter("ignore", DeprecationWarning)
        work = from_items([{"shard": json.dumps(asdict(shard))} for shard in todo], override_num_blocks=len(todo))
        done = work.map_batches(
            EmbedShards,
            batch_size=1,
            batch_format="pyarrow",
            fn_constructor_args=(job, meter),
            compute=ActorPoolStrategy(
                size=min(crew.models, len(todo)),
                max_concurrent_calls_per_actor=at_once,
                # One waits at each actor, so that none waits for the driver. It is not begun, so not repeated either.
                max_tasks_in_flight_per_actor=at_once + 1,
                enable_true_multi_threading=at_once > 1,
            ),
            ray_remote_args_fn=_tried_again if job.isolate else _tried_once,
            **crew.claim,
        )
        for number in _committed(done):
            del open_shards[number]
    return list(open_shards.values())


def _tried_once() -> dict[str, Any]:
    """Actors come back as often as need be; the shard that they died of does not."""
    return {"max_restarts": -1, "max_task_retries": 0}


def _tried_again() -> dict[str, Any]:
    """A worker that dies of its machine is tried again, but not for ever, as Ray Data would by default."""
    return {"max_restarts": -1, "max_task_retries": 2}


@contextmanager
def _ray_data(*, may_lose: bool) -> Iterator[None]:
    """Ray Data's settings for one pass: quiet, and with or without blocks that may be lost."""
    from ray.data import DataContext  # importing it turns its log on

    context, logger = DataContext.get_current(), logging.getLogger("ray.data")
    before = context.enable_progress_bars, context.max_errored_blocks
    context.enable_progress_bars = False
    context.max_errored_blocks = -1 if may_lose else 0
    # It prints the traceback of each block that it goes on without.
    logger.setLevel(logging.CRITICAL if may_lose else logging.ERROR)
    try:
        yield
    finally:
        context.enable_progress_bars, context.max_errored_blocks = before
        logger.setLevel(logging.ERROR)


def _committed(done: Any) -> Iterator[int]:
    try:
        for block in done.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
            for row in block.to_pylist():
                if row["error"] is not None:
                    raise pickle.loads(row["error"])  # our own worker wrote it
                yield row["shard"]
    except ray.exceptions.RayError as error:
        raise runtime.cause_of(error) from error


@contextmanager
def _watching(meter: Any, show: Show, *, decodes_itself: bool) -> Iterator[None]:
    """Show what the meter says, once a second, while the block runs."""
    stop = threading.Event()

    def look() -> None:
        before = Work()
        while not stop.wait(LOOK_EVERY_S):
            now: Work = ray.get(meter.total.remote())
            bound = bound_by(now.less(before), decodes_itself=decodes_itself) if now.items > before.items else ""
            show(now.items, bound)
            before = now if now.items > before.items else before

    watcher = threading.Thread(target=look, name="raylabel-meter", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        stop.set()
        watcher.join()


def _summary(images: int, found: Rates, *, start_s: float, seconds: float) -> str:
    share = f": {found.achieved / found.limit:.0%} of the limit" if found.limit else ""
    return (
        f"embed: {images:,} images, start {start_s:,.0f} s, then {seconds:,.0f} s · storage {found.read:,.0f}/s, "
        f"decode {found.decode:,.0f}/s, model {found.model:,.0f}/s, write {found.write:,.0f}/s, "
        f"achieved {found.achieved:,.0f}/s{share}"
    )
