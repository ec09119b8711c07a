import numpy as np
import pytest

from raylabel.acceptance.label_model import ABSTAIN, VoteCounts, fit_label_model


def pool(rng, accuracy, coverage, *, items, balance):
    """Votes of functions that err evenly among the other classes, and the truth."""
    classes = len(balance)
    truth = rng.choice(classes, size=items, p=balance)
    votes = np.full((items, len(accuracy)), ABSTAIN)
    for function, (right, share) in enumerate(zip(accuracy, coverage, strict=True)):
        wrong = (truth + rng.integers(1, classes, size=items)) % classes
        said = np.where(rng.random(items) < right, truth, wrong)
        votes[:, function] = np.where(rng.random(items) < share, said, ABSTAIN)
    return votes, truth


def detectors(rng, classes, *, items):
    """Functions that know one class each and say nothing else, and the truth."""
    truth = rng.integers(classes, size=items)
    votes = np.full((items, classes), ABSTAIN)
    for label in range(classes):
        votes[:, label] = np.where(rng.random(items) < np.where(truth == label, 0.8, 0.1), label, ABSTAIN)
    return votes, truth


def most_named(votes, classes):
    return np.stack([(votes == label).sum(axis=1) for label in range(classes)], axis=1).argmax(axis=1)


def slow_posterior(model, votes):
    """Bayes' rule, item by item and class by class."""
    classes = len(model.balance)
    rows = []
    for row in votes:
        joint = []
        for true in range(classes):
            chance = model.balance[true]
            for function, vote in enumerate(row):
                chance *= model.response[function, true, classes if vote == ABSTAIN else vote]
            joint.append(chance**model.strength)
        rows.append(np.array(joint) / sum(joint))
    return np.array(rows)


def test_counts_of_patterns_and_their_merge():
    votes = np.array([[0, -1], [1, 1], [0, -1], [0, 1]])
    found = VoteCounts.of(votes)
    assert found.patterns.tolist() == [[0, -1], [0, 1], [1, 1]]
    assert found.counts.tolist() == [2, 1, 1]
    merged = VoteCounts.of(votes[3:]).merge(VoteCounts.of(votes[:3]))
    assert merged.patterns.tolist() == found.patterns.tolist()
    assert merged.counts.tolist() == found.counts.tolist()
    empty = VoteCounts.of(votes[:0])
    assert empty.merge(found).counts.tolist() == [2, 1, 1]


@pytest.mark.parametrize("num_known", [0, 100])
def test_probabilities_are_bayes_rule(rng, num_known):
    votes, truth = pool(rng, [0.9, 0.6, 0.7], [0.9, 0.5, 0.3], items=500, balance=[0.5, 0.3, 0.2])
    known = (votes[:num_known], truth[:num_known])
    model = fit_label_model(VoteCounts.of(votes), num_classes=3, known=known)
    assert (model.strength == 1) == (num_known == 0)
    found = model.probabilities(votes[:50])
    assert np.allclose(found, slow_posterior(model, votes[:50]))
    assert np.allclose(found.sum(axis=1), 1)
    assert np.allclose(model.response.sum(axis=2), 1)
    assert model.probabilities(votes[:0]).shape == (0, 3)


def test_functions_that_err_apart_are_learned_to_the_end(rng):
    accuracy, coverage, balance = [0.9, 0.8, 0.7, 0.6, 0.5], [0.3, 0.8, 0.6, 0.9, 0.5], [0.6, 0.3, 0.1]
    votes, truth = pool(rng, accuracy, coverage, items=10_000, balance=balance)
    known = (votes[:300], truth[:300])
    model = fit_label_model(VoteCounts.of(votes), num_classes=3, known=known)
    assert model.strength == pytest.approx(1, abs=0.3)
    assert np.allclose(model.accuracy, accuracy, atol=0.05)
    assert np.allclose(model.coverage, (votes != ABSTAIN).mean(axis=0))
    assert np.allclose(model.balance, balance, atol=0.05)
    spoken = (votes != ABSTAIN).any(axis=1)
    blind = fit_label_model(VoteCounts.of(votes), num_classes=3)
    right = [(found.probabilities(votes).argmax(axis=1) == truth)[spoken].mean() for found in (model, blind)]
    assert right[0] > (most_named(votes, 3) == truth)[spoken].mean() + 0.02
    assert right[0] > right[1] + 0.02


def test_functions_that_err_alike_are_held_back(rng):
    """One poor function in six copies outvotes three good ones: without people's answers they would be believed."""
    good, truth = pool(rng, [0.85] * 3, [1.0] * 3, items=4_000, balance=[0.5, 0.5])
    poor = np.where(rng.random(4_000) < 0.6, truth, 1 - truth)
    votes = np.concatenate([good, np.repeat(poor[:, np.newaxis], 6, axis=1)], axis=1)
    counts = VoteCounts.of(votes)
    blind = fit_label_model(counts, num_classes=2)
    held = fit_label_model(counts, num_classes=2, known=(votes[:200], truth[:200]))
    assert held.strength < 0.3
    loss = [-np.log(found.probabilities(votes)[np.arange(4_000), truth]).mean() for found in (blind, held)]
    assert loss[0] > 1
    assert loss[1] < np.log(2)


