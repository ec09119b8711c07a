"""What verbs share: their common options, and how they print facts and next commands."""

from __future__ import annotations

import contextlib
import json
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer

ConfigPath = Annotated[Path, typer.Argument(metavar="CAMPAIGN.TOML", help="The campaign's config.")]
Sets = Annotated[list[str] | None, typer.Option("--set", metavar="SECTION.KEY=VALUE", help="Override a setting.")]
Grow = Annotated[bool, typer.Option("--grow", help="First take in what has come into the pool.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print facts as one JSON object.")]


def working() -> contextlib.redirect_stdout[TextIO]:
    """While work is done: what an engine prints by itself goes to stderr, and stdout holds the verb's facts alone."""
    return contextlib.redirect_stdout(sys.stderr)


def command(verb: str, *paths: Path, sets: list[str] | None = None) -> str:
    """A next command as the shell takes it, with the user's own settings."""
    options = (part for item in sets or [] for part in ("--set", item))
    return shlex.join(["raylabel", verb, *map(str, paths), *options])


def print_facts(facts: dict[str, Any], *, as_json: bool, text: Callable[[dict[str, Any]], str]) -> None:
    """Print facts to stdout: as JSON, or as `text` says them."""
    typer.echo(json.dumps(facts) if as_json else text(facts))
