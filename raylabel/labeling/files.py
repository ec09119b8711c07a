"""The file labeler: the shortlist out as CSV or JSONL with pictures, answers in from the same sheet.

What goes out carries no strategy, score, reason or purpose: nobody can tell an audit item from another.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from PIL import Image

from raylabel import schema
from raylabel.campaign import Campaign, folder
from raylabel.errors import AnswersError, PoolError, RaylabelError, UnknownName
from raylabel.labeling.answers import Answer, append, collect, consensus, index_of
from raylabel.labeling.shortlist import Rows
from raylabel.pool import Plan, ShardUnreadable, Want
from raylabel.pool.read import fetch_from
from raylabel.workspace import read_parts

COLUMNS = ("id", "image", "label", "kind", "annotator", "comment")
THUMBNAIL_SIDE = 512


def newest_shortlist(campaign: Campaign) -> tuple[int, list[dict[str, Any]]]:
    """The number of the last round that asked, and its shortlist in order.

    Raises:
        RaylabelError: no round has asked yet.
    """
    for number in reversed(range(campaign.config.budget.rounds)):
        record = campaign.records.find(f"{folder(number)}/shortlist")
        if record is not None:
            table = read_parts(campaign.store, record.parts["shortlist"], schema=schema.SHORTLIST)
            return number, table.sort_by("position").to_pylist()
    raise RaylabelError(f"{campaign.store.root}: no shortlist yet; `raylabel run` writes the first one")


def export_shortlist(campaign: Campaign, plan: Plan, target: Path) -> tuple[int, int]:
    """Write the newest round's unanswered items to a .csv or .jsonl file, in shortlist order.

    Images of a folder pool are named by path or URI; those of a Parquet pool are written beside the file, as
    JPEGs of at most 512 pixels a side.

    Returns:
        The round and how many items were written.

    Raises:
        RaylabelError: no round has asked yet, or the file cannot be written.
        PoolError: a picture can no longer be read.
    """
    if target.suffix not in (".csv", ".jsonl"):
        raise RaylabelError(f"{target}: expected a name that ends in .csv or .jsonl")
    if not target.parent.is_dir():
        raise RaylabelError(f"{target}: there is no folder {target.parent}; make it or choose another")
    number, items = newest_shortlist(campaign)
    answered = consensus(collect(campaign, number), campaign.config.classes)
    items = [item for item in items if item["id"] not in answered]
    images = _images(campaign, plan, items, target)
    rows = [dict.fromkeys(COLUMNS, "") | {"id": i["id"], "image": images[i["row"]]} for i in items]
    with target.open("w", encoding="utf-8", newline="") as file:
        if target.suffix == ".csv":
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows(rows)
        else:
            file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    return number, len(rows)


def _images(campaign: Campaign, plan: Plan, items: list[dict[str, Any]], target: Path) -> dict[int, str]:
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
            name = place / f"{position[found.row]:05d}.jpg"
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
    label; `annotator`, `answered_at` (ISO 8601), `seconds`, `comment` and `answer_id` are taken where they are given.

    Returns:
        How many answers the file holds, how many were new, and how many rows were still open.

    Raises:
        AnswersError: names the line and what is wrong with it.
    """
    asked = _asked(campaign, audit)
    index = {name: position for position, name in enumerate(campaign.config.classes)}
    answers: list[Answer] = []
    seen: dict[tuple[str, ...], tuple[int, tuple[str, ...]]] = {}
    num_open = 0
    for line, row in _rows(source):
        where = f"{source}, line {line}"
        answer = _answer(row, asked, index, where=where)
        if answer is None:
            num_open += 1
            continue
        _check_against(seen, answer, line, where=where)
        answers.append(answer)
    return len(answers), append(campaign, answers), num_open


def _check_against(
    seen: dict[tuple[str, ...], tuple[int, tuple[str, ...]]], answer: Answer, line: int, *, where: str
) -> None:
    """Refuse an answer that contradicts an earlier line of its file, or takes that line's answer_id."""
    said = f"{answer.kind} {answer.label or ''}".strip()
    earlier, before = seen.setdefault((answer.id, answer.annotator), (line, (said,)))
    if before != (said,) and answer.kind != "retract":
        raise AnswersError(
            f"{where}: {answer.annotator or 'the annotator'} says {said!r} of {answer.id}, but {before[0]!r} on "
            f"line {earlier}; keep one of them. Nothing of the file was taken"
        )
    whole = (answer.id, answer.annotator, said)
    earlier, before = seen.setdefault((answer.key(),), (line, whole))
    if before != whole:
        raise AnswersError(
            f"{where}: answer_id {answer.answer_id!r} is that of line {earlier}, which says something else; every "
            "answer needs an id of its own. Nothing of the file was taken"
        )


