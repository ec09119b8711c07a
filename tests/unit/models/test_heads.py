import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import KFold

from raylabel.acceptance import fit_temperature, softmax
from raylabel.models import heads
from raylabel.models.heads import Head, fit_head, fit_members
from raylabel.models.prior import WEIGHTS, fit_prior
from raylabel.models.regression import UNSEEN, fit_logistic


def blobs(counts, *, dim=8, seed=0, spread=1.0):
    """Gaussian clouds, `counts[k]` embeddings of class k, shuffled."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(size=(len(counts), dim)) * 1.5 + 3.0
    labels = rng.permutation(np.repeat(np.arange(len(counts)), counts))
    values = centres[labels] + rng.normal(size=(len(labels), dim)) * spread
    return values.astype(np.float16), labels.astype(np.int32)


def scaled(embeddings):
    values = embeddings.astype(np.float64)
    values = values - values.mean(axis=0)
    return values / np.sqrt((values**2).sum(axis=1).mean())


def plain(embeddings, labels, penalty):
    """scikit-learn's own logistic regression, to the last digit."""
    return LogisticRegression(C=penalty, max_iter=5000, tol=1e-10).fit(embeddings, labels)


@pytest.mark.parametrize("counts", [(30, 30, 30), (50, 7, 20), (40, 25)])
def test_head_is_scikit_learns_logistic_regression(counts):
    embeddings, labels = blobs(counts, spread=2.0)
    head, cross = fit_head(embeddings, labels, num_classes=len(counts), seed=0)
    assert cross.penalty in heads.PENALTIES
    model = plain(scaled(embeddings), labels, cross.penalty)
    probabilities = Head(head.weight, head.bias, 1.0).probabilities(embeddings)
    assert np.abs(probabilities - model.predict_proba(scaled(embeddings))).max() < 1e-4
    sharper = probabilities ** (1 / head.temperature)
    expected = sharper / sharper.sum(axis=1, keepdims=True)
    assert np.allclose(head.probabilities(embeddings), expected, atol=1e-12)


@pytest.mark.parametrize("counts", [(30, 30, 30), (40, 25)])
def test_held_out_logits_come_from_folds_that_left_the_row_out(counts):
    embeddings, labels = blobs(counts, spread=2.0)
    _, cross = fit_head(embeddings, labels, num_classes=len(counts), seed=5)
    values = scaled(embeddings)
    assert cross.judged.all()
    for (inside, outside), fold in zip(KFold(5, shuffle=True, random_state=5).split(values), cross.folds, strict=True):
        assert np.array_equal(inside, fold[0]) and np.array_equal(outside, fold[1])
        expected = plain(values[inside], labels[inside], cross.penalty).predict_proba(values[outside])
        logits = cross.logits[outside]
        found = np.exp(logits - logits.max(axis=1, keepdims=True))
        assert np.abs(found / found.sum(axis=1, keepdims=True) - expected).max() < 1e-4
    assert cross.accuracy == (cross.logits.argmax(axis=1) == labels).mean()
    assert 0.6 < cross.accuracy < 1.0


def test_a_row_does_not_see_its_own_label(monkeypatch):
    """Change one answer: its own held-out logits stay, some of the others' do not."""
    monkeypatch.setattr(heads, "PENALTIES", (10.0,))
    embeddings, labels = blobs((30, 30, 30), spread=2.0)
    _, before = fit_head(embeddings, labels, num_classes=3, seed=0)
    labels[4] = (labels[4] + 1) % 3
    _, after = fit_head(embeddings, labels, num_classes=3, seed=0)
    assert np.array_equal(before.logits[4], after.logits[4])
    assert np.abs(before.logits - after.logits).max() > 0.1


def test_temperature_is_that_of_the_held_out_logits():
    embeddings, labels = blobs((30, 30, 30), spread=3.0)
    head, cross = fit_head(embeddings, labels, num_classes=3, seed=0)
    assert head.temperature == fit_temperature(cross.logits, labels)
    assert 0.1 < head.temperature < 10


def test_penalty_has_the_least_held_out_loss():
    embeddings, labels = blobs((30, 30, 30), spread=3.0)
    losses = {}
    for penalty in heads.PENALTIES:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(heads, "PENALTIES", (penalty,))
            head, cross = fit_head(embeddings, labels, num_classes=3, seed=0)
        logits = cross.logits / head.temperature
        logits -= logits.max(axis=1, keepdims=True)
        losses[penalty] = np.mean(np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(90), labels])
    assert fit_head(embeddings, labels, num_classes=3, seed=0)[1].penalty == min(losses, key=losses.get)
    assert len(set(losses.values())) == len(heads.PENALTIES)


