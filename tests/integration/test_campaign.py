"""The main job on real images: what the result must hold, and what must not change it."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from campaigns import invoke, result_of, run, settings, truth_of

from raylabel.config import Config
from raylabel.workspace import Store


def test_result(baseline: tuple[Config, dict[str, Any]], cifar_slice: Path) -> None:
    config, report = baseline
    truth = truth_of(cifar_slice)
    labels = result_of(config)["labels"]
    broken = [list(truth)[777]]
    assert sorted(row["id"] for row in labels) == sorted(set(truth) - set(broken))
    auto = [row for row in labels if row["source"] == "auto"]
    people = [row for row in labels if row["source"] == "human"]
    assert len(people) == report["labels"]["num_human"]
    assert all(row["label"] == truth[row["id"]] for row in people)
    assert len(auto) == report["labels"]["num_auto"] > 0
    wrong = sum(row["label"] != truth[row["id"]] for row in auto)
    assert wrong / len(auto) <= config.acceptance.max_error
    assert report["labels"]["coverage"] == pytest.approx((len(auto) + len(people)) / len(labels))
    assert all(row["label"] is None and row["certificate"] is None for row in labels if row["source"] == "none")
    assert {row["certificate"] for row in auto} == {"rounds/0001/verdict"}
    assert report["pool"] == {"num_rows": 1200, "num_quarantined": 1, "num_unreadable_files": 0}


def test_audit_is_asked_once_and_never_trained_on(baseline: tuple[Config, dict[str, Any]]) -> None:
    config, report = baseline
    shortlists = result_of(config)["shortlists"]
    asked = [item["id"] for shortlist in shortlists for item in shortlist]
    assert len(asked) == len(set(asked))
    assert sum(item["strategy"] == "audit" for item in shortlists[0]) in (299, 300)
    assert not any(item["strategy"] == "audit" for item in shortlists[1])
    assert [facts["num_training_answers"] for facts in report["rounds"]] == [100, 200]


def test_one_worker_gives_the_same(
    baseline: tuple[Config, dict[str, Any]], cifar_slice: Path, data: Path, tmp_path: Path
) -> None:
    config = settings(str(cifar_slice), str(tmp_path / "workspace"), data, compute={"workers": 1})
    run(config)
    assert result_of(config) == result_of(baseline[0])


def test_s3_gives_the_same(
    baseline: tuple[Config, dict[str, Any]], cifar_slice: Path, data: Path, s3_prefix: str
) -> None:
    import s3fs

    s3fs.S3FileSystem().put(f"{cifar_slice}/", f"{s3_prefix}/pool/", recursive=True)
    config = settings(f"{s3_prefix}/pool", f"{s3_prefix}/workspace", data)
    run(config)
    assert result_of(config) == result_of(baseline[0])
    assert invoke("verify", f"{s3_prefix}/workspace").returncode == 0
    last = f"rounds/{config.budget.rounds - 1:04d}/verdict.json"
    store = Store(f"{s3_prefix}/workspace")
    store.write(last, store.read(last).replace(b'"num_wrong": ', b'"num_wrong": 1'))
    found = invoke("verify", f"{s3_prefix}/workspace", "--json")
    assert found.returncode == 1
    [differs] = [check["differs"] for check in json.loads(found.stdout)["checks"] if check["name"] == "verdicts"]
    assert ".num_wrong: kept 1" in differs[0]


def test_rescoring_reads_no_image(baseline: tuple[Config, dict[str, Any]]) -> None:
    """A round with a new head leaves the embeddings of its backbone as they are: one set of parts for all rounds."""
    config, report = baseline
    assert len({facts["backbone"] for facts in report["rounds"]}) == 1
    parts = list((Path(config.workspace) / "embeddings").glob("*/part-*.parquet"))
    assert sum(pq.read_metadata(part).num_rows for part in parts) == 1199


def test_a_finished_campaign_is_not_run_again(baseline: tuple[Config, dict[str, Any]]) -> None:
    config, report = baseline
    before = {path: path.stat().st_mtime_ns for path in Path(config.workspace).rglob("labels/*")}
    again = run(config)
    assert again == report
    assert before == {path: path.stat().st_mtime_ns for path in Path(config.workspace).rglob("labels/*")}
