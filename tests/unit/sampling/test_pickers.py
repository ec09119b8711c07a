"""What each strategy says of its picks: positions, scores and reasons, by hand."""

import numpy as np
import pytest
from candidates import AT_ZERO, NOTHING, pick

from raylabel.sampling import Candidates, Labeled, select
from raylabel.sampling.herding import WIDTH


def test_margin_by_hand():
    picks = pick("margin", 4)
    # Position 2 has margin exactly 0 (.34, .34), position 1 has .02.
    assert picks.positions.tolist() == [2, 1, 4, 3]
    np.testing.assert_allclose(picks.scores, [1.0, 0.98, 0.75, 0.5], rtol=1e-6)
    assert picks.reasons == (
        "margin 0 between the two likeliest classes",
        "margin 0.02 between the two likeliest classes",
        "margin 0.25 between the two likeliest classes",
        "margin 0.5 between the two likeliest classes",
    )


def test_least_confidence_by_hand():
    picks = pick("least_confidence", 3)
    # Positions 1 and 4 tie at one half: the lower comes first.
    assert picks.positions.tolist() == [2, 1, 4]
    np.testing.assert_allclose(picks.scores, [0.66, 0.5, 0.5], rtol=1e-6)
    assert picks.reasons[0] == "confidence 0.34 in the likeliest class"
    assert picks.reasons[1:] == ("confidence 0.5 in the likeliest class",) * 2


def test_entropy_by_hand():
    picks = pick("entropy", 5)
    # ln 4 / 2 + ln 2 / 2 = 1.04 for position 4; .80 for 3, .78 for 1, .33 for 0.
    assert picks.positions.tolist() == [2, 4, 3, 1, 0]
    np.testing.assert_allclose(picks.scores[1], 1.5 * np.log(2), rtol=1e-6)
    assert picks.reasons[1] == "entropy 1.04 nats over 3 classes"
    assert picks.reasons[2] == "entropy 0.802 nats over 3 classes"


def test_k_center_by_hand():
    # From 0: 10 is farthest, then 4 (4 from 0, 6 from 10), then 9 and 1, both 1 off: the lower position.
    picks = pick("k_center", 4, labeled=AT_ZERO)
    assert picks.positions.tolist() == [1, 2, 3, 4]
    assert picks.scores.tolist() == [10.0, 4.0, 1.0, 1.0]
    assert picks.reasons[:2] == (
        "distance 10 to the nearest labeled or picked item",
        "distance 4 to the nearest labeled or picked item",
    )


def test_k_center_with_nothing_labeled_says_that_it_drew():
    picks = pick("k_center", 2)
    assert picks.reasons[0] == "drawn at random from 5 candidates, as nothing is labeled yet"
    assert picks.reasons[1].startswith("distance ")


def test_cluster_margin_by_hand():
    # Two clusters on the line: {0, 4, 1} and {10, 9}; the smaller first, one member each, drawn by rng.
    for seed in range(10):
        picks = pick("cluster_margin", 2, seed=seed)
        assert picks.positions[0] in (1, 3)
        assert picks.positions[1] in (0, 2, 4)
        assert picks.reasons[0].endswith(" between the two likeliest classes, from a cluster of 2")
        assert picks.reasons[1].endswith(" between the two likeliest classes, from a cluster of 3")
        margins = {0: 0.8, 1: 0.02, 2: 0.0, 3: 0.5, 4: 0.25}
        np.testing.assert_allclose(
            picks.scores, [1 - margins[position] for position in picks.positions.tolist()], rtol=1e-6
        )
        assert picks.reasons[0].startswith(f"margin {margins[int(picks.positions[0])]:g} between")


def test_random_draws_every_candidate_alike():
    candidates = Candidates(np.zeros((5, 1), np.float32))
    rng = np.random.default_rng(0)
    counts = np.zeros(5, int)
    for _ in range(2000):
        picks = select("random", candidates, NOTHING, size=2, rng=rng)
        counts[picks.positions] += 1
        assert picks.scores[0] >= picks.scores[1]
    # 2 of 5, 2,000 times: mean 800, standard deviation 22.
    assert abs(counts - 800).max() < 100
    assert picks.reasons == ("drawn at random from 5 candidates",) * 2


