import numpy as np
import pytest

from raylabel import schema
from raylabel.labeling import hints
from raylabel.labeling.hints import hints_of
from raylabel.models.heads import Head
from raylabel.sampling.clusters import k_means

RNG = np.random.default_rng(0)
EMBEDDINGS = RNG.normal(size=(50, 8)).astype(np.float16)
ROWS = np.arange(100, 150)
ANSWERED = RNG.normal(size=(20, 8)).astype(np.float32)
ANSWERED_ROWS = np.arange(20)[::-1].copy()


def of(head=None, answered=ANSWERED, rows=ANSWERED_ROWS, count=50):
    found = hints_of(
        ROWS[:count],
        EMBEDDINGS[:count],
        head=head,
        answered=rows[: len(answered)],
        answered_embeddings=answered,
        rng=np.random.default_rng(7),
    )
    assert found.schema.equals(schema.HINTS)
    return found.to_pydict()


def test_guesses_are_the_heads_likeliest_classes():
    head = Head(RNG.normal(size=(7, 8)), RNG.normal(size=7), 1.5)
    found = of(head)
    probabilities = head.probabilities(EMBEDDINGS)
    for place in range(50):
        order = sorted(range(7), key=lambda label: -probabilities[place, label])[:5]
        assert found["top_index"][place] == order
        assert found["top_probability"][place] == pytest.approx(probabilities[place, order])
        assert found["group"][place] == order[0]
    assert found["row"] == ROWS.tolist()


def test_neighbours_by_slow_distances(monkeypatch):
    monkeypatch.setattr(hints, "CHUNK", 7)
    found = of()
    for place, vector in enumerate(EMBEDDINGS.astype(np.float64)):
        distances = [np.linalg.norm(vector - other) for other in ANSWERED]
        assert found["neighbours"][place] == [ANSWERED_ROWS[near] for near in np.argsort(distances)[:6]]


def test_without_answers_there_are_no_neighbours_and_with_few_all_are():
    assert of(answered=ANSWERED[:0])["neighbours"] == [[]] * 50
    assert all(sorted(near) == [18, 19] for near in of(answered=ANSWERED[:2])["neighbours"])


def test_without_a_head_groups_are_clusters():
    found = of()
    expected = k_means(EMBEDDINGS.astype(np.float32), 3, rng=np.random.default_rng(7)).labels
    assert found["group"] == expected.tolist()
    assert found["top_index"] == [[]] * 50
    assert of(count=1)["group"] == [0]
