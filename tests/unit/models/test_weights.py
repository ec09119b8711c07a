import pickle
import shutil

import pytest
import safetensors.torch
import torch
import torchvision
from torch import nn

from raylabel.config import Backbone
from raylabel.errors import UnknownName, WeightsError
from raylabel.models.backbones import Encoder, build
from raylabel.models.weights import digest, dump, fit, load, read
from raylabel.workspace import Store

SMALL = Backbone(name="tiny_cnn", image_size=16)


class Layers(nn.Module):
    """A module whose tensors have a fixed order."""

    def __init__(self):
        super().__init__()
        self.a = nn.Linear(4, 3)
        self.b = nn.Linear(3, 2)


def encoder(module=None, head_prefix=None):
    return Encoder(module or Layers(), (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), 2, head_prefix)


def numbered(module=None):
    """The tensors of a module, each filled with values of its own."""
    state = (module or Layers()).state_dict()
    return {name: torch.arange(t.numel()).reshape(t.shape) / 7 + i for i, (name, t) in enumerate(state.items())}


def same(module, tensors):
    state = module.state_dict()
    return all(torch.equal(state[name], tensors[name]) for name in state)


def kept(tmp_path, tree, name="weights.pth"):
    torch.save(tree, tmp_path / name)
    return str(tmp_path / name)


@pytest.fixture(scope="module")
def mobilenet(data):
    return data / "weights" / "mobilenet_v2_imagenet.safetensors"


def test_real_weights_by_name(mobilenet):
    """Every tensor but those of the cut layer lands where the file says, and the features are torchvision's."""
    backbone = Backbone(name="mobilenet_v2", weights=str(mobilenet), image_size=64)
    made = build(backbone)
    load(made, backbone)
    stored = safetensors.torch.load_file(mobilenet)
    state = made.module.state_dict()
    assert set(stored) - set(state) == {"classifier.1.weight", "classifier.1.bias"}
    assert all(torch.equal(state[name], stored[name].float()) for name in state if name in stored)

    whole = torchvision.models.mobilenet_v2(weights=None).eval()
    whole.load_state_dict(stored, strict=False)
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.inference_mode():
        logits = whole.classifier(made.module(images))
        assert torch.allclose(logits, whole(images), atol=1e-5)
    assert logits.std() > 0.1


def test_weights_of_another_model(mobilenet):
    """The first tensor that does not fit is named, with both shapes."""
    made = build(Backbone(name="mobilenet_v3_small", image_size=64))
    before = {name: tensor.clone() for name, tensor in made.module.state_dict().items()}
    with pytest.raises(WeightsError) as caught:
        fit(made, read(str(mobilenet)), source=str(mobilenet))
    assert "tensor 'features.0.0.weight' has shape (32, 3, 3, 3), the backbone wants (16, 3, 3, 3)" in str(caught.value)
    assert caught.value.exit_code == 2
    assert same(made.module, before)


def test_first_mismatched_tensor_is_named():
    tensors = numbered()
    tensors["a.bias"], tensors["b.weight"] = torch.zeros(5), torch.zeros(2, 2)
    with pytest.raises(WeightsError, match=r"w.th: tensor 'a.bias' has shape \(5,\), the backbone wants \(3,\)"):
        fit(encoder(), tensors, source="w.th")


def test_missing_tensor():
    tensors = numbered()
    del tensors["b.weight"]
    made = encoder()
    before = {name: tensor.clone() for name, tensor in made.module.state_dict().items()}
    with pytest.raises(WeightsError, match=r"w\.th: has no tensor 'b\.weight'; are these weights of another model\?"):
        fit(made, tensors, source="w.th")
    assert same(made.module, before)


def test_foreign_tensor():
    with pytest.raises(WeightsError, match=r"tensor 'c\.weight' has no place in the backbone"):
        fit(encoder(), {**numbered(), "c.weight": torch.zeros(1)}, source="w.th")


def test_tensors_of_the_cut_layer_are_passed_over():
    made, tensors = encoder(head_prefix="head"), numbered()
    fit(made, {**tensors, "head.weight": torch.zeros(9, 2), "head.bias": torch.zeros(9)}, source="w.th")
    assert same(made.module, tensors)
    with pytest.raises(WeightsError, match="'header' has no place"):
        fit(made, {**tensors, "header": torch.zeros(1)}, source="w.th")


def test_counter_of_batches_may_be_missing():
    norm = nn.BatchNorm2d(2)
    tensors = {name: torch.full((2,), 3.0) for name in ("weight", "bias", "running_mean", "running_var")}
    fit(encoder(norm), tensors, source="w.th")
    assert norm.running_var.tolist() == [3.0, 3.0]
    assert norm.num_batches_tracked.item() == 0


