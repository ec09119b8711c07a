import math

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from raylabel.models.contrastive import TEMPERATURE, info_nce, pretrain
from raylabel.models.tiny_cnn import TinyCNN


def by_hand(vectors):
    """The loss as its formula reads: for each view, how unlikely its partner is among all others."""
    length = [math.sqrt(sum(x * x for x in row)) for row in vectors]
    count, total = len(vectors), 0.0
    for i in range(count):
        partner = i + count // 2 if i < count // 2 else i - count // 2
        below = 0.0
        for j in range(count):
            if j == i:
                continue
            cosine = sum(a * b for a, b in zip(vectors[i], vectors[j], strict=True)) / (length[i] * length[j])
            below += math.exp(cosine / TEMPERATURE)
            if j == partner:
                above = math.exp(cosine / TEMPERATURE)
        total -= math.log(above / below)
    return total / count


def test_loss_by_hand():
    """Two pictures in three dimensions, two views each."""
    vectors = [[1.0, 0.5, 0.0], [0.0, 2.0, 1.0], [2.0, 0.0, 0.3], [0.1, 1.0, 1.0]]
    assert info_nce(torch.tensor(vectors)).item() == pytest.approx(by_hand(vectors), rel=1e-5)
    assert by_hand(vectors) > 0.01


def test_loss_of_a_picture_alone_is_nothing():
    assert info_nce(torch.tensor([[1.0, 2.0], [3.0, -1.0]])).item() == 0.0


def test_loss_of_equal_vectors_is_that_of_guessing():
    assert info_nce(torch.ones(6, 3)).item() == pytest.approx(math.log(5), rel=1e-6)


def test_loss_is_least_where_views_agree_and_pictures_differ():
    axes = torch.eye(3)
    good = info_nce(torch.cat([axes, axes]))
    assert good.item() == pytest.approx(math.log(1 + 4 * math.exp(-1 / TEMPERATURE)), rel=1e-5)
    assert good < info_nce(torch.cat([axes, axes.roll(1, 0)]))


def test_loss_does_not_depend_on_lengths():
    vectors = torch.randn(8, 4, generator=torch.Generator().manual_seed(0))
    lengths = torch.linspace(0.5, 9, 8).view(8, 1)
    assert info_nce(vectors * lengths).item() == pytest.approx(info_nce(vectors).item(), rel=1e-5)


@pytest.fixture(scope="module")
def pictures():
    grey = (load_digits().images[:300] * (255 / 16)).astype(np.uint8)
    return np.repeat(np.repeat(np.repeat(grey[:, None], 3, axis=1), 2, axis=2), 2, axis=3)


def trained(pixels, *, epochs, seed=0):
    torch.manual_seed(7)
    model, losses = TinyCNN(), []
    pretrain(model, pixels, dim=128, epochs=epochs, seed=seed, report=lambda epoch, loss: losses.append((epoch, loss)))
    return model, losses


def test_a_few_steps_lower_the_loss(pictures):
    model, losses = trained(pictures[:64], epochs=6)
    assert [epoch for epoch, _ in losses] == list(range(6))
    assert losses[0][1] == pytest.approx(math.log(127), abs=0.7)  # at first no better than a guess
    assert losses[-1][1] < losses[0][1] - 0.5
    assert not model.training


def test_same_seed_same_weights(pictures):
    (first, _), (again, _), (other, _) = (trained(pictures[:16], epochs=2, seed=seed) for seed in (0, 0, 1))
    weights = [torch.cat([p.detach().flatten() for p in model.parameters()]) for model in (first, again, other)]
    assert torch.equal(weights[0], weights[1])
    assert (weights[0] - weights[2]).abs().max() > 1e-4


@pytest.mark.parametrize(("count", "epochs"), [(300, 1), (20, 1), (256, 2)])
def test_any_number_of_pictures_and_passes(pictures, count, epochs):
    """300 pictures are one batch of 256 a pass; the rest waits for the next shuffle."""
    model, losses = trained(pictures[:count], epochs=epochs)
    assert len(losses) == epochs
    assert all(math.isfinite(loss) and loss > 0 for _, loss in losses)
    assert all(torch.isfinite(weight).all() for weight in model.parameters())
