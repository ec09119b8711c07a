import dataclasses
import re
from typing import get_args

import numpy as np
import pytest

from raylabel import sampling
from raylabel.errors import UnknownName
from raylabel.sampling import STRATEGIES, Candidates, Labeled, Picks, select, uncertainty
from raylabel.sampling.registry import Narrow

NAMES = ["random", "least_confidence", "margin", "entropy", "k_center", "cluster_margin"]

# Three classes, five items on a line; margins .8, .02, .02, .5, .25 and confidences .9, .5, .34, .7, .5.
ROWS = [[0.9, 0.1, 0.0], [0.5, 0.48, 0.02], [0.34, 0.32, 0.34], [0.7, 0.2, 0.1], [0.25, 0.5, 0.25]]
PLACES = [0.0, 10.0, 4.0, 9.0, 1.0]
CANDIDATES = Candidates(np.array(PLACES, np.float32)[:, None], probabilities=np.array(ROWS))
NOTHING = Labeled(np.zeros((0, 1), np.float32), np.zeros(0, np.int32))
AT_ZERO = Labeled(np.zeros((1, 1), np.float32), np.zeros(1, np.int32))


def pick(strategy, size, labeled=NOTHING, seed=0, candidates=CANDIDATES):
    return select(strategy, candidates, labeled, size=size, rng=np.random.default_rng(seed))


def test_every_strategy_is_there_and_fully_described():
    assert list(STRATEGIES) == NAMES
    fields = {field.name for field in dataclasses.fields(Candidates)}
    for strategy in STRATEGIES.values():
        assert set(strategy.needs) <= fields
        assert strategy.narrow in get_args(Narrow)
        assert strategy.narrow == "random" or callable(getattr(uncertainty, strategy.narrow))
        assert strategy.summary.endswith(".")
        assert strategy.cost.startswith("O(")
        assert strategy.source


def test_narrowing_keeps_what_the_strategy_would_pick():
    narrow = {name: STRATEGIES[name].narrow for name in NAMES}
    assert narrow == {
        "random": "random",
        "least_confidence": "least_confidence",
        "margin": "margin",
        "entropy": "entropy",
        "k_center": "random",
        "cluster_margin": "margin",
    }


def test_registry_cannot_be_changed_from_outside():
    with pytest.raises(TypeError):
        STRATEGIES["mine"] = STRATEGIES["random"]


def test_public_names():
    assert sampling.__all__ == [
        "STRATEGIES",
        "Candidates",
        "Labeled",
        "Picks",
        "Strategy",
        "TopItems",
        "random_priority",
        "select",
    ]
    assert all(hasattr(sampling, name) for name in sampling.__all__)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [1, 3, 5])
def test_picks_are_as_many_as_asked_for_and_the_same_for_the_same_seed(name, size):
    one, two = pick(name, size, seed=7), pick(name, size, seed=7)
    assert isinstance(one, Picks)
    assert len(one) == size
    assert set(one.positions.tolist()) <= set(range(5))
    assert one.positions.tolist() == two.positions.tolist()
    assert one.scores.tobytes() == two.scores.tobytes()
    assert one.reasons == two.reasons


@pytest.mark.parametrize("name", NAMES)
def test_a_strategy_reads_only_what_it_says_it_needs(name):
    needs = STRATEGIES[name].needs
    bare = Candidates(
        CANDIDATES.embeddings, probabilities=CANDIDATES.probabilities if "probabilities" in needs else None
    )
    assert pick(name, 3, candidates=bare).positions.tolist() == pick(name, 3).positions.tolist()


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


@pytest.mark.parametrize("name", ["least_confidence", "margin", "entropy"])
def test_ties_break_by_lowest_position(name):
    rng = np.random.default_rng(0)
    # 1,000 items of two kinds in random order: enough for a sort that is not stable to show itself.
    sure = rng.random(1000) < 0.5
    probabilities = np.where(sure[:, None], [[0.9, 0.1]], [[0.6, 0.4]])
    candidates = Candidates(np.zeros((1000, 1), np.float32), probabilities=probabilities)
    expected = np.flatnonzero(~sure).tolist() + np.flatnonzero(sure).tolist()
    assert pick(name, 1000, candidates=candidates).positions.tolist() == expected


def test_unknown_strategy():
    with pytest.raises(UnknownName, match=r"^unknown strategy 'k-center': did you mean k_center"):
        pick("k-center", 1)


@pytest.mark.parametrize("name", ["least_confidence", "margin", "entropy", "cluster_margin"])
def test_a_strategy_that_lacks_an_input_says_which(name):
    message = f"strategy '{name}' needs candidates.probabilities: got None, expected an array"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        pick(name, 1, candidates=Candidates(CANDIDATES.embeddings))


@pytest.mark.parametrize("name", NAMES)
def test_size_out_of_range(name):
    for size in (0, -1, 6):
        with pytest.raises(ValueError, match=f"^size: {size} requested / 5 available, expected 1 to 5$"):
            pick(name, size)
    with pytest.raises(ValueError, match="size: 1 requested / 0 available"):
        nobody = Candidates(np.zeros((0, 1), np.float32), probabilities=np.zeros((0, 3)))
        pick(name, 1, candidates=nobody)


@pytest.mark.parametrize("name", NAMES)
def test_labeled_of_another_backbone_is_refused(name):
    labeled = Labeled(np.zeros((2, 3), np.float32), np.zeros(2, np.int32))
    with pytest.raises(ValueError, match="labeled embeddings: got 3 dimensions, expected the candidates' 1"):
        pick(name, 1, labeled=labeled)
