"""A sheet of questions as people fill it in: the rows of a .csv or .jsonl file, and what each of them says.

Knows files; knows nothing of campaigns, classes or what was asked.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from raylabel.errors import AnswersError
from raylabel.labeling.readers.fields import FIELDS, text_of


def read_sheet(source: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Line numbers and rows of a .csv or .jsonl file; a byte-order mark is passed over.

    Raises:
        AnswersError: names the line and what is wrong with it.
    """
    if source.suffix not in (".csv", ".jsonl"):
        raise AnswersError(f"{source}: expected a .csv or .jsonl file")
    try:
        with source.open(encoding="utf-8-sig", newline="") as file:
            if source.suffix == ".csv":
                reader = csv.DictReader(file, strict=True)
                missing = {"id", "label"} - set(reader.fieldnames or ())
                if missing:
                    raise AnswersError(f"{source}, line 1: has no column {sorted(missing)[0]!r}")
                for name in FIELDS:
                    if (reader.fieldnames or []).count(name) > 1:
                        raise AnswersError(f"{source}, line 1: has more than one column {name!r}")
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
        raise AnswersError(f"{source}, line {reader.reader.line_num}: no CSV ({error})") from error
    except (OSError, UnicodeDecodeError) as error:
        raise AnswersError(f"{source}: cannot be read ({error}); save it as UTF-8 CSV or JSONL") from error
    except json.JSONDecodeError as error:
        raise AnswersError(f"{source}, line {line}: no JSON ({error.msg})") from error
    except (RecursionError, ValueError) as error:  # nested too deeply, or a number of too many digits
        raise AnswersError(f"{source}, line {line}: cannot be read ({str(error).split(';')[0]})") from error


def said_in(row: dict[str, Any]) -> tuple[str, str]:
    """Kind and label of a row: a label needs no kind, a kind that is none has no label, an open row has neither."""
    label = text_of(row.get("label")).strip()
    kind = text_of(row.get("kind")).strip() or ("label" if label else "")
    return kind, label if kind == "label" else ""
