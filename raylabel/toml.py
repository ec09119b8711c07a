"""Read the campaign TOML, and say in one line for each mistake what is wrong with it.

Later settings win: the TOML, then `RAYLABEL__SECTION__KEY` in the environment, then `--set section.key=value`.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from raylabel.config import Config
from raylabel.errors import ConfigError

ENV_PREFIX = "RAYLABEL__"


def load(path: str | Path, *, overrides: Sequence[str] = ()) -> Config:
    """Read one campaign TOML.

    Args:
        path: the TOML file. Relative local paths in it are taken from the file's own folder.
        overrides: "section.key=value" strings; a value is TOML, or else a plain string.

    Raises:
        ConfigError: the file is missing, is not TOML, or a key or value in it is wrong.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); `raylabel init` writes one") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not TOML: not UTF-8 at byte {error.start}") from error
    try:
        tree: dict[str, Any] = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not TOML: {error}") from error
    for name, value in sorted(os.environ.items()):
        if name.startswith(ENV_PREFIX):
            _put(tree, name.removeprefix(ENV_PREFIX).lower().split("__"), value, where=name)
    for item in overrides:
        key, found, value = item.partition("=")
        if not found:
            raise ConfigError(f"--set {item}: expected section.key=value")
        _put(tree, key.strip().split("."), value, where=f"--set {item}")
    return parse(tree, where=str(path), folder=path.resolve().parent)


def parse(tree: Mapping[str, Any], *, where: str, folder: Path) -> Config:
    """Check a tree of settings; `where` names its source in errors, `folder` anchors relative paths.

    Raises:
        ConfigError: one line for each key or value that is wrong.
    """
    try:
        config = Config.model_validate(dict(tree))
    except ValidationError as error:
        raise ConfigError("\n".join(f"{where}: {_explain(dict(e))}" for e in error.errors())) from None
    resolved = config.model_dump()
    resolved["workspace"] = _anchor(config.workspace, folder)
    resolved["pool"]["path"] = _anchor(config.pool.path, folder)
    if "." in config.backbone.weights:
        resolved["backbone"]["weights"] = _anchor(config.backbone.weights, folder)
    source, colon, function = config.backbone.name.partition(":")
    if colon and source.endswith(".py"):
        resolved["backbone"]["name"] = f"{_anchor(source, folder)}:{function}"
    return Config.model_validate(resolved)


def _anchor(path: str, folder: Path) -> str:
    if "working_dir_files" in folder.parts and "://" not in path and not Path(path).expanduser().is_absolute():
        raise ConfigError(
            f"{path}: is relative to Ray's throw-away copy of the working directory; "
            "give a submitted job absolute paths or s3:// URIs"
        )
    return path if "://" in path else str((folder / Path(path).expanduser()).resolve())


def _put(tree: dict[str, Any], keys: list[str], value: str, *, where: str) -> None:
    try:
        parsed = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        parsed = value
    for key in keys[:-1]:
        tree = tree.setdefault(key, {})
        if not isinstance(tree, dict):
            raise ConfigError(f"{where}: {key!r} is a value, not a section")
    tree[keys[-1]] = parsed


def _explain(error: dict[str, Any]) -> str:
    loc = [str(part) for part in error["loc"]]
    name = ".".join(loc)
    if error["type"] == "extra_forbidden":
        known = _keys(loc[:-1])
        near = difflib.get_close_matches(loc[-1], known, n=1, cutoff=0.4)
        hint = f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(known)}"
        return f"unknown key {name!r}: {hint}"
    if error["type"] == "missing":
        return f"{name!r} is missing: give it in the TOML"
    if error["type"] == "value_error":
        return str(error["ctx"]["error"])
    return f"{name!r}: {error['msg'].lower()}, got {error['input']!r}"


def _keys(loc: list[str]) -> list[str]:
    model: type[BaseModel] = Config
    for part in loc:
        annotation = model.model_fields[part].annotation
        kind = annotation if isinstance(annotation, type) else next(iter(get_args(annotation)), None)
        if not (isinstance(kind, type) and issubclass(kind, BaseModel)):
            return []
        model = kind
    return list(model.model_fields)
