"""Labeling functions on real images: good ones help at few answers, useless ones change nothing, none is an answer."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from campaigns import invoke, result_of, run, settings, truth_of, write_toml

from raylabel import schema
from raylabel.config import Config
from raylabel.opening import find_campaign
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


def campaign_of(pool: Path, workspace: Path, data: Path, *functions: str, workers: int | None = None) -> Config:
    weak = {"functions": [f"{pool.parent / 'functions.py'}:{name}" for name in functions]}
    sections: dict[str, Any] = {"classes": CLASSES, "budget": BUDGET, "acceptance": {"max_error": 0.3}, "weak": weak}
    tree = settings(str(pool), str(workspace), data, **sections).model_dump()
    tree["pool"]["metadata_columns"] = ["other", "useless"]
    return Config.model_validate(tree | {"compute": tree["compute"] | {"workers": workers}})


def right_of(config: Config, truth: dict[str, str]) -> float:
    """The share of the pool that the last round's model gets right."""
    campaign = find_campaign(config)
    record = campaign.records.find("rounds/0000/predictions")
    assert record is not None
    table = read_parts(campaign.store, record.parts["predictions"], schema=schema.PREDICTIONS)
    pairs = zip(table.column("id").to_pylist(), table.column("label_index").to_pylist(), strict=True)
    return float(np.mean([CLASSES[index] == truth[name] for name, index in pairs]))


@pytest.fixture(scope="module")
def plain(pool: Path, data: Path, tmp_path_factory: pytest.TempPathFactory, ray_session: str) -> Config:
    """The campaign without labeling functions, done."""
    config = campaign_of(pool, tmp_path_factory.mktemp("plain") / "workspace", data)
    assert run(config)["rounds"][0]["weak"] is None
    return config


def test_weak_labels_help_and_are_no_answers(plain: Config, pool: Path, data: Path, tmp_path: Path) -> None:
    truth = truth_of(pool)
    config = campaign_of(pool, tmp_path / "workspace", data, "other", "useless")
    report = run(config)
    weak = report["rounds"][0]["weak"]
    assert weak["weight"] > 0
    assert right_of(config, truth) > right_of(plain, truth) + 0.1

    # Whom the answers know: the functions' votes on the 40 answered items, beside the truth.
    campaign = find_campaign(config)
    rows = result_of(config)["labels"]
    audited = {item["id"] for item in result_of(config)["shortlists"][0] if item["strategy"] == "audit"}
    human = {row["id"] for row in rows if row["source"] == "human"}
    columns = pq.read_table(pool, columns=["path", "other", "useless", "label"]).to_pandas().set_index("path")
    trained, spoken = columns.loc[sorted(human - audited)], columns["other"].notna()
    for name, facts in weak["functions"].items():
        said = trained[name.removeprefix("functions.py:")]
        assert (facts["num_answered"], facts["num_right"]) == (said.notna().sum(), (said == trained["label"]).sum())
    other, useless = (weak["functions"][f"functions.py:{name}"] for name in ("other", "useless"))
    assert (other["coverage"], useless["coverage"]) == (pytest.approx(spoken.mean()), 1)
    assert other["accuracy"] > useless["accuracy"]

    # Nothing is learned of audit items: 800 less 120 audited and 40 answered ones are all that there is to learn from.
    assert weak["num_items"] == 640
    # People's answers are the only ones.
    assert len(human) == 160
    assert all(row["label"] == truth[row["id"]] for row in rows if row["source"] == "human")
    assert {row["source"] for row in rows} <= {"human", "auto", "none"}
    assert report["rounds"][0]["num_training_answers"] == 40
    assert verify(campaign)["verified"] is True

    # Whatever the number of workers: the same weak labels, shortlist and labels.
    alone = campaign_of(pool, tmp_path / "alone", data, "other", "useless", workers=1)
    assert run(alone)["rounds"][0]["weak"] == weak
    assert result_of(alone) == result_of(config)


def test_useless_functions_change_nothing(plain: Config, pool: Path, data: Path, tmp_path: Path) -> None:
    config = campaign_of(pool, tmp_path / "workspace", data, "useless")
    assert run(config)["rounds"][0]["weak"]["weight"] == 0
    assert result_of(config) == result_of(plain)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def othr(columns): ...\n", "unknown function of {file} 'other': did you mean othr?"),
        ("def other(columns:\n", "weak.functions: {file} cannot be imported here: SyntaxError"),
        (
            "def other(columns):\n    return ['plane' if n > 'train/ship' else None for n in columns['id']]\n",
            "weak.functions: mine.py:other says 'plane' of item 'train/",
        ),
        (
            "def other(columns):\n    return [None, None]\n",
            "weak.functions: mine.py:other returned 2 votes for 400 items (the first is '",
        ),
        (
            "def other(columns):\n    return [n.index('truck') and None for n in columns['id']]\n",
            "weak.functions: mine.py:other fails on item 'train/",
        ),
        (
            "def other(columns):\n    return columns['blue']\n",
            "KeyError: 'blue'; it is given the columns id, other, useless (pool.metadata_columns names more)",
        ),
    ],
)
def test_functions_that_cannot_be_used(pool: Path, data: Path, tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "mine.py"
    file.write_text(text)
    config = campaign_of(pool, tmp_path / "workspace", data)
    toml = write_toml(config, tmp_path / "campaign.toml")
    done = invoke("run", toml, "--set", 'weak.functions=["mine.py:other"]')
    assert (done.returncode, "Traceback" in done.stderr) == (2, False)
    assert message.format(file=file) in done.stderr


def test_a_function_that_changes_is_another_campaign(pool: Path, data: Path, tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("def other(columns):\n    return columns['other']\n")
    toml = write_toml(campaign_of(pool, tmp_path / "workspace", data), tmp_path / "campaign.toml")
    mine = ("--set", 'weak.functions=["mine.py:other"]')
    assert invoke("embed", toml, *mine).returncode == 0
    file.write_text("def other(columns):\n    return columns['useless']\n")
    done = invoke("embed", toml, *mine)
    assert done.returncode == 2
    assert "  functions.mine.py:other: there '" in done.stderr


def test_columns_that_are_not_there(pool: Path, data: Path, tmp_path: Path) -> None:
    toml = write_toml(campaign_of(pool, tmp_path / "workspace", data), tmp_path / "campaign.toml")
    done = invoke("run", toml, "--set", 'pool.metadata_columns=["blue"]')
    assert done.returncode == 2
    assert "bad_column, has no column 'blue', only image, path, label, other, useless" in done.stderr
