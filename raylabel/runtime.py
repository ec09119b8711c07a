"""The Ray session: connect to a cluster or start one sized to this machine, and run functions on it.

Stages call `call`, `map_tasks` and `fold`; only the inference pipeline and the training launch speak to Ray
themselves. Knows Ray; knows nothing of campaigns.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from functools import reduce
from typing import Any, TypeVar

import ray

from raylabel.config import Compute
from raylabel.errors import RaylabelError, WorkerLost

T = TypeVar("T")
R = TypeVar("R")

_LOST = (
    ray.exceptions.WorkerCrashedError,
    ray.exceptions.NodeDiedError,
    ray.exceptions.ActorDiedError,
    ray.exceptions.ActorUnavailableError,
    ray.exceptions.OutOfMemoryError,
    ray.exceptions.ObjectLostError,
)

IN_FLIGHT = 32
"""Tasks submitted ahead of their results: bounds what the driver holds, whatever the number of shards."""


@contextlib.contextmanager
def session(compute: Compute) -> Iterator[None]:
    """Hold one Ray session for a run; a session that exists already is used and left as it is."""
    if ray.is_initialized():
        yield
        return
    _quiet()
    address = compute.address or os.environ.get("RAY_ADDRESS")
    try:
        with _keeping_signals():
            if address:
                _connect(address)
            else:
                # "local": left out, Ray would join whatever cluster was started last on this machine.
                ray.init("local", include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
        yield
    finally:
        ray.shutdown()


@contextlib.contextmanager
def _keeping_signals() -> Iterator[None]:
    """Put this process's signal handlers back after Ray has installed its own, which exit on SIGTERM.

    A SIGTERM that comes meanwhile is handed to the handler that was there before.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    except SystemExit:  # nothing but Ray's own handler raises it while Ray starts
        before = handlers[signal.SIGTERM]
        if callable(before):
            before(signal.SIGTERM, None)
        raise
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _connect(address: str) -> None:
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, ValueError) as error:
        raise RaylabelError(
            f"no Ray cluster answers at {address!r} ({error}); start one, or take compute.address out of the config "
            "to run on this machine"
        ) from error


def resources() -> dict[str, float]:
    """CPUs, GPUs and nodes of the session."""
    found = ray.cluster_resources()
    nodes = sum(1 for node in ray.nodes() if node["Alive"])
    return {"cpus": found.get("CPU", 0.0), "gpus": found.get("GPU", 0.0), "nodes": float(nodes)}


def call(function: Callable[..., R], *args: object, num_cpus: float = 1.0, num_gpus: float = 0.0) -> R:
    """Run a function once on the cluster and return its result.

    Raises:
        RaylabelError: whatever the function raised of that tree, as it was raised there.
    """
    task = _run.options(num_cpus=num_cpus, num_gpus=num_gpus)
    result: R = _result(task.remote(function, *args))
    return result


def map_tasks(function: Callable[[T], R], items: Iterable[T], *, num_cpus: float = 1.0) -> Iterator[R]:
    """Run a function on every item, in tasks; results come in the order of the items.

    At most `IN_FLIGHT` tasks are submitted ahead, so that memory does not grow with the number of items.
    """
    task, shared_function = _run.options(num_cpus=num_cpus), ray.put(function)
    pending: list[Any] = []
    source = iter(items)
    for item in source:
        pending.append(task.remote(shared_function, item))
        if len(pending) >= IN_FLIGHT:
            yield _result(pending.pop(0))
    for reference in pending:
        yield _result(reference)


def fold(function: Callable[[T], R], items: Iterable[T], merge: Callable[[R, R], R]) -> R | None:
    """Run a function on every item, in tasks, and merge the results one by one; None where there are no items."""
    total: R | None = None
    for result in map_tasks(function, items):
        total = result if total is None else merge(total, result)
    return total


