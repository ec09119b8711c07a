"""The verbs: thin, one function each. Facts go to stdout, progress and errors to stderr."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Annotated

import typer

import raylabel
from raylabel.cli import begin, bench, campaign, files, plan, review, search, verify
from raylabel.errors import RaylabelError
from raylabel.signals import Signals

__all__ = ["app", "main"]

VERBS: dict[str, Callable[..., None]] = {
    "demo": begin.demo,
    "init": begin.init,
    "doctor": begin.doctor,
    "plan": plan.plan,
    "run": campaign.run,
    "embed": campaign.embed,
    "select": campaign.select,
    "train": campaign.train,
    "accept": campaign.accept,
    "status": campaign.status,
    "review": review.review,
    "export": files.export,
    "import": files.import_,
    "verify": verify.verify,
    "search": search.search,
}
"""By name, in the order that `raylabel --help` shows them in."""

app = typer.Typer(
    name="raylabel",
    help="Label millions of images with a few thousand human answers, and prove how right the labels are.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for name, verb in VERBS.items():
    app.command(name)(verb)

bench_app = typer.Typer(
    help="Measure this machine on a campaign of yours.\n\nExample: raylabel bench throughput campaign.toml",
    no_args_is_help=True,
)
bench_app.command()(bench.throughput)
app.add_typer(bench_app, name="bench")


@app.callback(invoke_without_command=True)
def _version(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if version:
        typer.echo(f"raylabel {raylabel.__version__}")
        raise typer.Exit


def main() -> None:
    """Run a verb and turn every raylabel error, and every signal, into one message and its exit code."""
    signals = Signals()
    try:
        app(standalone_mode=True)
    except BaseException as error:
        if signals.first is not None:
            sys.exit(signals.tell())
        if isinstance(error, RaylabelError):
            print(f"raylabel: {error}", file=sys.stderr)  # noqa: T201
            sys.exit(error.exit_code)
        raise
    finally:
        signals.end()
