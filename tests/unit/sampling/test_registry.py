import dataclasses
import re
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from candidates import AT_ZERO, CANDIDATES, NOTHING, above_five, pick

from raylabel import sampling
from raylabel.errors import UnknownName
from raylabel.sampling import STRATEGIES, Candidates, Labeled, Picks, Round, auto, find, resolve, select, uncertainty
from raylabel.sampling.auto import COVER_PER_CLASS, HERD_PER_CLASS
from raylabel.sampling.registry import Narrow

NAMES = [
    "auto",
    "random",
    "least_confidence",
    "margin",
    "entropy",
    "k_center",
    "cluster_margin",
    "bald",
    "kmeans",
    "typiclust",
    "probcover",
    "herding",
    "uherding",
    "falcun",
    "rare",
    "badge",
    "weighted_kmeans",
    "dropquery",
]


def asked(name, size, **given):
    """Run a strategy, with an item labeled where it looks for more of a class."""
    return pick(name, size, **{"labeled": AT_ZERO if name == "rare" else NOTHING, **given})


def test_every_strategy_is_there_and_fully_described():
    assert list(STRATEGIES) == NAMES
    fields = {field.name for field in dataclasses.fields(Candidates)}
    for strategy in STRATEGIES.values():
        assert set(strategy.needs) <= fields
        assert strategy.narrow in get_args(Narrow)
        by_index = ("random", "cells", "centers", "neighbours")
        assert strategy.narrow in by_index or callable(getattr(uncertainty, strategy.narrow))
        assert strategy.summary.endswith(".")
        assert strategy.cost.startswith(("O(", "that of "))
        assert strategy.source


def test_the_table_of_the_docs_is_the_registry():
    lines = (Path(__file__).parents[3] / "docs" / "sampling.md").read_text().splitlines()
    *rows, balanced = [line for line in lines if line.startswith("| `")]
    assert balanced.startswith("| `balanced:<strategy>` | ")
    assert rows == [
        f"| `{name}` | {s.summary} | {', '.join(s.needs) or 'nothing'} | {s.narrow} | {s.cost} | {s.source} |"
        for name, s in STRATEGIES.items()
    ]


def test_narrowing_keeps_what_the_strategy_would_pick():
    narrow = {name: STRATEGIES[name].narrow for name in NAMES}
    assert narrow == {
        "auto": "random",
        "random": "random",
        "least_confidence": "least_confidence",
        "margin": "margin",
        "entropy": "entropy",
        "k_center": "centers",
        "cluster_margin": "margin",
        "bald": "entropy",
        "kmeans": "cells",
        "typiclust": "cells",
        "probcover": "cells",
        "herding": "cells",
        "uherding": "cells",
        "falcun": "margin",
        "rare": "neighbours",
        "badge": "margin",
        "weighted_kmeans": "margin",
        "dropquery": "margin",
    }


def test_registry_cannot_be_changed_from_outside():
    with pytest.raises(TypeError):
        STRATEGIES["mine"] = STRATEGIES["random"]


def test_public_names():
    assert sampling.__all__ == [
        "STRATEGIES",
        "Candidates",
        "Highest",
        "Histogram",
        "Labeled",
        "Picks",
        "Round",
        "Strategy",
        "Threshold",
        "TopItems",
        "find",
        "first_of_each",
        "near_duplicates",
        "random_priority",
        "resolve",
        "select",
        "wanted",
    ]
    assert all(hasattr(sampling, name) for name in sampling.__all__)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [1, 3, 5])
def test_picks_are_as_many_as_asked_for_and_the_same_for_the_same_seed(name, size):
    one, two = asked(name, size, seed=7), asked(name, size, seed=7)
    assert isinstance(one, Picks)
    assert len(one) == size
    assert set(one.positions.tolist()) <= set(range(5))
    assert one.positions.tolist() == two.positions.tolist()
    assert one.scores.tobytes() == two.scores.tobytes()
    assert one.reasons == two.reasons


@pytest.mark.parametrize("name", NAMES)
def test_a_strategy_reads_only_what_it_says_it_needs(name):
    needs = STRATEGIES[name].needs
    given = {name: getattr(CANDIDATES, name) for name in needs if name != "embeddings"}
    bare = Candidates(CANDIDATES.embeddings, **given)
    assert asked(name, 3, candidates=bare).positions.tolist() == asked(name, 3).positions.tolist()


