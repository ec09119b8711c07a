import numpy as np
import pytest
from cleanlab.count import compute_confident_joint
from cleanlab.rank import get_label_quality_scores
from sklearn.metrics import average_precision_score

from raylabel.acceptance import find_label_errors
from raylabel.acceptance.label_errors import _neighbours_say, confident_joint


def mistaken(rng, *, items=600, classes=3, rate=0.15):
    """Clusters that a model tells apart more or less, and people's answers: wrong ones name the next class."""
    truth = rng.integers(classes, size=items)
    embeddings = np.eye(classes, 8)[truth] * 2 + rng.normal(size=(items, 8))
    logits = embeddings[:, :classes] + rng.normal(size=(items, classes))
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    wrong = rng.random(items) < rate
    return probabilities, np.where(wrong, (truth + 1) % classes, truth), embeddings.astype(np.float16), wrong


def test_confident_joint_by_hand():
    probabilities = np.array([[0.9, 0.1], [0.5, 0.5], [0.2, 0.8], [0.75, 0.25]])
    # Class 0 is answered with 0.9, 0.5 and 0.2: confident from 0.533; class 1 with 0.25.
    found = confident_joint(probabilities, np.array([0, 0, 0, 1]))
    assert found.tolist() == [[1, 1], [2, 0]]


def test_confident_joint_is_cleanlabs(rng):
    probabilities, labels, _, _ = mistaken(rng)
    theirs = compute_confident_joint(labels, probabilities, calibrate=False)
    ours = confident_joint(probabilities, labels)
    # Theirs has answers as rows, and counts at least one right answer of each class.
    assert (theirs == ours.T).all()
    assert ours.trace() > 200


def test_score_by_hand():
    """Confident joint [[2, 1], [0, 2]] and one each: of class 0, 2 of 5 are answered 1; of class 1, 1 of 4 is 0."""
    probabilities = np.array([[0.9, 0.1], [0.9, 0.1], [0.1, 0.9], [0.1, 0.9], [0.8, 0.2], [0.6, 0.4]])
    labels = np.array([0, 0, 1, 1, 1, 0])
    joint = confident_joint(probabilities, labels)
    assert joint.tolist() == [[2, 1], [0, 2]]
    found = find_label_errors(probabilities, labels)
    right = 0.2 * 3 / 4 / (0.2 * 3 / 4 + 0.8 * 2 / 5)
    assert found.score[4] == pytest.approx(1 - right)
    assert found.score[0] == pytest.approx(1 - 0.9 * 3 / 5 / (0.9 * 3 / 5 + 0.1 / 4))
    assert found.is_error.tolist() == [False, False, False, False, True, False]
    assert found.suggested.tolist() == [0, 0, 1, 1, 0, 0]
    assert found.ranked().tolist() == [4]


def test_neighbours_by_hand():
    """Two pairs of copies, opposite each other: the other copy counts e^10, the far ones e^-10 each."""
    embeddings = np.array([[1, 0], [1, 0], [-1, 0], [-1, 0]], dtype=np.float16)
    said = _neighbours_say(embeddings, np.array([0, 1, 2, 2]), 3)
    near, far = np.exp(10), np.exp(-10)
    prior = 0.5 * (near + 2 * far) / 3
    expected = np.array([prior, near + prior, 2 * far + prior])
    assert np.allclose(said[0], expected / expected.sum())
    assert np.allclose(said[2], np.array([far + prior, far + prior, near + prior]) / (near + 2 * far + 3 * prior))


def test_an_item_is_never_its_own_neighbour(rng):
    """Not even among more copies of it than neighbours are asked for."""
    embeddings = np.ones((30, 4), dtype=np.float16)
    embeddings[15:] = -1
    labels = np.repeat([0, 1], 15)
    labels[0] = 2
    said = _neighbours_say(embeddings, labels, 3)
    assert said[0].argmax() == 0
    assert said[0, 2] == said[0, 1]


def test_errors_are_found_better_than_by_the_models_own_word(rng):
    probabilities, labels, embeddings, wrong = mistaken(rng, items=2000)
    theirs = -get_label_quality_scores(labels, probabilities, method="self_confidence")
    found = find_label_errors(probabilities, labels, embeddings=embeddings)
    alone = find_label_errors(probabilities, labels)
    precision = [average_precision_score(wrong, score) for score in (theirs, alone.score, found.score)]
    assert precision[0] < precision[1] - 0.005
    assert precision[1] < precision[2] - 0.005
    ranked = found.ranked()
    assert found.is_error.sum() == len(ranked)
    assert (np.diff(found.score[ranked]) <= 0).all()
    assert wrong[ranked[:50]].mean() > 0.9
    assert (found.suggested[~found.is_error] == labels[~found.is_error]).all()
    assert (found.suggested[found.is_error] != labels[found.is_error]).all()


def test_clean_answers_are_left_alone(rng):
    truth = rng.integers(3, size=100)
    probabilities = np.full((100, 3), 0.05)
    probabilities[np.arange(100), truth] = 0.9
    assert len(find_label_errors(probabilities, truth).ranked()) == 0


def test_one_class_answered_and_no_answers():
    probabilities = np.array([[1.0, 0.0], [0.4, 0.6], [0.8, 0.2]])
    found = find_label_errors(probabilities, np.array([0, 0, 0]), embeddings=np.eye(3))
    assert np.isfinite(found.score).all()
    assert not find_label_errors(np.array([[0.0, 1.0]]), np.array([1]), embeddings=np.ones((1, 2))).is_error.any()
    assert find_label_errors(probabilities[:0], np.array([], dtype=int), embeddings=np.ones((0, 2))).score.shape == (0,)


@pytest.mark.parametrize(
    ("probabilities", "labels", "match"),
    [
        (np.ones((2, 1)), np.array([0, 0]), r"probabilities: got shape \(2, 1\)"),
        (np.array([[0.5, 0.6]]), np.array([0]), "rows that are no probabilities"),
        (np.array([[np.nan, 1.0]]), np.array([0]), "rows that are no probabilities"),
        (np.array([[-0.5, 1.5]]), np.array([0]), "rows that are no probabilities"),
        (np.array([[0.5, 0.5]]), np.array([2]), r"label_index: got a value outside 0\.\.1"),
        (np.array([[0.5, 0.5]]), np.array([-1]), r"label_index: got a value outside 0\.\.1"),
        (np.array([[0.5, 0.5]]), np.array([0, 1]), r"label_index: got int64 of shape \(2,\)"),
        (np.array([[0.5, 0.5]]), np.array([0.0]), "label_index: got float64"),
    ],
)
def test_bad_input(probabilities, labels, match):
    with pytest.raises(ValueError, match=match):
        find_label_errors(probabilities, labels)


def test_embeddings_of_other_items():
    with pytest.raises(ValueError, match=r"embeddings: got shape \(3, 2\), expected \(2, D\)"):
        find_label_errors(np.full((2, 2), 0.5), np.array([0, 1]), embeddings=np.ones((3, 2)))
