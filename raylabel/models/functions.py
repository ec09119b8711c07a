"""Functions of a user's own, named "module:function" or "file.py:function" in a campaign's settings.

Knows names and Python modules; knows nothing of what the functions do. Needs no torch.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from raylabel.errors import ConfigError, UnknownName


def load_function(name: str, *, setting: str) -> Callable[..., Any]:
    """Import the function that a setting names.

    Args:
        name: "module:function" or "file.py:function".
        setting: as errors call it, such as "backbone.name".

    Raises:
        ConfigError: the name has no such form, its module cannot be imported here, or it is no function.
        UnknownName: the module has no function of that name; says the nearest.
    """
    source, colon, function = name.rpartition(":")
    if not colon or not source or not function:
        raise ConfigError(f'{setting}: got {name!r}, expected "module:function" or "file.py:function"')
    module = _imported(source, setting)
    if not hasattr(module, function):
        raise UnknownName(f"function of {source}", function, [n for n in vars(module) if not n.startswith("_")])
    found: Callable[..., Any] = getattr(module, function)
    if not callable(found):
        raise ConfigError(f"{setting}: {name} is {type(found).__name__}, expected a function")
    return found


def digests_of(names: Sequence[str], *, setting: str) -> dict[str, str]:
    """What functions are, for a fingerprint: the sha256 of the source file that each lies in, by its short name.

    Raises:
        ConfigError: as `load_function`; each function is loaded, so that none is found missing later.
    """
    found = {}
    for name in names:
        load_function(name, setting=setting)
        found[short_name(name)] = source_digest(name)
    return found


def short_name(name: str) -> str:
    """A function's name as records and reports give it: without the folder that its file lies in."""
    return name.rsplit("/", 1)[-1]


def source_digest(name: str) -> str:
    """The sha256 of the source file that a function lies in; of the module's name where it has none."""
    source = name.rpartition(":")[0]
    file = source
    if not source.endswith(".py"):
        file = getattr(importlib.import_module(source), "__file__", None) or ""
    data = Path(file).read_bytes() if file else source.encode()
    return hashlib.sha256(data).hexdigest()


def _imported(source: str, setting: str) -> ModuleType:
    try:
        if not source.endswith(".py"):
            return importlib.import_module(source)
        spec = importlib.util.spec_from_file_location(f"raylabel_own_{Path(source).stem}", source)
        assert spec is not None and spec.loader is not None, "a .py path always has a loader"
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        raise ConfigError(f"{setting}: {source} cannot be imported here: {reason}") from error
    return module
