"""A workspace as it was, a report that is another, and what can no longer be read."""

import json

import pytest

from raylabel.errors import ConfigError, StorageError
from raylabel.verify import open_workspace, verify
from raylabel.workspace import Store


def test_what_is_as_it_was_agrees(copy):
    """A copy elsewhere, and without its pool, its pictures or its config."""
    facts = verify(copy.campaign)
    assert [check["differs"] for check in facts["checks"]] == [[]] * 8
    assert (facts["verified"], facts["finished"], facts["verdict"]) == (True, True, "certificate")
    nums = {check["name"]: check["num"] for check in facts["checks"]}
    assert (nums["audit draw"], nums["labels"], nums["report"]) == (80, 300, 1)
    assert nums["verdicts"] == facts["round"] + 1
    assert facts["sentence"].startswith("With confidence 97.5 % at this look")


def test_a_report_that_was_changed(copy):
    report = json.loads((copy.root / "report.json").read_text())
    report["labels"]["num_auto"] += 1
    (copy.root / "report.json").write_text(json.dumps(report))
    [line] = copy.wrong()["report"]
    assert line.startswith("labels.num_auto: kept ")


def test_a_record_that_lost_a_field_is_a_difference(copy):
    tree = copy.record("rounds/0000/model")
    del tree["facts"]["accuracy"]
    copy.put("rounds/0000/model", tree)
    assert "not as it was written (KeyError: 'accuracy')" in copy.wrong()["verdicts"][0]


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