def test_two_of_three_classes():
    """What scikit-learn gives as one row becomes two, and the third class stays out."""
    embeddings, labels = blobs((20, 0, 20))
    head, cross = fit_head(embeddings, labels, num_classes=3, seed=0)
    probabilities = head.probabilities(embeddings)
    assert (probabilities[:, 1] == 0).all()
    assert np.allclose(probabilities.sum(axis=1), 1)
    assert (probabilities.argmax(axis=1) == labels).mean() == 1.0
    assert np.allclose(head.weight[0], -head.weight[2])
    assert (cross.logits[:, 1] == UNSEEN).all()
    model = plain(scaled(embeddings), labels, cross.penalty)
    untempered = Head(head.weight, head.bias, 1.0).probabilities(embeddings)
    assert np.abs(untempered[:, 2] - model.predict_proba(scaled(embeddings))[:, 1]).max() < 1e-4


def test_class_without_an_answer_has_probability_0():
    embeddings, labels = blobs((15, 15, 0, 15, 0))
    head, _ = fit_head(embeddings, labels, num_classes=5, seed=0)
    probabilities = head.probabilities(np.concatenate([embeddings, embeddings * 10]))
    assert (probabilities[:, [2, 4]] == 0).all()
    assert np.allclose(probabilities.sum(axis=1), 1)


def test_a_class_with_one_answer_does_not_spoil_the_temperature():
    """Held out, that answer is of a class its fold has never seen: that says nothing of how sure the head may be."""
    embeddings, labels = blobs((40, 40, 1), spread=2.0)
    head, cross = fit_head(embeddings, labels, num_classes=3, seed=0)
    row = int(np.flatnonzero(labels == 2)[0])
    assert cross.logits[row, 2] == UNSEEN
    others = labels != 2
    assert np.array_equal(cross.judged, others)
    assert head.temperature == fit_temperature(cross.logits[others], labels[others])
    assert head.probabilities(embeddings)[others].max(axis=1).mean() > 0.8


def test_two_answers():
    """Every fold has seen one class only: nothing can be held out, and the head still tells the two apart."""
    embeddings, labels = blobs((1, 1))
    head, cross = fit_head(embeddings, labels, num_classes=2, seed=0)
    assert head.temperature == 1.0
    assert cross.accuracy == 0.0
    assert head.probabilities(embeddings).argmax(axis=1).tolist() == labels.tolist()


def test_one_class():
    """The head says the one class of anything, and nothing was held out that could have judged it."""
    embeddings, _ = blobs((10, 10))
    head, cross = fit_head(embeddings, np.full(20, 1, np.int32), num_classes=3, seed=0)
    assert head.probabilities(-9 * embeddings[:2]).tolist() == [[0.0, 1.0, 0.0]] * 2
    assert cross.accuracy is None
    assert (len(cross.folds), cross.judged.tolist()) == (0, [False] * 20)
    assert cross.logits.argmax(axis=1).tolist() == [1] * 20


def test_a_single_answer():
    head, cross = fit_head(np.ones((1, 4), np.float16), np.zeros(1, np.int32), num_classes=2, seed=0)
    assert head.probabilities(np.zeros((1, 4), np.float16)).tolist() == [[1.0, 0.0]]
    assert cross.accuracy is None


def test_zero_vectors():
    """They are embeddings like others: of zeros alone the head learns the classes' shares, among others it is sure."""
    labels = np.repeat([0, 1], [30, 10]).astype(np.int32)
    head, _ = fit_head(np.zeros((40, 4), np.float16), labels, num_classes=2, seed=0)
    shares = Head(head.weight, head.bias, 1.0).probabilities(np.zeros((1, 4), np.float16))[0]
    assert shares == pytest.approx([0.75, 0.25], abs=1e-3)
    embeddings = np.where(labels[:, None] == 0, 0.0, 1.0).astype(np.float16)
    head, cross = fit_head(np.tile(embeddings, (1, 4)), labels, num_classes=2, seed=0)
    assert cross.accuracy == 1.0
    assert head.probabilities(np.zeros((1, 4), np.float16)).argmax() == 0


def test_equal_embeddings():
    """A backbone that says the same of every image leaves the head with the classes' shares."""
    labels = np.repeat([0, 1], [30, 10]).astype(np.int32)
    head, _ = fit_head(np.ones((40, 4), np.float16), labels, num_classes=2, seed=0)
    probabilities = Head(head.weight, head.bias, 1.0).probabilities(np.ones((1, 4), np.float16))
    assert probabilities[0] == pytest.approx([0.75, 0.25], abs=1e-3)


