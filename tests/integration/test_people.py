"""People answer through files: out with `export`, back with `import`, and the run goes on."""

import csv
import json
import shlex
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from campaigns import digits_settings, invoke, write_toml
from PIL import Image

from raylabel.demo import DIGITS, write_pool


def fill_in(sheet: Path, truth: dict[str, str], *, leave_out: int = 0) -> int:
    """Answer a sheet as a person would; the last `leave_out` rows stay open."""
    with sheet.open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows[: len(rows) - leave_out]:
        row["label"], row["annotator"] = truth[row["id"]], "anna"
    with sheet.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return len(rows)


@pytest.fixture
def campaign(tmp_path: Path, ray_session: str) -> tuple[Path, dict[str, str]]:
    """A campaign on all digits that asks people; its TOML and the truth."""
    truth = write_pool(tmp_path / "pool")
    config = digits_settings(
        tmp_path / "pool",
        tmp_path / "workspace",
        budget={"train_answers": 120, "audit_answers": 200, "rounds": 2},
        labeling={"labeler": "files"},
        acceptance={"max_error": 0.1},
    )
    return write_toml(config, tmp_path / "campaign.toml"), truth


def test_a_whole_campaign(campaign: tuple[Path, dict[str, str]], tmp_path: Path) -> None:
    toml, truth = campaign
    sheet = tmp_path / "questions.csv"
    first = invoke("run", toml)
    assert first.returncode == 10, first.stderr
    assert "round 0 waits for 260 of 260 answers" in first.stderr
    exported = invoke("export", toml, sheet)
    assert exported.stdout.endswith(f"then: raylabel import {toml} {sheet}\n")
    header = sheet.read_text().splitlines()[0]
    assert header == "id,image,label,kind,annotator,comment,round"
    with sheet.open(newline="") as file:
        picture = next(csv.DictReader(file))["image"]
    assert Image.open(picture).size == (16, 16)
    assert fill_in(sheet, truth, leave_out=3) == 260
    imported = invoke("import", toml, sheet)
    assert "257 answers" in imported.stdout and "257 of them new; 3 rows still without" in imported.stdout
    again = invoke("import", toml, sheet)
    assert "0 of them new" in again.stdout
    assert "round 0: 3 of 260 answers are missing" in invoke("status", toml).stdout
    early = invoke("export", toml, tmp_path / "now.csv", "--what", "provisional")
    assert (early.returncode, "no round is done yet" in early.stderr) == (1, True)
    check_bad_sheets(toml, tmp_path, truth)
    for number, expected in enumerate((3, 60)):
        assert invoke("export", toml, sheet).returncode == 0
        assert fill_in(sheet, truth) == expected
        assert invoke("import", toml, sheet).returncode == 0
        done = invoke("run", toml, "--json")
        assert done.returncode == (10 if number == 0 else 0), done.stderr
        if number == 0:
            check_in_between(toml, tmp_path)
    report: dict[str, Any] = json.loads(done.stdout)
    assert report["labels"]["num_human"] == 320
    assert report["stopped"] == "budget used up"
    late = invoke("import", toml, sheet)
    assert late.returncode == 2
    assert "the campaign is done" in late.stderr
    nothing = invoke("export", toml, tmp_path / "more.csv")
    assert (nothing.returncode, "is done and asks nothing any more" in nothing.stderr) == (2, True)
    usage = invoke("export", toml, tmp_path / "labs.txt", "--what", "labels")
    assert usage.returncode == 2
    assert "labs.txt: expected a name that ends in .parquet, .csv or .jsonl" in usage.stderr
    out = tmp_path / "labels.parquet"
    assert invoke("export", toml, out, "--what", "labels").returncode == 0
    labels = pq.read_table(out).to_pylist()
    assert sorted(row["id"] for row in labels) == sorted(truth)
    assert all(row["label"] == truth[row["id"]] for row in labels if row["source"] == "human")
    verified = invoke("verify", toml)
    assert verified.returncode == 0, verified.stdout
    assert f"\nVerified. {report['labels']['sentence']}\n" in verified.stdout
    [part] = (tmp_path / "workspace" / "rounds" / "0001").glob("answered-*.parquet")
    part.write_bytes(part.read_bytes()[:-1])
    found = invoke("verify", tmp_path / "workspace")
    assert found.returncode == 1
    assert f"{part}: its sha256 is" in found.stdout and "\nNOT VERIFIED: " in found.stdout
    told = invoke("status", toml)
    assert "2 of at most 2 rounds done" in told.stdout
    assert "done: 320 labeled by people" in told.stdout


def check_bad_sheets(toml: Path, place: Path, truth: dict[str, str]) -> None:
    """Answers of items that nobody asked about, and contradictory ones: one clear error each, and nothing is taken."""
    asked = next(csv.DictReader((place / "questions.csv").open(newline="")))["id"]
    for rows, said in (
        ([("digit-9999", "one")], "line 2: unknown id 'digit-9999': no round has asked about it"),
        ([(asked, "one"), (asked, "two")], f"line 3: eve says 'label two' of {asked}, but 'label one' on line 2"),
    ):
        sheet = place / "bad.csv"
        sheet.write_text("id,label,annotator\n" + "".join(f"{name},{label},eve\n" for name, label in rows))
        done = invoke("import", toml, sheet)
        assert done.returncode == 2
        assert said in done.stderr and "Nothing of it was taken" in done.stderr


