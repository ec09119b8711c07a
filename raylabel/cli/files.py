"""Verbs that take questions and labels out, and answers in."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from raylabel.cli.options import AsJson, ConfigPath, Sets, command, print_facts, working
from raylabel.errors import RaylabelError, UnknownName
from raylabel.progress import counted
from raylabel.toml import load

if TYPE_CHECKING:
    from raylabel.campaign import Campaign


LABEL_STUDIO = "labelstudio"
WEB = ("http://", "https://")


def export(
    config: ConfigPath,
    target: Annotated[
        str,
        typer.Argument(help="A .csv or .jsonl file, labels also .parquet; with --format a folder, .json or URL."),
    ],
    what: Annotated[str, typer.Option(help='"shortlist", "labels" or "provisional".')] = "shortlist",
    format_: Annotated[
        str | None,
        typer.Option(
            "--format",
            help='Labels with their images: "imagefolder", "webdataset", "huggingface", "coco", "fiftyone"; '
            'questions: "labelstudio", to a file or a running server.',
        ),
    ] = None,
    sets: Sets = None,
    as_json: AsJson = False,
) -> None:
    """Write the open questions for people, the result, or the labels as they would be now.

    Example: raylabel export campaign.toml questions.csv
    """
    from raylabel.opening import find_campaign

    if what not in ("shortlist", "labels", "provisional"):
        raise typer.BadParameter(f"{what!r}: expected shortlist, labels or provisional", param_hint="--what")
    if format_ == LABEL_STUDIO and what != "shortlist":
        raise typer.BadParameter(f"{LABEL_STUDIO} holds questions: leave --what out", param_hint="--format")
    campaign = find_campaign(load(config, overrides=sets or []))
    named = _named(target)
    facts: dict[str, Any] = {"what": what, "file": named}
    path = Path(target)
    try:
        if format_ == LABEL_STUDIO:
            facts |= {"format": format_} | _to_label_studio(campaign, target)
        elif format_:
            facts["format"], facts["num_rows"] = format_, _with_images(campaign, target, what, format_)
        elif what == "labels":
            facts["num_rows"] = _result(campaign, path)
        elif what == "provisional":
            facts["round"], facts["num_rows"] = _provisional(campaign, path)
        else:
            facts["round"], facts["num_rows"] = _questions(campaign, path)
    except OSError as error:
        raise RaylabelError(f"{named}: cannot be written ({error.strerror or error}); choose another place") from error
    said = f"{counted(facts['num_rows'], 'label')} in {named}"
    if format_ == LABEL_STUDIO:
        said = f"round {facts['round']}: {counted(facts['num_rows'], 'task')} in {named}"
        said += "" if "://" in target else f", its labeling config in {path.with_suffix('.xml')}"
    elif what == "shortlist":
        said = f"round {facts['round']}: {counted(facts['num_rows'], 'question')} in {named}; fill in the label "
        said += f"column, then: {command('import', config, path, sets=sets)}"
    if what == "provisional":
        said = f"round {facts['round']}: {said}, all marked provisional: later rounds may change them"
    print_facts(facts, as_json=as_json, text=lambda _: said)


def _named(place: str) -> str:
    """A file, or a URL as messages may show it."""
    if not place.startswith(WEB):
        return place
    from raylabel.labeling.label_studio import shown

    return shown(place)


# What each needs is imported where it is done: a sheet of questions waits for no engine.
def _questions(campaign: Campaign, target: Path) -> tuple[int, int]:
    from raylabel.labeling.files import export_shortlist
    from raylabel.planned import find_plan

    return export_shortlist(campaign, find_plan(campaign), target)


def _result(campaign: Campaign, target: Path) -> int:
    from raylabel.reporting.export import export_labels

    return export_labels(campaign, target)


def _to_label_studio(campaign: Campaign, target: str) -> dict[str, Any]:
    """Write the open questions as tasks, or add them to a running server."""
    from raylabel.labeling.label_studio import export_tasks, push
    from raylabel.planned import find_plan

    if target.startswith(WEB):
        number, count, project = push(campaign, find_plan(campaign), target)
        return {"round": number, "num_rows": count, "project": project}
    number, count = export_tasks(campaign, find_plan(campaign), Path(target))
    return {"round": number, "num_rows": count}


def _with_images(campaign: Campaign, target: str, what: str, named: str) -> int:
    """Write the labeled images in one of the formats that hold them."""
    from raylabel import runtime
    from raylabel.planned import find_plan
    from raylabel.reporting.committed import find_round, newest_round, require_labels
    from raylabel.reporting.formats import FORMATS, export_images, paired

    if named not in FORMATS:
        raise UnknownName("format", named, [*FORMATS, LABEL_STUDIO])
    if what != "labels":
        raise typer.BadParameter(f"{named} holds labeled images: give --what labels", param_hint="--format")
    labels, plan = require_labels(campaign), find_plan(campaign)
    newest = newest_round(campaign)
    assert newest is not None, "labels come from a round"
    found = find_round(campaign, newest.number, version=plan.version)
    assert found is not None, "it is committed"
    to = target if "://" in target else str(Path(target).absolute())
    with working(), runtime.session(campaign.config.compute):
        return export_images(campaign, plan, labels, paired(found, labels), to=to, named=named)


def _provisional(campaign: Campaign, target: Path) -> tuple[int, int]:
    from raylabel.labeling.drawn import answers_of
    from raylabel.reporting.committed import newest_round
    from raylabel.reporting.export import export_provisional

    newest = newest_round(campaign)
    if newest is None:
        raise RaylabelError(f"{campaign.store.root}: no round is done yet; `raylabel run` goes on to the first")
    answered = answers_of(campaign, newest.number)
    return newest.number, export_provisional(campaign, newest, answered, target)


def import_(
    config: ConfigPath,
    source: Annotated[
        str,
        typer.Argument(
            help="A .csv, .jsonl or .parquet file, a .json of Label Studio or COCO, a .xml of CVAT, a folder of "
            "classes, or the URL of a running Label Studio."
        ),
    ],
    sets: Sets = None,
    as_json: AsJson = False,
) -> None:
    """Take people's answers, all of them or none.

    Example: raylabel import campaign.toml questions.csv
    """
    from raylabel.labeling.drawn import asked_for_audit
    from raylabel.labeling.intake import check_open, import_answers
    from raylabel.opening import find_campaign

    campaign = find_campaign(load(config, overrides=sets or []))
    with tempfile.TemporaryDirectory() as place:
        path = Path(source)
        if source.startswith(WEB):
            from raylabel.labeling.label_studio import pull

            check_open(campaign)
            path = Path(place) / "annotations.json"
            pull(campaign, source, path)
        count, new, still_open = import_answers(campaign, path, asked_for_audit(campaign))
    named = _named(source)
    said = f"{counted(count, 'answer')} in {named}, {new:,} of them new; "
    said += f"{counted(still_open, 'row')} still without an answer"
    facts = {"file": named, "num_answers": count, "num_new": new, "num_open": still_open}
    print_facts(facts, as_json=as_json, text=lambda _: said)
