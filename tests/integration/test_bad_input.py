"""A user's mistakes, from the command line: one clear message, the right exit code, no traceback."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from campaigns import LEAN, invoke, write_toml
from PIL import Image

from raylabel.cli.options import working
from raylabel.config import Config
from raylabel.demo import DIGITS, write_pool

pytestmark = pytest.mark.usefixtures("ray_session")


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """600 digits in two Parquet files."""
    folder = tmp_path_factory.mktemp("digits")
    write_pool(folder / "all")
    table = pq.read_table(folder / "all").slice(0, 600)
    (folder / "pool").mkdir()
    for number in range(2):
        pq.write_table(table.slice(300 * number, 300), folder / "pool" / f"digits-{number}.parquet")
    return folder / "pool"


@pytest.fixture
def tree(digits: Path, tmp_path: Path, ray_session: str) -> dict[str, Any]:
    """A campaign that would run."""
    return {
        "workspace": str(tmp_path / "workspace"),
        "classes": list(DIGITS),
        "pool": {"path": str(digits), "label_column": "label"},
        "backbone": {"name": "tiny_cnn", "weights": "none", "image_size": 16},
        "budget": {"train_answers": 60, "audit_answers": 100, "rounds": 1},
        "labeling": {"labeler": "oracle"},
        "acceptance": {"max_error": 0.1},
        "compute": LEAN,
    }


def attempt(tree: dict[str, Any], tmp_path: Path, *arguments: str) -> tuple[int, str, str]:
    """Run the campaign; the exit code, what it said of its mistake, and its facts."""
    toml = write_toml(Config.model_validate(tree), tmp_path / "campaign.toml")
    done = invoke("run", toml, *arguments)
    assert "Traceback" not in done.stderr
    said = [line for line in done.stderr.splitlines() if line.startswith("raylabel: ")]
    return done.returncode, said[0] if said else "", done.stdout


def copy_pool(source: Path, target: Path) -> list[Path]:
    target.mkdir()
    files = []
    for file in sorted(source.iterdir()):
        files.append(target / file.name)
        files[-1].write_bytes(file.read_bytes())
    return files


def test_missing_pool(tree: dict[str, Any], tmp_path: Path) -> None:
    tree["pool"]["path"] = str(tmp_path / "nowhere")
    code, said, _ = attempt(tree, tmp_path)
    assert code == 2
    assert said == f"raylabel: {tmp_path}/nowhere: there is no such pool; check pool.path"


def test_unreadable_pool(tree: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "pool").mkdir()
    (tmp_path / "pool" / "a.parquet").write_bytes(b"not a parquet file")
    tree["pool"]["path"] = str(tmp_path / "pool")
    code, said, _ = attempt(tree, tmp_path)
    assert code == 2
    assert "none of its 1 Parquet files can be used; a.parquet: unreadable" in said


def test_unknown_key(tree: dict[str, Any], tmp_path: Path) -> None:
    toml = write_toml(Config.model_validate(tree), tmp_path / "campaign.toml")
    done = invoke("run", toml, "--set", "budget.train_answer=5")
    assert done.returncode == 2
    assert done.stderr == (
        "raylabel: --set budget.train_answer=5: unknown key 'budget.train_answer': did you mean 'train_answers'?\n"
    )


def test_init_over_a_file_asks_no_question(tmp_path: Path) -> None:
    target = tmp_path / "campaign.toml"
    target.write_text("mine")
    done = invoke("init", target)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"raylabel: {target}: is there already; remove it or choose another name\n"


def test_one_class(tree: dict[str, Any], tmp_path: Path) -> None:
    toml = write_toml(Config.model_validate(tree), tmp_path / "campaign.toml")
    done = invoke("run", toml, "--set", 'classes=["one"]')
    assert done.returncode == 2
    assert "classes: at least 2 are needed, got 1" in done.stderr


@pytest.mark.parametrize(
    ("section", "key", "value", "message"),
    [
        ("sampling", "strategy", "margins", "unknown strategy 'margins': did you mean margin"),
        ("sampling", "cold_start", "entropy", "'entropy' needs a model or answers and round 0 has none"),
        ("backbone", "name", "resnet19", "unknown backbone 'resnet19': did you mean resnet1"),
        ("budget", "train_answers", 5000, "5000 training and 100 audit answers are more than the 600 items"),
        ("budget", "audit_answers", 10, "10 cannot certify at most 10.0% wrong"),
        ("pool", "id_column", "label", "stands there twice"),
    ],
)
def test_wrong_setting(
    tree: dict[str, Any], tmp_path: Path, section: str, key: str, value: object, message: str
) -> None:
    tree.setdefault(section, {})[key] = value
    code, said, _ = attempt(tree, tmp_path)
    assert (code, message in said) == (2, True), said


def test_weights_that_do_not_fit(tree: dict[str, Any], tmp_path: Path, data: Path) -> None:
    tree["backbone"] = {
        "name": "mobilenet_v3_small",
        "weights": str(data / "weights" / "mobilenet_v2_imagenet.safetensors"),
        "image_size": 64,
    }
    code, said, _ = attempt(tree, tmp_path)
    assert code == 2
    assert "tensor 'features.0.0.weight' has shape (32, 3, 3, 3), the backbone wants (16, 3, 3, 3)" in said


def test_class_missing_from_the_config(tree: dict[str, Any], tmp_path: Path) -> None:
    tree["classes"] = [name for name in DIGITS if name != "seven"]
    code, said, _ = attempt(tree, tmp_path)
    assert code == 2
    assert "unknown class 'seven': did you mean seve" in said or "unknown class 'seven'" in said


def test_class_missing_from_the_answers(tree: dict[str, Any], tmp_path: Path) -> None:
    tree["classes"] = [*DIGITS, "ten"]
    toml = write_toml(Config.model_validate(tree), tmp_path / "campaign.toml")
    done = invoke("run", toml, "--json")
    assert done.returncode == 0, done.stderr
    assert "no answer names ten yet, so the model cannot" in done.stderr
    assert json.loads(done.stdout)["rounds"][0]["classes_without_answers"] == ["ten"]


def test_broken_parts_are_quarantined_and_the_rest_completes(
    tree: dict[str, Any], digits: Path, tmp_path: Path
) -> None:
    files = copy_pool(digits, tmp_path / "pool")
    table = pq.read_table(files[1])
    images = table.column("image").to_pylist()
    images[5], images[6], images[7] = b"", b"<html>404</html>", images[7][:60]
    pq.write_table(table.set_column(table.schema.get_field_index("image"), "image", [images]), files[1])
    pq.write_table(table.slice(0, 0), tmp_path / "pool" / "empty.parquet")
    (tmp_path / "pool" / "zero.parquet").write_bytes(b"")
    tree["pool"]["path"] = str(tmp_path / "pool")
    code, said, _ = attempt(tree, tmp_path)
    assert code == 3
    assert "3 of 600 items and 2 whole files could not be read" in said
    found = [pq.read_table(part).to_pylist() for part in Path(tree["workspace"]).glob("quarantine/*.parquet")]
    rows = {row["id"] or row["shard"]: row["error_code"] for rows in found for row in rows}
    assert rows == {
        "digit-0305": "empty",
        "digit-0306": "not_an_image",
        "digit-0307": rows["digit-0307"],
        "empty.parquet": "empty",
        "zero.parquet": "unreadable",
    }
    assert rows["digit-0307"] in ("cut", "decode_failed")
    labels = [pq.read_table(part) for part in Path(tree["workspace"]).glob("labels/*.parquet")]
    ids = [name for part in labels for name in part.column("id").to_pylist()]
    assert len(ids) == len(set(ids)) == 597


def test_embeddings_that_are_not_finite_or_zero(tree: dict[str, Any], digits: Path, tmp_path: Path) -> None:
    """White gives infinity in float16, and is lost; black gives the zero vector, and is an image like others."""
    files = copy_pool(digits, tmp_path / "pool")
    table = pq.read_table(files[0])
    images = table.column("image").to_pylist()
    for row, level in ((5, 255), (6, 0), (7, 0)):
        data = io.BytesIO()
        Image.new("L", (16, 16), level).save(data, "PNG")
        images[row] = data.getvalue()
    pq.write_table(table.set_column(table.schema.get_field_index("image"), "image", [images]), files[0])
    (tmp_path / "own.py").write_text(
        "import torch\n"
        "class Own(torch.nn.Module):\n"
        "    def forward(self, images):\n"
        "        small = torch.nn.functional.avg_pool2d(images, 4).mean(1).flatten(1)\n"
        "        return small * torch.where(small.mean(1, keepdim=True) > 0.95, 1e6, 1.0)\n"
        "def build():\n"
        "    return Own(), (0.0,) * 3, (1.0,) * 3\n"
    )
    tree["pool"] |= {"path": str(tmp_path / "pool"), "quarantine_limit": 0}
    tree["backbone"] = {"name": f"{tmp_path / 'own.py'}:build", "weights": "none", "image_size": 16}
    tree["budget"]["rounds"] = 2
    tree["sampling"] = {"cold_start": "k_center", "strategy": "cluster_margin"}
    code, said, _ = attempt(tree, tmp_path)
    assert code == 3
    assert "1 of 600 items and 0 whole files could not be read" in said
    [lost] = [pq.read_table(part).to_pylist() for part in Path(tree["workspace"]).glob("quarantine/*.parquet")]
    assert [(row["id"], row["stage"], row["error_code"]) for row in lost] == [
        ("digit-0005", "embed", "embedding_not_finite")
    ]
    ids = {name for part in Path(tree["workspace"]).glob("labels/*.parquet") for name in read_ids(part)}
    assert len(ids) == 599 and "digit-0005" not in ids and {"digit-0006", "digit-0007"} <= ids


def read_ids(part: Path) -> list[str]:
    found: list[str] = pq.read_table(part, columns=["id"]).column("id").to_pylist()
    return found


def test_answers_of_one_class(tree: dict[str, Any], tmp_path: Path) -> None:
    """One answer a round: after the first the model knows one class only, and the second begins again."""
    tree["budget"] |= {"train_answers": 2, "rounds": 2}
    tree["sampling"] = {"cold_start": "k_center"}
    toml = write_toml(Config.model_validate(tree), tmp_path / "campaign.toml")
    done = invoke("run", toml, "--json")
    assert done.returncode == 0, done.stderr
    assert "round 0 · train: 1 answers, all of one class: not judged" in done.stderr
    report = json.loads(done.stdout)
    assert report["rounds"][0]["cross_fitted_accuracy"] is None
    assert {facts["verdict"] for facts in report["rounds"]} == {"withheld"}  # the audit finds nine tenths wrong
    assert report["labels"]["num_auto"] == 0
    [asked] = [pq.read_table(part) for part in Path(tree["workspace"]).glob("rounds/0001/shortlist-*.parquet")]
    assert asked.column("strategy").to_pylist() == ["k_center"]
    assert asked.column("reason")[0].as_py().endswith("; cold start again: all training answers name one class")


def test_a_pool_of_one_class(tree: dict[str, Any], digits: Path, tmp_path: Path) -> None:
    """The model says that class of everything; the audit agrees, and carries it."""
    for file in copy_pool(digits, tmp_path / "pool"):
        table = pq.read_table(file)
        where = table.schema.get_field_index("label")
        pq.write_table(table.set_column(where, "label", [["one"] * table.num_rows]), file)
    tree["pool"]["path"] = str(tmp_path / "pool")
    toml = write_toml(Config.model_validate(tree), tmp_path / "campaign.toml")
    done = invoke("run", toml, "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["labels"]["verdict"] == "certificate"
    assert (report["labels"]["num_human"], report["labels"]["num_auto"]) == (160, 440)
    labels = [pq.read_table(part) for part in Path(tree["workspace"]).glob("labels/*.parquet")]
    assert {label for part in labels for label in part.column("label").to_pylist()} == {"one"}


def test_duplicate_ids_are_named(tree: dict[str, Any], digits: Path, tmp_path: Path) -> None:
    files = copy_pool(digits, tmp_path / "pool")
    table = pq.read_table(files[1])
    ids = table.column("id").to_pylist()
    ids[10] = "digit-0003"
    pq.write_table(table.set_column(0, "id", [ids]), files[1])
    tree["pool"]["path"] = str(tmp_path / "pool")
    code, said, _ = attempt(tree, tmp_path)
    assert code == 2
    assert "the id 'digit-0003' stands there twice (digits-0.parquet, row 3 and digits-1.parquet, row 10)" in said


def test_another_config_on_the_same_workspace(tree: dict[str, Any], tmp_path: Path) -> None:
    Path(tree["workspace"]).mkdir()
    toml = write_toml(Config.model_validate(tree), tmp_path / "campaign.toml")
    assert invoke("embed", toml).returncode == 0
    code, said, _ = attempt({**tree, "seed": 1}, tmp_path)
    assert code == 2
    assert "this workspace was made with other settings" in said


def test_pixels_survive_the_pool(digits: Path) -> None:
    """The demo's PNGs hold the digits themselves: the mean brightness of each follows the original's."""
    from sklearn.datasets import load_digits

    original = load_digits().images[:300].mean(axis=(1, 2)) * 255 / 16
    from io import BytesIO

    from PIL import Image

    images = pq.read_table(digits / "digits-0.parquet").column("image").to_pylist()
    written = np.array([np.asarray(Image.open(BytesIO(data))).mean() for data in images])
    assert np.abs(written - original).max() < 8
    assert pa.types.is_binary(pq.read_schema(digits / "digits-0.parquet").field("image").type)


def test_what_an_engine_prints_goes_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    """As Ray's warning of slow workers did, before the JSON of a run."""
    with working():
        print("(raylet) WARNING: 8 PYTHON worker processes have been started")
    assert capsys.readouterr() == ("", "(raylet) WARNING: 8 PYTHON worker processes have been started\n")


