"""Tune the whole backbone on the training answers with Ray Train: DDP workers, a checkpoint every epoch.

The tuned backbone is stored under a hash of its own; the pool is then embedded again under it.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import pyarrow as pa

from raylabel import runtime
from raylabel.campaign import Campaign, EncoderRef, folder, training_answers
from raylabel.pool import Plan
from raylabel.progress import say
from raylabel.training.work import Work
from raylabel.workspace import Record, open_filesystem

MAX_FAILURES = 3
HELD_OUT_EVERY = 5
POLL_S = "0.25"
"""Seconds between two looks of Ray Train. Each epoch reports a checkpoint and waits until it is seen: with the default,
2 s, for longer than an epoch of a few hundred answers takes."""


def finetune(campaign: Campaign, plan: Plan, number: int, ref: EncoderRef, answered: pa.Table) -> EncoderRef:
    """Tune a backbone on four fifths of the training answers so far; once.

    The last fifth is what the head that follows is judged on. A killed run goes on from its last whole checkpoint.

    Args:
        campaign: its `training` section sets epochs, learning rate, batch size and workers.
        plan: of the pool, which the workers read their images from.
        number: the round.
        ref: the backbone to start from.
        answered: rows of schema.RESOLVED up to this round.

    Returns:
        The tuned backbone.

    Cost: every worker holds the decoded images of all training answers in memory.
    """

    def fit() -> Record:
        items = tuned_on(training_answers(answered))
        say(f"round {number} · fine-tune: {items.num_rows} answers, {campaign.config.training.epochs} epochs")
        facts = _fit(campaign, number, _work(campaign, plan, number, ref, items))
        say(f"round {number} · fine-tune: loss {facts['loss']:.3f}, backbone {facts['digest']}")
        return Record(facts={**facts, "seen": items.column("row").to_pylist()})

    facts = campaign.records.once(f"{folder(number)}/backbone", fit).facts
    return EncoderRef(facts["digest"], facts["dim"], tuple(facts["seen"]))


def tuned_on(items: pa.Table) -> pa.Table:
    """The answers that a backbone is tuned on, by row: every fifth by id is held out, to judge the result on."""
    by_id = items.sort_by("id")
    kept = [position for position in range(by_id.num_rows) if position % HELD_OUT_EVERY]
    return by_id.take(pa.array(kept, pa.int64())).sort_by("row")


def _work(campaign: Campaign, plan: Plan, number: int, ref: EncoderRef, items: pa.Table) -> Work:
    labels = dict(zip(items.column("row").to_pylist(), items.column("label_index").to_pylist(), strict=True))
    shards = tuple(plan.by_shard(list(labels)))
    head = Plan(plan.root, plan.kind, plan.id_column, ())
    return Work(campaign, head, shards, labels, ref, campaign.seed("finetune", number))


def _fit(campaign: Campaign, number: int, work: Work) -> dict[str, Any]:
    # Ray Train brings torch with it: only a campaign that tunes its backbone waits for that.
    from ray.train import CheckpointConfig, FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer
    from ray.train.v2.api.exceptions import TrainingFailedError

    from raylabel.training.worker import train_worker

    os.environ.setdefault("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", POLL_S)
    settings = campaign.config.training
    place = f"{folder(number)}/finetune"
    if campaign.store.is_local:
        storage: dict[str, Any] = {"storage_path": campaign.store.uri(place)}
    else:
        filesystem, path = open_filesystem(campaign.store.uri(place))
        storage = {"storage_path": path, "storage_filesystem": pa.fs.PyFileSystem(pa.fs.FSSpecHandler(filesystem))}
    trainer = TorchTrainer(
        train_worker,
        train_loop_config={"work": work},
        scaling_config=ScalingConfig(
            num_workers=settings.num_workers,
            use_gpu=campaign.profile.arithmetic.device == "cuda",
            resources_per_worker={"CPU": min(1.0, runtime.resources()["cpus"] / settings.num_workers)},
        ),
        run_config=RunConfig(
            name="run",
            failure_config=FailureConfig(max_failures=MAX_FAILURES),
            checkpoint_config=CheckpointConfig(num_to_keep=2),
            **storage,
        ),
    )
    try:
        metrics = _in_thread(trainer.fit).metrics
    except TrainingFailedError as error:
        raise runtime.cause_of(error) from error
    assert metrics is not None, "the worker reports metrics with every checkpoint"
    return {name: metrics[name] for name in ("digest", "dim", "loss", "epoch", "world_size")}


def _in_thread(function: Callable[[], Any]) -> Any:
    """Run a function in a thread and wait: Ray Train would take over this process's Ctrl-C in the main one."""
    done: Future[Any] = Future()

    def work() -> None:
        try:
            done.set_result(function())
        except BaseException as error:  # noqa: BLE001  # handed on whole to whoever waits
            done.set_exception(error)

    threading.Thread(target=work, name="fine-tune", daemon=True).start()
    return done.result()
