"""Weights into and out of a backbone: torchvision's own names, .safetensors, .pth (tensors only), or none."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
from collections.abc import Mapping

import safetensors.torch
import torch
from safetensors import SafetensorError

from raylabel.config import Backbone
from raylabel.errors import StorageError, UnknownName, WeightsError
from raylabel.models.backbones import Encoder
from raylabel.workspace.store import failures, open_filesystem

Tensors = dict[str, torch.Tensor]

FILE_SUFFIXES = (".safetensors", ".pth", ".pt", ".th")


def load(encoder: Encoder, backbone: Backbone) -> None:
    """Put the configured weights into a backbone.

    Raises:
        UnknownName: torchvision has no weights of that name for this model.
        WeightsError: a file cannot be read, or a tensor is missing or has another shape; names the first one.
    """
    source = backbone.weights
    if source == "none" or (":" in backbone.name and source == "DEFAULT"):
        return
    tensors = read(source) if source.endswith(FILE_SUFFIXES) else _torchvision(backbone)
    fit(encoder, tensors, source=source)


def read(uri: str) -> Tensors:
    """Read tensors from a local or s3:// file; pickled code is never run.

    Raises:
        WeightsError: the file is missing or holds anything but tensors.
        StorageError: the store failed.
    """
    try:
        filesystem, path = open_filesystem(uri)
        data = filesystem.cat_file(path)
    except FileNotFoundError:
        raise WeightsError(f"{uri}: there is no such weights file; check backbone.weights") from None
    except (IsADirectoryError, PermissionError) as error:
        raise WeightsError(f"{uri}: cannot be read ({error.strerror}); check backbone.weights") from error
    except failures() as error:
        raise StorageError(f"{uri}: could not be read ({error}); run the same command again") from error
    try:
        if uri.endswith(".safetensors"):
            return safetensors.torch.load(data)
        tree = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except (SafetensorError, RuntimeError, pickle.UnpicklingError, EOFError, ValueError) as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise WeightsError(
            f"{uri}: holds something other than plain tensors ({reason}); "
            "save the state dict alone, best as .safetensors"
        ) from error
    for wrapper in ("state_dict", "model"):
        if isinstance(tree, Mapping) and isinstance(tree.get(wrapper), Mapping):
            tree = tree[wrapper]
    named = tree.items() if isinstance(tree, Mapping) else ()
    found = {str(name).removeprefix("module."): value for name, value in named if torch.is_tensor(value)}
    if not found:
        raise WeightsError(f"{uri}: holds no tensors by name; save the state dict, best as .safetensors")
    return found


def fit(encoder: Encoder, tensors: Mapping[str, torch.Tensor], *, source: str) -> None:
    """Copy tensors into a backbone, float16 ones as float32; those of the layer that was cut off are passed over.

    Raises:
        WeightsError: names the first tensor that does not fit, with both shapes.
    """
    wanted = encoder.module.state_dict()
    prefix = encoder.head_prefix
    for name, mine in wanted.items():
        if name not in tensors and not name.endswith("num_batches_tracked"):
            raise WeightsError(f"{source}: has no tensor {name!r}; are these weights of another model?")
        if name in tensors and tensors[name].shape != mine.shape:
            raise WeightsError(
                f"{source}: tensor {name!r} has shape {tuple(tensors[name].shape)}, "
                f"the backbone wants {tuple(mine.shape)}; are these weights of another model?"
            )
    for name in tensors:
        if name not in wanted and not (prefix is not None and name.startswith(f"{prefix}.")):
            raise WeightsError(f"{source}: tensor {name!r} has no place in the backbone; is it another model's?")
    encoder.module.load_state_dict({n: t.to(wanted[n].dtype) for n, t in tensors.items() if n in wanted}, strict=False)


def _torchvision(backbone: Backbone) -> Tensors:
    if ":" in backbone.name or backbone.name == "tiny_cnn":
        raise UnknownName("weights", backbone.weights, ["none", "a file ending in " + ", ".join(FILE_SUFFIXES)])
    import torchvision  # a second to import, and only these weights need it

    choices = torchvision.models.get_model_weights(backbone.name)
    names = {"none", "DEFAULT", *choices.__members__}
    if backbone.weights not in names:
        raise UnknownName(f"weights of {backbone.name}", backbone.weights, names)
    try:
        found: Tensors = choices[backbone.weights].get_state_dict(progress=False)
    except (OSError, RuntimeError) as error:
        raise WeightsError(
            f"{backbone.weights} of {backbone.name} could not be downloaded ({error}); "
            'set backbone.weights to a file you have, or to "none"'
        ) from error
    return found


def dump(encoder: Encoder) -> bytes:
    """The backbone's tensors as safetensors bytes."""
    return safetensors.torch.save({n: t.detach().cpu().contiguous() for n, t in encoder.module.state_dict().items()})


def digest(encoder: Encoder, backbone: Backbone) -> str:
    """Name a backbone by everything that its embeddings depend on: tensors, architecture and preprocessing."""
    settings = {
        "name": backbone.name.rsplit("/", 1)[-1],
        "options": dict(backbone.options),
        "image_size": backbone.image_size,
        "fit": backbone.fit,
        "mean": encoder.mean,
        "std": encoder.std,
    }
    seen = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for name, tensor in sorted(encoder.module.state_dict().items()):
        seen.update(name.encode())
        seen.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return seen.hexdigest()[:16]
