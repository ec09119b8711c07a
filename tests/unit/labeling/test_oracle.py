from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from raylabel import schema
from raylabel.demo import DIGITS
from raylabel.errors import AnswersError, ConfigError
from raylabel.labeling.answers import collect
from raylabel.labeling.oracle import _class_of, answer_from_pool
from raylabel.pool import Plan, Shard
from raylabel.pool.listing import etag_of
from raylabel.workspace import open_filesystem, write_part

INDEX = {name: position for position, name in enumerate(DIGITS)}


def items(tiny, rows):
    return [{"row": row, "id": tiny.ids[row], "strategy": "margin"} for row in rows]


def test_answers_are_the_pools_own_labels(ray_session, tiny):
    rows, audit = [41, 3, 59, 20], np.array([3, 20])
    answer_from_pool(tiny.campaign, tiny.plan, 1, items(tiny, rows), audit)
    found = {row["id"]: row for row in collect(tiny.campaign, 1).to_pylist()}
    assert sorted(found) == sorted(tiny.ids[row] for row in rows)
    for row in rows:
        answer = found[tiny.ids[row]]
        assert answer["label"] == DIGITS[tiny.truth[row]]
        assert answer["purpose"] == ("audit" if row in audit else "train")
        assert (answer["kind"], answer["annotator"], answer["source"]) == ("label", "oracle", "oracle")
        assert answer["round"] == 1


def test_answering_again_changes_nothing(ray_session, tiny):
    for _ in range(2):
        answer_from_pool(tiny.campaign, tiny.plan, 0, items(tiny, [1, 2]), np.array([], dtype=np.int64))
    assert collect(tiny.campaign, 0).num_rows == 2


def test_folder_pool_answers_from_its_folders_names(ray_session, tiny, tmp_path):
    paths = ["five/a.png", "deep/nine/b.png"]
    columns = {"path": paths, "size": [1, 1], "etag": ["", ""]}
    listing = write_part(tiny.campaign.store, "pool/listing", pa.table(columns, schema=schema.LISTING))
    plan = Plan(str(tmp_path), "folder", None, (Shard(0, paths[0], 0, 2, listing=listing),))
    asked = [{"row": row, "id": path, "strategy": "margin"} for row, path in enumerate(paths)]
    answer_from_pool(tiny.campaign, plan, 0, asked, np.array([1]))
    rows = collect(tiny.campaign, 0).to_pylist()
    assert {(row["id"], row["label"], row["purpose"]) for row in rows} == {
        ("five/a.png", "five", "train"),
        ("deep/nine/b.png", "nine", "audit"),
    }


def test_parquet_pool_without_a_label_column(begin):
    tiny = begin(pool={"label_column": None})
    with pytest.raises(ConfigError, match=r"set pool\.label_column"):
        answer_from_pool(tiny.campaign, tiny.plan, 0, items(tiny, [1]), np.array([], dtype=np.int64))


def test_label_of_the_pool_that_is_no_class(ray_session, tiny, tmp_path):
    """Nothing is appended: an oracle's round is taken whole."""
    folder = tmp_path / "pool"
    folder.mkdir()
    table = pa.table({"id": ["a", "b"], "image": [b"", b""], "label": ["five", "fiv"]})
    pq.write_table(table, folder / "p.parquet")
    filesystem, path = open_filesystem(str(folder / "p.parquet"))
    shard = Shard(0, "p.parquet", 0, 2, etag_of(filesystem.info(path)), (0, 1))
    plan = replace(tiny.plan, root=str(folder), shards=(shard,))
    asked = [{"row": 0, "id": "a", "strategy": "margin"}, {"row": 1, "id": "b", "strategy": "margin"}]
    with pytest.raises(AnswersError, match=r"the pool's label of b: unknown class 'fiv': did you mean five"):
        answer_from_pool(tiny.campaign, plan, 0, asked, np.array([0]))
    assert collect(tiny.campaign, 0).num_rows == 0


@pytest.mark.parametrize(("label", "expected"), [("nine", "nine"), (9, "nine"), (0, "zero")])
def test_class_of_a_name_or_an_index(label, expected):
    assert _class_of(label, DIGITS, INDEX, where="here") == expected


@pytest.mark.parametrize(
    ("label", "match"),
    [
        (10, "here: 10 is no index into the 10 classes"),
        (-1, "here: -1 is no index"),
        (None, "here is missing; an oracle must have one for every item"),
        ("ten", "here: unknown class 'ten'"),
    ],
)
def test_class_of_what_is_none(label, match):
    with pytest.raises(AnswersError, match=match):
        _class_of(label, DIGITS, INDEX, where="here")
