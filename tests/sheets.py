"""Sheets of answers to a round that asks about five items of the tiny campaign, and what was taken of them."""

import csv
import json

import numpy as np
import pytest

from raylabel.errors import AnswersError
from raylabel.labeling.answers import collect
from raylabel.labeling.intake import import_answers

ASKED = [5, 44, 0, 12, 30]
AUDIT = np.array([44, 30])


def write(path, rows, header=("id", "label")):
    """A .csv file."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerows([header, *rows])
    return path


def lines(path, *rows):
    """A .jsonl file."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def taken(tiny):
    """What was taken so far: (id, kind, label, annotator), sorted."""
    rows = collect(tiny.campaign, 0).to_pylist()
    return sorted((row["id"], row["kind"], row["label"], row["annotator"]) for row in rows)


def refused(tiny, source, match):
    """The file is refused with this message and nothing of it is taken."""
    before = taken(tiny)
    with pytest.raises(AnswersError, match=match) as caught:
        import_answers(tiny.campaign, source, AUDIT)
    assert str(source) in str(caught.value)
    assert taken(tiny) == before
