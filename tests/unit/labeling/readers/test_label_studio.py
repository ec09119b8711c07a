import json

import pytest
from readers import read, refused


def task(*annotations, **data):
    return {"id": 1, "data": {"id": "x", "round": 0, "image": "y", **data}, "annotations": list(annotations)}


def chose(*choices, number=5, **more):
    result = [{"type": "choices", "from_name": "label", "to_name": "image", "value": {"choices": list(choices)}}]
    times = {"created_at": "2026-03-01T10:00:00.5Z", "updated_at": "2026-03-01T11:00:00Z"}
    return {"id": number, "completed_by": 3, "lead_time": 2.5, "result": result, **times, **more}


SAID = {
    "id": "x",
    "round": 0,
    "annotator": "labelstudio:3",
    "answered_at": "2026-03-01T11:00:00+00:00",
    "seconds": 2.5,
    "answer_id": "labelstudio-5-2026-03-01T11:00:00+00:00",
    "comment": "",
}


def test_label_studio(tmp_path):
    comment = {"type": "textarea", "value": {"text": ["too", "dark"]}}
    skipped = chose(number=6, was_cancelled=True, completed_by={"id": 4, "email": "eve@example.org"})
    unsure = chose("raylabel:cannot_tell")
    unsure["result"].append(comment)
    path = tmp_path / "a.json"
    truth = chose("dog", ground_truth=True)
    path.write_text(json.dumps([task(chose("cat"), skipped), task(), task(unsure), task(truth)]))
    assert read(path) == [
        (1, SAID | {"label": "cat"}),
        (1, SAID | {"kind": "skip", "annotator": "labelstudio:eve@example.org"} | {"answer_id": _id(6)}),
        (2, {"id": "x", "round": 0}),
        (3, SAID | {"kind": "cannot_tell", "comment": "too dark"}),
        (4, {"id": "x", "round": 0}),
    ]


def _id(number):
    return f"labelstudio-{number}-2026-03-01T11:00:00+00:00"


def region(kind, value):
    return chose("cat") | {"result": [{"type": kind, "value": value}]}


@pytest.mark.parametrize(
    ("tasks", "match"),
    [
        ([task(chose("cat", "dog"))], "task 1: annotation 5 has 2 choices, expected one"),
        ([task(), task({"result": "cat"})], "task 2: expected annotations with a result"),
        ([task(), {"image": "y", "choice": "cat"}], "task 2: expected a task with data, as Label Studio's JSON export"),
        ([5], "task 1: expected a task with data"),
        ([task(chose("cat", updated_at="yesterday"))], "task 1: answered_at 'yesterday' is no ISO 8601 time"),
        ([task(chose("cat", updated_at="9999-12-31T23:00:00-02:00"))], "task 1: answered_at .* the years 1 to 9999"),
        ([task(), {"data": {}, "annotations": 5}], "task 2: expected an array of annotations"),
        ([task(region("choices", "x"))], "task 1: expected a value with an array of choices"),
        ([task(region("choices", {"choices": 5}))], "task 1: expected a value with an array of choices"),
        ([task(region("choices", {"choices": "cat"}))], "task 1: expected a value with an array of choices"),
        ([task(region("textarea", {"text": 5}))], "task 1: expected a value with an array of text"),
    ],
)
def test_tasks_that_are_none(tmp_path, tasks, match):
    path = tmp_path / "a.json"
    path.write_text(json.dumps(tasks))
    refused(path, match)
