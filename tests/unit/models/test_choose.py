from dataclasses import replace

import pytest
import torch
from campaigns import UNTRACEABLE

from raylabel.config import Backbone, Compute
from raylabel.models.arithmetic import Arithmetic
from raylabel.models.backbones import build
from raylabel.models.choose import choose, decide, measure

BASE = Arithmetic("cpu", "float32", fused=True, compiled=False, batch_size=32, threads=1)
TINY = Backbone(name="tiny_cnn", weights="none", image_size=16)
RESNET = Backbone(name="resnet18", weights="none", image_size=64)


@pytest.mark.parametrize(
    ("wide", "short", "dtype"),
    [
        (10.0, 5.0, "bfloat16"),
        (6.0, 5.0, "bfloat16"),  # 1.2 times as fast, just
        (5.9, 5.0, "float32"),
        (5.0, 10.0, "float32"),
        (0.4, 0.2, "bfloat16"),  # 0.2 ms an image saved, just
        (0.3, 0.11, "float32"),  # many times as fast, and nobody would notice
    ],
)
def test_bfloat16_only_where_it_pays(wide, short, dtype):
    found = decide(BASE, {"float32": wide, "bfloat16": short})
    assert found.arithmetic == replace(BASE, dtype=dtype)
    assert f"{wide:.2f} ms" in found.why
    assert f"{short:.2f} in bfloat16" in found.why


def test_what_is_named_is_not_measured():
    found = choose(RESNET, Compute(dtype="bfloat16", compile="on", batch_size=5), "cpu")
    assert found.arithmetic == Arithmetic("cpu", "bfloat16", fused=True, compiled=True, batch_size=5, threads=1)
    assert found.ms_per_image == {}


def test_what_is_left_open_is_measured():
    found = choose(TINY, Compute(), "cpu")
    assert found.ms_per_image.keys() == {"float32", "bfloat16"}
    assert found == decide(BASE, found.ms_per_image)


def test_a_model_that_cannot_be_folded_is_left_as_it_is(tmp_path):
    (tmp_path / "moody.py").write_text(UNTRACEABLE)
    backbone = Backbone(name=f"{tmp_path / 'moody.py'}:build", weights="none", image_size=16)
    assert not choose(backbone, Compute(dtype="float32"), "cpu").arithmetic.fused
    assert choose(RESNET, Compute(dtype="float32"), "cpu").arithmetic.fused


def test_measuring_a_model_that_is_wider_takes_longer():
    torch.set_num_threads(1)
    [wide], [tiny] = (measure(build(backbone), backbone.image_size, [BASE]) for backbone in (RESNET, TINY))
    assert wide > 3 * tiny > 0