def check_in_between(toml: Path, place: Path) -> None:
    """After a round: labels that say they are provisional, a forecast of what it learned, verified so far."""
    out = place / "now.parquet"
    exported = invoke("export", toml, out, "--what", "provisional")
    assert (exported.returncode, "all marked provisional" in exported.stdout) == (0, True)
    now = pq.read_table(out)
    assert (now.num_rows, set(now.column("provisional").to_pylist())) == (1797, {True})
    assert "\nso far, provisional: " in invoke("status", toml).stdout
    planned = invoke("plan", toml, "--json")
    assert planned.returncode == 0, planned.stderr
    facts = json.loads(planned.stdout)
    assert {found["basis"].split(":")[0] for found in facts["forecasts"]} == {"round 0"}
    assert facts["machine"]["images_per_s"] > 0
    assert "\nVerified so far, provisional: the campaign is not done. " in invoke("verify", toml).stdout


def test_single_stages(campaign: tuple[Path, dict[str, str]], tmp_path: Path) -> None:
    toml, truth = campaign
    sheet = tmp_path / "questions.jsonl"
    workspace = tmp_path / "workspace"
    sets = ("--set", "pool.quarantine_limit=0.02", "--set", "compute.workers=1")
    embedded = invoke("embed", toml, *sets)
    assert embedded.returncode == 0
    assert embedded.stdout == f"embed: done; see: raylabel status {toml} {' '.join(sets)}\n"
    assert list(workspace.glob("embeddings/*.json")) and not list(workspace.glob("rounds/*/shortlist.json"))
    assert invoke("select", toml).returncode == 0
    assert list(workspace.glob("rounds/0000/shortlist.json"))
    assert invoke("train", toml).returncode == 10
    assert invoke("export", toml, sheet).returncode == 0
    rows = [json.loads(line) for line in sheet.read_text().splitlines()]
    assert set(rows[0]) == {"id", "image", "label", "kind", "annotator", "comment", "round"}
    sheet.write_text("".join(json.dumps({**row, "label": truth[row["id"]]}) + "\n" for row in rows))
    assert invoke("import", toml, sheet).returncode == 0
    assert invoke("train", toml).returncode == 0
    assert list(workspace.glob("rounds/0000/model.json")) and not list(workspace.glob("rounds/0000/verdict.json"))
    assert invoke("accept", toml).returncode == 0
    assert list(workspace.glob("rounds/0000/round.json")) and not list(workspace.glob("rounds/0001/*.json"))


def test_wrong_sheet(campaign: tuple[Path, dict[str, str]], tmp_path: Path) -> None:
    """With settings of the user's own, which every printed next command repeats as a shell takes them."""
    toml, truth = campaign
    sheet = tmp_path / "their questions.csv"
    sets = ("--set", f"workspace={tmp_path / 'their answers'}", "--set", 'sampling.strategy="entropy"')
    assert invoke("run", toml, *sets).returncode == 10
    exported = invoke("export", toml, sheet, *sets)
    command = shlex.split(exported.stdout.partition("then: ")[2])
    assert command == ["raylabel", "import", str(toml), str(sheet), *sets]
    fill_in(sheet, {**truth, **dict.fromkeys(truth, "fourr")})
    done = invoke(*command[1:])
    assert done.returncode == 2
    assert "line 2: unknown class 'fourr': did you mean four? Nothing of it was taken\n" in done.stderr
    again = invoke("export", toml, sheet, *sets)
    assert again.returncode == 2
    assert "260 answers in it would be lost" in again.stderr
    assert "waits for 260 of 260" in invoke("run", toml, *sets).stderr


def test_second_driver(campaign: tuple[Path, dict[str, str]], tmp_path: Path) -> None:
    """While one driver holds the workspace, another is sent away."""
    from raylabel.workspace import Store, hold

    toml, _ = campaign
    with hold(Store(str(tmp_path / "workspace"))):
        done = invoke("run", toml)
    assert done.returncode == 5
    assert "another driver holds it" in done.stderr


def test_doubted_answers_are_asked_again(campaign: tuple[Path, dict[str, str]], tmp_path: Path) -> None:
    """Every tenth answer is wrong at first; where the model doubts an answer, the second look stands in the result."""
    toml, truth = campaign
    sheet, sets = tmp_path / "questions.csv", ("--set", "budget.second_looks=8")
    assert invoke("run", toml, *sets).returncode == 10
    assert invoke("export", toml, sheet, *sets).returncode == 0
    with sheet.open(newline="") as file:
        asked = [row["id"] for row in csv.DictReader(file)]
    wrong = {name: DIGITS[(DIGITS.index(truth[name]) + 1) % 10] for name in asked[::10]}
    fill_in(sheet, truth | wrong)
    assert invoke("import", toml, sheet, *sets).returncode == 0
    assert invoke("run", toml, *sets).returncode == 10
    again = tmp_path / "again.csv"
    assert invoke("export", toml, again, *sets).returncode == 0
    with again.open(newline="") as file:
        rows = list(csv.DictReader(file))
    twice = {row["id"] for row in rows} & set(asked)
    assert 1 <= len(twice) <= 8
    assert len(rows) == 60 + len(twice)
    assert {row["round"] for row in rows} == {"1"}
    fill_in(again, truth)
    assert invoke("import", toml, again, *sets).returncode == 0
    done = invoke("run", toml, "--json", *sets)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["people"]["num_second_looks"] == len(twice)
    assert report["people"]["annotators"]["training"]["anna"]["num_answers"] == 120
    assert report["labels"]["num_human"] == 320
    parts = sorted((tmp_path / "workspace" / "labels").glob("*.parquet"))
    labels = {row["id"]: row["label"] for part in parts for row in pq.read_table(part).to_pylist()}
    assert all(labels[name] == truth[name] for name in twice)
    assert sum(labels[name] == wrong[name] for name in wrong) == len(wrong) - len(twice & set(wrong))