def fold_here(function: Callable[[T], R], items: Iterable[T], merge: Callable[[R, R], R]) -> R | None:
    """Do what `fold` does, in this process: no session is needed."""
    results = map(function, items)
    first = next(results, None)
    return None if first is None else reduce(merge, results, first)


def shuffle(
    spread: Callable[[T], list[Any]], items: Iterable[T], gather: Callable[..., R], *, num_buckets: int
) -> Iterator[R]:
    """Spread every item over buckets, in tasks, and gather each bucket in a task of its own.

    Args:
        spread: item -> one value for each bucket.
        gather: all values of one bucket, as positional arguments -> a result small enough for the driver.
        num_buckets: how many.
    """
    shared_spread = ray.put(spread)
    first = _run.options(num_returns=num_buckets) if num_buckets > 1 else _run_single
    spreads = [first.remote(shared_spread, item) for item in items]
    for bucket in range(num_buckets):
        values = [refs[bucket] for refs in spreads] if num_buckets > 1 else spreads
        yield _result(_run.remote(gather, *values))


@ray.remote(num_cpus=1, max_retries=2)
def _run(function: Callable[..., Any], *args: Any) -> Any:
    return function(*args)


@ray.remote(num_cpus=1, max_retries=2)
def _run_single(function: Callable[..., Any], item: Any) -> Any:
    return function(item)[0]


class Kept:
    """An object that lives in an actor for as long as the session, so that its start is paid once.

    Args:
        factory: a class; one instance is made in the actor.
        num_cpus: what the actor claims.
    """

    def __init__(self, factory: type, *args: object, num_cpus: float = 0.0) -> None:
        self._actor = ray.remote(num_cpus=num_cpus, max_restarts=2, max_task_retries=2)(factory).remote(*args)

    def call(self, method: str, *args: object) -> Any:
        """Run a method of the kept object and return its result."""
        return _result(getattr(self._actor, method).remote(*args))

    def close(self) -> None:
        """End the actor."""
        ray.kill(self._actor)


class _Desk:
    """Runs functions one after another."""

    def run(self, function: Callable[..., Any], *args: Any) -> Any:
        """Run one."""
        return function(*args)


_desks: dict[str, Kept] = {}


def call_with_models(function: Callable[..., R], *args: object) -> R:
    """Run a function, once, in the process that Ray keeps for this driver with the model libraries loaded.

    Importing torch and torchvision takes seconds: what wants them on a CPU, one thing after another, shares a process.

    Raises:
        RaylabelError: whatever the function raised of that tree, as it was raised there.
    """
    job = ray.get_runtime_context().get_job_id()
    if job not in _desks:
        _desks.clear()  # whatever is there belongs to a connection that has ended
        _desks[job] = Kept(_Desk)
    result: R = _desks[job].call("run", function, *args)
    return result


def _result(reference: Any) -> Any:
    try:
        return ray.get(reference)
    except ray.exceptions.RayError as error:
        raise cause_of(error) from error


def cause_of(error: BaseException) -> BaseException:
    """What an engine's error means: the raylabel error inside it, WorkerLost, or the error itself."""
    seen: BaseException | None = error
    before: list[BaseException] = []
    while seen is not None and not any(seen is one for one in before):  # an error may be its own cause
        before.append(seen)
        if isinstance(seen, RaylabelError) and not isinstance(seen, ray.exceptions.RayError):
            return seen
        if isinstance(seen, _LOST):
            reason = str(seen).strip().splitlines()[0]
            return WorkerLost(
                f"a worker was lost and trying again did not help ({type(seen).__name__}: {reason}); "
                "see that the machines have memory left, then run the same command again: it goes on from the last step"
            )
        failures = getattr(seen, "worker_failures", None)
        seen = next(iter(failures.values())) if failures else getattr(seen, "cause", None) or seen.__cause__
    return error


def _quiet() -> None:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    for name in ("ray", "ray.data", "ray.train"):
        logging.getLogger(name).setLevel(logging.ERROR)
