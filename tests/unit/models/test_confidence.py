import numpy as np
import pytest
from scipy.special import expit, softmax

from raylabel.acceptance import LearnedScore, NeighbourVote, VectorScaling, log_odds
from raylabel.models.confidence import CONCENTRATIONS, Learned, Softmax, Vector, fit_confidence, load
from raylabel.models.heads import Head, fit_head

KINDS = ("softmax", "temperature", "vector", "learned")


def blobs(counts, *, seed=0, spread=2.5, dim=6):
    """Gaussian clouds, `counts[k]` embeddings of class k, shuffled."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(size=(len(counts), dim)) * 1.5 + 3.0
    labels = rng.permutation(np.repeat(np.arange(len(counts)), counts)).astype(np.int32)
    values = centres[labels] + rng.normal(size=(len(labels), dim)) * spread
    return {"embeddings": values.astype(np.float16), "label_index": labels}


def fitted(kind, counts=(40, 40, 40), fair=None, **settings):
    answers = blobs(counts, **settings)
    head, cross = fit_head(*answers.values(), num_classes=len(counts), seed=0, fair=fair)
    return head, cross, answers, fit_confidence(kind, head, cross, **answers)


def test_softmax_and_vector_by_hand():
    logits, said = np.log(np.array([[1.0, 3.0], [2.0, 2.0]])), np.array([1, 0])
    nothing = np.zeros((2, 4), np.float16)
    assert Softmax(0.5).of(nothing, logits, said) == pytest.approx([0.9, 0.5])
    doubled = Vector(VectorScaling(np.array([1.0, 2.0]), np.zeros(2)))
    assert doubled.of(nothing, logits, said) == pytest.approx([0.9, 2 / 6])  # 1 to 9 and 2 to 4


def test_learned_by_hand():
    """Log-odds of the head at temperature 2, and of the vote of two labeled items, one alike and one opposite."""
    labeled = np.array([[1, 0], [-1, 0]], np.float16)
    labels = np.array([0, 1], np.int32)
    vote = NeighbourVote.of(labeled, labels, num_classes=2)
    learned = Learned(LearnedScore((0.5, 0.25), -1.0), 2.0, 3.0, labeled, labels, vote)
    found = learned.of(np.array([[4, 0], [4, 0]], np.float16), np.array([[6.0, 0.0], [6.0, 0.0]]), np.array([0, 1]))
    # The head's logits differ by 6 / 2; the votes are exp(0) and exp(-3 * 2).
    assert found == pytest.approx([expit(0.5 * 3 + 0.25 * 6 - 1), expit(-0.5 * 3 - 0.25 * 6 - 1)], rel=1e-5)


def test_plain_kinds_take_their_temperature():
    head, cross, answers, asked = fitted("softmax")
    assert (asked.confidence, asked.used, asked.reason) == (Softmax(1.0), "softmax", "")
    asked = fit_confidence("temperature", head, cross, **answers)
    assert (asked.confidence, asked.used, asked.reason) == (Softmax(head.temperature), "temperature", "")
    logits, said = head.logits(answers["embeddings"]), answers["label_index"]
    found = asked.confidence.of(answers["embeddings"], logits, said)
    assert np.array_equal(found, head.probabilities(answers["embeddings"])[np.arange(120), said])


def test_vector_scaling_is_that_of_the_held_out_logits():
    head, cross, answers, asked = fitted("vector")
    expected = VectorScaling.fit(cross.logits, answers["label_index"], temperature=head.temperature)
    assert asked.used == "vector"
    assert np.array_equal(asked.confidence.scaling.weight, expected.weight)
    assert np.array_equal(asked.confidence.scaling.bias, expected.bias)


def by_hand(head, cross, answers, concentration):
    """Features of the answers that judge, each from the folds it is not in."""
    embeddings, labels = answers.values()
    said = cross.logits.argmax(axis=1)
    votes = np.empty(cross.logits.shape)
    for inside, outside in cross.folds:
        vote = NeighbourVote.of(embeddings[inside], labels[inside], num_classes=votes.shape[1])
        for row in outside:
            votes[row] = vote.log_votes(embeddings[row : row + 1], concentration=concentration)[0]
    features = np.stack([log_odds(cross.logits / head.temperature, said), log_odds(votes, said)], axis=1)
    return features[cross.judged], (said == labels)[cross.judged]


def test_score_is_learned_from_what_the_folds_left_out():
    head, cross, answers, asked = fitted("learned")
    assert (asked.used, asked.reason) == ("learned", "")
    learned, losses = asked.confidence, {}
    for concentration in CONCENTRATIONS:
        features, correct = by_hand(head, cross, answers, concentration)
        score = LearnedScore.fit(features, correct)
        chances = score.apply(features)
        losses[concentration] = -np.log(np.where(correct, chances, 1 - chances)).mean()
        if concentration == learned.concentration:
            assert learned.score == score
    assert learned.concentration == min(losses, key=losses.get)
    assert len(set(losses.values())) == len(CONCENTRATIONS)
    assert (learned.temperature, learned.vote.num_classes) == (head.temperature, 3)


def test_only_fair_answers_teach_the_score():
    fair = np.arange(120) % 2 > 0
    head, cross, answers, asked = fitted("learned", fair=fair)
    features, correct = by_hand(head, cross, answers, asked.confidence.concentration)
    assert len(correct) == fair.sum()
    assert asked.confidence.score == LearnedScore.fit(features, correct)
    # All of them vote.
    assert len(asked.confidence.embeddings) == 120


def test_neighbours_that_tell_more_than_the_head_are_heard():
    """Two classes in four knots, crosswise: no line tells them apart, and the labeled items around do."""
    rng = np.random.default_rng(0)
    knots = np.array([[3, 3], [-3, -3], [3, -3], [-3, 3]])

    def draw(count):
        which = rng.integers(0, 4, count)
        return (knots[which] + rng.normal(size=(count, 2))).astype(np.float16), (which > 1).astype(np.int32)

    embeddings, labels = draw(200)
    head, cross = fit_head(embeddings, labels, num_classes=2, seed=0)
    learned = fit_confidence("learned", head, cross, embeddings=embeddings, label_index=labels).confidence
    items, truth = draw(2000)
    logits = head.logits(items)
    said = logits.argmax(axis=1)
    confidence, plain = learned.of(items, logits, said), Softmax(1.0).of(items, logits, said)
    # Half of what the head says is wrong, and the vote knows which half.
    surest = np.argsort(-confidence)[:800]
    assert (said == truth)[surest].mean() > 0.95
    assert (said == truth)[np.argsort(-plain)[:800]].mean() < 0.7


@pytest.mark.parametrize("kind", KINDS)
def test_held_out_confidence_is_that_of_the_held_out_label(kind):
    head, cross, answers, asked = fitted(kind)
    said = cross.logits.argmax(axis=1)
    if kind == "learned":
        features, _ = by_hand(head, cross, answers, asked.confidence.concentration)
        expected = asked.confidence.score.apply(features)
    else:
        expected = asked.confidence.of(answers["embeddings"], cross.logits, said)
    assert np.array_equal(asked.held_out, expected)


@pytest.mark.parametrize("kind", KINDS)
def test_bytes_and_back(kind):
    head, _, answers, asked = fitted(kind)
    data = head.to_bytes(asked.confidence.arrays())
    again = load(data)
    assert type(again) is type(asked.confidence)
    logits, said = head.logits(answers["embeddings"]), answers["label_index"]
    given = (answers["embeddings"], logits, said)
    assert np.array_equal(again.of(*given), asked.confidence.of(*given))
    assert head.to_bytes(again.arrays()) == data
    assert Head.from_bytes(data).to_bytes() == head.to_bytes()


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_does_not_depend_on_its_neighbours(kind):
    head, _, _, asked = fitted(kind)
    embeddings = np.random.default_rng(4).normal(3, 3, (700, 6)).astype(np.float16)
    logits = head.logits(embeddings)
    said = logits.argmax(axis=1)
    whole = asked.confidence.of(embeddings, logits, said)
    for row in (0, 300, 699):
        one = slice(row, row + 1)
        assert np.array_equal(asked.confidence.of(embeddings[one], logits[one], said[one]), whole[one])


def test_one_class_falls_back_and_says_so():
    """Nothing could be held out."""
    answers = blobs((20,))
    head, cross = fit_head(*answers.values(), num_classes=3, seed=0)
    for kind, reason in (
        ("learned", "0 of the answers held out were right and 0 wrong; a score is learned from at least 10 of each"),
        ("vector", "no answer could be held out of a class others name"),
    ):
        asked = fit_confidence(kind, head, cross, **answers)
        assert (asked.confidence, asked.used, asked.reason) == (Softmax(1.0), "temperature", reason)
    said = np.zeros(20, np.int64)
    assert asked.confidence.of(answers["embeddings"], head.logits(answers["embeddings"]), said).tolist() == [1.0] * 20


def test_too_few_wrong_answers_fall_back_and_say_so():
    """Classes so far apart that all that was held out is right: nothing to learn from."""
    head, _, _, asked = fitted("learned", spread=0.1)
    assert (asked.confidence, asked.used) == (Softmax(head.temperature), "temperature")
    assert asked.reason.startswith("120 of the answers held out were right and 0 wrong;")


def test_a_class_with_one_answer_is_no_lesson():
    """Held out, that answer is of a class its fold has never seen."""
    head, cross, answers, asked = fitted("learned", (60, 60, 1))
    features, correct = by_hand(head, cross, answers, asked.confidence.concentration)
    assert len(correct) == 120
    assert asked.confidence.score == LearnedScore.fit(features, correct)


def test_a_class_without_answers_is_never_confident():
    head, _, _, asked = fitted("learned", (60, 60, 0))
    items = np.random.default_rng(5).normal(3, 3, (50, 6)).astype(np.float16)
    found = asked.confidence.of(items, head.logits(items), np.full(50, 2))
    assert found.max() < 1e-6


def test_a_head_without_a_confidence_is_refused():
    head = fitted("softmax")[0]
    with pytest.raises(ValueError, match="head: got the arrays bias, weight, expected a confidence among them"):
        load(head.to_bytes())


def test_vector_beside_the_plain_way():
    head, _, answers, asked = fitted("vector")
    logits = head.logits(answers["embeddings"])
    said = logits.argmax(axis=1)
    scaling = asked.confidence.scaling
    expected = softmax(logits * scaling.weight + scaling.bias, axis=1)[np.arange(120), said]
    assert asked.confidence.of(answers["embeddings"], logits, said) == pytest.approx(expected)
