import faiss
import numpy as np
import pytest

from raylabel.campaign import in_sample
from raylabel.errors import StorageError
from raylabel.index.files import read_whole
from raylabel.index.plan import plan_index
from raylabel.index.train import Train, read_sample


def trained(pool, memory=10**9):
    plan = plan_index(len(pool.rows), pool.ref.dim, memory_bytes=memory)
    return Train(pool.campaign, pool.ref, plan, len(pool.rows), int(pool.rows[-1]))()


def test_the_sample_is_a_quarter_in_row_order_whatever_the_shards(pool_of):
    for shards in (1, 5):
        pool = pool_of(shards)
        mask = in_sample(pool.campaign, pool.rows, num_rows=6000)
        sample = read_sample(pool.campaign, pool.ref, num_rows=6000, last_row=11_998)
        assert np.array_equal(sample, pool.vectors[mask].astype(np.float32))
        assert 1400 < len(sample) < 1600
        first = read_sample(pool.campaign, pool.ref, num_rows=6000, last_row=999)
        assert np.array_equal(first, pool.vectors[:500][mask[:500]].astype(np.float32))


def test_a_smaller_share_is_taken_of_what_was_sampled_for_a_smaller_pool(pool_of):
    """As if the pool had 9,216,000 items: 240 / sqrt of that is a share of 0.079."""
    pool = pool_of(3)
    mask = in_sample(pool.campaign, pool.rows, num_rows=9_216_000)
    assert 400 < mask.sum() < 550
    found = read_sample(pool.campaign, pool.ref, num_rows=9_216_000, last_row=11_998)
    assert np.array_equal(found, pool.vectors[mask].astype(np.float32))


def test_an_empty_index_of_the_planned_kind(pool_of):
    pool = pool_of(2)
    record = trained(pool)
    assert record.facts["factory"] == "IVF32,SQfp16"  # 6,000 / 240 = 25
    assert record.facts["num_cells"] == 32
    index = read_whole(pool.campaign.store, record.facts["trained"], record.facts["trained_sha256"])
    assert (index.ntotal, index.is_trained, index.nlist, index.by_residual) == (0, True, 32, False)
    sample = read_sample(pool.campaign, pool.ref, num_rows=6000, last_row=11_998)
    assert record.facts["num_train"] == len(sample)
    alone = faiss.index_factory(16, "IVF32,SQfp16")
    alone.train(sample)
    centres = [found.quantizer.reconstruct_n(0, 32) for found in (index, alone)]
    assert np.allclose(*centres, atol=1e-4)


def test_training_is_the_same_from_one_and_from_four_shards(pool_of):
    centres = []
    for shards in (1, 4):
        pool = pool_of(shards)
        facts = trained(pool, memory=100_000).facts
        assert facts["factory"] == "OPQ4_16,IVF32,PQ4"
        index = read_whole(pool.campaign.store, facts["trained"], facts["trained_sha256"])
        centres.append(faiss.extract_index_ivf(index).quantizer.reconstruct_n(0, 32))
    assert np.array_equal(*centres)


def test_samples_that_are_gone(pool_of):
    pool = pool_of(2)
    for name in pool.campaign.store.list("embeddings/clusters"):
        if name.startswith("shard"):
            pool.campaign.store.remove(f"embeddings/clusters/{name}")
    with pytest.raises(StorageError, match=r"0 sampled embeddings to train 32 cells on; .* about 1,500: remove"):
        trained(pool)
