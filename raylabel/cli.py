"""The verbs: thin, one function each. Facts go to stdout, progress and errors to stderr."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

import raylabel
from raylabel.config import Config
from raylabel.errors import QuarantineOverLimit, RaylabelError
from raylabel.progress import counted
from raylabel.signals import Signals
from raylabel.toml import load

app = typer.Typer(
    name="raylabel",
    help="Label millions of images with a few thousand human answers, and prove how right the labels are.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

bench_app = typer.Typer(
    help="Measure this machine on a campaign of yours.\n\nExample: raylabel bench throughput campaign.toml",
    no_args_is_help=True,
)
app.add_typer(bench_app, name="bench")

ConfigPath = Annotated[Path, typer.Argument(metavar="CAMPAIGN.TOML", help="The campaign's config.")]
Sets = Annotated[list[str] | None, typer.Option("--set", metavar="SECTION.KEY=VALUE", help="Override a setting.")]
Grow = Annotated[bool, typer.Option("--grow", help="First take in what has come into the pool.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print facts as one JSON object.")]


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


@app.callback(invoke_without_command=True)
def _version(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if version:
        typer.echo(f"raylabel {raylabel.__version__}")
        raise typer.Exit


@app.command()
def demo(
    folder: Annotated[Path, typer.Argument(help="Where the demo's pool and workspace go.")] = Path("raylabel-demo"),
    as_json: AsJson = False,
) -> None:
    """Label 1,797 real handwritten digits on this machine, without network or weights.

    Example: raylabel demo
    """
    from raylabel.demo import run_demo

    _print(run_demo(folder), as_json=as_json, text=lambda report: report["demo"]["sentence"])


def _new_file(target: Path) -> Path:
    from raylabel.template import check_new

    check_new(target)
    return target


@app.command()
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
    typer.echo(f"{target} written; read it through, then: {_command('run', target)}")


@app.command()
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
        _print(facts, as_json=as_json, text=lambda _: "\n".join(f"{name:22} {value}" for name, value in facts.items()))


@app.command()
def run(config: ConfigPath, grow: Grow = False, sets: Sets = None, as_json: AsJson = False) -> None:
    """Run a campaign from wherever it stands to its end, or until people are needed.

    Example: raylabel run campaign.toml --set budget.rounds=3
    """
    from raylabel.reporting import report

    settings = load(config, overrides=sets or [])
    found = raylabel.run(settings, grow=grow)
    assert found is not None, "a run without `until` ends with a report"
    if as_json:
        typer.echo(json.dumps(found))
    else:
        console = Console(highlight=False)
        report.print_rounds(console, found["rounds"])
        report.print_classes(console, found["quality"])
        place = found["labels"]["folder"].rsplit("/", 1)[-1]
        typer.echo(f"{report.summary(found)}\nEverything lies in {settings.workspace}, the result in {place}/.")
    _check_quarantine(settings, found["pool"])


def _stage(name: str, summary: str) -> None:
    def stage(config: ConfigPath, sets: Sets = None) -> None:
        settings = load(config, overrides=sets or [])
        raylabel.run(settings, until=name)
        typer.echo(f"{name}: done; see: {_command('status', config, sets=sets)}")

    stage.__doc__ = (
        f"{summary}\n\nWhatever must come before it is done first.\n\nExample: raylabel {name} campaign.toml"
    )
    app.command(name=name)(stage)


_stage("embed", "Plan the pool and embed it, then stop.")
_stage("select", "Choose the next shortlist, then stop.")
_stage("train", "Fit the due round's model on its answers, then stop.")
_stage("accept", "Predict and certify the due round, commit it, then stop.")


@app.command()
def status(config: ConfigPath, sets: Sets = None, as_json: AsJson = False) -> None:
    """Say how far a campaign is.

    Example: raylabel status campaign.toml
    """
    from raylabel.campaign import find_campaign
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


@app.command()
def export(
    config: ConfigPath,
    target: Annotated[Path, typer.Argument(help="A .csv or .jsonl file; labels also .parquet.")],
    what: Annotated[str, typer.Option(help='"shortlist" or "labels".')] = "shortlist",
    sets: Sets = None,
    as_json: AsJson = False,
) -> None:
    """Write the open questions for people, or the result, to a file.

    Example: raylabel export campaign.toml questions.csv
    """
    from raylabel.campaign import find_campaign
    from raylabel.labeling.files import export_shortlist
    from raylabel.loop import find_plan
    from raylabel.reporting.result import export_labels

    if what not in ("shortlist", "labels"):
        raise typer.BadParameter(f"{what!r}: expected shortlist or labels", param_hint="--what")
    campaign = find_campaign(load(config, overrides=sets or []))
    facts: dict[str, Any] = {"what": what, "file": str(target)}
    try:
        if what == "labels":
            facts["num_rows"] = export_labels(campaign, target)
        else:
            facts["round"], facts["num_rows"] = export_shortlist(campaign, find_plan(campaign), target)
    except OSError as error:
        raise RaylabelError(f"{target}: cannot be written ({error.strerror or error}); choose another place") from error
    said = f"{counted(facts['num_rows'], 'label')} in {target}"
    if what == "shortlist":
        said = f"round {facts['round']}: {counted(facts['num_rows'], 'question')} in {target}; fill in the label "
        said += f"column, then: {_command('import', config, target, sets=sets)}"
    _print(facts, as_json=as_json, text=lambda _: said)


@app.command(name="import")
def import_(
    config: ConfigPath,
    source: Annotated[Path, typer.Argument(help="A .csv or .jsonl file.")],
    sets: Sets = None,
    as_json: AsJson = False,
) -> None:
    """Take people's answers from a file, all of them or none.

    Example: raylabel import campaign.toml questions.csv
    """
    from raylabel.campaign import find_campaign
    from raylabel.labeling import find_audit
    from raylabel.labeling.files import import_answers

    campaign = find_campaign(load(config, overrides=sets or []))
    count, new, still_open = import_answers(campaign, source, find_audit(campaign))
    said = f"{counted(count, 'answer')} in {source}, {new:,} of them new; "
    said += f"{counted(still_open, 'row')} still without an answer"
    facts = {"file": str(source), "num_answers": count, "num_new": new, "num_open": still_open}
    _print(facts, as_json=as_json, text=lambda _: said)


@bench_app.command()
def throughput(
    config: ConfigPath,
    images: Annotated[int, typer.Option(min=64, help="Size of the sample of the pool.")] = 2000,
    sets: Sets = None,
    as_json: AsJson = False,
) -> None:
    """Measure storage, decoding, model and the whole pass on a sample of the pool, and say what to change.

    Example: raylabel bench throughput campaign.toml
    """
    from raylabel import runtime
    from raylabel.bench import throughput as measure

    settings = load(config, overrides=sets or [])
    with runtime.session(settings.compute):
        facts = measure(settings, num_images=images)
    _print(facts, as_json=as_json, text=_throughput_text)


def _throughput_text(facts: dict[str, Any]) -> str:
    return (
        f"{facts['images']:,} images of {facts['mean_kb']:,.0f} kB, {facts['workers']} workers, {facts['arithmetic']}\n"
        f"storage   {facts['storage']:10,.0f} images/s, one reader\n"
        f"decode    {facts['decode']:10,.0f} images/s alone, all workers\n"
        f"model     {facts['model']:10,.0f} images/s alone, all workers\n"
        f"limit     {facts['limit']:10,.0f} images/s, decoding and model together\n"
        f"achieved  {facts['achieved']:10,.0f} images/s: {facts['of_limit']:.0%} of the limit, "
        f"after a start of {facts['start_s']:.0f} s\n"
        f"bound by {facts['bound_by']}: {facts['advice']}"
    )


def _check_quarantine(config: Config, pool: dict[str, Any]) -> None:
    lost, limit = pool["num_quarantined"], config.pool.quarantine_limit
    if lost > limit * pool["num_rows"] or pool["num_unreadable_files"]:
        raise QuarantineOverLimit(
            f"done, but {lost:,} of {pool['num_rows']:,} items and {pool['num_unreadable_files']} whole files could "
            f"not be read (pool.quarantine_limit allows {limit:.1%} of the items and no file); "
            f"see the quarantine folder of {config.workspace}"
        )


def _command(verb: str, *paths: Path, sets: list[str] | None = None) -> str:
    """A next command as the shell takes it, with the user's own settings."""
    options = (part for item in sets or [] for part in ("--set", item))
    return shlex.join(["raylabel", verb, *map(str, paths), *options])


def _print(facts: dict[str, Any], *, as_json: bool, text: Any) -> None:
    typer.echo(json.dumps(facts) if as_json else text(facts))
