import pytest
import torch
import torchvision
from torch import nn

from raylabel.config import Backbone
from raylabel.errors import ConfigError, UnknownName
from raylabel.models.backbones import build, known

TORCHVISION = sorted(torchvision.models.list_models(module=torchvision.models))
OLD = ("googlenet", "inception_v3")
# Small members of their families: run for real.
RUN = {
    "convnext_tiny": 32,
    "densenet121": 64,
    "efficientnet_b0": 64,
    "googlenet": 64,
    "mnasnet0_5": 64,
    "mobilenet_v3_small": 64,
    "regnet_x_400mf": 64,
    "regnet_y_400mf": 64,
    "resnet18": 64,
    "shufflenet_v2_x0_5": 64,
    "swin_t": 32,
}


def whole(name):
    """The model as torchvision makes it."""
    extra = {"init_weights": True, "transform_input": True} if name in OLD else {}
    return torchvision.models.get_model(name, weights=None, **extra).eval()


def uncut(name):
    """The same without its weights, whose drawing takes seconds; RegNets cannot do without."""
    if name.startswith("regnet"):
        return whole(name)
    with torch.device("meta"):
        model = whole(name)
    return model.to_empty(device="cpu")


def own(tmp_path, text, name="mine.py"):
    (tmp_path / name).write_text(f"import torch\n{text}")
    return str(tmp_path / name)


def test_known_names():
    assert known() == ["tiny_cnn", *TORCHVISION]
    assert len(TORCHVISION) >= 80
    assert {"resnet50", "vit_b_16", "mobilenet_v3_small", "swin_v2_t", "maxvit_t", "squeezenet1_0"} < set(known())
    others = set(torchvision.models.list_models()) - set(TORCHVISION)
    assert "fcn_resnet50" in others  # segmentation, detection, video and quantized models are no backbones here


@pytest.mark.parametrize("name", [name for name in TORCHVISION if not name.startswith(("regnet", "squeezenet"))])
def test_every_model_loses_its_classifier_alone(name):
    """On torch's meta device, where neither weights nor pictures cost anything."""
    with torch.device("meta"):
        encoder, model = build(Backbone(name=name)), whole(name)
    layer = model.get_submodule(encoder.head_prefix)
    assert isinstance(layer, nn.Linear)
    assert (layer.in_features, layer.out_features) == (encoder.dim, 1000)
    lost = set(model.state_dict()) - set(encoder.module.state_dict())
    assert lost <= {f"{encoder.head_prefix}.weight", f"{encoder.head_prefix}.bias"}
    assert f"{encoder.head_prefix}.weight" in lost
    assert set(encoder.module.state_dict()) <= set(model.state_dict())


@pytest.mark.parametrize("name", RUN)
def test_features_are_the_input_of_the_last_layer(name):
    side = RUN[name]
    encoder, model = build(Backbone(name=name, image_size=side), seed=1), uncut(name)
    model.load_state_dict(encoder.module.state_dict(), strict=False)
    seen = []
    for layer in model.modules():
        if isinstance(layer, nn.Linear):
            layer.register_forward_pre_hook(lambda layer, inputs: seen.append((layer, inputs[0])))
    images = torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(0)) * 4 - 2
    with torch.inference_mode():
        features = encoder.module(images)
        model(images)
    last, expected = seen[-1]
    assert last.out_features == 1000
    assert features.shape == (2, encoder.dim)
    # Untrained batch normalisation lets some of them shrink to 1e-14: compare on their own scale.
    scale = expected.abs().max()
    assert torch.allclose(features / scale, expected / scale, atol=1e-5)
    assert (features[0] - features[1]).abs().max() > 1e-4 * scale


def test_squeezenet_gives_the_mean_of_what_its_classifying_convolution_sees():
    encoder, model = build(Backbone(name="squeezenet1_1", image_size=64), seed=1), whole("squeezenet1_1")
    model.load_state_dict(encoder.module.state_dict(), strict=False)
    seen = []
    model.classifier[1].register_forward_pre_hook(lambda layer, inputs: seen.append(inputs[0]))
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 4 - 2
    with torch.inference_mode():
        features = encoder.module(images)
        model(images)
    assert features.shape == (2, encoder.dim) == (2, 512)
    assert torch.allclose(features, seen[0].mean((2, 3)), atol=1e-6)
    assert encoder.head_prefix == "classifier"


def test_norm_is_that_of_the_config():
    encoder = build(Backbone(name="tiny_cnn", image_size=16, mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6)))
    assert (encoder.mean, encoder.std, encoder.dim) == ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6), 128)
    assert encoder.head_prefix is None


