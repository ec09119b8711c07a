"""Look a machine over: what is installed, what Ray sees, and whether a place can hold a workspace."""

from __future__ import annotations

import platform
import shutil
import uuid
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from raylabel import runtime
from raylabel.config import Backbone, Compute
from raylabel.errors import StorageError
from raylabel.profile import choose_arithmetic
from raylabel.workspace import Store

_PACKAGES = ("ray", "torch", "torchvision", "pyarrow", "s3fs", "faiss-gpu", "faiss-cpu", "scikit-learn")


def examine() -> dict[str, Any]:
    """Facts about this machine, by name."""
    facts: dict[str, Any] = {"raylabel": version("raylabel"), "python": platform.python_version()}
    for name in _PACKAGES:
        try:
            facts[name] = version(name)
        except PackageNotFoundError:
            facts[name] = "not installed"
    facts["disk_free_gb"] = round(shutil.disk_usage(".").free / 1e9, 1)
    with runtime.session(Compute()):
        found = runtime.resources()
        facts |= {"ray_cpus": found["cpus"], "ray_gpus": found["gpus"], "ray_nodes": found["nodes"]}
        facts["torch_sees"] = runtime.call(devices)
        choice = choose_arithmetic(Backbone(weights="none"), Compute())
        facts["arithmetic"] = f"{choice.arithmetic.in_words()} ({choice.why}; {Backbone().name}); see [compute]"
    return facts


def devices() -> str:
    """What torch can compute on, asked in a worker."""
    import torch

    if not torch.cuda.is_available():
        return f"CPU only, {torch.get_num_threads()} thread(s) a task"
    return ", ".join(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count()))


def try_store(store: Store) -> None:
    """Write, create twice, read and remove an object.

    Raises:
        StorageError: the place cannot be written, or the second create was not refused: two drivers could overwrite
            each other there.
    """
    name = f"doctor-{uuid.uuid4().hex}"
    try:
        is_new = store.create(name, b"first")
    except StorageError as error:
        raise StorageError(f"{store.root}: cannot be written ({error.__cause__}); {_remedy(store)}") from error
    try:
        if not is_new:
            raise StorageError(f"{store.root}: refuses to create new objects; check its rights")
        if store.create(name, b"second") or store.read(name) != b"first":
            raise StorageError(
                f"{store.root}: this store ignores `If-None-Match: *`, so commits cannot be told apart; "
                "use one that honours it (AWS S3, MinIO, Ceph, R2 do)"
            )
    finally:
        store.remove(name)


def _remedy(store: Store) -> str:
    if store.is_local:
        return "check the path and its rights"
    return (
        "check the name and the rights of the bucket, and set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and "
        "AWS_ENDPOINT_URL where it is not Amazon's"
    )
