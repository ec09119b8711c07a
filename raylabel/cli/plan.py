"""The verb that looks ahead."""

from __future__ import annotations

from itertools import groupby
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from raylabel.cli.options import AsJson, ConfigPath, Sets, print_facts, working
from raylabel.toml import load


def plan(
    config: ConfigPath,
    images_per_s: Annotated[
        float | None, typer.Option(min=0.001, help="Speed that `raylabel bench throughput` measured (achieved).")
    ] = None,
    sets: Sets = None,
    as_json: AsJson = False,
) -> None:
    """Forecast answers, coverage and machine time for several promises, before anyone is asked.

    Example: raylabel plan campaign.toml
    """
    from raylabel.outlook import look_ahead

    settings = load(config, overrides=sets or [])
    with working():
        facts = look_ahead(settings, images_per_s=images_per_s)
    if as_json:
        print_facts(facts, as_json=True, text=str)
        return
    console = Console(highlight=False)
    for basis, found in groupby(facts["forecasts"], key=lambda entry: str(entry["basis"])):
        console.print(_table(basis, list(found)))
    typer.echo(_text(facts))


def _table(basis: str, found: list[dict[str, Any]]) -> Table:
    columns = ("promise", "audit", "certifies", "by machine", "8 of 10", "at best", "left open")
    table = Table(*columns, title=basis)
    for entry in found:
        table.add_row(
            f"{100 * entry['max_error']:.3g} %",
            f"{entry['num_audit']:,}",
            f"{entry['chance']:.0%}",
            f"{entry['coverage']:.0%}",
            f"{entry['low']:.0%} to {entry['high']:.0%}",
            f"{entry['attainable']:.0%}",
            f"{entry['num_open']:,}",
        )
    return table


def _text(facts: dict[str, Any]) -> str:
    people = facts["num_train"] + facts["num_audit"]
    lines = [
        "promise: at most so many wrong; audit: its answers; certifies: in so many draws; by machine: labels, on "
        "average and in 8 of 10 draws; at best: with any audit.",
        f"{facts['num_rows']:,} images; people answer {people:,} ({facts['num_train']:,} for training, "
        f"{facts['num_audit']:,} for the audit), and what is left open, if it is to be labeled at all.",
    ]
    for basis, found in groupby(facts["forecasts"], key=lambda entry: str(entry["basis"])):
        wanted = next(entry for entry in found if entry["max_error"] == facts["max_error"])
        needed = wanted["num_needed"]
        said = f"about {needed:,} audit answers" if needed else "no number of audit answers"
        share = f"at most {100 * facts['max_error']:.3g} % wrong"
        lines.append(f"{basis}: {said} would certify {share} of a part of the pool in 8 of 10 draws.")
    machine = facts["machine"]
    if machine["seconds"] is None:
        lines.append(f"Machine time: {machine['basis']}.")
    else:
        lines.append(
            f"Machine time: {machine['seconds'] / 60:,.1f} minutes at {machine['images_per_s']:,.0f} images/s "
            f"({machine['basis']}); a round adds seconds, a fine-tune the same again."
        )
    return "\n".join(lines)
