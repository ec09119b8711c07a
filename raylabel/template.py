"""Write a campaign TOML in which every setting stands with its sentence, taken from the config's own models."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from raylabel.check import check_audit
from raylabel.config import Config
from raylabel.errors import ConfigError
from raylabel.toml import parse


def write_config(target: Path, *, pool: str, classes: str, workspace: str) -> None:
    """Write a config with defaults that work; one that is there is never overwritten.

    Args:
        target: the file.
        pool: path or URI of the images.
        classes: names with commas between them.
        workspace: folder or s3:// prefix.

    Raises:
        ConfigError: the file exists, or the answers make no campaign.
    """
    check_new(target)
    names = [name.strip() for name in classes.split(",") if name.strip()]
    tree = {"workspace": workspace, "classes": names, "pool": {"path": pool}}
    parse(tree, where="init", folder=target.resolve().parent)
    config = Config.model_validate(tree)
    check_audit(config)
    sections = [name for name, value in config if isinstance(value, BaseModel)]
    lines = [
        "# A raylabel campaign. Settings with their defaults are commented out.",
        "# The defaults are meant for some thousand images and more; for fewer lower [budget], or raise max_error.",
        "",
    ]
    lines += _settings(config, {name for name, _ in config} - set(sections), given={"workspace", "classes"})
    for name in sections:
        section = getattr(config, name)
        lines += ["", *_comment(str(type(section).__doc__)), f"[{name}]"]
        lines += _settings(section, set(type(section).model_fields), given={"path"} if name == "pool" else set())
    try:
        with target.open("x", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n")
    except OSError as error:
        raise ConfigError(f"{target}: cannot be written ({error.strerror}); choose another place") from error


def check_new(target: Path) -> None:
    """Refuse a file that is there: a config is never overwritten.

    Raises:
        ConfigError: the file exists.
    """
    if target.exists():
        raise ConfigError(f"{target}: is there already; remove it or choose another name")


def _settings(model: BaseModel, names: set[str], *, given: set[str]) -> list[str]:
    lines: list[str] = []
    for name, field in type(model).model_fields.items():
        if name not in names:
            continue
        value = getattr(model, name)
        text = f"{name} = {_toml(value)}"
        lines += [*_comment(field.description or ""), text if name in given else f"# {text}", ""]
    return lines[:-1]


def _comment(text: str) -> list[str]:
    return textwrap.wrap(text, 100, initial_indent="# ", subsequent_indent="# ")


def _toml(value: Any) -> str:
    """Strings, numbers, booleans and lists of them read the same in TOML and JSON, but for DEL in a string."""
    if value is None:
        return '""'
    if value == {}:
        return "{}"
    text = json.dumps(list(value) if isinstance(value, tuple) else value, ensure_ascii=False)
    return text.replace("\x7f", "\\u007f")