def alike(kind, count):
    """A pool filled with copies: of the zero vector, of another, or of another but for every ninth place."""
    embeddings = np.full((count, 4), 0.0 if kind == "zeros" else 0.3, np.float32)
    if kind == "but some":
        embeddings[4::9] = np.random.default_rng(count).normal(size=embeddings[4::9].shape)
    said = above_five(embeddings)
    return Candidates(embeddings, probabilities=said, members=np.stack([said, said[:, ::-1]]), head=above_five)


@pytest.mark.parametrize("name", [*STRATEGIES, "balanced:margin", "balanced:k_center", "balanced:kmeans"])
@pytest.mark.parametrize("kind", ["zeros", "ones", "but some"])
@pytest.mark.parametrize(("count", "size"), [(1, 1), (7, 7), (40, 1), (40, 13), (60, 60)])
@pytest.mark.parametrize("num_labeled", [0, 3])
@pytest.mark.filterwarnings("error")
def test_copies_filling_the_pool_give_as_many_distinct_picks_as_asked_for(name, kind, count, size, num_labeled):
    """The first labeled one is a copy of the first candidate, of which there may be dozens."""
    candidates = alike(kind, count)
    num_labeled = max(num_labeled, 1) if name == "rare" else num_labeled
    known = np.repeat(candidates.embeddings[:1], num_labeled, axis=0)
    labeled = Labeled(known, np.arange(num_labeled, dtype=np.int32) % 2)
    picks = pick(name, size, labeled, candidates=candidates)
    assert len(set(picks.positions.tolist())) == size
    assert picks.positions.min() >= 0 and picks.positions.max() < count
    assert np.isfinite(picks.scores).all()


@pytest.mark.parametrize("name", ["k_center", "kmeans", "typiclust", "badge", "herding", "uherding"])
def test_what_is_no_copy_comes_first(name):
    """Nine tenths of the pool are one vector: strategies that look for spread see that the other places are others."""
    candidates = alike("but some", 27)
    rest = {4, 13, 22}
    spread = dataclasses.replace(candidates, probabilities=np.full((27, 2), 0.5))
    nothing = Labeled(np.zeros((0, 4), np.float32), np.zeros(0, np.int32))
    assert rest <= set(pick(name, 5, nothing, candidates=spread).positions.tolist())


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


@pytest.mark.parametrize("name", ["balanced:margn", "balanced:", "balanced:balanced:margin", "balanced margin"])
def test_unknown_strategy_after_balanced(name):
    told = name.removeprefix("balanced:")
    with pytest.raises(UnknownName, match=f"^unknown strategy '{told}': (did you mean|.*margin)"):
        find(name)


def test_find():
    assert all(find(name) is STRATEGIES[name] for name in NAMES)
    found = find("balanced:k_center")
    assert found.summary == "As k_center, shared out over predicted classes."
    assert found.needs == ("embeddings", "probabilities")
    assert find("balanced:bald").needs == ("members", "probabilities")
    inner = STRATEGIES["k_center"]
    assert (found.narrow, found.cost, found.source) == (inner.narrow, inner.cost, inner.source)


def test_what_fits_a_cold_start():
    """What needs neither a model nor an answer."""
    fits = {name for name in NAMES if find(name).fits_cold_start}
    assert fits == {"auto", "random", "k_center", "kmeans", "typiclust", "probcover", "herding"}
    assert not any(find(f"balanced:{name}").fits_cold_start for name in NAMES if name not in ("auto", "rare"))
    assert {name for name in fits if find(name).needs_model} == set()


def test_resolve():
    """Names stand for themselves; auto for what it chooses, and it says why."""
    labels = np.array([0, 1] * HERD_PER_CLASS, np.int32)
    for name in ("margin", "balanced:margin", "rare"):
        assert resolve(name, labels, num_classes=2, history=(), has_model=True) == (name, "")
    assert (
        resolve("auto", labels, num_classes=2, history=(), has_model=True).strategy
        == auto.choose(labels, num_classes=2, has_model=True).strategy
    )
    chosen = resolve("auto", labels[: 2 * COVER_PER_CLASS], num_classes=2, history=(), has_model=True)
    assert chosen.strategy == "uherding"
    assert chosen.why.startswith("auto: ")
    assert resolve("auto", labels, num_classes=2, history=(), has_model=False).strategy == "herding"
    past = (Round("margin", 20, 0.5),)
    assert resolve("auto", labels, num_classes=2, history=past, has_model=True).strategy == "herding"