def test_bald_by_hand():
    """The members are each other's rows turned around: they agree on the middle one alone."""
    picks = pick("bald", 5)
    assert picks.positions.tolist()[-1] == 2
    assert picks.scores[-1] == 0.0
    assert picks.scores[0] == picks.scores[1]  # a pair of rows disagrees as much as the same pair turned around
    assert picks.reasons[-1] == "2 heads disagree by 0 nats"


def test_kmeans_by_hand():
    # Two clusters, {0, 4, 1} around 1.67 and {10, 9} around 9.5; of two that are as near the lower position.
    picks = pick("kmeans", 2)
    assert picks.positions.tolist() == [4, 1]
    np.testing.assert_allclose(picks.scores, [1 - 5 / 3, -0.5], rtol=1e-5)
    assert picks.reasons == ("nearest to the center of a cluster of 3", "nearest to the center of a cluster of 2")


def test_weighted_kmeans_by_hand():
    # Weights 1 - margin: {0: .2, 4: 1, 1: .75} around 2.44, {10: .98, 9: .5} around 9.66.
    picks = pick("weighted_kmeans", 2)
    assert picks.positions.tolist() == [4, 1]
    np.testing.assert_allclose(picks.scores, [0.75, 0.98], rtol=1e-6)
    assert picks.reasons[0] == (
        "margin 0.25 between the two likeliest classes, nearest to the center of a cluster of 3 uncertain items"
    )


def test_typiclust_by_hand():
    """Both clusters have fewer than five members; the one with nothing labeled comes first."""
    picks = pick("typiclust", 1, labeled=AT_ZERO)
    assert picks.positions.tolist() == [1]
    np.testing.assert_allclose(picks.scores, [1.0], rtol=1e-4)
    assert picks.reasons == ("typicality 1 in a cluster of 2",)


def test_probcover_by_hand():
    # Three classes, so three clusters: {0, 1}, {4}, {9, 10}; the nearest of another are 4, 3, 3, 5 and 6 away, of which
    # 3 is the 5 % quantile. The ball around 1 holds 0, 1 and 4; then that around 10 holds 9 and 10.
    picks = pick("probcover", 2)
    assert picks.positions.tolist() == [4, 1]
    assert picks.scores.tolist() == [3.0, 2.0]
    assert picks.reasons == tuple(f"covers {n} more items within a distance of 3" for n in (3, 2))


def test_herding_by_hand():
    """From the mean, 4.8, three of the five lie in one direction and two in the other, a squared distance of 4 apart.

    v = 2 (1 - 1/25) = 48/25, so either direction covers the other by exp(-25 / (12 width)).
    """
    apart = np.exp(-25 / (12 * WIDTH))
    picks = pick("herding", 2)
    assert picks.positions.tolist() == [0, 1]
    np.testing.assert_allclose(picks.scores, [(3 + 2 * apart) / 5, 2 * (1 - apart) / 5], rtol=1e-5)
    found = [
        float(reason.removeprefix("covers ").removesuffix(" % more of the candidates")) for reason in picks.reasons
    ]
    np.testing.assert_allclose(found, [20 * (3 + 2 * apart), 40 * (1 - apart)], rtol=5e-3)
    after = pick("herding", 1, labeled=Labeled(np.ones((1, 1), np.float32), np.zeros(1, np.int32)))
    assert after.positions.tolist() == [1]
    np.testing.assert_allclose(after.scores, [2 * (1 - apart) / 5], rtol=1e-5)


def test_uherding_by_hand():
    """As above with weights 1 - margin: .2 + 1 + .75 = 1.95 for the three, .98 + .5 = 1.48 for the two."""
    apart = np.exp(-25 / (12 * WIDTH))
    picks = pick("uherding", 2)
    assert picks.positions.tolist() == [0, 1]
    np.testing.assert_allclose(picks.scores, [(1.95 + 1.48 * apart) / 3.43, 1.48 * (1 - apart) / 3.43], rtol=1e-4)
    assert picks.reasons[0].endswith(" % more of what the model is unsure of")


