import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from raylabel.campaign import Pieces
from raylabel.errors import RaylabelError
from raylabel.index import build
from raylabel.reporting.sheet import SIDE, place
from raylabel.search import find_duplicates
from raylabel.search.images import thumbnails
from raylabel.search.opened import open_newest
from raylabel.workspace import read_part, write_part

COPIES = {50: 3, 7: 3, 22: 21, 45: 44}
"""Rows that are hardly different copies of others; 3, 7 and 50 are one group over all parts."""


@pytest.fixture
def copied(ray_session, tiny, publish):
    """The tiny campaign, a few of its embeddings being near-duplicates of others."""
    rng = np.random.default_rng(0)
    embeddings = tiny.embeddings.copy()
    for row, other in COPIES.items():
        embeddings[row] = embeddings[other] + 0.01 * rng.normal(size=64)
    parts = []
    for part in tiny.pieces.parts:
        table = read_part(tiny.campaign.store, part)
        rows = table.column("row").to_numpy()
        kind = table.schema.field("embedding").type
        packed = pa.array([vector.tobytes() for vector in embeddings[rows]], kind)
        parts.append(write_part(tiny.campaign.store, "embeddings/tiny/part", table.set_column(2, "embedding", packed)))
    pieces = Pieces(tuple(parts), tiny.pieces.spans)
    publish(tiny, pieces)
    build(tiny.campaign, tiny.ref, pieces)
    return tiny, embeddings


def test_groups(copied, tmp_path):
    tiny, embeddings = copied
    facts = find_duplicates(tiny.campaign, size=2, target=tmp_path / "groups.png")
    assert (facts["num_groups"], facts["num_items"], facts["num_rows"]) == (3, 7, 59)
    rows = [[item["row"] for item in group["items"]] for group in facts["groups"]]
    assert rows == [[3, 7, 50], [21, 22]]
    assert [group["num_items"] for group in facts["groups"]] == [3, 2]
    first = facts["groups"][0]["items"]
    assert [item["id"] for item in first] == [tiny.ids[row] for row in (3, 7, 50)]
    stored = embeddings[[3, 7, 50]].astype(np.float64)
    assert np.allclose([item["distance"] for item in first], np.linalg.norm(stored - stored[0], axis=1))
    pictures = thumbnails(open_newest(tiny.campaign), [3, 7, 50, 21, 22])
    sheet = np.asarray(Image.open(tmp_path / "groups.png"))
    for line, group in enumerate(rows):
        for column, row in enumerate(group):
            left, top = place(line, column)
            assert np.array_equal(sheet[top : top + SIDE, left : left + SIDE], pictures[row])


def test_the_same_in_tasks_of_any_size(copied, monkeypatch):
    tiny, _ = copied
    one = find_duplicates(tiny.campaign, size=10)
    monkeypatch.setattr("raylabel.search.groups.TASKS_PER_CPU", 1e-9)
    assert find_duplicates(tiny.campaign, size=10) == one


def test_none(indexed):
    facts = find_duplicates(indexed.campaign, size=5)
    assert (facts["num_groups"], facts["num_items"], facts["groups"], facts["sheet"]) == (0, 0, [], None)


def test_too_many(copied, monkeypatch):
    tiny, _ = copied
    monkeypatch.setattr("raylabel.search.groups.MAX_ITEMS", 6)
    with pytest.raises(RaylabelError, match="more than 6 items of this pool are near-duplicates of others"):
        find_duplicates(tiny.campaign, size=5)
