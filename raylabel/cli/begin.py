"""Verbs to begin with: the demo, a new config, a look at the machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from raylabel.cli.options import AsJson, command, print_facts, working


def demo(
    folder: Annotated[Path, typer.Argument(help="Where the demo's pool and workspace go.")] = Path("raylabel-demo"),
    as_json: AsJson = False,
) -> None:
    """Label 1,797 real handwritten digits on this machine, without network or weights.

    Example: raylabel demo
    """
    from raylabel.demo import run_demo

    with working():
        facts = run_demo(folder)
    print_facts(facts, as_json=as_json, text=lambda report: report["demo"]["sentence"])


def _new_file(target: Path) -> Path:
    from raylabel.template import check_new

    check_new(target)
    return target


def init(
    target: Annotated[
        Path,
        # Eager: a file that is there is refused before the questions are asked.
        typer.Argument(metavar="CAMPAIGN.TOML", help="The file to write.", is_eager=True, callback=_new_file),
    ],
    pool: Annotated[
        str, typer.Option(prompt="Where are the images (folder, Parquet, tars or list of URIs; local or s3://)?")
    ],
    classes: Annotated[str, typer.Option(prompt="Names of the classes, with commas between")],
    workspace: Annotated[str, typer.Option(prompt="Where shall the results go (folder or s3:// prefix)?")],
) -> None:
    """Write a commented campaign TOML.

    Example: raylabel init campaign.toml --pool photos/ --classes cat,dog --workspace runs/pets
    """
    from raylabel.template import write_config

    write_config(target, pool=pool, classes=classes, workspace=workspace)
    typer.echo(f"{target} written; read it through, then: {command('run', target)}")


def doctor(
    store: Annotated[str, typer.Argument(help="A folder or s3:// prefix to try writing to.")] = "",
    as_json: AsJson = False,
) -> None:
    """Say what is installed, what the machine has, and whether a workspace can be kept in a place.

    Example: raylabel doctor s3://bucket/runs
    """
    from raylabel.doctor import examine, try_store
    from raylabel.workspace import Store

    facts = examine()
    try:
        if store:
            try_store(Store(store))
            facts["store"] = f"{store}: reachable, create-only writes hold"
    finally:
        print_facts(
            facts, as_json=as_json, text=lambda _: "\n".join(f"{name:22} {value}" for name, value in facts.items())
        )
