"""What raylabel writes in a format it reads back, and so does what other tools leave in it."""

import json

import numpy as np
import pytest
from PIL import Image

from raylabel.demo import DIGITS
from raylabel.labeling.answers import collect
from raylabel.labeling.intake import import_answers
from raylabel.pool import Want
from raylabel.pool.read import fetch_from
from raylabel.reporting.formats import FORMATS
from raylabel.reporting.formats.items import Labeled
from raylabel.workspace import Store

ASKED = [5, 44, 0, 12, 30]
AUDIT = np.array([44, 30])


@pytest.fixture
def asked(begin):
    tiny = begin(labeling={"labeler": "files"})
    tiny.publish(0, ASKED)
    return tiny


def labeled(tiny):
    """The asked items with their images and true labels."""
    facts = {"source": "human", "confidence": None, "round": 0, "model": None, "certificate": None}
    for shard, rows in tiny.plan.by_shard(ASKED):
        for item in fetch_from(tiny.plan, shard, rows, tiny.campaign.config.pool, tiny.campaign.store, Want()):
            index = int(tiny.truth[item.row])
            yield Labeled(item.row, item.image, {"id": item.id, "label": DIGITS[index], "label_index": index, **facts})


@pytest.mark.parametrize(
    ("named", "file", "source"),
    [
        ("imagefolder", "", "imagefolder"),
        ("coco", "annotations.json", "coco"),
        ("huggingface", "data/train-000000.parquet", "huggingface"),
    ],
)
def test_formats_with_images(asked, tmp_path, named, file, source):
    write, finish = FORMATS[named]
    place = Store(str(tmp_path / "out"))
    assert write(place, 0, labeled(asked), tuple(DIGITS)) == 5
    if finish:
        finish(place, [0], tuple(DIGITS))
    path = tmp_path / "out" / file
    assert import_answers(asked.campaign, path, AUDIT) == (5, 5, 0)
    assert import_answers(asked.campaign, path, AUDIT) == (5, 0, 0)
    said = {row["id"]: row for row in collect(asked.campaign, 0).to_pylist()}
    assert {name: row["label"] for name, row in said.items()} == {
        asked.ids[row]: DIGITS[asked.truth[row]] for row in ASKED
    }
    assert {row["source"] for row in said.values()} == {source}
    assert {row["purpose"] for row in said.values()} == {"train", "audit"}


def test_cvat(asked, tmp_path):
    images = "".join(
        f'<image id="{row}" name="{asked.ids[row]}.png"><tag label="{DIGITS[asked.truth[row]]}"/></image>'
        for row in ASKED[:4]
    )
    path = tmp_path / "a.xml"
    path.write_text(f'<annotations>{images}<image id="9" name="{asked.ids[30]}.png"/></annotations>')
    assert import_answers(asked.campaign, path, AUDIT) == (4, 4, 1)
    assert {row["label"] for row in collect(asked.campaign, 0).to_pylist()} == {
        DIGITS[asked.truth[row]] for row in ASKED[:4]
    }


def test_label_studio_tasks_come_back_by_their_data(asked, tmp_path):
    """One annotation each, one of them by two people."""
    at = "2026-03-01T11:00:00Z"
    tasks = [
        {
            "data": {"id": asked.ids[row], "round": 0},
            "annotations": [
                {
                    "id": 10 * row + by,
                    "completed_by": by,
                    "updated_at": at,
                    "result": [{"type": "choices", "value": {"choices": [DIGITS[asked.truth[row]]]}}],
                }
                for by in ((1, 2) if row == 5 else (1,))
            ],
        }
        for row in ASKED
    ]
    path = tmp_path / "a.json"
    path.write_text(json.dumps(tasks))
    assert import_answers(asked.campaign, path, AUDIT) == (6, 6, 0)
    assert import_answers(asked.campaign, path, AUDIT) == (6, 0, 0)
    assert {row["annotator"] for row in collect(asked.campaign, 0).to_pylist()} == {"labelstudio:1", "labelstudio:2"}


def test_all_or_nothing(asked, tmp_path):
    """A folder of a class that is none: the five good pictures before it are not taken either."""
    place = Store(str(tmp_path / "out"))
    FORMATS["imagefolder"][0](place, 0, labeled(asked), tuple(DIGITS))
    (tmp_path / "out" / "zzz").mkdir()
    Image.new("RGB", (2, 2)).save(tmp_path / "out" / "zzz" / f"{asked.ids[5]}.png")
    with pytest.raises(Exception, match=r"file 6: unknown class 'zzz'.*Nothing of it was taken"):
        import_answers(asked.campaign, tmp_path / "out", AUDIT)
    assert collect(asked.campaign, 0).num_rows == 0
