"""`raylabel search` as a user runs it: a finished campaign is searched, and re-encoded copies in a pool are found."""

import io
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from campaigns import digits_settings, invoke, run, write_toml
from PIL import Image, ImageEnhance

from raylabel.config import Config
from raylabel.demo import write_pool
from raylabel.opening import find_campaign
from raylabel.pool.decode import decode
from raylabel.reporting.sheet import SIDE, place
from raylabel.sampling.duplicates import first_of_each, near_duplicates
from raylabel.workspace import read_part
from raylabel.workspace.vectors import embeddings_of

NUM_DIGITS = 400
NUM_PHOTOS = 60


def at(sheet: Path, line: int, column: int) -> np.ndarray:
    """The pixels of a thumbnail in a sheet."""
    left, top = place(line, column)
    return np.asarray(Image.open(sheet))[top : top + SIDE, left : left + SIDE]


def shown(image: bytes, config: Config) -> np.ndarray:
    """A picture as a thumbnail."""
    return decode(image, config.backbone.model_copy(update={"image_size": SIDE}), max_pixels=10**6)


@pytest.fixture(scope="module")
def digits(ray_session: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Config, dict[str, bytes]]:
    """A finished campaign on the first digits: its TOML, config and images."""
    place = tmp_path_factory.mktemp("search")
    write_pool(place / "all")
    table = pq.read_table(place / "all").slice(0, NUM_DIGITS)
    (place / "pool").mkdir()
    for number in range(2):
        pq.write_table(table.slice(200 * number, 200), place / "pool" / f"digits-{number}.parquet")
    config = digits_settings(place / "pool", place / "workspace")
    run(config)
    images = dict(zip(table.column("id").to_pylist(), table.column("image").to_pylist(), strict=True))
    return write_toml(config, place / "campaign.toml"), config, images


def stored(config: Config) -> tuple[list[str], np.ndarray]:
    """Ids and embeddings of the whole pool, in row order."""
    campaign = find_campaign(config)
    first = campaign.records.find("backbones/first")
    assert first is not None
    record = campaign.records.find(f"embeddings/{first.facts['digest']}")
    assert record is not None
    tables = [read_part(campaign.store, part) for part in record.parts["embeddings"]]
    ids = [name for table in tables for name in table.column("id").to_pylist()]
    return ids, np.concatenate([embeddings_of(table) for table in tables]).astype(np.float32)


def test_neighbours(digits: tuple[Path, Config, dict[str, bytes]], tmp_path: Path) -> None:
    """By id, by row, by files on disk and in a text; against brute force, in the table, in JSON and on the sheet."""
    toml, config, images = digits
    photo, text, sheet = tmp_path / "seven.png", tmp_path / "more.txt", tmp_path / "alike.png"
    photo.write_bytes(images["digit-0007"])
    text.write_text("row:123\n\n")
    done = invoke("search", toml, "digit-0042", photo, f"@{text}", "--size", 3, "--sheet", sheet)
    assert done.returncode == 0, done.stderr
    ids, embeddings = stored(config)
    lines = [line.split() for line in done.stdout.splitlines()]
    assert lines[0] == ["query", "rank", "row", "id", "distance", "label"]
    assert len(lines) == 1 + 3 * 3 + 1
    assert done.stdout.splitlines()[-1] == f"contact sheet of 3 lines: {sheet}"
    expected = []
    for query, row, itself in (("digit-0042", 42, True), (str(photo), 7, False), ("row:123", 123, True)):
        distances = np.linalg.norm(embeddings.astype(np.float64) - embeddings[row], axis=1)
        order = [other for other in np.argsort(distances, kind="stable") if other != row or not itself]
        expected += [
            [query, str(rank), str(other), ids[other], f"{distances[other]:.4f}"]
            for rank, other in enumerate(order[:3], start=1)
        ]
    assert [line[:5] for line in lines[1:-1]] == expected
    # The file holds the picture of an item: with the pool's own decoder and arithmetic nothing lies between them.
    assert lines[4][3:5] == ["digit-0007", "0.0000"]
    files = Path(config.workspace).glob("labels/*.parquet")
    labels = {row["id"]: row["label"] for file in files for row in pq.read_table(file).to_pylist()}
    assert [line[5] if len(line) > 5 else None for line in lines[1:-1]] == [labels[line[3]] for line in lines[1:-1]]
    assert any(labels[line[3]] for line in lines[1:-1])
    assert Image.open(sheet).size == place(3, 4)
    for line, first in enumerate(("digit-0042", "digit-0007", ids[123])):
        names = [first, *(row[3] for row in expected[3 * line : 3 * line + 3])]
        for column, name in enumerate(names):
            assert np.array_equal(at(sheet, line, column), shown(images[name], config))


def test_json(digits: tuple[Path, Config, dict[str, bytes]]) -> None:
    toml, _, _ = digits
    facts = json.loads(invoke("search", toml, "row:5", "--json", "--size", 2).stdout)
    assert (facts["num_rows"], facts["sheet"]) == (NUM_DIGITS, None)
    [query] = facts["queries"]
    assert (query["query"], query["row"], query["id"]) == ("row:5", 5, "digit-0005")
    assert [item["rank"] for item in query["neighbours"]] == [1, 2]
    assert set(query["neighbours"][0]) == {"rank", "row", "id", "distance", "label", "source"}


