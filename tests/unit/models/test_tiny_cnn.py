import torch
from torch import nn

from raylabel.models.tiny_cnn import TinyCNN


def test_features_are_the_mean_and_the_maximum_of_its_maps():
    torch.manual_seed(0)
    model = TinyCNN().eval()
    for side in (16, 17, 64):
        images = torch.randn(3, 3, side, side)
        with torch.inference_mode():
            maps, features = model.layers(images), model(images)
        assert maps.shape == (3, 64, side // 8, side // 8)
        assert features.shape == (3, 128)
        assert torch.allclose(features[:, :64], maps.flatten(2).mean(2), atol=1e-6)
        assert torch.equal(features[:, 64:], maps.flatten(2).max(2).values)
        assert features.std() > 0.01


def test_number_of_weights():
    """Three convolutions with biases, and two numbers a channel of group normalisation."""
    expected = (27 * 32 + 32) + (288 * 64 + 64) + (576 * 64 + 64) + 2 * (32 + 64 + 64)
    assert sum(weight.numel() for weight in TinyCNN().parameters()) == expected == 56_640


def test_every_weight_learns():
    torch.manual_seed(0)
    model = TinyCNN()
    nn.functional.mse_loss(model(torch.randn(4, 3, 16, 16)), torch.randn(4, 128)).backward()
    assert all(weight.grad is not None and weight.grad.abs().sum() > 0 for weight in model.parameters())


def test_an_image_does_not_see_the_others():
    torch.manual_seed(0)
    model, images = TinyCNN(), torch.randn(4, 3, 16, 16)  # in training mode: there are no batch statistics
    assert torch.allclose(model(images)[2], model(images[2:3])[0], atol=1e-6)
