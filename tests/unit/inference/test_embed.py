import io
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from campaigns import bare_settings, digits_settings
from PIL import Image

from raylabel import inference
from raylabel.demo import write_pool
from raylabel.errors import PoolError
from raylabel.inference.embed import Team, team
from raylabel.models.backbones import build
from raylabel.models.encode import BatchEncoder
from raylabel.models.weights import fit, read
from raylabel.opening import open_campaign
from raylabel.planned import plan_once
from raylabel.pool.decode import decode
from raylabel.workspace import read_part
from raylabel.workspace.vectors import embeddings_of

NUM, BAD, FILES = 300, 123, 3


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    """Three files of a hundred digits; one picture is none."""
    folder = tmp_path_factory.mktemp("embed")
    write_pool(folder / "whole")
    rows = pq.read_table(folder / "whole").slice(0, NUM).to_pylist()
    rows[BAD]["image"] = b"no image"
    (folder / "pool").mkdir()
    for number in range(FILES):
        some = rows[number * NUM // FILES : (number + 1) * NUM // FILES]
        pq.write_table(pa.Table.from_pylist(some), folder / "pool" / f"{number}.parquet")
    return folder / "pool", rows


def embedded(pool, workspace, **compute):
    """What a pass stored: rows, ids, embeddings, and the records of it."""
    config = digits_settings(pool, workspace, compute=compute)
    campaign = open_campaign(config)
    ref = inference.first_backbone(campaign)
    pieces = inference.embed(campaign, plan_once(campaign), ref)
    tables = [read_part(campaign.store, part) for part in pieces.parts]
    rows = [row for table in tables for row in table.column("row").to_pylist()]
    ids = [name for table in tables for name in table.column("id").to_pylist()]
    return campaign, ref, pieces, rows, ids, np.concatenate([embeddings_of(table) for table in tables])


@pytest.mark.parametrize(
    "compute", [{"decode": "local", "workers": 2}, {"decode": "tasks", "workers": 2}, {"decode": "tasks"}]
)
def test_against_a_plain_loop(ray_session, pool, tmp_path, compute):
    """Every readable image once, in row order, with the embedding that one process gives shard by shard; bit by bit."""
    folder, rows = pool
    campaign, ref, pieces, found_rows, ids, embeddings = embedded(folder, tmp_path, **compute)
    assert found_rows == [row for row in range(NUM) if row != BAD]
    assert ids == [rows[row]["id"] for row in found_rows]
    assert [span for span in pieces.spans] == [(0, 99), (100, 199), (200, 299)]  # a part a shard

    backbone, arithmetic = campaign.config.backbone, campaign.profile.arithmetic
    encoder = build(backbone)
    fit(encoder, read(campaign.store.uri(ref.weights)), source=ref.weights)
    encode = BatchEncoder(encoder, arithmetic).encode
    expected = []
    for start in range(0, NUM, NUM // FILES):
        images = [rows[row]["image"] for row in range(start, start + NUM // FILES) if row != BAD]
        pixels = np.stack([decode(image, backbone, max_pixels=10**6) for image in images])
        cuts = range(0, len(pixels), arithmetic.batch_size)
        expected += [encode(pixels[at : at + arithmetic.batch_size]) for at in cuts]
    assert np.array_equal(embeddings, np.concatenate(expected))

    record = campaign.records.find(f"embeddings/{ref.digest}")
    assert record.facts["failed"] == 1
    assert record.facts["speed"]["images"] == NUM
    speed = record.facts["speed"]
    assert speed["achieved"] > 0
    # Stages beside one another are as fast as the slowest, one after another take their times together.
    beside, after = min(speed["decode"], speed["model"]), 1 / (1 / speed["decode"] + 1 / speed["model"])
    assert speed["limit"] == pytest.approx(beside if compute["decode"] == "tasks" else after)
    [lost] = [row for part in record.parts["quarantine"] for row in read_part(campaign.store, part).to_pylist()]
    assert (lost["id"], lost["error_code"], lost["stage"]) == (rows[BAD]["id"], "not_an_image", "embed")


WILD = """
import torch

class Wild(torch.nn.Module):
    def forward(self, images):
        found = images.mean((2, 3))
        level = found[:, :1]
        found = torch.where((level > 0.45) & (level < 0.55), float("nan"), found)
        return torch.where(level > 0.9, found * 70000, found)

def build():
    return Wild(), (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
"""
"""White is 70,000, which float32 can hold and float16 cannot; grey is NaN, black is zero."""


@pytest.fixture
def greys(tmp_path):
    """A function that writes a pool of plain pictures, one level of grey each, and a backbone of `WILD`."""

    def write(levels):
        rows = []
        for number, level in enumerate(levels):
            data = io.BytesIO()
            Image.new("L", (16, 16), level).save(data, "PNG")
            rows.append({"id": f"picture-{number}", "image": data.getvalue()})
        (tmp_path / "pool").mkdir()
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / "pool" / "all.parquet")
        (tmp_path / "wild.py").write_text(WILD)
        config = bare_settings(
            tmp_path / "workspace",
            pool={"path": str(tmp_path / "pool")},
            backbone={"name": f"{tmp_path / 'wild.py'}:build", "weights": "none", "image_size": 16},
        )
        campaign = open_campaign(config)
        return campaign, plan_once(campaign), inference.first_backbone(campaign)

    return write


def test_embeddings_that_are_not_finite_are_left_out_named_and_counted(ray_session, greys):
    campaign, plan, ref = greys([0, 51, 128, 255, 0, 102, 128])
    pieces = inference.embed(campaign, plan, ref)
    [part] = pieces.parts
    table = read_part(campaign.store, part)
    assert table.column("id").to_pylist() == ["picture-0", "picture-1", "picture-4", "picture-5"]
    assert (pieces.num_rows, pieces.spans) == (4, ((0, 5),))
    # A zero vector is an embedding like any other.
    assert embeddings_of(table).tolist() == [[0.0] * 3, [np.float16(0.2)] * 3, [0.0] * 3, [np.float16(0.4)] * 3]
    record = campaign.records.find(f"embeddings/{ref.digest}")
    assert record.facts["failed"] == 3
    lost = [row for part in record.parts["quarantine"] for row in read_part(campaign.store, part).to_pylist()]
    assert [row["id"] for row in lost] == ["picture-2", "picture-3", "picture-6"]
    assert {(row["stage"], row["error_code"], row["shard"]) for row in lost} == {
        ("embed", "embedding_not_finite", "all.parquet[0:1]")
    }
    assert {row["message"] for row in lost} == {
        "the backbone's output holds NaN, or a number that is infinite in float16 (beyond 65504)"
    }


def test_a_pool_without_a_single_embedding(ray_session, greys):
    campaign, plan, ref = greys([128, 255])
    for _ in range(2):  # found anew or read from its record
        with pytest.raises(PoolError, match=r"pool: none of its 2 items could be embedded; .*quarantine says why"):
            inference.embed(campaign, plan, ref)
    assert campaign.records.find(f"embeddings/{ref.digest}").facts["failed"] == 2


@pytest.mark.parametrize(
    ("compute", "cpus", "num_shards", "expected"),
    [
        # A core each; a third of what two cores have is left for Ray Data's own tasks.
        ({}, 2, 100, Team(2, None, {"num_cpus": 2 / 3, "num_gpus": 0.0})),
        ({}, 200, 1000, Team(200, None, {"num_cpus": 0.9, "num_gpus": 0.0})),
        ({"workers": 3}, 8, 100, Team(3, None, {"num_cpus": 0.9, "num_gpus": 0.0})),
        ({"workers": 3}, 8, 2, Team(2, None, {"num_cpus": 0.9, "num_gpus": 0.0})),  # nobody without a shard
        # Decode tasks want the cores.
        ({"workers": 1, "decode": "tasks"}, 8, 100, Team(1, 8, {"num_cpus": 0.0, "num_gpus": 0.0})),
        ({"workers": 1, "decode": "tasks"}, 8, 5, Team(1, 5, {"num_cpus": 0.0, "num_gpus": 0.0})),
        ({"workers": 1, "decode": "tasks"}, 200, 1000, Team(1, 64, {"num_cpus": 0.0, "num_gpus": 0.0})),
    ],
)
def test_the_team_is_sized_to_the_cluster(ray_session, tmp_path, compute, cpus, num_shards, expected):
    campaign = open_campaign(bare_settings(tmp_path, compute={"device": "cpu", **compute}))
    assert team(campaign, {"cpus": cpus, "gpus": 0}, num_shards=num_shards) == expected


@pytest.mark.parametrize(
    ("gpus", "num_shards", "expected"),
    [
        (2, 100, Team(2, 16, {"num_cpus": 0.0, "num_gpus": 1.0})),
        (2, 1, Team(1, 1, {"num_cpus": 0.0, "num_gpus": 1.0})),
    ],
)
def test_with_gpus_an_actor_each_and_all_cores_decode(ray_session, tmp_path, gpus, num_shards, expected):
    campaign = open_campaign(bare_settings(tmp_path))
    arithmetic = replace(campaign.profile.arithmetic, device="cuda")
    campaign = replace(campaign, profile=replace(campaign.profile, arithmetic=arithmetic))
    assert team(campaign, {"cpus": 16, "gpus": gpus}, num_shards=num_shards) == expected


def test_shards_that_are_done_are_not_repeated(ray_session, pool, tmp_path, capsys):
    folder, _ = pool
    campaign, ref, pieces, *_ = embedded(folder, tmp_path)
    campaign.store.remove(f"embeddings/{ref.digest}.json")
    campaign.store.remove(f"embeddings/{ref.digest}/shard-000001.json")
    capsys.readouterr()
    again = inference.embed(campaign, plan_once(campaign), ref)
    assert "embed: 100 images in 1 shard, 2 shards done before" in capsys.readouterr().err
    assert [again.parts[0], again.parts[2]] == [pieces.parts[0], pieces.parts[2]]
    assert again.parts[1].name != pieces.parts[1].name  # done again, under another name
    same = [embeddings_of(read_part(campaign.store, part)) for part in (again.parts[1], pieces.parts[1])]
    assert np.array_equal(*same)