def test_mistakes(digits: tuple[Path, Config, dict[str, bytes]], tmp_path: Path) -> None:
    toml, config, _ = digits
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"\xff\xd8\xff, and then nothing")
    for arguments, said in (
        (["digit-42"], "digit-42: no item has that id, and no image file lies there; did you mean digit-"),
        (["row:400"], "row:400: the pool has 400 items, numbered from 0 to 399"),
        ([broken], "broken.jpg: cannot be decoded ("),
        (["row:1", "--sheet", "a.gif"], "a.gif: expected a name that ends in .png, .jpg or .jpeg"),
        ([], "give queries, or --duplicates"),
        (["row:1", "--duplicates"], "give queries, or --duplicates"),
    ):
        done = invoke("search", toml, *arguments)
        assert (done.returncode, done.stdout) == (2, ""), done
        assert said in done.stderr
    new = write_toml(config.model_copy(update={"workspace": str(tmp_path / "new")}), tmp_path / "new.toml")
    done = invoke("search", new, "row:1")
    assert done.returncode == 2
    assert "nothing was begun there" in done.stderr


@pytest.fixture
def album(data: Path, tmp_path: Path) -> tuple[Path, dict[str, str]]:
    """A folder of photos, four of them again: another quality, smaller, darker, the same bytes; copy -> original."""
    folder = tmp_path / "album"
    folder.mkdir()
    table = pq.read_table(data / "trashnet" / "part-000.parquet", columns=["image"])
    photos = [image.as_py() for image in table.column("image").take(list(range(0, 5 * NUM_PHOTOS, 5)))]
    for number, image in enumerate(photos):
        (folder / f"{number:03d}.jpg").write_bytes(image)
    opened = [Image.open(io.BytesIO(image)) for image in photos[:3]]
    opened[0].save(folder / "quality.jpg", quality=85)
    opened[1].resize((opened[1].width * 19 // 20, opened[1].height * 19 // 20)).save(folder / "smaller.jpg", quality=90)
    ImageEnhance.Brightness(opened[2]).enhance(0.93).save(folder / "darker.jpg", quality=90)
    (folder / "same.jpg").write_bytes(photos[3])
    copies = {"quality.jpg": "000.jpg", "smaller.jpg": "001.jpg", "darker.jpg": "002.jpg", "same.jpg": "003.jpg"}
    return folder, copies


def test_copies_are_found_and_asked_about_once(
    ray_session: str, album: tuple[Path, dict[str, str]], data: Path, tmp_path: Path
) -> None:
    folder, copies = album
    name, options = f"{data / 'weights' / 'backbones.py'}:build", {"n": "resnet18_l3"}
    config = digits_settings(
        folder,
        tmp_path / "workspace",
        pool={"label_column": None},
        backbone={"name": name, "options": options, "weights": "DEFAULT", "image_size": 128},
        budget={"train_answers": 10, "audit_answers": 0},
        labeling={"labeler": "files"},
        compute={"dtype": "float32"},
    )
    toml = write_toml(config, tmp_path / "campaign.toml")
    assert invoke("embed", toml).returncode == 0
    early = invoke("search", toml, "row:1")
    assert early.returncode == 2
    assert "no index yet; `raylabel select` builds it" in early.stderr
    assert invoke("select", toml).returncode == 0
    sheet = tmp_path / "groups.png"
    done = invoke("search", toml, "--duplicates", "--json", "--size", 100, "--sheet", sheet)
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    groups = [{item["id"] for item in group["items"]} for group in facts["groups"]]
    for copy, original in copies.items():
        assert any({copy, original} <= group for group in groups), (copy, groups)
    assert np.array_equal(at(sheet, 0, 0), shown((folder / facts["groups"][0]["items"][0]["id"]).read_bytes(), config))
    # A file of the pool is no neighbour of its own; its copy is the nearest there is.
    done = invoke("search", toml, folder / "003.jpg", "--json", "--size", 1)
    [nearest] = json.loads(done.stdout)["queries"][0]["neighbours"]
    assert (nearest["id"], nearest["distance"]) == ("same.jpg", 0)
    # The same groups in memory, as a shortlist is thinned: one of each, none where one is answered.
    ids, embeddings = stored(config)
    by_id = np.argsort(ids)
    names = [ids[place] for place in by_id]
    found = near_duplicates(embeddings[by_id])
    kept = {names[place] for place in first_of_each(np.arange(len(names)), found)}
    assert kept.isdisjoint(copies)
    assert len(kept) >= NUM_PHOTOS - 2
    answered = ids.index("smaller.jpg")
    rest = [place for place in by_id if place != answered]
    open_groups = near_duplicates(embeddings[rest], covered=embeddings[[answered]])
    kept = {ids[rest[place]] for place in first_of_each(np.arange(len(rest)), open_groups)}
    assert "001.jpg" not in kept and {"000.jpg", "002.jpg"} <= kept
