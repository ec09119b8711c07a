import csv
import json
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from PIL import Image
from sheets import ASKED, AUDIT, write

from raylabel.errors import AnswersError, ConfigError, PoolError, RaylabelError
from raylabel.labeling.answers import Answer, append
from raylabel.labeling.asked import newest_shortlist
from raylabel.labeling.files import export_shortlist
from raylabel.labeling.intake import import_answers
from raylabel.pool import Plan


@pytest.fixture
def asked(begin):
    """A round that asks people about five items, two of them of the audit."""
    tiny = begin(labeling={"labeler": "files"})
    tiny.publish(0, ASKED, strategy="margin")
    return tiny


def test_newest_shortlist(tiny):
    with pytest.raises(RaylabelError, match="no shortlist yet; `raylabel run` writes the first one"):
        newest_shortlist(tiny.campaign)
    tiny.publish(0, [5, 6])
    assert newest_shortlist(tiny.campaign)[1].column("row").to_pylist() == [5, 6]
    tiny.publish(1, [9, 8, 7])
    number, items = newest_shortlist(tiny.campaign)
    assert number == 1
    assert items.select(["position", "row"]).to_pylist() == [
        {"position": 0, "row": 9},
        {"position": 1, "row": 8},
        {"position": 2, "row": 7},
    ]


def test_export_csv_tells_nothing_of_why_an_item_is_asked(asked, tmp_path):
    target = tmp_path / "questions.csv"
    assert export_shortlist(asked.campaign, asked.plan, target) == (0, 5)
    with target.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["id", "image", "label", "kind", "annotator", "comment", "round"]
    assert [row["id"] for row in rows] == [asked.ids[row] for row in ASKED]
    assert all(row[name] == "" for row in rows for name in ("label", "kind", "annotator", "comment"))
    for word in ("margin", "audit", "reason", "random", "score", "purpose", "strategy"):
        assert word not in target.read_text()


def test_export_jsonl_holds_the_same(asked, tmp_path):
    table, text = tmp_path / "a.csv", tmp_path / "b.jsonl"
    export_shortlist(asked.campaign, asked.plan, table)
    assert export_shortlist(asked.campaign, asked.plan, text) == (0, 5)
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    found = [json.loads(line) for line in text.read_text().splitlines()]
    assert [{**row, "image": ""} for row in found] == [{**row, "image": ""} for row in rows]


def test_exported_pictures_are_those_of_the_items(asked, tmp_path):
    target = tmp_path / "questions.jsonl"
    export_shortlist(asked.campaign, asked.plan, target)
    rows = [json.loads(line) for line in target.read_text().splitlines()]
    assert [row["image"] for row in rows] == [str(tmp_path / "questions_images" / f"r00-{i:05d}.jpg") for i in range(5)]
    for row, number in zip(rows, ASKED, strict=True):
        with Image.open(row["image"]) as picture:
            assert picture.format == "JPEG"
            small = np.asarray(picture.convert("L").resize((8, 8))).ravel().astype(float)
        near = ((asked.embeddings.astype(float) - small / 255) ** 2).sum(axis=1)
        assert int(near.argmin()) == number


def test_export_of_a_folder_pool_names_its_files(asked, tmp_path):
    plan = Plan("s3://bucket/photos", "folder", None, asked.plan.shards)
    target = tmp_path / "questions.csv"
    export_shortlist(asked.campaign, plan, target)
    with target.open(newline="") as file:
        images = [row["image"] for row in csv.DictReader(file)]
    assert images == [f"s3://bucket/photos/{asked.ids[row]}" for row in ASKED]
    assert not (tmp_path / "questions_images").exists()


def test_export_where_the_pool_was_changed(asked, tmp_path):
    shards = (replace(asked.plan.shards[0], etag="another"), asked.plan.shards[1])
    with pytest.raises(PoolError, match=r"part-0\.parquet.*: can no longer be read \(input_changed: .*restore"):
        export_shortlist(asked.campaign, replace(asked.plan, shards=shards), tmp_path / "q.csv")
    assert not (tmp_path / "q.csv").exists()


def test_export_leaves_out_what_is_answered(asked, tmp_path):
    name = asked.ids[44]
    append(asked.campaign, [Answer(name, "label", "two", "a", datetime.now(UTC), 0, "audit", "file")])
    assert export_shortlist(asked.campaign, asked.plan, tmp_path / "q.csv") == (0, 4)
    assert name not in (tmp_path / "q.csv").read_text()


def test_sheet_with_answers_that_were_not_imported_is_not_written_over(asked, tmp_path):
    """Not even where an answer of somebody else, or another answer, was imported for the same item."""
    header = ("id", "label", "kind", "annotator")
    rows = [(asked.ids[5], "five", "", "eve"), (asked.ids[44], "", "skip", "eve"), (asked.ids[0], "", "", "eve")]
    target = write(tmp_path / "q.csv", rows, header)
    before = target.read_text()
    for name, other in (("a.csv", (asked.ids[5], "five", "", "adam")), ("b.csv", (asked.ids[44], "four", "", "eve"))):
        import_answers(asked.campaign, write(tmp_path / name, [other], header), AUDIT)
        with pytest.raises(AnswersError, match=r"q\.csv: is there, and 2 answers in it would be lost; bring them in"):
            export_shortlist(asked.campaign, asked.plan, target)
    assert target.read_text() == before
    assert not (tmp_path / "q_images").exists()
    import_answers(asked.campaign, target, AUDIT)
    assert export_shortlist(asked.campaign, asked.plan, target) == (0, 3)


def test_other_file_is_not_written_over(asked, tmp_path):
    target = tmp_path / "q.csv"
    target.write_text("price,date\n1,2\n")
    with pytest.raises(AnswersError, match=r"line 1: has no column 'id'\. It is there and is no sheet .*another name"):
        export_shortlist(asked.campaign, asked.plan, target)
    assert target.read_text() == "price,date\n1,2\n"


def test_pictures_of_two_rounds_lie_apart(asked, tmp_path):
    target = tmp_path / "q.csv"
    export_shortlist(asked.campaign, asked.plan, target)
    first = {file.name: file.read_bytes() for file in (tmp_path / "q_images").iterdir()}
    asked.publish(1, [7, 8])
    assert export_shortlist(asked.campaign, asked.plan, target) == (1, 2)
    found = {file.name: file.read_bytes() for file in (tmp_path / "q_images").iterdir()}
    assert set(found) - set(first) == {"r01-00000.jpg", "r01-00001.jpg"}
    assert first.items() <= found.items()


@pytest.mark.parametrize("name", ["questions.xlsx", "missing/questions.csv"])
def test_export_to_a_place_that_does_not_do(asked, tmp_path, name):
    plan = replace(asked.plan, kind="folder")
    with pytest.raises(ConfigError, match=name):
        export_shortlist(asked.campaign, plan, tmp_path / name)
    assert list(tmp_path.glob("questions*")) == []
