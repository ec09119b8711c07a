import io
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from raylabel.inference.decoders import LocalDecoder
from raylabel.inference.decoding import Failure, decode_shard
from raylabel.pool import Plan, Shard, ShardUnreadable
from raylabel.pool.listing import etag_of
from raylabel.workspace import open_filesystem

NUM = 11
BAD = 4


def png(value):
    data = io.BytesIO()
    Image.new("RGB", (16, 16), (value, 2 * value, 3 * value)).save(data, "PNG")
    return data.getvalue()


@pytest.fixture
def shard(tmp_path):
    """Eleven plain pictures, told apart by their colour; the fifth is none."""
    images = [b"none" if n == BAD else png(n) for n in range(NUM)]
    file = tmp_path / "pool" / "a.parquet"
    file.parent.mkdir()
    pq.write_table(pa.table({"id": [f"i{n}" for n in range(NUM)], "image": images}), file)
    filesystem, path = open_filesystem(str(file))
    etag = etag_of(filesystem.info(path))
    return Shard(index=0, path="a.parquet", first_row=100, rows=NUM, etag=etag, row_groups=(0, 1))


@pytest.fixture
def campaign(begin):
    made = begin().campaign
    return replace(made, profile=replace(made.profile, arithmetic=replace(made.profile.arithmetic, batch_size=4)))


def plan_of(tmp_path):
    return Plan(str(tmp_path / "pool"), "parquet", "id", ())


def test_batches(campaign, shard, tmp_path):
    """Four decodable pictures a batch, in row order; the bad one is told of by the batch that was being filled."""
    batches = list(decode_shard(campaign, plan_of(tmp_path), shard, LocalDecoder(campaign.config)))
    assert [batch.rows for batch in batches] == [[100, 101, 102, 103], [105, 106, 107, 108], [109, 110]]
    assert [batch.ids for batch in batches] == [["i0", "i1", "i2", "i3"], ["i5", "i6", "i7", "i8"], ["i9", "i10"]]
    assert [len(batch.failed) for batch in batches] == [0, 1, 0]
    failure = batches[1].failed[0]
    assert failure == Failure(104, "i4", "not_an_image", failure.message)
    assert sum(batch.num_items for batch in batches) == NUM
    for batch in batches:
        assert batch.pixels.shape == (4, 16, 16, 3)
        for row, pixels in zip(batch.rows, batch.pixels, strict=False):
            assert (pixels == np.array([1, 2, 3], dtype=np.uint8) * (row - 100)).all()
    assert (batches[-1].pixels[2:] == 0).all()  # padding
    assert all(batch.decode_s > 0 for batch in batches)
    assert batches[0].read_s > 0


def test_a_changed_shard_says_so(campaign, shard, tmp_path):
    stale = replace(shard, etag="another")
    with pytest.raises(ShardUnreadable, match="it was planned with etag another"):
        list(decode_shard(campaign, plan_of(tmp_path), stale, LocalDecoder(campaign.config)))
