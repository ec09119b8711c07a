"""A pool of WebDataset tars, from the command line: labeled like any other, a cut tar quarantined."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import webdataset
from campaigns import digits_settings, invoke, result_of, write_toml

from raylabel.demo import DIGITS, write_pool


def test_a_pool_of_tars_is_labeled(ray_session: str, tmp_path: Path) -> None:
    write_pool(tmp_path / "parquet")
    rows = pq.read_table(tmp_path / "parquet").slice(0, 500).to_pylist()
    (tmp_path / "tars").mkdir()
    for number in range(3):
        with webdataset.TarWriter(str(tmp_path / "tars" / f"{number}.tar")) as writer:
            for row in rows[number::3]:
                writer.write({"__key__": row["id"], "png": row["image"], "cls": DIGITS.index(row["label"])})
    cut = tmp_path / "tars" / "2.tar"
    cut.write_bytes(cut.read_bytes()[:50_000])
    pool = {"label_column": "cls"}
    config = digits_settings(tmp_path / "tars", tmp_path / "workspace", pool=pool)
    done = invoke("run", write_toml(config, tmp_path / "campaign.toml"))
    assert done.returncode == 3, done.stderr  # done, but a whole file could not be read
    assert "0 of 334 items and 1 whole files could not be read" in done.stderr
    truth = {f"{number}.tar/{row['id']}": row["label"] for number in range(2) for row in rows[number::3]}
    labels = result_of(config)["labels"]
    assert [row["id"] for row in labels] == sorted(truth)
    people = [row for row in labels if row["source"] == "human"]
    assert len(people) == 200 and all(row["label"] == truth[row["id"]] for row in people)
    report = json.loads((tmp_path / "workspace" / "report.json").read_text())
    assert report["pool"] == {"num_rows": len(truth), "num_quarantined": 0, "num_unreadable_files": 1}
    (lost,) = [row for part in (tmp_path / "workspace").glob("quarantine/*") for row in pq.read_table(part).to_pylist()]
    assert (lost["shard"], lost["stage"], lost["error_code"]) == ("2.tar", "plan", "unreadable")
