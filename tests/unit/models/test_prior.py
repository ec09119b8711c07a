import math

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from raylabel.models.prior import RIDGES, Prior, fit_prior, weigh


def test_logits_by_hand():
    prior = Prior(np.array([[1.0, 0.0], [0.0, 2.0], [-1.0, 1.0]]), np.array([0.5, 0.0, -0.5]))
    assert prior.logits(np.array([[2, 1], [0, 3]], np.float16)).tolist() == [[2.5, 2.0, -1.5], [0.5, 6.0, 2.5]]


@pytest.fixture
def items():
    rng = np.random.default_rng(0)
    embeddings = (3 + rng.normal(size=(400, 6))).astype(np.float16)
    probabilities = rng.dirichlet([1, 1, 1], size=400)
    probabilities[np.arange(400), embeddings[:, :3].argmax(axis=1)] += 1
    return embeddings, probabilities / 2


def test_prior_is_ridge_regression_at_unit_length(items):
    """One of the ridges, by scikit-learn's own regression on the embeddings as they are."""
    embeddings, probabilities = items
    prior = fit_prior(embeddings, probabilities)
    logits = prior.logits(embeddings)
    assert np.allclose(logits.mean(axis=0), 0, atol=1e-9)
    assert (logits**2).sum(axis=1).mean() == pytest.approx(1)
    values = embeddings.astype(float)
    squared = ((values - values.mean(axis=0)) ** 2).sum(axis=1).mean()
    reference = [Ridge(alpha=ridge * squared).fit(values, probabilities).coef_ for ridge in RIDGES]
    off = [np.abs(found / np.linalg.norm(found) - prior.weight / np.linalg.norm(prior.weight)) for found in reference]
    assert min(each.max() for each in off) < 1e-6
    assert (logits.argmax(axis=1) == probabilities.argmax(axis=1)).mean() > 0.9


def test_noise_is_held_back_more_than_what_embeddings_tell(items):
    """What was left out chooses the ridge: labels that have nothing to do with the embeddings get the strongest."""
    embeddings, probabilities = items
    noise = np.random.default_rng(1).permutation(probabilities)
    values = embeddings.astype(float)
    squared = ((values - values.mean(axis=0)) ** 2).sum(axis=1).mean()
    strongest = Ridge(alpha=RIDGES[-1] * squared).fit(values, noise).coef_
    found = fit_prior(embeddings, noise).weight
    assert np.allclose(found / np.linalg.norm(found), strongest / np.linalg.norm(strongest), atol=1e-6)


def test_labels_that_say_nothing_are_no_prior(items):
    embeddings, _ = items
    assert fit_prior(embeddings, np.full((400, 3), 1 / 3)) is None
    assert fit_prior(np.ones((5, 6), np.float16), np.eye(5)) is None
    assert fit_prior(embeddings[:1], np.eye(3)[:1]) is None
    assert fit_prior(embeddings[:0], np.empty((0, 3))) is None


def test_weak_labels_are_taken_by_a_clear_gain():
    """Gains of 1, 2 and 3: mean 2, standard deviation 1, standard error 1 / sqrt(3)."""
    without = np.array([2.0, 3.0, 4.0])
    found = weigh(5.0, without, np.ones(3))
    assert (found.weight, found.log_loss, found.gain) == (5.0, 3.0, 2.0)
    assert found.standard_error == pytest.approx(1 / math.sqrt(3))
    # Gains of 0, 1 and 2: mean 1, less than two standard errors of 1 / sqrt(3).
    unclear = weigh(5.0, without, without - [0, 1, 2])
    assert unclear.weight == 0
    assert (unclear.gain, unclear.standard_error) == (1.0, pytest.approx(1 / math.sqrt(3)))
    assert weigh(5.0, without, without + 1).weight == 0
    assert weigh(5.0, without[:1], np.zeros(1)) == weigh(2.0, without[:1], np.zeros(1))  # one answer judges nothing
