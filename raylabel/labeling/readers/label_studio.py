"""Label Studio's JSON export: the choice of each annotation, with its annotator, time and id."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from raylabel.errors import AnswersError
from raylabel.labeling.readers.streamed import values_of

CANNOT_TELL = "raylabel:cannot_tell"
"""The alias of a choice that the labeling config offers beside the classes."""


def read_tasks(source: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Annotations task by task; a task without any is a question still open.

    Raises:
        AnswersError: no JSON of tasks, or an annotation of another kind than one choice. No task at all is no answer.

    Cost: one pass; memory of one task.
    """
    for number, task in values_of(source, "item", unit="task"):
        for row in rows_of(task, where=f"{source}, task {number}"):
            yield number, row


def rows_of(task: Any, *, where: str) -> list[dict[str, Any]]:
    """The rows of one task.

    Args:
        task: as Label Studio writes it; its data holds `id` and `round` as raylabel exported them.
        where: it stands, for messages.

    Raises:
        AnswersError: no task, or an annotation of another kind than one choice.
    """
    if not isinstance(task, dict) or not isinstance(task.get("data"), dict):
        raise AnswersError(f"{where}: expected a task with data, as Label Studio's JSON export has them")
    data = task["data"]
    known = {"id": data.get("id", ""), "round": data.get("round", "")}
    rows = [
        known | _said(found, where=where)
        for found in task.get("annotations") or []
        if not (isinstance(found, dict) and found.get("ground_truth"))
    ]
    return rows or [known]


def _said(annotation: Any, *, where: str) -> dict[str, Any]:
    if not isinstance(annotation, dict) or not isinstance(annotation.get("result"), list):
        raise AnswersError(f"{where}: expected annotations with a result")
    by = annotation.get("completed_by", "")
    who = by.get("email") or by.get("id") if isinstance(by, dict) else by
    changed = _time(annotation.get("updated_at") or annotation.get("created_at"), where=where)
    said = {
        "annotator": f"labelstudio:{who}",
        "answered_at": changed,
        "seconds": annotation.get("lead_time"),
        "answer_id": f"labelstudio-{annotation.get('id')}-{changed}",
        "comment": _comment(annotation["result"]),
    }
    if annotation.get("was_cancelled"):
        return said | {"kind": "skip"}
    choices = [
        choice
        for region in annotation["result"]
        if isinstance(region, dict) and region.get("type") == "choices"
        for choice in (region.get("value") or {}).get("choices") or []
    ]
    if len(choices) != 1:
        raise AnswersError(f"{where}: annotation {annotation.get('id')} has {len(choices)} choices, expected one")
    return said | ({"kind": "cannot_tell"} if choices[0] == CANNOT_TELL else {"label": choices[0]})


def _time(value: Any, *, where: str) -> str:
    """A time in one form: exports and the API write it differently, and it is part of the answer's id."""
    try:
        found = datetime.fromisoformat(str(value))
    except ValueError:
        raise AnswersError(f"{where}: {value!r} is no time of an annotation") from None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC).isoformat()


def _comment(result: list[Any]) -> str:
    texts = [
        text
        for region in result
        if isinstance(region, dict) and region.get("type") == "textarea"
        for text in (region.get("value") or {}).get("text") or []
    ]
    return " ".join(map(str, texts))
