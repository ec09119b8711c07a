import io
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from raylabel.campaign import EncoderRef
from raylabel.errors import ConfigError
from raylabel.models import backbones, weights
from raylabel.models.encode import BatchEncoder
from raylabel.pool.decode import decode
from raylabel.reporting.sheet import SIDE
from raylabel.search.images import thumbnails, with_vectors
from raylabel.search.opened import open_newest
from raylabel.search.queries import Query


@pytest.fixture
def opened(indexed):
    """The campaign with weights of a real backbone in its workspace."""
    campaign = indexed.campaign
    encoder = backbones.build(campaign.config.backbone, seed=3)
    ref = EncoderRef(weights.digest(encoder, campaign.config.backbone), encoder.dim)
    campaign.store.write(ref.weights, weights.dump(encoder))
    return replace(open_newest(campaign), ref=ref)


def png(seed, side=40):
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, "PNG")
    return data.getvalue()


def by_hand(opened, images):
    """As a run embeds them: the seeded weights, batches of 32, float32."""
    config, profile = opened.campaign.config, opened.campaign.profile
    encoder = BatchEncoder(backbones.build(config.backbone, seed=3), profile.arithmetic)
    pixels = [decode(image, config.backbone, max_pixels=config.pool.max_pixels) for image in images]
    found = [encoder.encode(np.stack(pixels[start : start + 32])) for start in range(0, len(pixels), 32)]
    return np.concatenate(found).astype(np.float32)


def test_files_are_embedded_as_the_pool_was(opened):
    """More than a batch of them, among items, which stay as they are."""
    images = [png(seed) for seed in range(40)]
    item = Query("row:3", row=3, id="x", vector=np.ones(opened.ref.dim, np.float32))
    queries = [Query(f"{number}.png", image=image) for number, image in enumerate(images)]
    found = with_vectors(opened, [*queries[:35], item, *queries[35:]])
    assert found[35] is item
    vectors = np.stack([query.vector for query in [*found[:35], *found[36:]]])
    assert np.array_equal(vectors, by_hand(opened, images))
    assert len(np.unique(vectors, axis=0)) == 40


def test_items_alone_load_no_backbone(opened):
    opened.campaign.store.remove(opened.ref.weights)
    item = Query("row:3", row=3, id="x", vector=np.ones(3, np.float32))
    assert with_vectors(opened, [item]) == [item]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_campaign_of_a_gpu_is_searched_without_one(opened, capfd):
    arithmetic = replace(opened.campaign.profile.arithmetic, device="cuda", dtype="bfloat16", batch_size=256)
    there = replace(
        opened, campaign=replace(opened.campaign, profile=replace(opened.campaign.profile, arithmetic=arithmetic))
    )
    [found] = with_vectors(there, [Query("a.png", image=png(1))])
    assert np.array_equal(found.vector, by_hand(opened, [png(1)])[0])
    assert "embedded on the CPU in float32" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", r"a\.jpg: cannot be decoded \(empty: no bytes\)"),
        (b"GIF89a, it says", r"cannot be decoded \(not_an_image: "),
    ],
)
def test_what_is_no_image(opened, data, message):
    with pytest.raises(ConfigError, match=message):
        with_vectors(opened, [Query("a.jpg", image=data)])


def test_a_backbone_that_overflows(opened):
    encoder = backbones.build(opened.campaign.config.backbone, seed=3)
    last = [layer for layer in encoder.module.modules() if list(layer.parameters(recurse=False))][-1]
    with torch.no_grad():
        for parameter in last.parameters(recurse=False):
            parameter.fill_(1e9)
    opened.campaign.store.write(opened.ref.weights, weights.dump(encoder))
    with pytest.raises(ConfigError, match=r"a\.png: the backbone's output for it holds NaN or infinity in float16"):
        with_vectors(opened, [Query("a.png", image=png(1))])


def test_thumbnails_are_what_the_model_sees(opened, digit_pool):
    config = opened.campaign.config
    images = [image for n in range(2) for image in pq.read_table(digit_pool / f"part-{n}.parquet")["image"].to_pylist()]
    found = thumbnails(opened, [59, 0, 41, 0])
    assert sorted(found) == [0, 41, 59]
    large = config.backbone.model_copy(update={"image_size": SIDE})
    for row, pixels in found.items():
        assert pixels.shape == (SIDE, SIDE, 3)
        assert np.array_equal(pixels, decode(images[row], large, max_pixels=config.pool.max_pixels))


def test_items_that_cannot_be_shown_any_more(opened):
    """Their lines say why: the file of rows 40 to 59 was changed, one picture is none."""
    shards = (opened.plan.shards[0], replace(opened.plan.shards[1], etag="another"))
    found = thumbnails(replace(opened, plan=replace(opened.plan, shards=shards)), [0, 41, 42])
    assert found[0].shape == (SIDE, SIDE, 3)
    assert (found[41], found[42]) == ("input_changed", "input_changed")