def test_bytes_and_back():
    embeddings, labels = blobs((20, 20, 20), spread=3.0)
    head, _ = fit_head(embeddings, labels, num_classes=4, seed=0)
    again = Head.from_bytes(head.to_bytes())
    assert again.temperature == head.temperature != 1.0
    assert np.array_equal(again.weight, head.weight)
    assert np.array_equal(again.bias, head.bias)
    assert again.weight.dtype == again.bias.dtype == np.float64
    assert np.array_equal(again.probabilities(embeddings), head.probabilities(embeddings))
    assert again.to_bytes() == head.to_bytes()
    beside = Head.from_bytes(head.to_bytes({"other": np.arange(3)}))
    assert beside.to_bytes() == head.to_bytes()


@pytest.mark.parametrize("dim", [5, 64, 257])
def test_a_row_does_not_depend_on_its_neighbours(dim):
    """Bit by bit: alone, in front of others, behind 4,999 others, and in another order."""
    rng = np.random.default_rng(1)
    head = Head(rng.normal(size=(7, dim)), rng.normal(size=7), 1.7)
    rows = rng.normal(size=(5000, dim)).astype(np.float16)
    whole = head.probabilities(rows)
    for row in (0, 1, 1023, 1024, 3333, 4999):
        assert np.array_equal(head.probabilities(rows[row : row + 1])[0], whole[row])
    order = rng.permutation(5000)
    assert np.array_equal(head.probabilities(rows[order]), whole[order])


@pytest.mark.parametrize(("dim", "num_classes"), [(3, 2), (512, 10), (768, 1000)])
def test_logits_are_the_plain_float64_product(dim, num_classes):
    """Within what the order of a float64 sum can change."""
    rng = np.random.default_rng(2)
    head = Head(rng.normal(size=(num_classes, dim)), rng.normal(size=num_classes), 1.0)
    rows = rng.normal(size=(1500, dim)).astype(np.float16)
    expected = rows.astype(np.float64) @ head.weight.T + head.bias
    assert np.abs(head.logits(rows) - expected).max() < 1e-11
    assert np.abs(head.probabilities(rows) - softmax(expected)).max() < 1e-11


def test_logits_by_hand():
    head = Head(np.array([[1.0, 2.0], [0.0, -1.0]]), np.array([0.5, 1.0]), 2.0)
    rows = np.array([[1, 1], [0, 2]], np.float16)
    assert head.logits(rows).tolist() == [[3.5, 0.0], [4.5, -1.0]]
    assert head.probabilities(rows)[0] == pytest.approx([1 / (1 + np.exp(-1.75)), 1 / (1 + np.exp(1.75))])
    assert head.logits(rows[:0]).shape == (0, 2)


def test_same_answers_give_the_same_bytes():
    embeddings, labels = blobs((20, 20, 20), spread=3.0)
    first, cross = fit_head(embeddings, labels, num_classes=3, seed=0)
    again, _ = fit_head(embeddings.copy(), labels.copy(), num_classes=3, seed=0)
    assert first.to_bytes() == again.to_bytes()
    _, other = fit_head(embeddings, labels, num_classes=3, seed=1)
    assert not np.array_equal(other.logits, cross.logits)


def test_only_fair_answers_are_counted():
    """Held-out logits are the same; what may judge them is not."""
    rng = np.random.default_rng(5)
    labels = np.repeat(np.arange(3, dtype=np.int32), 20)
    values = (rng.normal(size=(60, 4)) + 1.2 * np.eye(3, 4)[labels]).astype(np.float16)
    _, every = fit_head(values, labels, num_classes=3, seed=0)
    fair = np.asarray(every.logits.argmax(axis=1) == labels)
    fair[np.flatnonzero(~fair)[:3]] = True
    head, some = fit_head(values, labels, num_classes=3, seed=0, fair=fair)
    assert np.array_equal(some.judged, fair)
    right = some.logits.argmax(axis=1) == labels
    assert some.accuracy == pytest.approx(right[fair].mean())
    assert some.accuracy > every.accuracy == pytest.approx((every.logits.argmax(axis=1) == labels).mean())
    known = softmax(some.logits[fair], head.temperature)[np.arange(fair.sum()), labels[fair]]
    colder = softmax(some.logits[fair], head.temperature * 1.1)[np.arange(fair.sum()), labels[fair]]
    assert np.log(known).sum() > np.log(colder).sum()


