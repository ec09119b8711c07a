import numpy as np
import pytest
import torch

from raylabel.config import Backbone
from raylabel.models.backbones import build
from raylabel.models.encode import BatchEncoder
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


def ready(backbone, batch_size=BATCH):
    return BatchEncoder(built(backbone), device="cpu", batch_size=batch_size, threads=1)


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
    with pytest.raises(ValueError, match="broadcast"):
        encoder.encode(pictures[: BATCH + 1])


def test_threads(backbone):
    before = torch.get_num_threads()
    try:
        BatchEncoder(built(backbone), device="cpu", batch_size=1, threads=2)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