def test_float16_is_loaded_as_float32():
    made, tensors = encoder(), {name: tensor.half() for name, tensor in numbered().items()}
    fit(made, tensors, source="w.th")
    assert {tensor.dtype for tensor in made.module.state_dict().values()} == {torch.float32}
    assert same(made.module, {name: tensor.float() for name, tensor in tensors.items()})


def test_real_float16_weights_of_a_function_of_ones_own(data):
    source = data / "weights" / "efficientnet_b4_trunc.fp16.safetensors"
    backbone = Backbone(
        name=f"{data / 'weights' / 'backbones.py'}:build", options={"n": "effnet_b4_trunc"}, image_size=32
    )
    made = build(backbone)
    stored = read(str(source))
    assert stored["conv_stem.weight"].dtype == torch.float16
    for parameter in made.module.parameters():
        nn.init.zeros_(parameter)
    fit(made, stored, source=str(source))
    state = made.module.state_dict()
    assert all(torch.equal(state[name], stored[name].to(state[name].dtype)) for name in stored)
    assert {parameter.dtype for parameter in made.module.parameters()} == {torch.float32}


def test_wrapped_and_prefixed_names(data):
    """A real training checkpoint: {"state_dict": {"module.conv1.weight": ...}} beside numbers."""
    found = read(str(data / "weights" / "resnet20-12fca82f.th"))
    assert found["conv1.weight"].shape == (16, 3, 3, 3)
    assert found["linear.weight"].shape == (10, 64)
    assert not [name for name in found if name.startswith("module.")]
    assert sum(tensor.numel() for name, tensor in found.items() if "running" not in name) == 269_722


@pytest.mark.parametrize("wrap", [lambda t: t, lambda t: {"state_dict": t}, lambda t: {"model": t, "epoch": 3}])
def test_wrappers(tmp_path, wrap):
    tensors = numbered()
    source = kept(tmp_path, wrap({f"module.{name}": tensor for name, tensor in tensors.items()}))
    found = read(source)
    assert set(found) == set(tensors)
    assert all(torch.equal(found[name], tensors[name]) for name in tensors)


