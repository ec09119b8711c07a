"""Backbones by name: every torchvision classification model without its last layer, and functions of a user's own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from raylabel.config import Backbone
from raylabel.errors import ConfigError, UnknownName
from raylabel.models.functions import load_function
from raylabel.models.tiny_cnn import TinyCNN

Norm = tuple[float, float, float]


@dataclass(frozen=True)
class Encoder:
    """A backbone ready to run: (N, 3, S, S) normalised float32 pixels in, (N, dim) features out."""

    module: nn.Module
    mean: Norm
    std: Norm
    dim: int
    head_prefix: str | None
    """Name of the layer that was cut off; its tensors in a weights file are passed over."""


def known() -> list[str]:
    """Every backbone that goes by a name of its own."""
    import torchvision  # as below: a second to import, and a backbone of one's own does without

    return ["tiny_cnn", *torchvision.models.list_models(module=torchvision.models)]


def build(backbone: Backbone, *, seed: int = 0) -> Encoder:
    """Build a backbone with random weights drawn from `seed`, in eval mode, on the CPU.

    Raises:
        UnknownName: no such model; says the nearest.
        ConfigError: a function of the user's own that cannot be imported or called, or an image size that does not fit.
    """
    torch.manual_seed(seed)
    mean, std = backbone.mean, backbone.std
    prefix: str | None = None
    if ":" in backbone.name:
        module, mean, std = _own(backbone)
    elif backbone.name == "tiny_cnn":
        module = TinyCNN()
    elif backbone.name in known():
        import torchvision

        # Two old models turn ImageNet's norm into their own, as their weights want it; init_weights silences a warning.
        old = backbone.name in ("googlenet", "inception_v3")
        extra = {"init_weights": True, "transform_input": True} if old else {}
        module = torchvision.models.get_model(backbone.name, weights=None, **extra)
        prefix = _cut_head(module)
    else:
        raise UnknownName("backbone", backbone.name, known())
    module.eval()
    return Encoder(module, mean, std, _dim(module, backbone), prefix)


def _own(backbone: Backbone) -> tuple[nn.Module, Norm, Norm]:
    """Call a user's function: it returns a module, or a module with mean, std and more behind it."""
    function = load_function(backbone.name, setting="backbone.name")
    try:
        made: Any = function(**backbone.options)
    except Exception as error:
        raise ConfigError(f"backbone.name: {backbone.name} failed: {type(error).__name__}: {error}") from error
    if isinstance(made, tuple) and len(made) < 3:
        raise ConfigError(f"backbone.name: {backbone.name} returned a tuple of {len(made)}, expected module, mean, std")
    module, mean, std = made[:3] if isinstance(made, tuple) else (made, backbone.mean, backbone.std)
    if not isinstance(module, nn.Module):
        raise ConfigError(f"backbone.name: {backbone.name} returned {type(module).__name__}, expected a torch module")
    return module, mean, std


def _cut_head(module: nn.Module) -> str:
    """Replace the last linear layer (SqueezeNet: the classifying convolution) by nothing; return its name."""
    last = [name for name, layer in module.named_modules() if isinstance(layer, nn.Linear)]
    if last:
        prefix: str = last[-1]
        parent, _, child = prefix.rpartition(".")
        setattr(module.get_submodule(parent), child, nn.Identity())
        return prefix
    module.classifier = nn.AdaptiveAvgPool2d(1)
    return "classifier"


def _dim(module: nn.Module, backbone: Backbone) -> int:
    side = backbone.image_size
    try:
        with torch.inference_mode():
            out = module(torch.zeros(1, 3, side, side))
    except (RuntimeError, AssertionError, ValueError) as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise ConfigError(
            f"backbone.image_size: {backbone.name} does not take {side} x {side} pixels ({reason}); "
            "most models take 224"
        ) from error
    if not isinstance(out, torch.Tensor):
        raise ConfigError(f"backbone.name: {backbone.name} gives {type(out).__name__}, expected a tensor (N, dim)")
    if out.ndim != 2:
        raise ConfigError(f"backbone.name: {backbone.name} gives shape {tuple(out.shape)}, expected (N, dim)")
    return int(out.shape[1])
