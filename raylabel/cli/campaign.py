"""Verbs that move a campaign on, and say how far it is."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import typer
from rich.console import Console

import raylabel
from raylabel.cli.options import AsJson, ConfigPath, Grow, Sets, command, working
from raylabel.config import Config
from raylabel.errors import QuarantineOverLimit
from raylabel.toml import load


def run(config: ConfigPath, grow: Grow = False, sets: Sets = None, as_json: AsJson = False) -> None:
    """Run a campaign from wherever it stands to its end, or until people are needed.

    Example: raylabel run campaign.toml --set budget.rounds=3
    """
    from raylabel.reporting import people, report, weak

    settings = load(config, overrides=sets or [])
    with working():
        found = raylabel.run(settings, grow=grow)
    assert found is not None, "a run without `until` ends with a report"
    if as_json:
        typer.echo(json.dumps(found))
    else:
        console = Console(highlight=False)
        report.print_rounds(console, found["rounds"])
        report.print_classes(console, found["quality"])
        report.print_certificates(console, found["rounds"][-1])
        for line in report.forecast_and_outcome(found):
            typer.echo(line)
        people.print_people(console, found["people"])
        weak.print_weak(console, found["rounds"][-1]["weak"])
        place = found["labels"]["folder"].rsplit("/", 1)[-1]
        typer.echo(f"{report.summary(found)}\nEverything lies in {settings.workspace}, the result in {place}/.")
    _check_quarantine(settings, found["pool"])


def stage(name: str, summary: str) -> Callable[..., None]:
    """The verb of a single stage."""

    def verb(config: ConfigPath, sets: Sets = None) -> None:
        settings = load(config, overrides=sets or [])
        with working():
            raylabel.run(settings, until=name)
        typer.echo(f"{name}: done; see: {command('status', config, sets=sets)}")

    verb.__doc__ = f"{summary}\n\nWhatever must come before it is done first.\n\nExample: raylabel {name} campaign.toml"
    return verb


embed = stage("embed", "Plan the pool and embed it, then stop.")
select = stage("select", "Choose the next shortlist, then stop.")
train = stage("train", "Fit the due round's model on its answers, then stop.")
accept = stage("accept", "Predict and certify the due round, commit it, then stop.")


def status(config: ConfigPath, sets: Sets = None, as_json: AsJson = False) -> None:
    """Say how far a campaign is.

    Example: raylabel status campaign.toml
    """
    from raylabel.opening import find_campaign
    from raylabel.reporting import report
    from raylabel.status import look

    facts = look(find_campaign(load(config, overrides=sets or [])))
    if as_json:
        typer.echo(json.dumps(facts))
        return
    if facts["rounds"]:
        report.print_rounds(Console(highlight=False), facts["rounds"])
    for line in facts["lines"]:
        typer.echo(line)


def _check_quarantine(config: Config, pool: dict[str, Any]) -> None:
    lost, limit = pool["num_quarantined"], config.pool.quarantine_limit
    if lost > limit * pool["num_rows"] or pool["num_unreadable_files"]:
        raise QuarantineOverLimit(
            f"done, but {lost:,} of {pool['num_rows']:,} items and {pool['num_unreadable_files']} whole files could "
            f"not be read (pool.quarantine_limit allows {limit:.1%} of the items and no file); "
            f"see the quarantine folder of {config.workspace}"
        )
