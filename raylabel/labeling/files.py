"""The file labeler: the shortlist out as CSV or JSONL with pictures, answers in from the same sheet.

What goes out carries no strategy, score, reason or purpose: nobody can tell an audit item from another.
"""

from __future__ import annotations

import csv
import io
import json
import math
from datetime import UTC, datetime
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from PIL import Image

from raylabel import schema
from raylabel.campaign import Campaign, Rows, find_labels, folder
from raylabel.errors import AnswersError, ConfigError, PoolError, RaylabelError
from raylabel.labeling.answers import Answer, Ledger, append, collect, index_of, purpose_of, settled
from raylabel.labeling.sheet import read_sheet, said_in, text_of
from raylabel.pool import Plan, ShardUnreadable, Want
from raylabel.pool.read import fetch_from
from raylabel.progress import counted
from raylabel.workspace import read_parts

COLUMNS = ("id", "image", "label", "kind", "annotator", "comment", "round")
THUMBNAIL_SIDE = 512


def newest_shortlist(campaign: Campaign) -> tuple[int, list[dict[str, Any]]]:
    """The number of the last round that asked, and its shortlist in order.

    Raises:
        RaylabelError: no round has asked yet.
    """
    # The second draw of an audit is asked about after the last round.
    for number in reversed(range(campaign.config.budget.rounds + 1)):
        record = campaign.records.find(f"{folder(number)}/shortlist")
        if record is not None:
            table = read_parts(campaign.store, record.parts["shortlist"], schema=schema.SHORTLIST)
            return number, table.sort_by("position").to_pylist()
    raise RaylabelError(f"{campaign.store.root}: no shortlist yet; `raylabel run` writes the first one")


def export_shortlist(campaign: Campaign, plan: Plan, target: Path) -> tuple[int, int]:
    """Write the newest round's unanswered items to a .csv or .jsonl file, in shortlist order.

    Images of a folder pool are named by path or URI; those of a Parquet pool are written beside the file, as
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
    if not target.parent.is_dir():
        raise ConfigError(f"{target}: there is no folder {target.parent}; make it or choose another")
    number, items = newest_shortlist(campaign)
    if target.exists():
        _check_imported(campaign, target, number)
    answered = settled(Ledger(campaign, number).latest, each=campaign.config.labeling.answers_per_item)
    items = [item for item in items if item["id"] not in answered]
    images = _images(campaign, plan, number, items, target)
    blank = dict.fromkeys(COLUMNS, "") | {"round": str(number)}
    rows = [blank | {"id": i["id"], "image": images[i["row"]]} for i in items]
    with target.open("w", encoding="utf-8", newline="") as file:
        if target.suffix == ".csv":
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows(rows)
        else:
            file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    return number, len(rows)


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


def _images(campaign: Campaign, plan: Plan, number: int, items: list[dict[str, Any]], target: Path) -> dict[int, str]:
    if plan.kind == "folder":
        return {item["row"]: f"{plan.root}/{item['id']}" for item in items}
    place = target.with_suffix("").with_name(f"{target.stem}_images")
    place.mkdir(exist_ok=True)
    position = {item["row"]: item["position"] for item in items}
    names: dict[int, str] = {}
    for shard, rows in plan.by_shard(list(position)):
        try:
            items_there = fetch_from(plan, shard, rows, campaign.config.pool, campaign.store, Want())
        except ShardUnreadable as error:
            raise PoolError(
                f"{plan.root}/{shard.name}: can no longer be read ({error.code}: {error.message}); "
                "restore the pool as it was planned"
            ) from error
        for found in items_there:
            name = place / f"r{number:02d}-{position[found.row]:05d}.jpg"
            _thumbnail(found.image, name)
            names[found.row] = str(name)
    return names


def _thumbnail(data: bytes | None, target: Path) -> None:
    from raylabel.pool.decode import to_rgb  # people see the colours that the model sees; torch is imported only here

    image = to_rgb(Image.open(io.BytesIO(data or b"")))
    image.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE))
    image.save(target, quality=90)


def import_answers(campaign: Campaign, source: Path, audit: Rows) -> tuple[int, int, int]:
    """Take the answers of a file, all or none; taking it twice changes nothing.

    A row without a label is a question still open. `kind` may say "skip", "cannot_tell" or "retract" instead of a
    label; `annotator`, `answered_at` (ISO 8601), `seconds`, `comment`, `answer_id` and `round` are taken where they are
    given: of an item that was asked again, rows without a round answer the last one.

    Returns:
        How many answers the file holds, how many were new, and how many rows were still open.

    Raises:
        AnswersError: the campaign asks nobody or is done; or names the line and what is wrong with it.
    """
    try:
        _check_open(campaign)
        answers, num_open = _read(campaign, source, audit)
    except AnswersError as error:
        end = "" if str(error).endswith("?") else "."
        raise AnswersError(f"{error}{end} Nothing of the file was taken") from error
    return len(answers), append(campaign, answers), num_open


def _check_open(campaign: Campaign) -> None:
    root = campaign.store.root
    if campaign.config.labeling.labeler == "oracle":
        do = 'to ask people, set it to "files" in a workspace of its own'
        raise AnswersError(f'{root}: labeling.labeler is "oracle", which answers from the pool; {do}')
    if find_labels(campaign) is not None:
        raise AnswersError(f"{root}: the campaign is done; to ask again, begin another workspace")


def _read(campaign: Campaign, source: Path, audit: Rows) -> tuple[list[Answer], int]:
    """The answers of a file, and how many of its rows are still open."""
    asked = _asked(campaign, audit)
    index = {name: position for position, name in enumerate(campaign.config.classes)}
    answers: list[Answer] = []
    seen: dict[tuple[str, ...], tuple[int, tuple[str, ...]]] = {}
    num_open = 0
    for line, row in read_sheet(source):
        where = f"{source}, line {line}"
        answer = _answer(row, asked, index, where=where)
        if answer is None:
            num_open += 1
            continue
        _check_against(seen, answer, line, where=where)
        answers.append(answer)
    return answers, num_open


def _check_against(
    seen: dict[tuple[str, ...], tuple[int, tuple[str, ...]]], answer: Answer, line: int, *, where: str
) -> None:
    """Refuse an answer that contradicts an earlier line of its file, or takes that line's answer_id."""
    said = f"{answer.kind} {answer.label or ''}".strip()
    earlier, before = seen.setdefault((answer.id, answer.annotator, str(answer.round)), (line, (said,)))
    if before != (said,) and answer.kind != "retract":
        raise AnswersError(
            f"{where}: {answer.annotator or 'the annotator'} says {said!r} of {answer.id}, but {before[0]!r} on "
            f"line {earlier}; keep one of them"
        )
    whole = (answer.id, answer.annotator, said)
    earlier, before = seen.setdefault((answer.key(),), (line, whole))
    if before != whole:
        raise AnswersError(
            f"{where}: answer_id {answer.answer_id!r} is that of line {earlier}, which says something else; every "
            "answer needs an id of its own"
        )


