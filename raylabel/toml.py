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

Source = tuple[tuple[str, ...], str]
"""The keys of a setting, and what set it, as errors name it."""


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
    sources: list[Source] = []
    for name, value in sorted(os.environ.items()):
        if name.startswith(ENV_PREFIX):
            keys = name.removeprefix(ENV_PREFIX).lower().split("__")
            _put(tree, keys, value, where=name)
            sources.append((tuple(keys), name))
    for item in overrides:
        key, found, value = item.partition("=")
        if not found:
            raise ConfigError(f"--set {item}: expected section.key=value")
        keys = key.strip().split(".")
        _put(tree, keys, value, where=f"--set {item}")
        sources.append((tuple(keys), f"--set {item}"))
    return parse(tree, where=str(path), folder=path.resolve().parent, sources=sources)


def parse(tree: Mapping[str, Any], *, where: str, folder: Path, sources: Sequence[Source] = ()) -> Config:
    """Check a tree of settings.

    Args:
        tree: the settings.
        where: names their source in errors.
        folder: anchors relative paths.
        sources: of single settings, where it is another one; later ones win.

    Raises:
        ConfigError: one line for each key or value that is wrong.
    """
    try:
        config = Config.model_validate(dict(tree))
    except ValidationError as error:
        lines = (f"{_source(e['loc'], sources) or where}: {_explain(dict(e))}" for e in error.errors())
        raise ConfigError("\n".join(lines)) from None
    return Config.model_validate(_anchored(config, folder, where=where))


def _source(loc: tuple[int | str, ...], sources: Sequence[Source]) -> str:
    """Where the wrong key or value at `loc` was set last, if not in the file; "" if there, or for several together."""
    for keys, source in reversed(sources):
        num = min(len(keys), len(loc))
        if num and keys[:num] == loc[:num]:
            return source
    return ""


def _anchored(config: Config, folder: Path, *, where: str) -> dict[str, Any]:
    """The settings with relative local paths taken from a folder."""
    resolved = config.model_dump()
    source, colon, function = config.backbone.name.partition(":")
    paths = {("workspace",): config.workspace, ("pool", "path"): config.pool.path}
    if config.labeling.gold is not None:
        paths["labeling", "gold"] = config.labeling.gold
    if "." in config.backbone.weights:
        paths["backbone", "weights"] = config.backbone.weights
    if colon and source.endswith(".py"):
        paths["backbone", "name"] = source
    relative = []
    for keys, path in paths.items():
        if "://" in path:
            continue
        local = Path(path).expanduser()
        if not local.is_absolute():
            relative.append(f"{'.'.join(keys)} = {path!r}")
        section = resolved if len(keys) == 1 else resolved[keys[0]]
        section[keys[-1]] = str((folder / local).resolve()) + (f":{function}" if keys == ("backbone", "name") else "")
    resolved["weak"]["functions"] = tuple(_own(name, folder, relative) for name in config.weak.functions)
    if relative and "working_dir_files" in folder.parts:
        raise ConfigError(
            f"{where}: a submitted job runs in a throw-away copy of the folder, and these start from it: "
            f"{', '.join(relative)}; name the TOML itself by its absolute path, or give absolute paths or s3:// URIs"
        )
    return resolved


def _own(name: str, folder: Path, relative: list[str]) -> str:
    """A labeling function's name with its file taken from a folder; what was relative is noted."""
    source, _, function = name.rpartition(":")
    local = Path(source).expanduser()
    if not source.endswith(".py"):
        return name
    if not local.is_absolute():
        relative.append(f"weak.functions = [{name!r}]")
    return f"{(folder / local).resolve()}:{function}"


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
