"""A folder of pictures, one folder a class: the oracle reads the folders' names, ids are relative paths."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest
from campaigns import digits_settings, result_of, run

from raylabel.demo import write_pool
from raylabel.opening import open_campaign
from raylabel.planned import plan_once


@pytest.fixture
def album(tmp_path: Path) -> Path:
    """500 digits as PNG files, one folder a class."""
    write_pool(tmp_path / "parquet")
    for row in pq.read_table(tmp_path / "parquet").slice(0, 500).to_pylist():
        file = tmp_path / "album" / row["label"] / f"{row['id']}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(row["image"])
    return tmp_path / "album"


def test_a_folder_is_labeled(ray_session: str, album: Path, tmp_path: Path) -> None:
    config = digits_settings(album, tmp_path / "workspace", pool={"label_column": None})
    plan_once(open_campaign(config))
    files = sorted(album.rglob("*.png"))
    files[3].unlink()
    files[4].write_bytes(b"GIF89a, or so it says")
    report = run(config)
    labels = result_of(config)["labels"]
    left = [file for file in files if file not in files[3:5]]
    assert [row["id"] for row in labels] == [str(file.relative_to(album)) for file in left]
    assert all(row["label"] == row["id"].split("/")[0] for row in labels if row["source"] == "human")
    assert report["pool"]["num_quarantined"] == 2
    lost = [row for part in (tmp_path / "workspace").glob("quarantine/*") for row in pq.read_table(part).to_pylist()]
    assert {row["id"].split("/")[1]: row["error_code"] for row in lost} == {
        files[3].name: "missing",
        files[4].name: "input_changed",
    }
