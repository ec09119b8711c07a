import faiss
import pytest

from raylabel.index.plan import EXACT_ROWS, IndexPlan, cells_of, plan_index

GIB = 2**30


@pytest.mark.parametrize(
    ("rows", "cells"),
    [
        (50_001, 256),  # 50,001 / 240 = 208, log2 = 7.7
        (200_000, 1024),  # 833, log2 = 9.7
        (1_000_000, 4096),  # 4 * 1,000, log2 = 11.97
        (16_000_000, 16_384),  # 4 * 4,000
        (100_000_000, 32_768),  # 4 * 10,000, log2 = 15.3
        (1_000_000_000, 131_072),  # 4 * 31,623, log2 = 16.9
    ],
)
def test_cells(rows, cells):
    assert cells_of(rows) == cells


def test_a_small_pool_is_exact():
    assert plan_index(1, 8, memory_bytes=GIB) == IndexPlan("SQfp16", 0, 0, 0, memory_bytes=8, disk_bytes=24)
    plan = plan_index(EXACT_ROWS, 256, memory_bytes=GIB)
    assert (plan.factory, plan.disk_bytes) == ("SQfp16", 50_000 * (512 + 8))
    assert plan_index(EXACT_ROWS + 1, 256, memory_bytes=GIB).factory == "IVF256,SQfp16"


def test_a_million():
    """240 * 1,000 rows to train on; 4,096 centres of 1,024 bytes; 520 bytes an item."""
    plan = plan_index(1_000_000, 256, memory_bytes=GIB)
    assert plan == IndexPlan("IVF4096,SQfp16", 4096, 240_000, 16, memory_bytes=4_194_304, disk_bytes=520_000_000)


def test_codes_shrink_to_what_memory_holds():
    """A hundred million of 256 dimensions: 52 GB in float16, 26.4 GB in 8 bits, 7.2 GB as 64 bytes."""
    graph = 32_768 * (4 * 256 + 280)
    assert plan_index(10**8, 256, memory_bytes=52 * 10**9) == IndexPlan(
        "IVF32768_HNSW32,SQfp16", 32_768, 2_400_000, 16, memory_bytes=graph, disk_bytes=52 * 10**9
    )
    eight = plan_index(10**8, 256, memory_bytes=52 * 10**9 - 1)
    assert (eight.factory, eight.disk_bytes) == ("IVF32768_HNSW32,SQ8", 264 * 10**8)
    product = plan_index(10**8, 256, memory_bytes=264 * 10**8 - 1)
    assert (product.factory, product.disk_bytes) == ("OPQ64_256,IVF32768_HNSW32,PQ64", 72 * 10**8)
    assert product.memory_bytes == graph
    least = plan_index(10**8, 256, memory_bytes=1)
    assert least.factory == product.factory, "nothing smaller is there: the rest stays on disk"


def test_wide_and_narrow_vectors():
    """Wide ones are turned to 256 dimensions; narrow ones keep theirs."""
    wide = plan_index(10**6, 2048, memory_bytes=10**9)
    assert (wide.factory, wide.memory_bytes) == ("OPQ64_256,IVF4096,PQ64", 4096 * 4 * 256)
    assert plan_index(10**6, 16, memory_bytes=10**6).factory == "OPQ4_16,IVF4096,PQ4"
    assert plan_index(10**6, 3, memory_bytes=10**6).factory == "OPQ1_3,IVF4096,PQ1"


@pytest.mark.parametrize("dim", [3, 16, 768])
@pytest.mark.parametrize("memory", [1, 10**9, 10**15])
@pytest.mark.parametrize("rows", [10, 10**6, 10**9])
def test_faiss_knows_every_plan(rows, dim, memory):
    plan = plan_index(rows, dim, memory_bytes=memory)
    index = faiss.index_factory(dim, plan.factory)
    assert index.d == dim
    if plan.num_cells:
        ivf = faiss.extract_index_ivf(index)
        assert ivf.nlist == plan.num_cells
        assert plan.disk_bytes == rows * (ivf.code_size + 8)


@pytest.mark.parametrize(("rows", "dim"), [(0, 8), (8, 0)])
def test_nothing_to_index(rows, dim):
    with pytest.raises(ValueError, match=r"both must be at least 1"):
        plan_index(rows, dim, memory_bytes=1)
