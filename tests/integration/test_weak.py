"""Labeling functions on real images: good ones help at few answers, useless ones change nothing, none is an answer."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from campaigns import result_of, run, settings, truth_of

from raylabel import schema
from raylabel.campaign import find_campaign
from raylabel.config import Config
from raylabel.verify import verify
from raylabel.workspace import read_parts

pytestmark = pytest.mark.usefixtures("ray_session")

FUNCTIONS = """
def other(columns):
    return columns["other"]

def useless(columns):
    return columns["useless"]
"""
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
BUDGET = {"train_answers": 40, "audit_answers": 120, "rounds": 1}


@pytest.fixture(scope="module")
def pool(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """800 CIFAR-10 images beside another model's output (3 of 4 right, silent on a fifth), and a die's."""
    folder, rng = tmp_path_factory.mktemp("weak") / "pool", np.random.default_rng(0)
    folder.mkdir()
    table = pq.read_table(data / "cifar10" / "part-000.parquet", columns=["image", "path", "label"]).slice(0, 800)
    truth, names = table.column("label").to_pylist(), np.array(CLASSES)
    right, silent, dice = rng.random(800) < 0.7, rng.random(800) < 0.2, rng.integers(0, 10, (2, 800))
    other = [None if hush else name if sure else str(names[die]) for name, sure, hush, die in zip(
        truth, right, silent, dice[0], strict=True)]  # fmt: skip
    table = table.append_column("other", pa.array(other)).append_column("useless", pa.array(names[dice[1]].tolist()))
    for number in range(2):
        pq.write_table(table.slice(400 * number, 400), folder / f"part-{number}.parquet")
    (folder.parent / "functions.py").write_text(FUNCTIONS)
    return folder


def campaign_of(pool: Path, workspace: Path, data: Path, *functions: str) -> Config:
    weak = {"functions": [f"{pool.parent / 'functions.py'}:{name}" for name in functions]}
    sections: dict[str, Any] = {"classes": CLASSES, "budget": BUDGET, "acceptance": {"max_error": 0.3}, "weak": weak}
    tree = settings(str(pool), str(workspace), data, **sections).model_dump()
    return Config.model_validate(tree | {"pool": tree["pool"] | {"metadata_columns": ["other", "useless"]}})


def right_of(config: Config, truth: dict[str, str]) -> float:
    """The share of the pool that the last round's model gets right."""
    campaign = find_campaign(config)
    record = campaign.records.find("rounds/0000/predictions")
    assert record is not None
    table = read_parts(campaign.store, record.parts["predictions"], schema=schema.PREDICTIONS)
    pairs = zip(table.column("id").to_pylist(), table.column("label_index").to_pylist(), strict=True)
    return float(np.mean([CLASSES[index] == truth[name] for name, index in pairs]))


def test_weak_labels_help_and_are_no_answers(pool: Path, data: Path, tmp_path: Path) -> None:
    truth = truth_of(pool)
    plain = campaign_of(pool, tmp_path / "plain", data)
    assert run(plain)["rounds"][0]["weak"] is None
    config = campaign_of(pool, tmp_path / "helped", data, "other", "useless")
    report = run(config)
    weak = report["rounds"][0]["weak"]
    assert weak["weight"] > 0
    assert right_of(config, truth) > right_of(plain, truth) + 0.03

    # What the functions are: the label model's word beside the truth.
    columns = pq.read_table(pool, columns=["other", "useless", "label"]).to_pandas()
    spoken = columns["other"].notna()
    other = weak["functions"]["functions.py:other"]
    assert other["coverage"] == pytest.approx(spoken.mean())
    assert other["accuracy"] == pytest.approx((columns["other"] == columns["label"])[spoken].mean(), abs=0.1)
    assert weak["functions"]["functions.py:useless"]["coverage"] == 1

    # People's answers are the only ones.
    rows = result_of(config)["labels"]
    human = [row for row in rows if row["source"] == "human"]
    assert len(human) == 160
    assert all(row["label"] == truth[row["id"]] for row in human)
    assert {row["source"] for row in rows} <= {"human", "auto", "none"}
    assert report["rounds"][0]["num_training_answers"] == 40
    assert verify(find_campaign(config))["verified"] is True


def test_useless_functions_change_nothing(pool: Path, data: Path, tmp_path: Path) -> None:
    plain, config = (
        campaign_of(pool, tmp_path / name, data, *given) for name, given in (("a", ()), ("b", ("useless",)))
    )
    run(plain)
    assert run(config)["rounds"][0]["weak"]["weight"] == 0
    assert result_of(config) == result_of(plain)
