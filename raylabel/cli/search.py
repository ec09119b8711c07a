"""The verb that looks things up in a campaign's index."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from raylabel.cli.options import AsJson, ConfigPath, Sets, print_facts, working
from raylabel.progress import counted
from raylabel.toml import load


def search(
    config: ConfigPath,
    queries: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="QUERY...",
            help="An item's id; row:123; an image file (path or s3://); or @FILE, a text with a query on each line.",
        ),
    ] = None,
    size: Annotated[int, typer.Option(min=1, help="Neighbours of each query; with --duplicates, groups.")] = 10,
    duplicates: Annotated[bool, typer.Option("--duplicates", help="List the pool's near-duplicates instead.")] = False,
    sheet: Annotated[
        Path | None, typer.Option(metavar="SHEET.PNG", help="Write a contact sheet, one line a query or group.")
    ] = None,
    sets: Sets = None,
    as_json: AsJson = False,
) -> None:
    """Find the images that are most like some, or the pool's near-duplicates; while a campaign runs, or after it.

    Example: raylabel search campaign.toml row:12 photo.jpg --sheet alike.png
    """
    if bool(queries) == duplicates:
        raise typer.BadParameter("give queries, or --duplicates", param_hint="QUERY...")
    from raylabel import runtime
    from raylabel.opening import find_campaign
    from raylabel.search import find_duplicates, look_up

    settings = load(config, overrides=sets or [])
    campaign = find_campaign(settings)
    if duplicates:
        with working(), runtime.session(settings.compute):
            facts = find_duplicates(campaign, size=size, target=sheet)
    else:
        facts = look_up(campaign, queries or [], size=size, target=sheet)
    print_facts(facts, as_json=as_json, text=_groups_text if duplicates else _neighbours_text)


def _neighbours_text(facts: dict[str, Any]) -> str:
    rows: list[tuple[Any, ...]] = [("query", "rank", "row", "id", "distance", "label")]
    for query in facts["queries"]:
        rows += [(query["query"], item["rank"], *_columns(item)) for item in query["neighbours"]]
    return "\n".join([*_aligned(rows), *_sheet_line(facts)])


def _groups_text(facts: dict[str, Any]) -> str:
    rows: list[tuple[Any, ...]] = [("group", "items", "row", "id", "distance", "label")]
    for number, group in enumerate(facts["groups"], start=1):
        rows += [(number, group["num_items"], *_columns(item)) for item in group["items"]]
    said = f"{counted(facts['num_groups'], 'group')} of near-duplicates, {counted(facts['num_items'], 'item')} in them"
    return "\n".join([*(_aligned(rows) if len(rows) > 1 else ()), said, *_sheet_line(facts)])


def _columns(item: dict[str, Any]) -> tuple[Any, ...]:
    return item["row"], item["id"], f"{item['distance']:.4f}", item["label"] or ""


def _sheet_line(facts: dict[str, Any]) -> list[str]:
    if facts["sheet"] is None:
        return []
    return [f"contact sheet of {counted(facts['sheet']['num_lines'], 'line')}: {facts['sheet']['file']}"]


def _aligned(rows: Sequence[tuple[Any, ...]]) -> list[str]:
    """Rows as lines: numbers to the right, text to the left; nothing is cut off."""
    texts = [[str(value) for value in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    right = ["rank", "items", "row", "distance"]
    aligned = [
        [v.rjust(w) if name in right else v.ljust(w) for v, w, name in zip(row, widths, texts[0], strict=True)]
        for row in texts
    ]
    return ["  ".join(row).rstrip() for row in aligned]
