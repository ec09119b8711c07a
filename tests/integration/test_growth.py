"""A pool that grows under a campaign: what is there stays as it is, what comes is a part of its own."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from campaigns import digits_settings, invoke, run, write_toml

from raylabel import run as drive
from raylabel import schema
from raylabel.campaign import find_labels
from raylabel.config import Config
from raylabel.demo import write_pool
from raylabel.opening import open_campaign
from raylabel.planned import find_plan, grow_once
from raylabel.verify import verify
from raylabel.workspace import Record, read_parts

pytestmark = pytest.mark.usefixtures("ray_session")

CLASSES = ["zero", "one"]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> pa.Table:
    """240 digits that are easily told apart: zeros and ones."""
    folder = tmp_path_factory.mktemp("growth") / "all"
    write_pool(folder)
    table = pq.read_table(folder)
    return table.filter(pc.is_in(table.column("label"), value_set=pa.array(CLASSES))).slice(0, 240)


def files_below(workspace: Path, *, but: tuple[str, ...] = ("driver.lease", "report.json")) -> dict[str, bytes]:
    """What lies in a workspace, but for what every run writes."""
    names = {path.relative_to(workspace): path for path in workspace.rglob("*") if path.is_file()}
    return {str(name): path.read_bytes() for name, path in names.items() if name.parts[0] not in but}


def labels_of(config: Config) -> dict[str, dict[str, Any]]:
    """The newest result, by id."""
    campaign = open_campaign(config)
    record = find_labels(campaign)
    assert record is not None
    table = read_parts(campaign.store, record.parts["labels"], schema=schema.LABELS)
    return {row["id"]: row for row in table.to_pylist()}


def record_of(config: Config, name: str) -> Record:
    found = open_campaign(config).records.find(name)
    assert found is not None
    return found


def rows_in(config: Config, parts: Any) -> list[int]:
    campaign = open_campaign(config)
    columns = [read_parts(campaign.store, [part], schema=schema.LABELS, columns=["row"]) for part in parts]
    return [row for column in columns for row in column.column("row").to_pylist()]


def check_verified(config: Config) -> None:
    """All of a grown campaign's verdicts and labels come out again."""
    facts = verify(open_campaign(config))
    assert {check["name"]: check["differs"] for check in facts["checks"] if check["differs"]} == {}
    assert (facts["verified"], facts["finished"]) == (True, True)


def put(album: Path, pictures: pa.Table) -> list[str]:
    """Write pictures as files, a folder a class; their ids in the order of their paths."""
    names = []
    for row in pictures.to_pylist():
        file = album / row["label"] / f"{row['id']}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(row["image"])
        names.append(str(file.relative_to(album)))
    return sorted(names)