def _asked(campaign: Campaign, audit: Rows) -> dict[str, dict[int, str]]:
    """The rounds that asked about each item, in order, and what for."""
    audited = set(audit.tolist())
    asked: dict[str, dict[int, str]] = {}
    for number in range(newest_shortlist(campaign)[0] + 1):
        record = campaign.records.find(f"{folder(number)}/shortlist")
        if record is not None:
            for item in read_parts(campaign.store, record.parts["shortlist"], schema=schema.SHORTLIST).to_pylist():
                asked.setdefault(item["id"], {})[number] = purpose_of(item, audited)
    return asked


def _answer(
    row: dict[str, Any], asked: dict[str, dict[int, str]], index: dict[str, int], *, where: str
) -> Answer | None:
    name, (kind, label) = text_of(row.get("id")), said_in(row)
    if name not in asked:
        near = get_close_matches(name, asked, n=1, cutoff=0.5) if len(asked) < 10_000 else ()
        hint = f"; did you mean {near[0]}?" if near else ""
        raise AnswersError(f"{where}: unknown id {name!r}: no round has asked about it{hint}")
    if not kind:
        return None
    if kind not in schema.ANSWER_KINDS:
        raise AnswersError(f"{where}: unknown kind {kind!r}: expected one of {', '.join(schema.ANSWER_KINDS)}")
    if kind == "label":
        index_of(label, index, where=where)
    number = _round(text_of(row.get("round")).strip(), asked[name], where=where)
    return Answer(
        id=name,
        kind=kind,  # type: ignore[arg-type]  # checked against schema.ANSWER_KINDS above
        label=label or None,
        annotator=text_of(row.get("annotator")),
        answered_at=_time(row.get("answered_at"), where=where),
        round=number,
        purpose=asked[name][number],
        source="file",
        seconds=_seconds(text_of(row.get("seconds")), where=where),
        comment=text_of(row.get("comment")) or None,
        answer_id=text_of(row.get("answer_id")),
    )


def _round(text: str, asked: dict[int, str], *, where: str) -> int:
    """The round that a row answers, so that an old sheet is no second look: the last that asked where it names none."""
    if not text:
        return max(asked)
    if not text.isdecimal() or int(text) not in asked:
        known = " and ".join(str(number) for number in asked)
        raise AnswersError(f"{where}: round {text!r} has not asked about this item; it was asked in round {known}")
    return int(text)


def _seconds(text: str, *, where: str) -> float | None:
    if not text.strip():
        return None
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not 0 <= found < math.inf:
        raise AnswersError(f"{where}: seconds {text!r} is no number of seconds")
    return found


def _time(text: Any, *, where: str) -> datetime:
    if not text:
        return datetime.now(UTC)
    try:
        found = datetime.fromisoformat(str(text))
    except ValueError:
        raise AnswersError(f"{where}: answered_at {text!r} is no ISO 8601 time") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
