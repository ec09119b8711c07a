import re

import numpy as np
import pytest
from skactiveml.pool import MaxHerding

from raylabel.sampling import herding
from raylabel.sampling.herding import herd, mean_squared_distance, to_unit

NOTHING = np.zeros((0, 6), np.float32)


def pool_of(seed, count=40, dim=6):
    """Three loose clusters, of lengths far from 1."""
    rng = np.random.default_rng(seed)
    centers = 3 * rng.normal(size=(3, dim))
    around = centers[rng.integers(3, size=count)] + rng.normal(size=(count, dim))
    return (around * rng.uniform(0.1, 10, size=(count, 1))).astype(np.float32)


def directions(rows, around):
    """Of length 1, from the mean of `around`, in float64."""
    centred = rows.astype(np.float64) - around.astype(np.float64).mean(axis=0)
    return centred / np.linalg.norm(centred, axis=1, keepdims=True)


def mean_distance(rows):
    """Of all pairs of rows of length 1, pair by pair."""
    return np.mean([((one - other) ** 2).sum() for one in rows for other in rows])


def slow(embeddings, covered, picked, *, weights=None, width=herding.WIDTH):
    """The paper's greedy along some picks: at each step the gain of every candidate, its set's coverage from scratch.

    Two items that only cover each other gain the same, whichever comes first; so the picks are given, not made here.
    """
    unit = list(directions(embeddings, embeddings))
    scale = width * mean_distance(unit)
    weights = np.ones(len(unit)) if weights is None else weights

    def coverage(chosen):
        best = [max((np.exp(-((x - s) ** 2).sum() / scale) for s in chosen), default=0.0) for x in unit]
        return float(np.dot(weights, best) / weights.sum())

    chosen = list(directions(covered, embeddings))
    gains = []
    for row in picked:
        before = coverage(chosen)
        gains.append([coverage([*chosen, one]) - before for one in unit])
        chosen.append(unit[row])
    return np.array(gains)