def test_random_weights_come_from_the_seed():
    def weights(seed):
        return build(Backbone(name="mobilenet_v3_small", image_size=32), seed=seed).module.features[0][0].weight

    assert torch.equal(weights(1), weights(1))
    assert not torch.equal(weights(1), weights(2))


def test_built_in_eval_mode():
    assert not any(
        layer.training for layer in build(Backbone(name="mobilenet_v3_small", image_size=32)).module.modules()
    )


def test_unknown_name():
    with pytest.raises(UnknownName, match=r"unknown backbone 'resnet_50': did you mean resnet50") as caught:
        build(Backbone(name="resnet_50"))
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(("name", "side"), [("vit_b_16", 64), ("alexnet", 32), ("inception_v3", 32)])
def test_image_size_that_does_not_fit(name, side):
    with (
        torch.device("meta"),
        pytest.raises(ConfigError, match=rf"backbone\.image_size: {name} does not take {side} x {side} pixels \(.+\)"),
    ):
        build(Backbone(name=name, image_size=side))


def test_function_in_a_file(tmp_path):
    """A module alone keeps the config's norm; a module with mean and std behind it brings its own."""
    source = own(
        tmp_path,
        "def plain(out=4):\n"
        "    return torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(3, out))\n"
        "def full():\n"
        "    return plain(5), (0.1, 0.1, 0.1), (0.2, 0.2, 0.2), 'and more'\n",
    )
    encoder = build(Backbone(name=f"{source}:plain", image_size=8))
    assert (encoder.dim, encoder.mean, encoder.head_prefix) == (4, (0.485, 0.456, 0.406), None)
    assert not encoder.module.training
    assert build(Backbone(name=f"{source}:plain", image_size=8, options={"out": 7})).dim == 7
    encoder = build(Backbone(name=f"{source}:full", image_size=8))
    assert (encoder.dim, encoder.mean, encoder.std) == (5, (0.1, 0.1, 0.1), (0.2, 0.2, 0.2))


def test_function_of_a_module():
    name = "torchvision.models:squeezenet1_1"
    assert build(Backbone(name=name, image_size=64, options={"num_classes": 9})).dim == 9


def test_real_function_with_real_weights(data):
    name = f"{data / 'weights' / 'backbones.py'}:build"
    encoder = build(Backbone(name=name, options={"n": "resnet18_l3"}, image_size=64))
    assert encoder.dim == 256
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        assert encoder.module(images).std() > 0.1


def test_missing_function(tmp_path):
    source = own(tmp_path, "def build():\n    pass\n")
    with pytest.raises(UnknownName, match=r"unknown function of .*mine\.py 'bild': did you mean build\?"):
        build(Backbone(name=f"{source}:bild"))
    with pytest.raises(
        UnknownName, match=r"unknown function of torchvision\.models 'resnet_18': did you mean resnet18"
    ):
        build(Backbone(name="torchvision.models:resnet_18"))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("def build():\n    raise KeyError('lost')\n", "failed: KeyError: 'lost'"),
        ("def build(size):\n    return size\n", "failed: TypeError: .*missing 1 required positional argument"),
        ("def build(:\n", "cannot be imported here: SyntaxError"),
        ("raise ValueError('no GPU')\n", "cannot be imported here: ValueError: no GPU"),
        ("import no_such_package\n", "cannot be imported here: ModuleNotFoundError: No module named 'no_such_package'"),
        ("build = 5\n", "is int, expected a function"),
        ("def build():\n    return 5\n", "returned int, expected a torch module"),
        ("def build():\n    return (torch.nn.Flatten(),)\n", "returned a tuple of 1"),
        ("def build():\n    return torch.nn.Identity()\n", r"gives shape \(1, 3, 8, 8\), expected \(N, dim\)"),
        (
            "class Two(torch.nn.Module):\n"
            "    def forward(self, x):\n        return x, x\n"
            "def build():\n    return Two()\n",
            r"gives tuple, expected a tensor \(N, dim\)",
        ),
        (
            "class Bad(torch.nn.Module):\n"
            "    def forward(self, x):\n        assert x is None\n"
            "def build():\n    return Bad()\n",
            r"does not take 8 x 8 pixels \(AssertionError\)",
        ),
    ],
)
def test_function_that_is_none(tmp_path, text, reason):
    source = own(tmp_path, text)
    with pytest.raises(ConfigError, match=rf"mine\.py(:build)?.* {reason}"):
        build(Backbone(name=f"{source}:build", image_size=8))


@pytest.mark.parametrize("name", ["/nowhere/mine.py:build", "no_such_package.models:build"])
def test_source_that_is_not_there(name):
    with pytest.raises(ConfigError, match=r"backbone\.name: .* cannot be imported here: "):
        build(Backbone(name=name))
