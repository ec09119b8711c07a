"""Files that are gone or others, and records of another campaign."""

import json

import pytest

from raylabel.verify.files import check_files, records_of
from raylabel.workspace import REVIEW, hold


@pytest.mark.parametrize(
    ("gone", "check"),
    [
        ("labels/*.parquet", "files"),
        ("rounds/0000/answered-*.parquet", "files"),
        ("rounds/0000/verdict.json", "records"),
        ("report.json", "report"),
    ],
)
def test_what_is_gone(copy, gone, check):
    next(copy.root.glob(gone)).unlink()
    assert "is gone" in copy.wrong()[check][0]


def test_settings_that_were_changed(copy):
    """Another promise in campaign.json: every record belongs to the campaign that was."""
    tree = json.loads((copy.root / "campaign.json").read_text())
    tree["config"]["acceptance"]["max_error"] = 0.01
    (copy.root / "campaign.json").write_text(json.dumps(tree))
    found = copy.wrong()
    assert "belongs to another campaign, or campaign.json was changed" in found["files"][0]
    assert "was written by a campaign with fingerprint" in found["records"][0]


def test_a_record_that_is_none_any_more(copy):
    (copy.root / "rounds/0000/answered.json").write_text('{"fingerprint":')
    assert "rounds/0000/answered.json: is no record any more" in copy.wrong()["files"][0]


def test_a_record_with_one_more_field_is_told_of(copy):
    """It would take itself, and the files that it names, out of the check."""
    [name, *_] = [name for name in records_of(copy.store) if "/shard-" in name and name.startswith("embeddings/")]
    name = name.removesuffix(".json")
    copy.put(name, {**copy.record(name), "note": "mine"})
    [said] = copy.wrong()["files"]
    assert f"{name}.json: is no record any more (got facts, fingerprint, note, parts, writer, expected facts, f" in said
    copy.put(name, ["mine"])
    assert f"{name}.json: is no record any more (got a list, expected facts," in copy.wrong()["files"][0]


def test_rows_that_a_record_miscounts(copy):
    part = copy.record("labels/labels")["parts"]["labels"][0]
    copy.forge(part["name"], rows=part["rows"] + 1)
    assert f"{part['rows']} rows, its record says {part['rows'] + 1}" in copy.wrong()["files"][0]


def test_two_records_that_disagree_about_a_file(copy):
    tree = copy.record("labels/labels")
    tree["parts"]["labels"].append({**tree["parts"]["labels"][0], "rows": 1})
    copy.put("labels/labels", tree)
    found = copy.wrong()
    assert "says otherwise of labels/labels-" in found["files"][0]
    assert "files of labels for" in found["labels"][0]


def test_what_is_no_record_is_passed_over(copy):
    with hold(copy.store, REVIEW):
        names = list(records_of(copy.store))
    assert copy.store.list("driver.lease") and copy.store.list("review.lease")
    assert "rounds/0000/verdict.json" in names and "campaign.json" not in names and "report.json" not in names
    assert not any(".lease/" in name for name in names)
    num, wrong = check_files(copy.campaign)
    assert (num, wrong) == (len(list(copy.root.rglob("*.parquet"))), [])