@pytest.mark.parametrize("seed", range(5))
def test_balanced_margin_pick_by_pick(seed):
    """The class with the fewest answers gets the next pick: the smallest margin that is predicted to be of it."""
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet([4, 2, 1, 0.5], size=60)
    labels = rng.choice(4, 30, p=[0.1, 0.2, 0.3, 0.4]).astype(np.int32)
    candidates = Candidates(rng.normal(size=(60, 2)).astype(np.float32), probabilities=probabilities)
    labeled = Labeled(np.zeros((30, 2), np.float32), labels)
    size = 25
    two = np.sort(probabilities, axis=1)[:, -2:]
    order = np.argsort(two[:, 1] - two[:, 0], kind="stable")
    left = {index: [row for row in order if probabilities[row].argmax() == index] for index in range(4)}
    counts, expected = np.bincount(labels, minlength=4).tolist(), {index: [] for index in range(4)}
    before = list(counts)
    for _ in range(size):
        lowest = min((index for index in range(4) if left[index]), key=lambda index: counts[index])
        expected[lowest].append(int(left[lowest].pop(0)))
        counts[lowest] += 1
    picks = select("balanced:margin", candidates, labeled, size=size, rng=rng)
    assert picks.positions.tolist() == [row for index in range(4) for row in expected[index]]
    plain = uncertainty.margin(probabilities)
    np.testing.assert_array_equal(picks.scores, plain[picks.positions].astype(np.float32))
    first = next(index for index in range(4) if expected[index])
    assert picks.reasons[0].startswith(f"predicted class {first}, {before[first]} answers so far; margin ")


def test_balanced_strategies_keep_to_their_classes():
    """Farthest first among the items of class 0, and of class 1, as much of each as there is of it."""
    places = np.array([[0.0], [1.0], [2.0], [10.0], [20.0], [21.0]], np.float32)
    said = np.array([[0.9, 0.1]] * 4 + [[0.2, 0.8]] * 2)
    labeled = Labeled(np.array([[0.0], [20.0]], np.float32), np.array([0, 1], np.int32))
    picks = select("balanced:k_center", Candidates(places, probabilities=said), labeled, size=4, rng=None)
    # 10 is 10 from both labeled ones, 2 is 2 from 0; 21 is 1 from 20, and then 20 itself is left.
    assert picks.positions.tolist() == [3, 2, 5, 4]
    assert picks.scores.tolist() == [10.0, 2.0, 1.0, 0.0]


@pytest.mark.parametrize(
    ("name", "lacks"),
    [
        (name, next(need for need in strategy.needs if need != "embeddings"))
        for name, strategy in STRATEGIES.items()
        if strategy.needs_model
    ],
)
def test_a_strategy_that_lacks_an_input_says_which(name, lacks):
    message = f"strategy '{name}' needs candidates.{lacks}: got None, expected an array"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        pick(name, 1, candidates=Candidates(CANDIDATES.embeddings))


@pytest.mark.parametrize("name", NAMES)
def test_size_out_of_range(name):
    for size in (0, -1, 6):
        with pytest.raises(ValueError, match=f"^size: {size} requested / 5 available, expected 1 to 5$"):
            pick(name, size)
    with pytest.raises(ValueError, match="size: 1 requested / 0 available"):
        nothing = {"probabilities": np.zeros((0, 3)), "members": np.zeros((2, 0, 3)), "head": above_five}
        nobody = Candidates(np.zeros((0, 1), np.float32), **nothing)
        pick(name, 1, candidates=nobody)


@pytest.mark.parametrize("name", NAMES)
def test_labeled_of_another_backbone_is_refused(name):
    labeled = Labeled(np.zeros((2, 3), np.float32), np.zeros(2, np.int32))
    with pytest.raises(ValueError, match="labeled embeddings: got 3 dimensions, expected the candidates' 1"):
        pick(name, 1, labeled=labeled)


def test_rare_class_by_its_index():
    """Of three classes the second is asked for, though the third has fewer answers."""
    labeled = Labeled(np.zeros((5, 1), np.float32), np.array([0, 0, 1, 1, 2], np.int32))
    picks = select("rare:1", CANDIDATES, labeled, size=2, rng=np.random.default_rng(0))
    assert picks.positions.tolist() == [4, 1]  # probabilities .5 and .48 of class 1


@pytest.mark.parametrize("name", ["balanced:rare", "balanced:auto"])
def test_what_cannot_be_balanced(name):
    """One looks for a single class, the other balances where it should."""
    with pytest.raises(UnknownName, match=f"unknown strategy '{name}'"):
        find(name)
