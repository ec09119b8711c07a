import csv
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from labeled import answers, commit_round, last, rows_of

from raylabel import schema
from raylabel.errors import ConfigError, RaylabelError
from raylabel.reporting.committed import newest_round
from raylabel.reporting.export import export_labels, export_provisional
from raylabel.reporting.result import write_labels
from raylabel.workspace import Record


def test_export(ray_session, tiny, tmp_path):
    record = write_labels(tiny.campaign, last(tiny), answers(tiny))
    expected = list(rows_of(tiny, record).values())
    for suffix in (".parquet", ".csv", ".jsonl"):
        assert export_labels(tiny.campaign, tmp_path / f"labels{suffix}") == 59
    table = pq.read_table(tmp_path / "labels.parquet")
    assert table.schema.equals(schema.LABELS)
    assert table.to_pylist() == expected
    assert [json.loads(line) for line in (tmp_path / "labels.jsonl").read_text().splitlines()] == expected
    with (tmp_path / "labels.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["id"] for row in rows] == [row["id"] for row in expected]
    assert [row["label"] or None for row in rows] == [row["label"] for row in expected]
    assert [row["label_index"] for row in rows] == [
        "" if row["label_index"] is None else str(row["label_index"]) for row in expected
    ]


def test_export_before_there_is_a_result(tiny, tmp_path):
    with pytest.raises(RaylabelError, match="no result yet; `raylabel run` goes on to it, and `--what provisional`"):
        export_labels(tiny.campaign, tmp_path / "labels.csv")
    assert list(tmp_path.glob("labels*")) == []


@pytest.mark.parametrize("name", ["labels.xlsx", "missing/labels.csv", "missing/labels.parquet"])
def test_export_to_a_place_that_does_not_do(tiny, tmp_path, name):
    tiny.campaign.records.commit("labels/labels", Record(parts={"labels": []}))
    with pytest.raises(ConfigError, match=name):
        export_labels(tiny.campaign, tmp_path / name)


@pytest.mark.parametrize("certified", [True, False])
def test_provisional_labels_say_so_in_every_row(ray_session, tiny, tmp_path, certified):
    """They are what the result would be, and carry a certificate only where the round has one."""
    found = last(tiny, certified)
    commit_round(tiny, found)
    newest = newest_round(tiny.campaign)
    for suffix in (".parquet", ".csv", ".jsonl"):
        assert export_provisional(tiny.campaign, newest, answers(tiny), tmp_path / f"now{suffix}") == 59
    table = pq.read_table(tmp_path / "now.parquet")
    assert table.schema.equals(schema.LABELS.append(pa.field("provisional", pa.bool_())))
    assert set(table.column("provisional").to_pylist()) == {True}
    result = list(rows_of(tiny, write_labels(tiny.campaign, found, answers(tiny))).values())
    assert table.drop_columns("provisional").to_pylist() == result
    assert {row["certificate"] for row in result} == ({None, "rounds/0001/verdict"} if certified else {None})
    with (tmp_path / "now.csv").open(newline="") as file:
        assert {row["provisional"] for row in csv.DictReader(file)} == {"true"}


def test_provisional_labels_want_a_file_that_does(tiny, tmp_path):
    commit_round(tiny, last(tiny))
    with pytest.raises(ConfigError, match=r"ends in \.parquet, \.csv or \.jsonl"):
        export_provisional(tiny.campaign, newest_round(tiny.campaign), answers(tiny), tmp_path / "now.txt")
