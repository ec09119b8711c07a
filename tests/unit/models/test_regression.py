import numpy as np
import pytest
from scipy.special import log_softmax
from sklearn.linear_model import LogisticRegression

from raylabel.models.regression import UNSEEN, fit_logistic


@pytest.fixture
def items(rng):
    values = rng.normal(size=(80, 5))
    return values, (values[:, :3] + rng.normal(size=(80, 3))).argmax(axis=1)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def objective(weight, bias, values, label_index, offset, penalty):
    logits = log_softmax(values @ weight.T + bias + offset, axis=1)
    return -penalty * logits[np.arange(len(values)), label_index].sum() + 0.5 * (weight**2).sum()


def test_beside_nothing_it_is_scikit_learns(items):
    values, label_index = items
    weight, bias = fit_logistic(values, label_index, 3, 2.0, offset=np.zeros((80, 3)))
    theirs = LogisticRegression(C=2.0, tol=1e-10, max_iter=5_000).fit(values, label_index)
    assert np.allclose(weight, theirs.coef_, atol=1e-3)
    assert np.allclose(bias - bias.mean(), theirs.intercept_ - theirs.intercept_.mean(), atol=1e-3)
    plain = fit_logistic(values, label_index, 3, 2.0)
    assert np.allclose(plain[0], theirs.coef_, atol=1e-3)


def test_logits_that_are_there_are_added_to(items, rng):
    """No step away from the solution lowers the objective; what the offset knows is not learned once more."""
    values, label_index = items
    offset = rng.normal(size=(80, 3))
    weight, bias = fit_logistic(values, label_index, 3, 2.0, offset=offset)
    least = objective(weight, bias, values, label_index, offset, 2.0)
    for _ in range(50):
        off = weight + 1e-2 * rng.normal(size=weight.shape)
        assert objective(off, bias + 1e-2 * rng.normal(size=3), values, label_index, offset, 2.0) > least
    knowing = 50.0 * np.eye(3)[label_index]
    assert np.abs(fit_logistic(values, label_index, 3, 2.0, offset=knowing)[0]).max() < 1e-3


def test_classes_that_no_answer_names_keep_out(items):
    values, label_index = items
    labels = np.where(label_index == 2, 4, label_index)
    for offset in (None, np.ones((80, 6))):
        weight, bias = fit_logistic(values, labels, 6, 1.0, offset=offset)
        assert (bias == UNSEEN).tolist() == [False, False, True, True, False, True]
        assert (weight[[2, 3, 5]] == 0).all()
        assert (weight[[0, 1, 4]] != 0).all()
    weight, bias = fit_logistic(values, np.full(80, 3), 6, 1.0, offset=np.ones((80, 6)))
    assert (bias == UNSEEN).tolist() == [True, True, True, False, True, True]
    assert not weight.any()
