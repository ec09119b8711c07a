from itertools import pairwise

import numpy as np
import pytest

from raylabel.campaign import in_sample
from raylabel.inference.actors import Job, _PartWriter, decodes_on_device
from raylabel.inference.decoding import DecodedBatch
from raylabel.workspace import read_part
from raylabel.workspace.vectors import embeddings_of


@pytest.mark.parametrize(
    ("share", "chosen"),
    [
        (0.0, []),
        (0.25, [3, 7, 11]),
        (0.5, [1, 3, 5, 7, 9, 11]),
        (0.4, [2, 4, 7, 9]),
        (1.0, list(range(12))),
    ],
)
def test_shards_for_the_gpu_are_evenly_spread(share, chosen):
    assert [shard for shard in range(12) if decodes_on_device(shard, share)] == chosen


@pytest.mark.parametrize("cuts", [(0, 4000), (0, 1, 1500, 2600, 4000)])
def test_the_sample_is_what_its_rows_say_whatever_the_batches_and_parts(tiny, cuts):
    """A quarter of a small pool; rows that failed are not in it; one part a shard."""
    vectors = np.random.default_rng(0).random((4000, 64)).astype(np.float16)
    vectors[7::100, 3] = np.nan
    job = Job(tiny.campaign, tiny.plan, 4000, tiny.ref, in_tasks=False, isolate=False)
    writer = _PartWriter(job)
    for start, end in pairwise(cuts):
        rows = np.arange(start, end)
        batch = DecodedBatch(rows=rows.tolist(), ids=[f"i{row}" for row in rows], pixels=None)
        writer.add(batch, vectors[start:end])
        writer.flush(at_least=1)
    writer.flush_sample()
    assert len(writer.parts) == len(cuts) - 1
    [sample] = writer.sample
    table = read_part(tiny.campaign.store, sample)
    rows = np.arange(4000)
    expected = rows[in_sample(tiny.campaign, rows, num_rows=4000) & (rows % 100 != 7)]
    assert 850 < len(expected) < 1100
    assert table.column("row").to_pylist() == expected.tolist()
    assert table.column("id").to_pylist() == [f"i{row}" for row in expected]
    assert np.array_equal(embeddings_of(table), vectors[expected])


def test_a_shard_without_sampled_rows_writes_no_sample(tiny):
    job = Job(tiny.campaign, tiny.plan, 10**12, tiny.ref, in_tasks=False, isolate=False)
    writer = _PartWriter(job)
    writer.flush_sample()
    assert writer.sample == []
    writer.add(DecodedBatch(rows=list(range(5)), ids=list("abcde"), pixels=None), np.ones((5, 64), dtype=np.float16))
    writer.flush(at_least=1)
    writer.flush_sample()
    assert (len(writer.parts), writer.sample) == (1, [])
