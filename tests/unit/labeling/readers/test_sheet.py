import pytest

from raylabel.errors import AnswersError
from raylabel.labeling.readers.sheet import read_sheet, said_in


def test_rows_have_their_line_numbers(tmp_path):
    table = tmp_path / "a.csv"
    table.write_bytes(b'\xef\xbb\xbfid,label,comment\r\nx,one,"two\r\nlines"\r\ny,,\r\n')
    assert list(read_sheet(table)) == [
        (3, {"id": "x", "label": "one", "comment": "two\r\nlines"}),
        (4, {"id": "y", "label": "", "comment": ""}),
    ]
    text = tmp_path / "a.jsonl"
    text.write_text('{"id": "x", "label": 1}\n{"id": "y"}\n')
    assert list(read_sheet(text)) == [(1, {"id": "x", "label": 1}), (2, {"id": "y"})]


def test_a_row_that_is_cut_off_names_its_line(tmp_path):
    table = tmp_path / "a.csv"
    table.write_text("id,image,label\nx,a.jpg,one\ny,b.j")
    rows = read_sheet(table)
    assert next(rows)[1]["label"] == "one"
    with pytest.raises(AnswersError, match=r"a\.csv, line 3: too few columns; is the file cut off\?$"):
        next(rows)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"label": " one "}, ("label", "one")),
        ({"label": 0}, ("label", "0")),
        ({"label": "one", "kind": "label"}, ("label", "one")),
        ({"label": "one", "kind": "skip"}, ("skip", "")),
        ({"kind": " cannot_tell"}, ("cannot_tell", "")),
        ({"label": "  ", "kind": None}, ("", "")),
        ({}, ("", "")),
    ],
)
def test_what_a_row_says(row, said):
    assert said_in(row) == said


def test_a_column_that_stands_twice(tmp_path):
    """Columns that say nothing of an answer may: spreadsheets leave such behind."""
    table = tmp_path / "a.csv"
    table.write_text("id,label,,,label\nx,one,,,two\n")
    with pytest.raises(AnswersError, match=r"a\.csv, line 1: has more than one column 'label'$"):
        list(read_sheet(table))
    table.write_text("id,label,,\nx,one,,\n")
    assert list(read_sheet(table)) == [(2, {"id": "x", "label": "one", "": ""})]


@pytest.mark.parametrize("value", ["[" * 100_000 + "]" * 100_000, "9" * 5_000], ids=["nested", "digits"])
def test_jsonl_that_cannot_be_read(tmp_path, value):
    text = tmp_path / "a.jsonl"
    text.write_text('{"id": "x"}\n{"id": "y", "extra": ' + value + "}\n")
    with pytest.raises(AnswersError, match=r"a\.jsonl, line 2: cannot be read \("):
        list(read_sheet(text))