def test_a_folder_grows_between_two_rounds(pictures: pa.Table, tmp_path: Path) -> None:
    """The round that follows sees all of the pool, audits what came, and each part has its own certificate."""
    album, workspace = tmp_path / "album", tmp_path / "workspace"
    old = put(album, pictures.slice(60, 120))
    budget = {"train_answers": 20, "audit_answers": 48, "rounds": 2}
    config = digits_settings(album, workspace, classes=CLASSES, pool={"label_column": None}, budget=budget)
    drive(config, until="accept")
    before = files_below(workspace)
    new = put(album, pa.concat_tables([pictures.slice(0, 60), pictures.slice(180, 60)]))
    report = drive(config, grow=True)
    assert report is not None

    after = files_below(workspace)
    assert {name: after[name] for name in before} == before
    [digest] = [Path(name).stem for name in after if name.startswith("backbones/") and name.endswith(".safetensors")]
    first, second = record_of(config, f"embeddings/{digest}"), record_of(config, f"embeddings/{digest}-0001")
    assert second.parts["embeddings"][: len(first.parts["embeddings"])] == first.parts["embeddings"]
    assert rows_in(config, first.parts["embeddings"]) == list(range(120))
    assert rows_in(config, second.parts["embeddings"]) == list(range(240))
    assert second.facts["speed"]["images"] == 120  # and no old one
    assert rows_in(config, record_of(config, "rounds/0000/predictions-0001").parts["predictions"]) == [*range(120, 240)]
    assert len(rows_in(config, record_of(config, "rounds/0001/predictions").parts["predictions"])) == 240

    campaign = open_campaign(config)
    draws = [record_of(config, f"audit/draw-{number:04d}").parts["audit"] for number in (0, 1)]
    audits = [read_parts(campaign.store, draw, schema=schema.AUDIT) for draw in draws]
    assert [audit.num_rows for audit in audits] == [48, 48]
    assert min(audits[1].column("row").to_pylist()) >= 120
    asked = read_parts(
        campaign.store, record_of(config, "rounds/0001/shortlist").parts["shortlist"], schema=schema.SHORTLIST
    )
    drawn = asked.filter(pc.equal(asked.column("strategy"), "audit"))
    assert sorted(drawn.column("row").to_pylist()) == audits[1].column("row").to_pylist()

    assert [facts["plan"] for facts in report["rounds"]] == [0, 1]
    strata = report["rounds"][1]["strata"]
    assert [(stratum["plan"], stratum["num_items"], stratum["verdict"]) for stratum in strata] == [
        (0, 120, "certificate"),
        (1, 120, "certificate"),
    ]
    assert {stratum["details"]["alpha"] for stratum in strata} == {0.05 / 2 / 2}
    labels = labels_of(config)
    assert list(labels) == [*old, *new]
    assert all(labels[name]["label"] == name.split("/")[0] for name in labels if labels[name]["source"] == "human")
    auto = [sum(labels[name]["source"] == "auto" for name in names) for names in (old, new)]
    assert auto == [stratum["details"]["num_auto"] for stratum in strata]
    assert report["pool"]["num_rows"] == 240
    assert report["labels"]["folder"] == f"{workspace}/labels-0001"
    certificates = {row["certificate"] for row in labels.values() if row["source"] == "auto"}
    assert certificates == {"rounds/0001/verdict", "rounds/0001/verdict#1"}
    check_verified(config)


@pytest.mark.parametrize("lost", [("round",), ("round", "verdict")])
def test_a_round_that_was_killed_before_its_commit_and_then_grown(
    pictures: pa.Table, tmp_path: Path, lost: tuple[str, ...]
) -> None:
    """Its forecast was made with the old plan, so the round stays with it; the next one sees what came."""
    pool, workspace = tmp_path / "pool", tmp_path / "workspace"
    pool.mkdir()
    pq.write_table(pictures.slice(0, 120), pool / "b.parquet")
    budget = {"train_answers": 20, "audit_answers": 48, "rounds": 2}
    config = digits_settings(pool, workspace, classes=CLASSES, budget=budget)
    drive(config, until="accept")
    for name in lost:
        (workspace / "rounds" / "0000" / f"{name}.json").unlink()
    pq.write_table(pictures.slice(120, 60), pool / "c.parquet")
    report = drive(config, grow=True)
    assert report is not None
    assert [facts["plan"] for facts in report["rounds"]] == [0, 1]
    assert [record_of(config, f"rounds/{number:04d}/forecast").facts["plan"] for number in (0, 1)] == [0, 1]
    assert report["forecast"]["outcome"]["num_audit"] == sum(
        stratum["audit"]["num_audited"] for stratum in report["rounds"][1]["strata"]
    )
    check_verified(config)


@pytest.fixture
def done(pictures: pa.Table, tmp_path: Path) -> Config:
    """A campaign on two Parquet files, run to its end."""
    pool = tmp_path / "pool"
    pool.mkdir()
    for number, name in enumerate("bc"):
        pq.write_table(pictures.slice(60 * number, 60), pool / f"{name}.parquet")
    budget = {"train_answers": 20, "audit_answers": 48, "rounds": 1}
    config = digits_settings(pool, tmp_path / "workspace", classes=CLASSES, budget=budget)
    run(config)
    return config


