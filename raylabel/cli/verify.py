"""The verb that works a certificate out again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from raylabel.cli.options import AsJson, Sets, print_facts
from raylabel.progress import counted
from raylabel.toml import load


def verify(
    campaign: Annotated[
        str, typer.Argument(metavar="CAMPAIGN", help="A campaign's TOML, or its workspace: a folder or s3:// prefix.")
    ],
    sets: Sets = None,
    as_json: AsJson = False,
) -> None:
    """Work out a campaign's certificate and labels again from its workspace alone; exit code 1 where they differ.

    Example: raylabel verify campaign.toml
    """
    from raylabel.opening import find_campaign
    from raylabel.verify import open_workspace
    from raylabel.verify import verify as work_out

    if campaign.endswith(".toml"):
        found = find_campaign(load(campaign, overrides=sets or []))
    elif sets:
        raise typer.BadParameter("a workspace has its settings with it; give the TOML", param_hint="--set")
    else:
        found = open_workspace(campaign if "://" in campaign else str(Path(campaign).resolve()))
    facts = work_out(found)
    print_facts(facts, as_json=as_json, text=_text)
    if not facts["verified"]:
        raise typer.Exit(1)


def _text(facts: dict[str, Any]) -> str:
    lines = []
    for check in facts["checks"]:
        said = counted(len(check["differs"]), "difference") if check["differs"] else "agrees"
        lines.append(f"{check['name']:12} {check['num']:10,}  {said}")
        lines += [f"  {line}" for line in check["differs"]]
    what = facts["sentence"] or "No round is done yet, so that nothing is promised."
    if not facts["verified"]:
        lines.append(f"NOT VERIFIED: {facts['workspace']} is not what it was, or never was. It claims: {what}")
    elif facts["finished"]:
        lines.append(f"Verified. {what}")
    else:
        lines.append(f"Verified so far, provisional: the campaign is not done. {what}")
    return "\n".join(lines)