def test_one_good_function_beside_a_die(rng):
    """Two functions that hardly ever agree: only people's answers can tell which of them knows something."""
    good, truth = pool(rng, [0.7], [0.8], items=3_000, balance=[0.25] * 4)
    votes = np.concatenate([good, rng.integers(0, 4, (3_000, 1))], axis=1)
    model = fit_label_model(VoteCounts.of(votes), num_classes=4, known=(votes[:60], truth[:60]))
    assert model.accuracy[0] > 0.55  # of 0.7: nothing confirms it
    assert model.accuracy[1] == pytest.approx(0.25, abs=0.05)
    spoken = good[:, 0] != ABSTAIN
    assert (model.probabilities(votes).argmax(axis=1) == good[:, 0])[spoken].mean() > 0.95


def test_functions_that_name_one_class_each(rng):
    """What they say when they speak is always the same: only their silence tells how right they are."""
    votes, truth = detectors(rng, 3, items=5_000)
    model = fit_label_model(VoteCounts.of(votes), num_classes=3, known=(votes[:300], truth[:300]))
    assert np.allclose(model.accuracy, 0.8, atol=0.05)  # 0.8 / (0.8 + 2 * 0.1)
    for label in range(3):
        assert model.response[label, label, label] == pytest.approx(0.8, abs=0.1)
        assert model.response[label, label, 3] == pytest.approx(0.2, abs=0.1)
    spoken = (votes != ABSTAIN).any(axis=1)
    found = model.probabilities(votes)
    assert (found.argmax(axis=1) == truth)[spoken].mean() >= (most_named(votes, 3) == truth)[spoken].mean()


def test_a_function_that_people_never_agree_with_says_nothing(rng):
    votes, truth = pool(rng, [0.5], [1.0], items=2_000, balance=[0.5, 0.5])
    alone = fit_label_model(VoteCounts.of(votes), num_classes=2)
    assert alone.accuracy[0] > 0.6
    judged = fit_label_model(VoteCounts.of(votes), num_classes=2, known=(votes[:400], truth[:400]))
    assert judged.accuracy[0] == pytest.approx(0.5, abs=0.06)


def test_function_that_never_votes():
    votes = np.array([[0, -1, 0], [1, -1, 1], [0, -1, -1]])
    model = fit_label_model(VoteCounts.of(votes), num_classes=2)
    assert np.isnan(model.accuracy[1])
    assert model.coverage.tolist() == [1, 0, 2 / 3]
    assert model.probabilities(votes).argmax(axis=1).tolist() == [0, 1, 0]


def test_functions_that_contradict_each_other_everywhere():
    """Nothing says which of the two is right: the classes stay as likely as they are."""
    votes = np.array([[0, 1], [1, 0]] * 50)
    model = fit_label_model(VoteCounts.of(votes), num_classes=2)
    assert np.allclose(model.probabilities(votes), 0.5, atol=1e-6)


def test_all_votes_name_one_class():
    votes = np.array([[1, 1], [1, -1], [-1, 1]] * 10)
    model = fit_label_model(VoteCounts.of(votes), num_classes=3)
    assert (model.probabilities(votes).argmax(axis=1) == 1).all()
    assert model.balance.argmax() == 1


@pytest.mark.parametrize(
    ("votes", "match"),
    [
        (np.array([[0, 3]]), r"votes: got 0\.\.3, expected label indices in 0\.\.2 or -1"),
        (np.array([[-1, -1]]), "got no vote, every function abstains everywhere"),
    ],
)
def test_votes_that_teach_nothing(votes, match):
    with pytest.raises(ValueError, match=match):
        fit_label_model(VoteCounts.of(votes), num_classes=3)


def test_arrays_that_are_no_votes():
    with pytest.raises(ValueError, match=r"votes: got -2, expected label indices or -1"):
        VoteCounts.of(np.array([[-2]]))
    for wrong in (np.array([0, 1]), np.zeros((2, 0), dtype=int), np.array([[0.5]])):
        with pytest.raises(ValueError, match=r"expected integers of shape \(n, F\) with at least 1 function"):
            VoteCounts.of(wrong)
    counts = VoteCounts.of(np.array([[0, 1], [1, 1]]))
    with pytest.raises(ValueError, match="other: got 1 functions, expected 2"):
        counts.merge(VoteCounts.of(np.array([[0]])))
    with pytest.raises(ValueError, match="num_classes: got 1"):
        fit_label_model(counts, num_classes=1)
    model = fit_label_model(counts, num_classes=2)
    with pytest.raises(ValueError, match=r"votes: got shape \(1, 3\), expected \(n, 2\)"):
        model.probabilities(np.array([[0, 0, 0]]))
    with pytest.raises(ValueError, match=r"votes: got 0\.\.2"):
        model.probabilities(np.array([[0, 2]]))


@pytest.mark.parametrize(
    ("votes", "labels", "match"),
    [
        (np.array([[0]]), np.array([0]), r"known: got shapes \(1, 1\) and \(1,\), expected \(m, 2\) and \(m,\)"),
        (np.array([[0, 1]]), np.array([0, 1]), r"known: got shapes \(1, 2\) and \(2,\)"),
        (np.array([[0, 1]]), np.array([2]), r"known: got a label outside 0\.\.1"),
        (np.array([[0, 2]]), np.array([0]), r"votes: got 0\.\.2"),
    ],
)
def test_known_labels_that_do_not_fit(votes, labels, match):
    counts = VoteCounts.of(np.array([[0, 1], [1, 1]]))
    with pytest.raises(ValueError, match=match):
        fit_label_model(counts, num_classes=2, known=(votes, labels))