def check_greedy(picks, gains):
    """Each pick gained the most that any candidate would have, but for float32's rounding."""
    assert len(set(picks.positions.tolist())) == len(picks.positions)
    own = gains[np.arange(len(gains)), picks.positions]
    np.testing.assert_allclose(own, gains.max(axis=1), rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(picks.gains, own, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("num_covered", [0, 4])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_greedy_of_the_paper(seed, num_covered, weighted):
    embeddings, covered = pool_of(seed), pool_of(seed + 100, num_covered)
    weights = np.random.default_rng(seed).random(40).astype(np.float32) if weighted else None
    picks = herd(embeddings, covered=covered, size=8, rng=np.random.default_rng(0), weights=weights)
    check_greedy(picks, slow(embeddings, covered, picks.positions, weights=weights))


@pytest.mark.parametrize("width", [0.1, 30.0])
def test_width(width):
    """Narrow kernels cover little each, wide ones nearly all at once."""
    embeddings = pool_of(5)
    picks = herd(embeddings, covered=NOTHING, size=4, rng=np.random.default_rng(0), width=width)
    check_greedy(picks, slow(embeddings, NOTHING, picks.positions, width=width))
    assert picks.gains[0] < 0.3 if width < 1 else picks.gains[0] > 0.9


def test_gains_by_hand():
    """Two opposite directions, three rows against one: v = 2 * 3/8 * 4 * 1/2 = 3/2, k(opposite) = exp(-4 / 3)."""
    rows = np.array([[1, 0], [2, 0], [-5, 0], [3, 0]], np.float32)
    assert mean_squared_distance(to_unit(rows)) == pytest.approx(1.5)
    picks = herd(rows, covered=np.zeros((0, 2), np.float32), size=2, rng=np.random.default_rng(0), width=2.0)
    apart = np.exp(-4 / 3)
    assert picks.positions.tolist() == [0, 2]
    np.testing.assert_allclose(picks.gains, [(3 + apart) / 4, (1 - apart) / 4], rtol=1e-5)


def test_what_is_labeled_covers_as_picks_do():
    """With the first two picks labeled, the picks are those that would have come third and fourth."""
    embeddings = pool_of(1)
    first = herd(embeddings, covered=NOTHING, size=4, rng=np.random.default_rng(0))
    mean = embeddings.mean(axis=0)
    covered = mean + 7 * (embeddings[first.positions[:2]] - mean)  # farther off, which is nothing to a direction
    then = herd(embeddings, covered=covered, size=2, rng=np.random.default_rng(0))
    assert then.positions.tolist() == first.positions[2:].tolist()
    np.testing.assert_allclose(then.gains, first.gains[2:], rtol=1e-4)


def test_weights_send_the_picks_where_they_are():
    """Two rows of weight far off from the others: both before anything else, though they cover few."""
    embeddings = np.concatenate([pool_of(2, 30), -pool_of(2, 30)])
    weights = np.zeros(60, np.float32)
    weights[[7, 41]] = 1.0
    picks = herd(embeddings, covered=NOTHING, size=2, rng=np.random.default_rng(0), weights=weights, width=0.01)
    assert sorted(picks.positions.tolist()) == [7, 41]
    np.testing.assert_allclose(picks.gains, [0.5, 0.5], atol=1e-3)


def test_ties_break_by_lowest_position():
    """Eight directions around their mean, each there ten times: whichever is first, its copies gain the same."""
    directions = np.concatenate([np.eye(4, dtype=np.float32), -np.eye(4, dtype=np.float32)])
    embeddings = np.tile(directions, (10, 1))
    picks = herd(embeddings, covered=np.zeros((0, 4), np.float32), size=8, rng=np.random.default_rng(0))
    assert picks.positions[0] == 0
    assert sorted(picks.positions.tolist()) == list(range(8))
    rest = herd(embeddings, covered=directions, size=80, rng=np.random.default_rng(0))
    assert rest.positions.tolist() == list(range(80))
    assert rest.gains.tolist() == [0.0] * 80


def test_what_all_rows_share_is_nothing_to_them():
    """Rows far from the origin are picked as those around it are."""
    embeddings = pool_of(1)
    near = herd(embeddings, covered=embeddings[:3], size=6, rng=np.random.default_rng(0))
    far = herd(embeddings + 64, covered=embeddings[:3] + 64, size=6, rng=np.random.default_rng(0))
    assert far.positions.tolist() == near.positions.tolist()
    np.testing.assert_allclose(far.gains, near.gains, rtol=1e-3, atol=1e-5)


def test_no_copy_comes_before_what_is_none():
    """Each of 25 rows there 80 times, in more than one block: none comes twice before each has come once."""
    rows = pool_of(3, 25)
    embeddings = np.tile(rows, (80, 1))
    picks = herd(embeddings, covered=NOTHING, size=25, rng=np.random.default_rng(0))
    assert sorted((picks.positions % 25).tolist()) == list(range(25))


@pytest.mark.filterwarnings("error")
def test_zero_vectors():
    """They stand apart from all directions, a distance of 1 away, and one of them covers all of them."""
    embeddings = np.concatenate([np.zeros((5, 6), np.float32), pool_of(4, 5)])
    assert to_unit(embeddings)[:5].tolist() == np.zeros((5, 6)).tolist()
    picks = herd(embeddings, covered=NOTHING, size=10, rng=np.random.default_rng(0), width=0.01)
    assert picks.positions[0] == 0
    assert set(picks.positions[1:6].tolist()) == {5, 6, 7, 8, 9}
    assert picks.positions[6:].tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize("seed", range(3))
def test_all_of_the_pool(seed):
    """Each once; what is gained adds up to all there is, and never rises."""
    embeddings = pool_of(seed, 200)
    picks = herd(embeddings, covered=NOTHING, size=200, rng=np.random.default_rng(0))
    assert sorted(picks.positions.tolist()) == list(range(200))
    assert picks.gains.astype(np.float64).sum() == pytest.approx(1.0, abs=1e-4)
    assert (np.diff(picks.gains) <= 0).all()
    assert picks.gains.min() >= 0


def test_of_many_rows_some_are_drawn(monkeypatch):
    """Picks come from the rows drawn, the coverage is that of the targets drawn; targets are drawn first."""
    monkeypatch.setattr(herding, "MAX_TARGETS", 15)
    monkeypatch.setattr(herding, "MAX_ROWS", 10)
    monkeypatch.setattr(herding, "ROWS_PER_PICK", 1)
    embeddings = pool_of(6)
    rng = np.random.default_rng(3)
    targets = np.sort(rng.choice(40, 15, replace=False))
    rows = np.sort(rng.choice(40, 10, replace=False))
    picks = herd(embeddings, covered=NOTHING, size=10, rng=np.random.default_rng(3))
    assert sorted(picks.positions.tolist()) == rows.tolist()
    unit = directions(embeddings, embeddings)
    scale = herding.WIDTH * mean_distance(unit[targets])
    kernel = np.exp(-((unit[rows][:, None] - unit[targets][None]) ** 2).sum(axis=2) / scale)
    assert picks.positions[0] == rows[kernel.mean(axis=1).argmax()]
    assert picks.gains[0] == pytest.approx(kernel.mean(axis=1).max(), rel=1e-4)


def test_a_large_shortlist_draws_four_rows_a_pick(monkeypatch):
    """A choice among 32 of 40 rows: not the 8 that alone would be left by the bound."""
    monkeypatch.setattr(herding, "MAX_ROWS", 8)
    picks = herd(pool_of(6), covered=NOTHING, size=8, rng=np.random.default_rng(3))
    rng = np.random.default_rng(3)
    assert set(picks.positions.tolist()) <= set(rng.choice(40, 32, replace=False).tolist())
    assert set(picks.positions.tolist()) != set(np.random.default_rng(3).choice(40, 8, replace=False).tolist())


@pytest.mark.parametrize("num_labeled", [0, 5])
def test_the_picks_of_scikit_activeml(num_labeled):
    """Its MaxHerding with the same kernel: rbf on rows of length 1, the coverage over what is not labeled."""
    embeddings, covered = pool_of(7, 120), pool_of(8, num_labeled)
    covered = covered - embeddings.mean(axis=0)
    embeddings = embeddings - embeddings.mean(axis=0)
    gamma = 1 / (herding.WIDTH * mean_distance(to_unit(embeddings)))
    theirs = MaxHerding(metric_dict={"gamma": gamma}, random_state=0).query(
        np.concatenate([embeddings, covered]),
        np.concatenate([np.full(120, np.nan), np.zeros(num_labeled)]),
        batch_size=10,
    )
    picks = herd(embeddings, covered=covered, size=10, rng=np.random.default_rng(0))
    assert picks.positions.tolist() == theirs.tolist()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"size": 41}, "size: 41 requested / 40 available, expected 1 to 40"),
        ({"size": 0}, "size: 0 requested / 40 available, expected 1 to 40"),
        ({"width": 0.0}, "width: got 0.0, expected above 0"),
        ({"width": float("nan")}, "width: got nan, expected above 0"),
        ({"covered": np.zeros((1, 5), np.float32)}, "covered: got shape (1, 5), expected (L, 6)"),
        ({"weights": np.zeros(39, np.float32)}, "weights: got shape (39,), expected (40,)"),
        ({"weights": np.full(40, -0.5, np.float32)}, "weights: got -0.5, expected at least 0"),
        ({"weights": np.full(40, np.nan, np.float32)}, "weights: got nan at [0], expected finite values"),
        ({"embeddings": np.full((40, 6), np.inf, np.float32)}, "embeddings: got inf at [0, 0], expected finite values"),
    ],
)
def test_what_does_not_fit_is_refused(changed, message):
    given = {"embeddings": pool_of(0), "covered": NOTHING, "size": 3, "rng": np.random.default_rng(0), **changed}
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        herd(given.pop("embeddings"), **given)