def test_falcun_by_hand():
    """Relevance is (1 + margin score's) 2 * .2, 2 * .98, 2, 2 * .5 and 2 * .75 at first, to the tenth."""
    draws = [int(pick("falcun", 1, seed=seed).positions[0]) for seed in range(1000)]
    weights = np.array([0.2, 0.98, 1.0, 0.5, 0.75]) ** 10
    # A standard deviation is 16.
    assert abs(np.bincount(draws, minlength=5) - 1000 * weights / weights.sum()).max() < 70
    picks = pick("falcun", 2)
    margins = [0.8, 0.02, 0.0, 0.5, 0.25]
    assert picks.reasons == tuple(
        f"margin {margins[position]:g} between the two likeliest classes, unlike those before it"
        for position in picks.positions.tolist()
    )
    np.testing.assert_allclose(picks.scores[0], 2 * (1 - margins[picks.positions[0]]), rtol=1e-6)


LABELED = Labeled(np.array([[1.0, 0.0], [0.0, 2.0], [0.0, 5.0]], np.float32), np.array([2, 0, 0], np.int32))
AROUND = Candidates(np.array([[0.0, 1.0], [3.0, 4.0], [-1.0, 0.0], [2.0, 0.0]], np.float32))


def test_rare_by_probability():
    """Class 2 has one answer, class 0 two: the likeliest of class 2, equals by position."""
    said = np.array([[0.5, 0.25, 0.25], [0.25, 0.25, 0.5], [1.0, 0.0, 0.0], [0.5, 0.0, 0.5]])
    known = Candidates(AROUND.embeddings, probabilities=said)
    picks = select("rare", known, LABELED, size=3, rng=np.random.default_rng(0))
    assert picks.positions.tolist() == [1, 3, 0]
    assert picks.scores.tolist() == [0.5, 0.5, 0.25]
    assert picks.reasons == tuple(f"probability {p} of class 2, of which 1 is known" for p in (0.5, 0.5, 0.25))


def test_rare_without_a_model():
    """Nearest by angle to the one item known of class 2."""
    picks = select("rare", AROUND, LABELED, size=4, rng=np.random.default_rng(0))
    assert picks.positions.tolist() == [3, 1, 0, 2]
    np.testing.assert_allclose(picks.scores, [1.0, 0.6, 0.0, -1.0], atol=1e-6)
    assert picks.reasons[1] == "cosine 0.6 to a known item of class 2, of which 1 is known"


def test_rare_while_all_answers_name_one_class():
    """No head tells that class from others: its likeness decides, whatever probabilities say."""
    said = np.array([[0.0, 1.0], [0.5, 0.5], [1.0, 0.0], [0.2, 0.8]])
    both = Labeled(np.array([[0.0, 2.0], [1.0, 0.0]], np.float32), np.array([1, 1], np.int32))
    picks = select("rare", Candidates(AROUND.embeddings, probabilities=said), both, size=3, rng=None)
    assert picks.positions.tolist() == [0, 3, 1]
    np.testing.assert_allclose(picks.scores, [1.0, 1.0, 0.8], rtol=1e-6)
    assert picks.reasons[2] == "cosine 0.8 to a known item of class 1, of which 2 are known"


def test_rare_wants_a_known_item():
    with pytest.raises(ValueError, match="rare-class search: got 0 labeled items"):
        pick("rare", 1)


def test_badge_by_hand():
    # Longest gradient: |p - onehot| * place: item 1 (10 * .69), item 3 (9 * .37), item 2 (4 * .8).
    picks = pick("badge", 2)
    assert picks.positions[0] == 1
    assert picks.reasons[0] == "the longest gradient"
    assert picks.reasons[1].endswith(" away from the nearest picked one")
    np.testing.assert_allclose(picks.scores[0], 10 * np.sqrt(0.5**2 + 0.48**2 + 0.02**2), rtol=1e-6)


def test_dropquery_by_hand():
    """Items below 5 never change; those above 5 do where their only value is dropped."""
    picks = pick("dropquery", 5)
    assert set(picks.positions[:2].tolist()) == {1, 3}
    assert picks.scores[:2].min() > 0 and picks.scores[2:].tolist() == [0.0] * 3
    assert picks.reasons[-1] == "0% of the dropouts name another class"
