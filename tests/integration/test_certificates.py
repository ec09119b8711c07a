"""Audits that draw twice and certificates by class, in whole campaigns of digits."""

import csv
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pytest
from campaigns import digits_settings, invoke, result_of, run, write_toml

from raylabel import schema
from raylabel.demo import DIGITS, write_pool
from raylabel.labeling.answers import enough
from raylabel.labeling.drawn import answers_of
from raylabel.opening import find_campaign
from raylabel.toml import load
from raylabel.verify import open_workspace, verify
from raylabel.workspace import Record, read_parts


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """All digits as a pool, and the truth by id."""
    pool = tmp_path_factory.mktemp("digits") / "pool"
    return pool, write_pool(pool)


def test_a_targeted_audit_is_asked_twice(ray_session: str, digits: tuple[Path, dict[str, str]], tmp_path: Path) -> None:
    """People answer a seventh of the audit at first; the rest, when the loop ends, is where the threshold will fall."""
    whole, truth = digits
    pool = tmp_path / "pool"
    pool.mkdir()
    first, *others = sorted(whole.glob("*.parquet"))[::-1]
    for file in others:
        shutil.copy(file, pool)
    config = digits_settings(
        pool,
        tmp_path / "workspace",
        budget={"train_answers": 150, "audit_answers": 210, "rounds": 1},
        labeling={"labeler": "files"},
        acceptance={"max_error": 0.1, "audit": "targeted", "looks": "last"},
    )
    toml, sheet = write_toml(config, tmp_path / "campaign.toml"), tmp_path / "questions.csv"
    asked = invoke("run", toml)
    assert (asked.returncode, "round 0 waits for 180 of 180 answers" in asked.stderr) == (10, True), asked.stderr
    # Twenty training questions stay open, and people say that it is enough: the second draw may hold some of them.
    answer(toml, sheet, truth, leave_out=training_questions(toml)[:20])
    campaign = find_campaign(load(toml))
    campaign.records.commit(enough(0), Record())
    second = invoke("run", toml)
    assert second.returncode == 10, second.stderr
    assert "round 1 waits for 180 of 180 answers" in second.stderr
    assert "round 1: 180 of 180 answers are missing" in invoke("status", toml).stdout
    answer(toml, sheet, truth)
    done = invoke("run", toml, "--json")
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    assert report["labels"]["verdict"] == "certificate", report["labels"]["sentence"]
    assert report["labels"]["num_human"] == 150 - 20 + 210
    assert sum(each["num_answers"] for each in report["people"]["annotators"]["audit"].values()) == 210
    assert report["quality"]["num_audited"] == 30  # figures of the whole pool are those of the uniform draw
    assert report["forecast"]["outcome"]["num_audit"] == 210
    check_second_draw(tmp_path / "workspace", report)
    check_verified(tmp_path / "workspace")
    shutil.copy(first, pool)
    check_grown(toml, tmp_path / "workspace", report)
    tamper(tmp_path / "workspace")


def training_questions(toml: Path) -> list[str]:
    """Ids of what a strategy picked in round 0."""
    campaign = find_campaign(load(toml))
    record = campaign.records.find("rounds/0000/shortlist")
    assert record is not None
    items = read_parts(campaign.store, record.parts["shortlist"], schema=schema.SHORTLIST).to_pylist()
    return [item["id"] for item in items if item["strategy"] != "audit"]


def check_verified(workspace: Path) -> None:
    """Everything in it comes out again."""
    facts = verify(open_workspace(str(workspace)))
    assert facts["verified"], [check for check in facts["checks"] if check["differs"]]


def check_grown(toml: Path, workspace: Path, before: dict[str, Any]) -> None:
    """Images that come after the second draw are labeled by nobody; the others keep their labels and certificate."""
    done = invoke("run", toml, "--grow", "--json")
    assert done.returncode == 0, done.stderr
    labels = json.loads(done.stdout)["labels"]
    assert (labels["num_human"], labels["num_auto"]) == tuple(before["labels"][n] for n in ("num_human", "num_auto"))
    assert labels["num_uncovered"] > 200 and labels["sentence"].startswith(before["labels"]["sentence"])
    check_verified(workspace)


