"""Tampering of every kind is found: as it is done, and where the records were made to agree."""

import json

import pytest

from raylabel.errors import ConfigError, StorageError
from raylabel.verify import open_workspace, verify
from raylabel.workspace import Store


def wrong(copy):
    """What does not agree, by check."""
    facts = verify(copy.campaign)
    found = {check["name"]: check["differs"] for check in facts["checks"] if check["differs"]}
    assert facts["verified"] is not bool(found)
    return found


def test_what_is_as_it_was_agrees(copy):
    """A copy elsewhere, and without its pool, its pictures or its config."""
    facts = verify(copy.campaign)
    assert [check["differs"] for check in facts["checks"]] == [[]] * 8
    assert (facts["verified"], facts["finished"], facts["verdict"]) == (True, True, "certificate")
    nums = {check["name"]: check["num"] for check in facts["checks"]}
    assert (nums["audit draw"], nums["labels"], nums["report"]) == (80, 300, 1)
    assert nums["verdicts"] == facts["round"] + 1
    assert facts["sentence"].startswith("With confidence 97.5 % at this look")


def test_an_answer_that_was_changed(copy, change):
    """First the file alone, then with the record that names it: the consensus of that item is another one."""
    [name] = [f"rounds/0000/answers/{path.stem}" for path in (copy.root / "rounds/0000/answers").glob("*.json")]

    def other(table):
        labels = table.column("label").to_pylist()
        labels[0] = "nine" if labels[0] != "nine" else "one"
        return change(table, "label", labels)

    copy.rewrite(name, "answers", other, forge=False)
    found = wrong(copy)
    assert "the file was changed after it was written" in found["files"][0]
    assert "the file was changed after it was written" in found["answers"][0]
    part = copy.record(name)["parts"]["answers"][0]
    import hashlib

    copy.forge(part["name"], sha256=hashlib.sha256((copy.root / part["name"]).read_bytes()).hexdigest())
    found = wrong(copy)
    assert set(found) == {"answers"}
    assert len(found["answers"]) == 1 and "'label_index'" in found["answers"][0]


def test_a_label_that_was_changed(copy, change):
    def other(table):
        labels, sources = table.column("label").to_pylist(), table.column("source").to_pylist()
        at = sources.index("auto")
        labels[at] = "nine" if labels[at] != "nine" else "one"
        return change(table, "label", labels)

    copy.rewrite("labels/labels", "labels", other, forge=True)
    found = wrong(copy)
    assert set(found) == {"labels"}
    assert ": label '" in found["labels"][0] and "recomputed '" in found["labels"][0]


def test_a_label_below_the_threshold(copy, change):
    """An audited item's label is called the machine's: counts and sources no longer fit the certificate."""

    def other(table):
        sources = table.column("source").to_pylist()
        sources[sources.index("human")] = "auto"
        return change(table, "source", sources)

    copy.rewrite("labels/labels", "labels", other, forge=True)
    found = " ".join(wrong(copy)["labels"])
    assert "source 'auto', recomputed 'human'" in found
    assert "labels are the machine's, the certificate is about" in found
    assert "num_auto: the record says" in found


def test_predictions_that_were_changed(copy, change):
    last = verify(copy.campaign)["round"]

    def surer(table):
        return change(table, "confidence", [1.0] * table.num_rows)

    copy.rewrite(f"rounds/{last:04d}/predictions", "predictions", surer, forge=True)
    found = wrong(copy)
    assert any("threshold" in line or "num_passing" in line for line in found["verdicts"])


def test_audit_rows_that_were_thinned(copy):
    """Ten of the drawn items are taken out of the draw, wherever it is kept."""
    copy.rewrite("audit/draw-0000", "audit", lambda table: table.slice(10), forge=True)
    found = wrong(copy)
    assert found["audit draw"][0].startswith("audit/draw-0000: 10 items are missing, the first is row ")
    # They were asked as audit items, and now nobody drew them.
    assert len([line for line in found["shortlists"] if "was never drawn" in line]) == 10


def test_an_audit_item_that_a_strategy_picked(copy, change):
    def touch(table):
        strategies = table.column("strategy").to_pylist()
        strategies[strategies.index("audit")] = "margin"
        return change(table, "strategy", strategies)

    copy.rewrite("rounds/0000/shortlist", "shortlist", touch, forge=True)
    [line] = wrong(copy)["shortlists"]
    assert line.startswith("round 0: the strategy margin picked digit-") and line.endswith("of the audit sample")


def test_ids_that_were_exchanged(copy, change):
    def swap(table):
        ids = table.column("id").to_pylist()
        return change(table, "id", [ids[1], ids[0], *ids[2:]])

    copy.rewrite("rounds/0000/shortlist", "shortlist", swap, forge=True)
    assert len(wrong(copy)["shortlists"]) == 2


def test_a_certificate_that_was_changed(copy):
    last = f"rounds/{verify(copy.campaign)['round']:04d}"
    tree = copy.record(f"{last}/verdict")
    tree["facts"]["strata"][0]["details"]["num_wrong"] = 0
    copy.put(f"{last}/verdict", tree)
    assert any(".num_wrong: kept 0, recomputed" in line for line in wrong(copy)["verdicts"])


def test_settings_that_were_changed(copy):
    """Another promise in campaign.json: every record belongs to the campaign that was."""
    tree = json.loads((copy.root / "campaign.json").read_text())
    tree["config"]["acceptance"]["max_error"] = 0.01
    (copy.root / "campaign.json").write_text(json.dumps(tree))
    found = wrong(copy)
    assert "belongs to another campaign, or campaign.json was changed" in found["files"][0]
    assert "was written by a campaign with fingerprint" in found["records"][0]


def test_a_report_that_was_changed(copy):
    report = json.loads((copy.root / "report.json").read_text())
    report["labels"]["num_auto"] += 1
    (copy.root / "report.json").write_text(json.dumps(report))
    [line] = wrong(copy)["report"]
    assert line.startswith("labels.num_auto: kept ")


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
    assert "is gone" in wrong(copy)[check][0]


def test_a_file_among_the_labels_that_no_record_names(copy):
    (copy.root / "labels" / "more.parquet").write_bytes(b"more")
    assert wrong(copy)["labels"] == ["labels/more.parquet: no record names this file"]


def test_a_record_that_lost_a_field_is_a_difference(copy):
    tree = copy.record("rounds/0000/model")
    del tree["facts"]["accuracy"]
    copy.put("rounds/0000/model", tree)
    assert "not as it was written (KeyError: 'accuracy')" in wrong(copy)["verdicts"][0]


def test_a_campaign_that_is_not_done(copy):
    """Without labels the rounds are verified as far as they are."""
    (copy.root / "labels" / "labels.json").unlink()
    facts = verify(copy.campaign)
    assert (facts["verified"], facts["finished"]) == (True, False)
    assert [check["name"] for check in facts["checks"]][-1] == "verdicts"


def test_a_store_that_fails_is_no_difference(copy, monkeypatch):
    campaign = copy.campaign
    monkeypatch.setattr(Store, "walk", lambda self: (_ for _ in ()).throw(StorageError("no network")))
    with pytest.raises(StorageError, match="no network"):
        verify(campaign)


def test_a_place_without_a_campaign(tmp_path):
    with pytest.raises(ConfigError, match="nothing was begun there; give a campaign's TOML or its workspace"):
        open_workspace(str(tmp_path))
    (tmp_path / "campaign.json").write_text("{")
    with pytest.raises(ConfigError, match="cannot be read"):
        open_workspace(str(tmp_path))