def _asked(campaign: Campaign, audit: Rows) -> dict[str, tuple[int, str]]:
    """Round and purpose of every item asked so far."""
    audited = set(audit.tolist())
    asked: dict[str, tuple[int, str]] = {}
    for number in range(newest_shortlist(campaign)[0] + 1):
        record = campaign.records.find(f"{folder(number)}/shortlist")
        if record is not None:
            for item in read_parts(campaign.store, record.parts["shortlist"], schema=schema.SHORTLIST).to_pylist():
                asked[item["id"]] = (number, "audit" if item["row"] in audited else "train")
    return asked


def _answer(
    row: dict[str, Any], asked: dict[str, tuple[int, str]], index: dict[str, int], *, where: str
) -> Answer | None:
    name, label = _text(row.get("id")), _text(row.get("label")).strip()
    kind = _text(row.get("kind")).strip() or ("label" if label else "")
    if name not in asked:
        near = UnknownName("id", name, asked) if len(asked) < 10_000 else f"unknown id {name!r}"
        raise AnswersError(f"{where}: {near}: no round has asked about it. Nothing of the file was taken")
    if not kind:
        return None
    if kind not in schema.ANSWER_KINDS:
        raise AnswersError(f"{where}: {UnknownName('kind', kind, schema.ANSWER_KINDS)}")
    if kind == "label":
        try:
            index_of(label, index, where=where)
        except AnswersError as error:
            raise AnswersError(f"{error}. Nothing of the file was taken") from None
    number, purpose = asked[name]
    return Answer(
        id=name,
        kind=kind,  # type: ignore[arg-type]  # checked against schema.ANSWER_KINDS above
        label=label if kind == "label" else None,
        annotator=_text(row.get("annotator")),
        answered_at=_time(row.get("answered_at"), where=where),
        round=number,
        purpose=purpose,
        source="file",
        seconds=_seconds(_text(row.get("seconds")), where=where),
        comment=_text(row.get("comment")) or None,
        answer_id=_text(row.get("answer_id")),
    )


def _text(value: Any) -> str:
    """A field as its text; JSON's 0 is a text, null is none."""
    return "" if value is None else str(value)


def _seconds(text: str, *, where: str) -> float | None:
    if not text.strip():
        return None
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not 0 <= found < math.inf:
        raise AnswersError(f"{where}: seconds {text!r} is no number of seconds. Nothing of the file was taken")
    return found


def _time(text: Any, *, where: str) -> datetime:
    if not text:
        return datetime.now(UTC)
    try:
        found = datetime.fromisoformat(str(text))
    except ValueError:
        raise AnswersError(f"{where}: answered_at {text!r} is no ISO 8601 time") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _rows(source: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Line numbers and rows of a .csv or .jsonl file; a byte-order mark is passed over."""
    if source.suffix not in (".csv", ".jsonl"):
        raise AnswersError(f"{source}: expected a .csv or .jsonl file")
    try:
        with source.open(encoding="utf-8-sig", newline="") as file:
            if source.suffix == ".csv":
                reader = csv.DictReader(file, strict=True)
                missing = {"id", "label"} - set(reader.fieldnames or ())
                if missing:
                    raise AnswersError(f"{source}, line 1: has no column {sorted(missing)[0]!r}")
                for row in reader:
                    if None in row.values():
                        raise AnswersError(f"{source}, line {reader.line_num}: too few columns; is the file cut off?")
                    yield reader.line_num, row
            else:
                for line, text in enumerate(file, start=1):
                    found = json.loads(text)
                    if not isinstance(found, dict):
                        raise AnswersError(f"{source}, line {line}: expected an object with id and label")
                    yield line, found
    except csv.Error as error:
        raise AnswersError(
            f"{source}, line {reader.reader.line_num}: no CSV ({error}). Nothing of the file was taken"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise AnswersError(f"{source}: cannot be read ({error}); save it as UTF-8 CSV or JSONL") from error
    except json.JSONDecodeError as error:
        raise AnswersError(f"{source}, line {line}: no JSON ({error.msg}). Nothing of the file was taken") from error