def answer(toml: Path, sheet: Path, truth: dict[str, str], leave_out: Sequence[str] = ()) -> None:
    """Write the open questions, answer all of them but some, and bring them in."""
    assert invoke("export", toml, sheet).returncode == 0
    with sheet.open(newline="") as file:
        rows = [row | {"label": truth[row["id"]], "annotator": "anna"} for row in csv.DictReader(file)]
    rows = [row for row in rows if row["id"] not in set(leave_out)]
    with sheet.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    assert invoke("import", toml, sheet).returncode == 0


def check_second_draw(workspace: Path, report: dict[str, Any]) -> None:
    """What was drawn a second time lies above the plan's threshold, was open until then, and certifies."""
    campaign = open_workspace(str(workspace))
    record = campaign.records.find("audit/second")
    assert record is not None
    drawn = read_parts(campaign.store, record.parts["audit"], schema=schema.AUDIT)
    [stratum] = record.facts["strata"]
    assert drawn.num_rows == stratum["size"] == 180
    predictions = campaign.records.find("rounds/0000/predictions")
    assert predictions is not None
    table = read_parts(campaign.store, predictions.parts["predictions"], schema=schema.PREDICTIONS)
    confidence = dict(zip(table.column("row").to_pylist(), table.column("confidence").to_pylist(), strict=True))
    assert min(confidence[row] for row in drawn.column("row").to_pylist()) >= stratum["threshold"]
    asked = campaign.records.find("rounds/0000/shortlist")
    assert asked is not None
    before = read_parts(campaign.store, asked.parts["shortlist"], schema=schema.SHORTLIST).column("row").to_pylist()
    resolved = answers_of(campaign, 0)
    asked_again = resolved.filter(pc.equal(resolved.column("round"), 1))
    assert set(asked_again.column("row").to_pylist()) == set(drawn.column("row").to_pylist())
    open_ones = set(before) & set(drawn.column("row").to_pylist())
    assert len(open_ones) <= 20
    details = report["rounds"][0]["strata"][0]["details"]
    assert details["alpha"] == 0.05 and details["threshold"] >= stratum["threshold"]
    assert details["num_audited"] <= 180


def tamper(workspace: Path) -> None:
    """Another row in place of one that was drawn, its file and record made to agree."""
    path = workspace / "audit/second.json"
    tree = json.loads(path.read_text())
    tree["facts"]["strata"][0]["num_open"] += 1
    path.write_text(json.dumps(tree))
    facts = verify(open_workspace(str(workspace)))
    wrong = {check["name"]: check["differs"] for check in facts["checks"] if check["differs"]}
    assert set(wrong) == {"audit draw"} and wrong["audit draw"][0].startswith("audit/second.strata[0].num_open: kept")


def test_certificates_by_class(ray_session: str, digits: tuple[Path, dict[str, str]], tmp_path: Path) -> None:
    """Each class has a threshold of its own; its certificate is named by its labels; the workspace verifies."""
    pool, truth = digits
    config = digits_settings(
        pool,
        tmp_path / "workspace",
        budget={"train_answers": 150, "audit_answers": 450, "rounds": 1},
        acceptance={"max_error": 0.25, "by_class": True},
    )
    report = run(config)
    [stratum] = report["rounds"][0]["strata"]
    certified = {name: kept["details"] for name, kept in stratum["classes"].items() if kept["verdict"] == "certificate"}
    assert list(stratum["classes"]) == list(DIGITS) and 5 <= len(certified) <= 10
    assert len({details["threshold"] for details in certified.values()}) > 1
    labels = result_of(config)["labels"]
    auto = [row for row in labels if row["source"] == "auto"]
    assert {row["label"] for row in auto} == set(certified)
    for name, details in certified.items():
        mine = [row for row in auto if row["label"] == name]
        assert len(mine) == details["num_auto"]
        assert {row["certificate"] for row in mine} == {f"rounds/0000/verdict/{name}"}
        assert sum(truth[row["id"]] != name for row in mine) <= 0.25 * len(mine)
    assert report["labels"]["sentence"].startswith("With confidence 95 % for all of them together, at most 25 %")
    check_verified(tmp_path / "workspace")
