"""The numeric profile: what results depend on beside the config. Resolved once, by measuring, and then kept."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version
from typing import Any

from raylabel import runtime
from raylabel.config import Backbone, Compute, Config
from raylabel.errors import ConfigError
from raylabel.models.arithmetic import Arithmetic, Choice

_LIBRARIES = (
    "faiss-gpu",
    "faiss-cpu",
    "numpy",
    "pillow",
    "scikit-learn",
    "scipy",
    "simplejpeg",
    "torch",
    "torchvision",
)


@dataclass(frozen=True)
class Profile:
    """Everything numeric that results depend on beside the config: resolved once, then kept.

    Args:
        arithmetic: how the backbone computes.
        training_workers: of a fine-tune.
        machine: processor architecture.
        versions: of the libraries that compute.
    """

    arithmetic: Arithmetic
    training_workers: int
    machine: str
    versions: Mapping[str, str]

    @classmethod
    def from_json(cls, tree: Mapping[str, Any]) -> Profile:
        """Back from campaign.json."""
        return cls(**{**tree, "arithmetic": Arithmetic(**tree["arithmetic"])})


def resolve_profile(config: Config, *, found: Profile | None = None) -> tuple[Profile, dict[str, Any]]:
    """Choose device and arithmetic, and record what results depend on.

    Args:
        config: what it leaves open is measured.
        found: the profile that the workspace was begun with; what was measured then is not measured again.

    Returns:
        The profile, and what was measured for it, which results do not depend on.
    """
    compute = config.compute
    device = resolve_device(compute)
    if found is not None and found.arithmetic.device == device:
        arithmetic, measured = kept(found.arithmetic, compute), {}
    else:
        choice = choose_arithmetic(config.backbone, compute)
        arithmetic, measured = choice.arithmetic, {"ms_per_image": choice.ms_per_image, "why": choice.why}
    versions = {name: version(name) for name in _LIBRARIES if _is_installed(name)}
    return Profile(arithmetic, config.training.num_workers, platform.machine(), versions), measured


def resolve_device(compute: Compute) -> str:
    """Where the backbone runs: "cpu" or "cuda".

    Raises:
        ConfigError: the config names a GPU and the session has none.
    """
    gpus = runtime.resources()["gpus"]
    if compute.device == "cuda" and not gpus:
        raise ConfigError('compute.device: "cuda", but the Ray session has no GPU; use "auto" or "cpu"')
    if compute.gpu_decode and (compute.device == "cpu" or not gpus):
        raise ConfigError("compute.gpu_decode: wants a GPU, and none is used; leave it out")
    if compute.device == "auto":
        return "cuda" if gpus else "cpu"
    return compute.device


def choose_arithmetic(backbone: Backbone, compute: Compute) -> Choice:
    """Choose how a backbone computes, in a worker, by measuring what the config leaves open."""
    device = resolve_device(compute)
    if device == "cuda":
        return runtime.call(_choose, backbone, compute, device, num_gpus=1.0)
    return runtime.call_with_models(_choose, backbone, compute, device)


def _choose(backbone: Backbone, compute: Compute, device: str) -> Choice:
    from raylabel.models.choose import choose  # torch is imported in the task, not in the driver

    return choose(backbone, compute, device)


def kept(arithmetic: Arithmetic, compute: Compute) -> Arithmetic:
    """What the workspace was begun with, but for what the config names now."""
    named: dict[str, Any] = {
        "dtype": None if compute.dtype == "auto" else compute.dtype,
        "compiled": None if compute.compile == "auto" else compute.compile == "on",
        "batch_size": compute.batch_size,
        "gpu_decode": compute.gpu_decode,
    }
    return replace(arithmetic, **{name: value for name, value in named.items() if value is not None})


def _is_installed(name: str) -> bool:
    try:
        version(name)
    except ModuleNotFoundError:
        return False
    return True
