"""A result in every format, read back by the library that it is for."""

import io
import json
from collections import Counter
from pathlib import Path
from typing import Any

import datasets
import duckdb
import numpy as np
import polars
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import webdataset
from campaigns import digits_settings, invoke, result_of, run, write_toml
from PIL import Image
from pycocotools.coco import COCO
from torchvision.datasets import ImageFolder

from raylabel.config import Config
from raylabel.demo import DIGITS, write_pool
from raylabel.file_names import safe_path
from raylabel.workspace import Store

NAMES = ("plain", "a folder/with.dots/{}.png", "../../climbs", "/rooted", "what?*", "tar.gz#7", "ünï/{}", "per%2Fcent")
TWINS = {0: "twin", 1: "twin.png", 2: "x" * 300, 3: "two\u2028lines\u0085of one"}
"""Ids that would be one file, a name too long for one, and ends of lines that JSON knows nothing of."""
Answer = dict[str, Any]


@pytest.fixture(scope="module")
def finished(
    ray_session: str, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Config, list[Answer], dict[str, bytes]]:
    """A campaign of 400 digits whose ids are hard on file systems: its TOML, config, labels, and the images by id."""
    folder = tmp_path_factory.mktemp("formats")
    write_pool(folder / "all")
    table = pq.read_table(folder / "all").slice(0, 400)
    ids = [TWINS.get(row, f"{NAMES[row % len(NAMES)].format(row)}-{row}") for row in range(400)]
    images = [image["bytes"] if isinstance(image, dict) else image for image in table.column("image").to_pylist()]
    table = pa.table({"id": ids, "image": images, "label": table.column("label")})
    (folder / "pool").mkdir()
    for number in range(2):
        pq.write_table(table.slice(200 * number, 200), folder / "pool" / f"part-{number}.parquet")
    budget = {"train_answers": 60, "audit_answers": 120, "rounds": 1}
    acceptance = {"max_error": 0.1}
    config = digits_settings(folder / "pool", folder / "workspace", budget=budget, acceptance=acceptance)
    run(config)
    toml = write_toml(config, folder / "campaign.toml")
    return toml, config, result_of(config)["labels"], dict(zip(ids, images, strict=True))


def exported(finished: Any, named: str, target: Path | str) -> list[Answer]:
    """Export in a format; the labels that must be there."""
    done = invoke("export", finished[0], target, "--what", "labels", "--format", named, "--json")
    assert done.returncode == 0, done.stderr
    labeled = [row for row in finished[2] if row["label"] is not None]
    assert json.loads(done.stdout)["num_rows"] == len(labeled)
    assert 180 < len(labeled) < 400 and {row["source"] for row in labeled} == {"human", "auto"}
    return labeled


def test_image_folder(finished: Any, tmp_path: Path) -> None:
    labeled = exported(finished, "imagefolder", tmp_path / "out")
    read = ImageFolder(tmp_path / "out")
    assert Counter(read.classes[index] for _, index in read.samples) == Counter(row["label"] for row in labeled)
    for row in labeled:
        name, number = safe_path(row["id"]), list(finished[3]).index(row["id"])
        path = tmp_path / "out" / row["label"] / (name if name.endswith(".png") else f"{name}.row{number}.png")
        assert path.read_bytes() == finished[3][row["id"]]
    # Nothing climbed out.
    assert {path.name for path in tmp_path.iterdir()} == {"out"}
    readme = (tmp_path / "out" / "README.md").read_text()
    assert f"{len(labeled):,} images labeled" in readme and "With confidence 95 %" in readme


def test_webdataset_on_s3(finished: Any, s3_prefix: str, tmp_path: Path) -> None:
    """Shards in a bucket; ids, classes, images and facts as they were."""
    place = s3_prefix
    labeled = {row["id"]: row for row in exported(finished, "webdataset", place)}
    store = Store(place)
    tars = [name for name in store.walk() if name.endswith(".tar")]
    assert len(tars) == 2
    for name in tars:
        (tmp_path / name).write_bytes(store.read(name))
    samples = list(webdataset.WebDataset([str(tmp_path / name) for name in tars], shardshuffle=False).decode())
    assert len(samples) == len(labeled)
    raw = webdataset.WebDataset([str(tmp_path / name) for name in tars], shardshuffle=False)
    for sample, bare in zip(samples, raw, strict=True):
        row = labeled[sample["json"]["id"]]
        assert (sample["cls"], sample["json"]["label"]) == (row["label_index"], row["label"])
        assert sample["json"]["source"] == row["source"] and sample["json"]["certificate"] == row["certificate"]
        assert bare["png"] == finished[3][row["id"]]


