import io
import threading

import numpy as np
import pytest
from PIL import Image

from raylabel.errors import AnswersError
from raylabel.labeling.review import pictures as module
from raylabel.labeling.review.pictures import NOTHING, Pictures, render
from raylabel.planned import find_plan
from raylabel.pool import Item

HOSTILE = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'


def encoded(image, kind="PNG"):
    sink = io.BytesIO()
    image.save(sink, kind)
    return sink.getvalue()


def opened(jpeg):
    found = Image.open(io.BytesIO(jpeg))
    assert found.format == "JPEG"
    return found


@pytest.fixture
def pool(asking):
    """Pictures of a campaign in whose pool row 5 is no image."""
    asked = asking(images={5: HOSTILE})
    found = Pictures(asked.campaign, find_plan(asked.campaign))
    yield found
    found.close()


def test_render_shrinks_what_is_large_and_leaves_what_is_small():
    for size, expected in (((600, 300), (100, 50)), ((30, 40), (30, 40))):
        for kind in ("PNG", "JPEG"):
            found = render(encoded(Image.new("RGB", size, (200, 30, 40)), kind), 100, max_pixels=10**6)
            assert found.problem is None
            assert opened(found.jpeg).size == expected
            assert np.abs(np.asarray(opened(found.jpeg)).astype(int) - (200, 30, 40)).max() <= 4


def test_what_is_no_picture_never_leaves_as_it_is():
    for data, code in (
        (HOSTILE, "not_an_image"),
        (b"", "empty"),
        (None, "empty"),
        (b"\xff\xd8\xff" * 9, "not_an_image"),
    ):
        found = render(data, 100, max_pixels=10**6)
        assert found.jpeg == NOTHING
        assert found.problem[0] == code
    assert render(encoded(Image.new("L", (100, 100))), 50, max_pixels=9_999).problem[0] == "too_large"
    cut = encoded(Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)), "JPEG")[:900]
    assert render(cut, 50, max_pixels=10**6).problem[0] == "cut"
    assert opened(NOTHING).size == (1, 1)


def test_metadata_stays_behind():
    image = Image.new("RGB", (20, 20))
    sink = io.BytesIO()
    image.save(sink, "JPEG", exif=Image.Exif().tobytes(), comment=b"<script>")
    assert b"script" not in render(sink.getvalue(), 100, max_pixels=10**6).jpeg


def test_pictures_of_the_pool(pool):
    pool.fetch([3, 5, 119, 3], "small")
    assert opened(pool.get(3, "small").result(20).jpeg).size == (32, 32)
    assert pool.get(5, "small").result(20).problem[0] == "not_an_image"
    expected = render(pool_bytes(pool, 119), 256, max_pixels=10**6)
    assert pool.get(119, "small").result(20) == expected
    with pytest.raises(IndexError):
        pool.get(120, "small")
    assert not pool._under_way


def pool_bytes(pool, row):
    from raylabel.pool import Want
    from raylabel.pool.read import fetch_from

    [(shard, rows)] = pool.plan.by_shard([row])
    [item] = fetch_from(pool.plan, shard, rows, pool.campaign.config.pool, pool.campaign.store, Want())
    return item.image


def test_each_picture_is_read_once_whoever_waits(pool, monkeypatch):
    gate, reads = threading.Event(), []
    fetch = module.fetch_from

    def counted(plan, shard, rows, *rest):
        gate.wait(10)
        reads.append(rows.tolist())
        return fetch(plan, shard, rows, *rest)

    monkeypatch.setattr(module, "fetch_from", counted)
    pool.fetch([1, 2], "small")
    pool.fetch([2, 3], "small")
    assert pool.get(2, "small") is pool.get(2, "small")
    gate.set()
    for row in (1, 2, 3):
        pool.get(row, "small").result(20)
    assert sorted(reads) == [[1, 2], [3]]
    assert pool.get(1, "small").done()
    pool.get(1, "large").result(20)
    assert len(reads) == 3


def test_the_cache_is_bounded_and_forgets_what_was_wanted_longest_ago(pool):
    for row in range(10):
        pool.get(row, "small").result(10)
    sizes = [len(pool.get(row, "small").result(10).jpeg) for row in range(10)]
    pool.cache_bytes = sum(sizes[6:])
    pool.get(20, "small").result(10)
    assert sum(len(picture.jpeg) for picture in pool._kept.values()) == pool._size <= pool.cache_bytes
    assert (9, "small") in pool._kept and (0, "small") not in pool._kept


def test_a_shard_that_is_gone_is_told_and_other_errors_reach_those_who_wait(pool, tmp_path, monkeypatch):
    (tmp_path / "campaign" / "pool" / "part-00000.parquet").unlink()
    assert pool.get(1, "small").result(10).problem[0] == "missing"

    def broken(*_):
        raise RuntimeError("no memory")

    monkeypatch.setattr(module, "fetch_from", broken)
    with pytest.raises(RuntimeError, match="no memory"):
        pool.get(2, "small").result(10)
    assert not pool._under_way


def test_whoever_waits_when_a_round_ends_is_told(asking, monkeypatch):
    asked = asking()
    found = Pictures(asked.campaign, find_plan(asked.campaign))
    going = threading.Event()
    monkeypatch.setattr(found, "_items", lambda shard, rows: going.wait(20) and {})
    waiting = found.get(45, "small")
    found.close()
    with pytest.raises(AnswersError, match="the round has gone on"):
        waiting.result(1)
    going.set()


def test_what_is_broken_is_looked_at_again(asking, monkeypatch):
    """A shard that cannot be read for a moment does not look broken for as long as the server runs."""
    asked = asking()
    found, real = Pictures(asked.campaign, find_plan(asked.campaign)), Pictures._items
    gone = Item(45, "", None, error=("forbidden", "not now"))
    monkeypatch.setattr(Pictures, "_items", lambda self, shard, rows: {45: gone})
    assert found.get(45, "small").result(20).problem == ("forbidden", "not now")
    monkeypatch.setattr(Pictures, "_items", real)
    assert found.get(45, "small").result(20).problem == ("forbidden", "not now")  # not at every look
    monkeypatch.setattr(module, "BROKEN_S", -1.0)
    assert found.get(45, "small").result(20).problem is None
    found.close()
