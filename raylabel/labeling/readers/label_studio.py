"""Label Studio's JSON export: the choice of each annotation, with its annotator, time and id."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from raylabel.errors import AnswersError
from raylabel.labeling.readers.fields import time_of
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
    annotations = task.get("annotations") or []
    if not isinstance(annotations, list):
        raise AnswersError(f"{where}: expected an array of annotations")
    rows = [
        known | _said(found, where=where)
        for found in annotations
        if not (isinstance(found, dict) and found.get("ground_truth"))
    ]
    return rows or [known]


def _said(annotation: Any, *, where: str) -> dict[str, Any]:
    if not isinstance(annotation, dict) or not isinstance(annotation.get("result"), list):
        raise AnswersError(f"{where}: expected annotations with a result")
    by = annotation.get("completed_by", "")
    who = by.get("email") or by.get("id") if isinstance(by, dict) else by
    # In one form: exports and the API write it differently, and it is part of the answer's id.
    changed = time_of(annotation.get("updated_at") or annotation.get("created_at"), where=where).isoformat()
    said = {
        "annotator": f"labelstudio:{who}",
        "answered_at": changed,
        "seconds": annotation.get("lead_time"),
        "answer_id": f"labelstudio-{annotation.get('id')}-{changed}",
        "comment": " ".join(map(str, _values(annotation["result"], "textarea", "text", where=where))),
    }
    if annotation.get("was_cancelled"):
        return said | {"kind": "skip"}
    choices = _values(annotation["result"], "choices", "choices", where=where)
    if len(choices) != 1:
        raise AnswersError(f"{where}: annotation {annotation.get('id')} has {len(choices)} choices, expected one")
    return said | ({"kind": "cannot_tell"} if choices[0] == CANNOT_TELL else {"label": choices[0]})


def _values(result: list[Any], kind: str, name: str, *, where: str) -> list[Any]:
    """What the regions of a kind hold under a name, all together."""
    found = []
    for region in result:
        if not isinstance(region, dict) or region.get("type") != kind:
            continue
        value = region.get("value") or {}
        each = value.get(name) or [] if isinstance(value, dict) else None
        if not isinstance(each, list):
            raise AnswersError(f"{where}: expected a value with an array of {name}")
        found += each
    return found