def test_members_are_heads_of_answers_weighted_anew():
    embeddings, labels = blobs((30, 30, 30), spread=2.0)
    head, cross = fit_head(embeddings, labels, num_classes=4, seed=0)
    settings = {"num_classes": 4, "penalty": cross.penalty, "temperature": head.temperature}
    members = fit_members(embeddings, labels, **settings, num_members=3, rng=np.random.default_rng(7))
    weights = np.random.default_rng(7).dirichlet(np.ones(90), size=3) * 90
    for member, own in zip(members, weights, strict=True):
        model = LogisticRegression(C=cross.penalty, max_iter=5000, tol=1e-10)
        expected = model.fit(scaled(embeddings), labels, sample_weight=own).predict_log_proba(scaled(embeddings))
        expected = np.exp(expected / head.temperature)
        found = member.probabilities(embeddings)
        assert np.abs(found[:, :3] - expected / expected.sum(axis=1, keepdims=True)).max() < 1e-3
        assert (found[:, 3] == 0).all()  # no answer names it
    assert np.abs(members[0].weight - members[1].weight).max() > 0


# --- beside weak labels ----------------------------------------------------------------------------------------------


def weakly(rng, *, num, right):
    """Items of three classes in eight dimensions, some answered, and the prior of weak labels so often right."""
    truth = rng.integers(0, 3, 600)
    embeddings = (np.eye(8)[truth] * 1.5 + rng.normal(size=(600, 8))).astype(np.float16)
    said = np.where(rng.random(600) < right, truth, rng.integers(0, 3, 600))
    prior = fit_prior(embeddings[num:], np.eye(3)[said[num:]])
    return embeddings, truth.astype(np.int32), prior


def test_weak_labels_that_help_are_weighed_in():
    embeddings, truth, prior = weakly(np.random.default_rng(0), num=20, right=0.8)
    given = {"num_classes": 3, "seed": 0}
    plain, before = fit_head(embeddings[:20], truth[:20], **given)
    head, cross = fit_head(embeddings[:20], truth[:20], **given, prior=prior)
    assert cross.weak.weight in WEIGHTS
    assert cross.weak.gain > 2 * cross.weak.standard_error > 0
    right = [(each.logits(embeddings[20:]).argmax(axis=1) == truth[20:]).mean() for each in (plain, head)]
    assert right[1] > right[0] + 0.03
    # The head is what answers add to the weak labels' logits; held-out logits hold them as well.
    values = embeddings[:20].astype(float)
    centred = values - values.mean(axis=0)
    scale = np.sqrt((centred**2).sum(axis=1).mean())
    said = cross.weak.weight * prior.logits(embeddings[:20])
    weight, bias = fit_logistic(centred / scale, truth[:20], 3, cross.penalty, offset=said)
    assert np.allclose(head.logits(embeddings[:20]), centred / scale @ weight.T + bias + said)
    inside, outside = cross.folds[0]
    weight, bias = fit_logistic(centred[inside] / scale, truth[inside], 3, cross.penalty, offset=said[inside])
    assert np.allclose(cross.logits[outside], centred[outside] / scale @ weight.T + bias + said[outside])
    losses = [-np.log(softmax(each.logits, fitted.temperature)[np.arange(20), truth[:20]]).mean()
              for each, fitted in ((before, plain), (cross, head))]  # fmt: skip
    assert cross.weak.log_loss == pytest.approx(losses[0])
    assert cross.weak.gain == pytest.approx(losses[0] - losses[1])


def test_weak_labels_that_do_not_help_change_nothing():
    embeddings, truth, prior = weakly(np.random.default_rng(0), num=60, right=0.0)
    plain, before = fit_head(embeddings[:60], truth[:60], num_classes=3, seed=0)
    head, cross = fit_head(embeddings[:60], truth[:60], num_classes=3, seed=0, prior=prior)
    assert (cross.weak.weight, before.weak) == (0, None)
    assert head.to_bytes() == plain.to_bytes()
    assert np.array_equal(cross.logits, before.logits)


def test_weak_labels_are_not_weighed_by_answers_of_one_class():
    embeddings, _, prior = weakly(np.random.default_rng(0), num=10, right=0.8)
    head, cross = fit_head(embeddings[:10], np.zeros(10, np.int32), num_classes=3, seed=0, prior=prior)
    assert cross.weak is None
    assert head.probabilities(embeddings[:2]).tolist() == [[1, 0, 0]] * 2


def test_weak_labels_name_no_class_that_nobody_answered():
    embeddings, truth, prior = weakly(np.random.default_rng(0), num=30, right=0.9)
    known = np.flatnonzero(truth[:30] != 2)
    head, cross = fit_head(embeddings[known], truth[known], num_classes=3, seed=0, prior=prior)
    assert head.probabilities(embeddings)[:, 2].max() == 0
    assert cross.logits[:, 2].max() < -1_000
