"""The shortlist out, as a sheet with pictures that people fill in.

What goes out carries no strategy, score, reason or purpose: nobody can tell an audit item from another.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from raylabel.campaign import Campaign, find_labels
from raylabel.errors import AnswersError, ConfigError, PoolError
from raylabel.labeling.answers import Ledger, collect, settled
from raylabel.labeling.asked import newest_shortlist, rows_of
from raylabel.labeling.readers.fields import text_of
from raylabel.labeling.readers.sheet import read_sheet, said_in
from raylabel.labeling.review.pictures import render
from raylabel.pool import Plan, ShardUnreadable, Want
from raylabel.pool.read import fetch_from
from raylabel.progress import counted

COLUMNS = ("id", "image", "label", "kind", "annotator", "comment", "round")
THUMBNAIL_SIDE = 512


def open_questions(campaign: Campaign) -> tuple[int, pa.Table]:
    """The number of the round that asks, and the items of its shortlist that still want an answer, in order.

    Raises:
        RaylabelError: no round has asked yet.
        AnswersError: the campaign is done.
    """
    if find_labels(campaign) is not None:
        raise AnswersError(
            f"{campaign.store.root}: the campaign is done and asks nothing any more; --what labels writes its result"
        )
    number, items = newest_shortlist(campaign)
    answered = settled(Ledger(campaign, number).latest, each=campaign.config.labeling.answers_per_item)
    if answered:
        answered_ids = pa.array(sorted(answered), pa.string())
        items = items.filter(pc.invert(pc.is_in(items.column("id"), value_set=answered_ids)))
    return number, items


def export_shortlist(campaign: Campaign, plan: Plan, target: Path) -> tuple[int, int]:
    """Write the newest round's unanswered items to a .csv or .jsonl file, in shortlist order.

    Images of a folder are named by path or URI; those of other pools are written beside the file, as
    JPEGs of at most 512 pixels a side whose names begin with the round. A sheet that is there is written over once
    all of its answers are imported.

    Returns:
        The round and how many items were written.

    Raises:
        RaylabelError: no round has asked yet.
        ConfigError: the name ends in something else, or its folder is not there.
        AnswersError: the file is there and holds answers that were not imported, or is no sheet.
        PoolError: a picture can no longer be read.
    """
    if target.suffix not in (".csv", ".jsonl"):
        raise ConfigError(f"{target}: expected a name that ends in .csv or .jsonl")
    check_folder(target)
    number, items = open_questions(campaign)
    if target.exists():
        _check_imported(campaign, target, number)
    place = target.with_suffix("").with_name(f"{target.stem}_images")
    images = images_of(campaign, plan, number, items, place)
    blank = dict.fromkeys(COLUMNS, "") | {"round": str(number)}
    with target.open("w", encoding="utf-8", newline="") as file:
        rows = (blank | {"id": item["id"], "image": image} for item, image in zip(rows_of(items), images, strict=True))
        if target.suffix == ".csv":
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows(rows)
        else:
            file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    return number, items.num_rows


def check_folder(target: Path) -> None:
    """Refuse a file whose folder is not there.

    Raises:
        ConfigError: it is not.
    """
    if not target.parent.is_dir():
        raise ConfigError(f"{target}: there is no folder {target.parent}; make it or choose another")


def _check_imported(campaign: Campaign, sheet: Path, newest: int) -> None:
    """Refuse a sheet with answers that no round up to the newest one has taken."""
    taken = {
        (answer["id"], answer["annotator"], answer["kind"], answer["label"] or "", asked)
        for number in range(newest + 1)
        for answer in collect(campaign, number).to_pylist()
        for asked in (str(number), "")
    }
    try:
        filled = [
            (text_of(row.get("id")), text_of(row.get("annotator")), *said_in(row), text_of(row.get("round")).strip())
            for _, row in read_sheet(sheet)
        ]
    except AnswersError as error:
        raise AnswersError(f"{error}. It is there and is no sheet to write over: choose another name") from error
    if lost := sum(bool(row[2]) and row not in taken for row in filled):
        raise AnswersError(
            f"{sheet}: is there, and {counted(lost, 'answer')} in it would be lost; "
            "bring them in with `raylabel import` first, or choose another name"
        )


def images_of(
    campaign: Campaign, plan: Plan, number: int, items: pa.Table, place: Path, *, names_files: bool = True
) -> Iterator[str]:
    """Where the image of each item lies, in the order of the items; thumbnails are written before the first is given.

    Args:
        campaign: whose pool.
        plan: of it.
        number: the round.
        items: of its shortlist.
        place: a folder for thumbnails, made where there are any.
        names_files: whether images of a folder are named where they lie, and get no thumbnail.

    Raises:
        PoolError: a picture can no longer be read.
    """
    if plan.kind == "folder" and names_files:
        return (f"{plan.root}/{item['id']}" for item in rows_of(items.select(["id"])))
    rows = items.column("row").to_numpy()
    position = dict(zip(rows.tolist(), items.column("position").to_pylist(), strict=True))
    if position:
        place.mkdir(exist_ok=True)
    for shard, held in plan.by_shard(rows):
        try:
            found = fetch_from(plan, shard, held, campaign.config.pool, campaign.store, Want())
        except ShardUnreadable as error:
            raise PoolError(
                f"{plan.root}/{shard.name}: can no longer be read ({error.code}: {error.message}); "
                "restore the pool as it was planned"
            ) from error
        for item in found:
            jpeg = render(item.image, THUMBNAIL_SIDE, max_pixels=campaign.config.pool.max_pixels).jpeg
            (place / _thumbnail(number, position[item.row])).write_bytes(jpeg)
    return (str(place / _thumbnail(number, position[row])) for row in rows.tolist())


def _thumbnail(number: int, position: int) -> str:
    return f"r{number:02d}-{position:05d}.jpg"