def test_hugging_face(finished: Any, tmp_path: Path) -> None:
    """`datasets` decodes the images and knows the classes; DuckDB and Polars read the same files."""
    labeled = {row["id"]: row for row in exported(finished, "huggingface", tmp_path / "out")}
    read = datasets.load_dataset(str(tmp_path / "out"), split="train", cache_dir=str(tmp_path / "cache"))
    assert read.features["label"].names == list(DIGITS)
    assert isinstance(read.features["image"], datasets.Image)
    assert len(read) == len(labeled)
    for row in read:
        expected = labeled[row["id"]]
        assert DIGITS[row["label"]] == expected["label"]
        assert (row["source"], row["certificate"], row["round"]) == tuple(
            expected[name] for name in ("source", "certificate", "round")
        )
        image = Image.open(io.BytesIO(finished[3][row["id"]]))
        assert np.array_equal(np.asarray(row["image"]), np.asarray(image))
    files = f"{tmp_path}/out/data/*.parquet"
    counts = duckdb.sql(f"select source, count(*) from '{files}' group by source").fetchall()
    assert dict(counts) == Counter(row["source"] for row in labeled.values())
    frame = polars.read_parquet(files)
    assert sorted(frame["id"].to_list()) == sorted(labeled)
    assert frame["image"].struct.field("bytes").to_list() == [finished[3][name] for name in frame["id"]]


def test_coco(finished: Any, tmp_path: Path) -> None:
    labeled = {row["id"]: row for row in exported(finished, "coco", tmp_path / "out")}
    read = COCO(str(tmp_path / "out" / "annotations.json"))
    assert [found["name"] for found in read.loadCats(read.getCatIds())] == list(DIGITS)
    assert len(read.getImgIds()) == len(read.getAnnIds()) == len(labeled)
    for image in read.loadImgs(read.getImgIds()):
        [annotation] = read.loadAnns(read.getAnnIds(imgIds=[image["id"]]))
        row = labeled[annotation["attributes"]["id"]]
        assert read.cats[annotation["category_id"]]["name"] == row["label"]
        data = (tmp_path / "out" / "images" / image["file_name"]).read_bytes()
        assert data == finished[3][row["id"]]
        assert (image["width"], image["height"]) == Image.open(io.BytesIO(data)).size
        assert annotation["bbox"] == [0, 0, image["width"], image["height"]]
    assert not (tmp_path / "out" / "fragments").exists() or not list((tmp_path / "out" / "fragments").iterdir())


def test_fiftyone(finished: Any, tmp_path: Path) -> None:
    """As FiftyOne's importer reads it: each key of labels.json is the stem of a file in data/."""
    labeled = {row["id"]: row for row in exported(finished, "fiftyone", tmp_path / "out")}
    read = json.loads((tmp_path / "out" / "labels.json").read_text())
    assert read["classes"] == list(DIGITS)
    files = {path.stem: path for path in (tmp_path / "out" / "data").iterdir()}
    assert set(files) == set(read["labels"]) and len(files) == len(labeled)
    for key, told in read["labels"].items():
        row = labeled[told["attributes"]["id"]]
        assert read["classes"][told["label"]] == row["label"]
        assert told["confidence"] == row["confidence"]
        assert files[key].read_bytes() == finished[3][row["id"]]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--what", "labels", "--format", "cocoo"), 2, "unknown format 'cocoo': did you mean coco"),
        (("--format", "coco"), 2, "coco holds labeled images: give --what labels"),
        (("--what", "labels", "--format", "coco"), 2, "is not empty; choose another folder"),
    ],
)
def test_bad_input(finished: Any, tmp_path: Path, arguments: tuple[str, ...], code: int, message: str) -> None:
    (tmp_path / "kept").write_text("kept")
    done = invoke("export", finished[0], tmp_path, *arguments)
    assert (done.returncode, message in done.stderr) == (code, True), done.stderr
    assert "Traceback" not in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
