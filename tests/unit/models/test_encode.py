import platform
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch

from raylabel.config import Backbone
from raylabel.models.arithmetic import Arithmetic
from raylabel.models.backbones import build
from raylabel.models.encode import BatchEncoder, fold_batch_norms
from raylabel.models.weights import load

BATCH = 8


@pytest.fixture(scope="module")
def pictures():
    return np.random.default_rng(0).integers(0, 256, size=(2 * BATCH, 64, 64, 3), dtype=np.uint8)


@pytest.fixture(scope="module", params=["mobilenet_v2", "tiny_cnn"])
def backbone(request, data):
    if request.param == "tiny_cnn":
        return Backbone(name="tiny_cnn", weights="none", image_size=64)
    weights = data / "weights" / "mobilenet_v2_imagenet.safetensors"
    return Backbone(name="mobilenet_v2", weights=str(weights), image_size=64, mean=(0.5, 0.4, 0.3), std=(0.5, 0.6, 0.7))


def built(backbone):
    encoder = build(backbone)
    load(encoder, backbone)
    return encoder


PLAIN = Arithmetic("cpu", "float32", fused=False, compiled=False, batch_size=BATCH, threads=1)


@pytest.mark.parametrize("fused", [True, False])
def test_the_encoder_is_left_alone(fused):
    encoder = build(Backbone(name="resnet18", weights="none", image_size=64))
    BatchEncoder(encoder, replace(PLAIN, dtype="bfloat16", fused=fused))
    assert {value.dtype for value in encoder.module.parameters()} == {torch.float32}
    assert any(isinstance(layer, torch.nn.BatchNorm2d) for layer in encoder.module.modules())


FAULTS = """
import resource, sys
import torch
from raylabel.models.encode import keep_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        torch.empty(64 << 20, dtype=torch.uint8).fill_(1)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

torch.set_num_threads(1)
if sys.argv[1] == "kept":
    keep_freed_memory()
faults()
print(faults())
"""


@pytest.mark.parametrize(
    ("mode", "expected"), [("kept", range(3 * 16_384)), ("given back", range(9 * 16_384, 11 * 16_384))]
)
def test_freed_memory_is_kept_where_it_is_asked_for(mode, expected):
    """64 MB are 16,384 pages: written again after they were freed, ten times, they fault again, or nearly never."""
    if platform.libc_ver()[0] != "glibc":
        pytest.skip("another C library has another malloc")
    done = subprocess.run([sys.executable, "-c", FAULTS, mode], capture_output=True, text=True, check=True)
    assert int(done.stdout) in expected


def ready(backbone, **changed):
    return BatchEncoder(built(backbone), replace(PLAIN, **changed))


def test_equals_plain_torch(backbone, pictures):
    """To the rounding of float16: two neighbouring numbers at most."""
    found = ready(backbone).encode(pictures[:BATCH])
    encoder = built(backbone)
    mean, std = (torch.tensor(norm).view(1, 3, 1, 1) for norm in (encoder.mean, encoder.std))
    with torch.inference_mode():
        expected = encoder.module(
            (torch.from_numpy(pictures[:BATCH]).permute(0, 3, 1, 2).float() / 255 - mean) / std
        ).numpy()
    assert found.dtype == np.float16
    assert found.shape == expected.shape == (BATCH, encoder.dim)
    spacing = np.spacing(np.abs(expected).astype(np.float16)).astype(np.float32)
    assert (np.abs(found.astype(np.float32) - expected) <= 2 * spacing + 1e-5).all()
    assert expected.std() > 0.05


def test_folding_changes_rounding_only(backbone, pictures):
    plain, folded = (ready(backbone, fused=fused).encode(pictures[:BATCH]).astype(np.float32) for fused in (0, 1))
    assert np.abs(plain - folded).max() <= 0.01 * np.abs(plain).max()
    assert num_norms(fold_batch_norms(built(backbone).module)) == 0
    assert num_norms(built(backbone).module) == (52 if backbone.name == "mobilenet_v2" else 0)


def num_norms(module):
    return sum(isinstance(layer, torch.nn.BatchNorm2d) for layer in module.modules())


@pytest.mark.parametrize("fused", [False, True])
def test_bfloat16_is_near(backbone, pictures, fused):
    """8 bits of mantissa through the whole network: the same directions, to a percent or so."""
    wide = ready(backbone).encode(pictures[:BATCH]).astype(np.float32)
    short = ready(backbone, dtype="bfloat16", fused=fused).encode(pictures[:BATCH]).astype(np.float32)
    cosine = (wide * short).sum(1) / np.linalg.norm(wide, axis=1) / np.linalg.norm(short, axis=1)
    assert cosine.min() > 0.99
    assert not np.array_equal(wide, short)


def test_code_that_branches_on_data_cannot_be_folded():
    class Moody(torch.nn.Module):
        def forward(self, images):
            return images.mean((2, 3)) if images.sum() > 0 else images.amax((2, 3))

    with pytest.raises(ValueError, match="cannot be traced"):
        fold_batch_norms(Moody())


def test_several_threads_at_once(backbone, pictures):
    encoder = ready(backbone)
    expected = [encoder.encode(pictures[i : i + 4]) for i in range(8)]
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda i: encoder.encode(pictures[i : i + 4]), range(8)))
    assert all(np.array_equal(a, b) for a, b in zip(expected, found, strict=True))


def test_an_image_does_not_depend_on_its_batch(backbone, pictures):
    """Bit by bit: alone, first, last, and among others."""
    encoder = ready(backbone)
    whole = encoder.encode(pictures[:BATCH])
    other = np.concatenate([pictures[BATCH:-1], pictures[:1]])
    assert np.array_equal(encoder.encode(pictures[:1])[0], whole[0])
    assert np.array_equal(encoder.encode(other)[-1], whole[0])
    for count in (1, 3, BATCH):
        assert np.array_equal(encoder.encode(pictures[:count]), whole[:count])
    assert not np.array_equal(whole[0], whole[1])


def test_what_was_there_before_leaves_no_trace(backbone, pictures):
    encoder = ready(backbone)
    first = encoder.encode(pictures[:2])
    encoder.encode(pictures[BATCH:])
    assert np.array_equal(encoder.encode(pictures[:2]), first)
    assert np.array_equal(ready(backbone).encode(pictures[:2]), first)


def test_no_images_and_too_many(backbone, pictures):
    encoder = ready(backbone)
    assert encoder.encode(pictures[:0]).shape == (0, encoder.dim)
    with pytest.raises(ValueError, match="got 9 images, a batch holds 8"):
        encoder.encode(pictures[: BATCH + 1])


def test_threads(backbone):
    before = torch.get_num_threads()
    try:
        ready(backbone, threads=2)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