class Canary:
    """Unpickling this writes a file."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return open, (str(self.target), "w")


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".th"])
@pytest.mark.parametrize("zipped", [True, False])
def test_pickled_object_is_refused_and_nothing_runs(tmp_path, suffix, zipped):
    canary, source = tmp_path / "canary", tmp_path / f"weights{suffix}"
    torch.save({"a": torch.zeros(1), "b": Canary(canary)}, source, _use_new_zipfile_serialization=zipped)
    with pytest.raises(WeightsError, match="holds something other than plain tensors"):
        read(str(source))
    assert not canary.exists()
    torch.load(source, weights_only=False)
    assert canary.exists()  # it would have run


def test_bare_pickle_is_refused_and_nothing_runs(tmp_path):
    source = tmp_path / "weights.pth"
    source.write_bytes(pickle.dumps(Canary(tmp_path / "canary"), protocol=2))
    with pytest.raises(WeightsError, match="something other than plain tensors"):
        read(str(source))
    assert not (tmp_path / "canary").exists()


@pytest.mark.parametrize("content", [torch.zeros(3), [torch.zeros(3)], 5, {"a": "text"}, {"state_dict": {"a": 1}}, {}])
def test_pth_that_holds_no_state_dict(tmp_path, content):
    with pytest.raises(WeightsError, match=r"weights\.pth: holds"):
        read(kept(tmp_path, content))


@pytest.mark.parametrize("name", ["w.safetensors", "w.pth"])
@pytest.mark.parametrize("content", [b"", b"<html>not found</html>", b"\x00" * 64])
def test_file_that_is_no_weights(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(WeightsError, match=f"{name}: holds something other than plain tensors"):
        read(str(tmp_path / name))


def test_cut_files(tmp_path, mobilenet):
    whole = mobilenet.read_bytes()
    (tmp_path / "cut.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(WeightsError, match=r"cut\.safetensors: holds something other"):
        read(str(tmp_path / "cut.safetensors"))
    source = kept(tmp_path, numbered(), "cut.pth")
    with open(source, "rb+") as file:
        file.truncate(900)
    with pytest.raises(WeightsError, match=r"cut\.pth: holds something other"):
        read(source)


def test_missing_file(tmp_path):
    with pytest.raises(WeightsError, match=r"none\.pth: there is no such weights file; check backbone\.weights"):
        read(str(tmp_path / "none.pth"))
    backbone = Backbone(name="tiny_cnn", weights=str(tmp_path / "none.safetensors"), image_size=16)
    with pytest.raises(WeightsError, match=r"none\.safetensors: there is no such weights file"):
        load(build(backbone), backbone)


def test_folder_in_place_of_a_file(tmp_path):
    (tmp_path / "w.safetensors").mkdir()
    with pytest.raises(WeightsError, match=r"w\.safetensors: cannot be read"):
        read(str(tmp_path / "w.safetensors"))


@pytest.mark.parametrize(
    ("name", "weights", "match"),
    [
        ("mobilenet_v2", "IMAGENET1K_V3", r"unknown weights of mobilenet_v2 'IMAGENET1K_V3': did you mean IMAGENET1K_"),
        ("mobilenet_v2", "DEFALT", r"did you mean DEFAULT\?$"),
        ("tiny_cnn", "DEFAULT", "unknown weights 'DEFAULT': .*none"),
        ("tiny_cnn", "weights.bin", r"known: a file ending in \.safetensors, \.pth, \.pt, \.th, none"),
    ],
)
def test_unknown_name_of_weights(name, weights, match):
    backbone = Backbone(name=name, weights=weights, image_size=32)
    with pytest.raises(UnknownName, match=match):
        load(build(backbone), backbone)


def test_no_weights_are_those_of_the_seed():
    first, again, other = (build(SMALL, seed=seed) for seed in (1, 1, 2))
    load(first, SMALL.model_copy(update={"weights": "none"}))
    assert same(first.module, again.module.state_dict())
    assert not same(first.module, other.module.state_dict())


def test_function_of_ones_own_keeps_its_weights_by_default(tmp_path):
    source = tmp_path / "mine.py"
    source.write_text("import torch\ndef build():\n    return torch.nn.Sequential(torch.nn.Flatten())\n")
    backbone = Backbone(name=f"{source}:build", image_size=2)
    load(build(backbone), backbone)  # no name to look up, no file to read


def test_dump_and_read_are_each_others_inverse(tmp_path):
    made = build(SMALL, seed=3)
    (tmp_path / "w.safetensors").write_bytes(dump(made))
    found = read(str(tmp_path / "w.safetensors"))
    assert set(found) == set(made.module.state_dict())
    assert same(made.module, found)
    other = build(SMALL, seed=4)
    fit(other, found, source="w")
    assert digest(other, SMALL) == digest(made, SMALL)
    assert dump(other) == dump(made)


def test_weights_in_s3(s3_prefix):
    made = build(SMALL, seed=3)
    Store(s3_prefix).write("w.safetensors", dump(made))
    assert same(made.module, read(f"{s3_prefix}/w.safetensors"))
    with pytest.raises(WeightsError, match=r"other\.pth: there is no such weights file"):
        read(f"{s3_prefix}/other.pth")


def test_digest_names_everything_that_embeddings_depend_on():
    made = build(SMALL, seed=3)
    names = {digest(made, SMALL)}
    for change in ({"image_size": 32}, {"fit": "squash"}, {"name": "other"}, {"options": {"depth": 2}}):
        names.add(digest(made, SMALL.model_copy(update=change)))
    for norm in ({"mean": (0.1, 0.2, 0.3)}, {"std": (0.1, 0.2, 0.3)}):
        names.add(digest(Encoder(**{**vars(made), **norm}), SMALL))
    with torch.no_grad():
        next(made.module.parameters())[0, 0, 0, 0] += 1e-6
    names.add(digest(made, SMALL))
    assert len(names) == 8
    assert all(len(name) == 16 and int(name, 16) >= 0 for name in names)


def test_digest_does_not_name_folders(tmp_path, data):
    """The same file at two places is the same backbone, whatever its weights' path."""
    made, digests = build(SMALL, seed=3), set()
    for place in ("here", "there"):
        (tmp_path / place).mkdir()
        shutil.copy(data / "weights" / "backbones.py", tmp_path / place)
        name = f"{tmp_path / place / 'backbones.py'}:build"
        digests.add(digest(made, SMALL.model_copy(update={"name": name, "weights": f"{place}/w.pth"})))
    assert len(digests) == 1


def test_digest_is_the_same_in_every_process():
    """Fixed tensors have a fixed name: it must not depend on hash seeds, order or memory layout."""
    made = encoder()
    made.module.load_state_dict(numbered())
    first = digest(made, SMALL)
    made.module.a.weight = nn.Parameter(made.module.a.weight.detach().T.contiguous().T)
    assert digest(made, SMALL) == first == "65afc1c156650924"
