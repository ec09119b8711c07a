"""Verbs that take questions and labels out, and answers in."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from raylabel.cli.options import AsJson, ConfigPath, Sets, command, print_facts
from raylabel.errors import RaylabelError
from raylabel.progress import counted
from raylabel.toml import load

if TYPE_CHECKING:
    from raylabel.campaign import Campaign


def export(
    config: ConfigPath,
    target: Annotated[Path, typer.Argument(help="A .csv or .jsonl file; labels also .parquet.")],
    what: Annotated[str, typer.Option(help='"shortlist", "labels" or "provisional".')] = "shortlist",
    sets: Sets = None,
    as_json: AsJson = False,
) -> None:
    """Write the open questions for people, the result, or the labels as they would be now, to a file.

    Example: raylabel export campaign.toml questions.csv
    """
    from raylabel.campaign import find_campaign
    from raylabel.labeling.files import export_shortlist
    from raylabel.loop import find_plan
    from raylabel.reporting.export import export_labels

    if what not in ("shortlist", "labels", "provisional"):
        raise typer.BadParameter(f"{what!r}: expected shortlist, labels or provisional", param_hint="--what")
    campaign = find_campaign(load(config, overrides=sets or []))
    facts: dict[str, Any] = {"what": what, "file": str(target)}
    try:
        if what == "labels":
            facts["num_rows"] = export_labels(campaign, target)
        elif what == "provisional":
            facts["round"], facts["num_rows"] = _provisional(campaign, target)
        else:
            facts["round"], facts["num_rows"] = export_shortlist(campaign, find_plan(campaign), target)
    except OSError as error:
        raise RaylabelError(f"{target}: cannot be written ({error.strerror or error}); choose another place") from error
    said = f"{counted(facts['num_rows'], 'label')} in {target}"
    if what == "shortlist":
        said = f"round {facts['round']}: {counted(facts['num_rows'], 'question')} in {target}; fill in the label "
        said += f"column, then: {command('import', config, target, sets=sets)}"
    if what == "provisional":
        said = f"round {facts['round']}: {said}, all marked provisional: later rounds may change them"
    print_facts(facts, as_json=as_json, text=lambda _: said)


def _provisional(campaign: Campaign, target: Path) -> tuple[int, int]:
    from raylabel.labeling import answers_of
    from raylabel.reporting.committed import newest_round
    from raylabel.reporting.export import export_provisional

    newest = newest_round(campaign)
    if newest is None:
        raise RaylabelError(f"{campaign.store.root}: no round is done yet; `raylabel run` goes on to the first")
    answered = answers_of(campaign, newest.number)
    return newest.number, export_provisional(campaign, newest, answered, target)


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
    from raylabel.labeling import asked_for_audit
    from raylabel.labeling.files import import_answers

    campaign = find_campaign(load(config, overrides=sets or []))
    count, new, still_open = import_answers(campaign, source, asked_for_audit(campaign))
    said = f"{counted(count, 'answer')} in {source}, {new:,} of them new; "
    said += f"{counted(still_open, 'row')} still without an answer"
    facts = {"file": str(source), "num_answers": count, "num_new": new, "num_open": still_open}
    print_facts(facts, as_json=as_json, text=lambda _: said)