def test_parquet_grows_twice_after_the_last_round(done: Config, pictures: pa.Table) -> None:
    """Nobody is left to audit what came: it is embedded and open, and what was certified before stays so."""
    pool, workspace = Path(done.pool.path), Path(done.workspace)
    first, old = files_below(workspace), labels_of(done)
    assert any(row["source"] == "auto" for row in old.values())
    drive(done, grow=True)
    assert files_below(workspace) == first  # nothing has come
    for version, (name, start) in enumerate((("a", 120), ("d", 180)), start=1):
        before, added = files_below(workspace), pictures.slice(start, 60)
        pq.write_table(added, pool / f"{name}.parquet")
        report = drive(done, grow=True)
        assert report is not None
        after = files_below(workspace)
        assert {name: after[name] for name in before} == before
        labels = labels_of(done)
        assert {name: labels[name] for name in old} == old
        assert list(labels)[-60:] == added.column("id").to_pylist()
        assert {(row["source"], row["label"]) for name, row in labels.items() if name not in old} == {("none", None)}
        assert report["pool"]["num_rows"] == 120 + 60 * version
        assert report["labels"]["num_undecided"] == sum(row["source"] == "none" for row in labels.values())
        assert report["labels"]["sentence"].endswith(
            f" {60 * version} items came into the pool later: no round was left to audit them, so that no certificate "
            "covers them."
        )
        assert report["labels"]["folder"] == f"{workspace}/labels-000{version}"
        assert find_plan(open_campaign(done)).starts == (0, 120, 180)[: version + 1]
        check_verified(done)
    assert drive(done) == report


def test_a_growth_that_was_killed_goes_on(done: Config, pictures: pa.Table) -> None:
    """After its plan was committed, and after some of its shards were embedded: any run goes on from there."""
    pool, workspace = Path(done.pool.path), Path(done.workspace)
    pq.write_table(pictures.slice(120, 60), pool / "a.parquet")
    pq.write_table(pictures.slice(180, 60), pool / "d.parquet")
    campaign = open_campaign(done)
    grow_once(campaign, find_plan(campaign))
    report = run(done)
    labels, whole = labels_of(done), files_below(workspace)
    assert len(labels) == 240
    [embedded] = (workspace / "embeddings").glob("*-0001.json")
    embedded.unlink()
    (workspace / "embeddings" / embedded.name.removesuffix("-0001.json") / "shard-000003.json").unlink()
    for path in [*(workspace / "labels-0001").iterdir(), workspace / "rounds" / "0000" / "predictions-0001.json"]:
        path.unlink()
    again = run(done)
    assert labels_of(done) == labels
    assert again["labels"] == report["labels"]
    kept = {name for name in whole if name.startswith(("embeddings/", "labels/", "pool/"))}
    kept -= {f"embeddings/{embedded.name}", f"embeddings/{embedded.name.removesuffix('-0001.json')}/shard-000003.json"}
    after = files_below(workspace)
    assert {name: after[name] for name in kept} == {name: whole[name] for name in kept}


def test_what_is_known_must_stay_as_it_is(done: Config, pictures: pa.Table, tmp_path: Path) -> None:
    pool, workspace = Path(done.pool.path), Path(done.workspace)
    toml, before = write_toml(done, tmp_path / "campaign.toml"), files_below(Path(done.workspace))
    pq.write_table(pictures.slice(120, 60), pool / "a.parquet")
    pq.write_table(pictures.slice(0, 59), pool / "b.parquet")
    found = invoke("run", toml, "--grow")
    assert found.returncode == 2
    assert f"raylabel: {pool}/b.parquet: has changed since it was planned; growth takes in what is new" in found.stderr
    assert files_below(workspace) == before
    assert invoke("run", toml).returncode == 0  # without growth it is not looked at