def test_no_audit_answers(tree: dict[str, Any], tmp_path: Path) -> None:
    """Nothing is promised, and it is said how many answers would be needed; the forecast says so before."""
    tree["budget"] |= {"audit_answers": 0}
    toml = write_toml(Config.model_validate(tree), tmp_path / "campaign.toml")
    done = invoke("run", toml)
    assert done.returncode == 0, done.stderr
    assert "forecast: no audit answers, so no machine labels" in done.stderr
    assert "No certificate that at most 10 % of the auto-labels are wrong" in done.stdout
    assert "there are no audit answers. About " in done.stdout
    assert invoke("verify", toml).returncode == 0


def test_too_few_audit_answers_for_the_pool(tree: dict[str, Any], tmp_path: Path) -> None:
    """59 would do for any large pool, and do not for this one: refused before anyone is asked, and by the plan."""
    tree["budget"] |= {"audit_answers": 59, "train_answers": 441}
    tree["acceptance"] = {"max_error": 0.05}
    code, said, _ = attempt(tree, tmp_path)
    assert code == 2
    assert (
        "59 of a pool of 600 cannot certify at most 5.0% wrong with 95.0% confidence a look, even if all agree" in said
    )
    planned = invoke("plan", tmp_path / "campaign.toml")
    assert (planned.returncode, said in planned.stderr) == (2, True)
