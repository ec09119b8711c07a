import faiss
import numpy as np
import pytest

from raylabel.index.device import cell_finder, inverted_file, rotation, threads, to_gpu

VECTORS = np.random.default_rng(0).standard_normal((500, 8)).astype(np.float32)


def test_nearest_cells_are_those_of_the_quantizer():
    """On the GPU, where there is one; a flat index of the same centres."""
    index = faiss.index_factory(8, "IVF16_HNSW32,SQfp16")
    index.train(VECTORS)
    found = cell_finder(inverted_file(index)).search(VECTORS, 1)[1]
    centres = index.quantizer.reconstruct_n(0, 16)
    exact = ((VECTORS[:, None] - centres[None]) ** 2).sum(axis=2).argmin(axis=1)
    assert (found[:, 0] == exact).mean() > 0.99


def test_without_a_gpu_an_index_stays_as_it_is():
    flat = faiss.IndexFlatL2(8)
    assert (to_gpu(flat) is flat) == (faiss.get_num_gpus() == 0)


def test_what_lies_before_the_cells():
    plain, turned = faiss.index_factory(8, "IVF4,SQ8"), faiss.index_factory(8, "OPQ2_8,IVF4,PQ2")
    assert rotation(plain) is None
    assert isinstance(rotation(turned), faiss.OPQMatrix)
    assert type(inverted_file(turned)) is faiss.IndexIVFPQ
    assert type(inverted_file(plain)) is faiss.IndexIVFScalarQuantizer


def test_threads_are_put_back():
    before = faiss.omp_get_max_threads()
    with pytest.raises(KeyError), threads(3):
        assert faiss.omp_get_max_threads() == 3
        raise KeyError
    assert faiss.omp_get_max_threads() == before
