import numpy as np
import pytest

from raylabel.sampling.duplicates import ANSWERED, Links, first_of_each, near_duplicates


def plain(embeddings, threshold, covered=None):
    """The definition: centre, cosines of all pairs, and groups that spread until nothing changes."""
    rows = embeddings if covered is None else np.concatenate([embeddings, covered])
    centred = rows.astype(np.float64) - rows.mean(axis=0, dtype=np.float64)
    unit = centred / np.linalg.norm(centred, axis=1, keepdims=True)
    near = unit @ unit.T >= threshold
    groups = np.arange(len(rows))
    while True:
        spread = np.array([groups[near[i]].min() for i in range(len(rows))])
        if np.array_equal(spread, groups):
            break
        groups = spread
    answered = set(groups[len(embeddings) :].tolist())
    return [ANSWERED if group in answered else group for group in groups[: len(embeddings)].tolist()]


def clustered(seed, *, count, dim, spread):
    """Points of which several lie near each of `count` centres, in random order."""
    rng = np.random.default_rng(seed)
    centres = rng.random((count, dim))
    points = np.repeat(centres, rng.integers(1, 5, count), axis=0)
    points = points + spread * rng.normal(size=points.shape)
    return rng.permutation(points).astype(np.float32)


def test_by_hand():
    """Around the mean (1, 1): 0 and 2 point the same way, 1 the other way, 3 and 4 are at right angles to them."""
    points = np.array([[2, 1], [-1, 1], [2, 1.1], [1, 3], [1, -1.1]], dtype=np.float32)
    assert near_duplicates(points, threshold=0.9).tolist() == [0, 1, 0, 3, 4]
    # The cosine of 0 and 2 around the mean, (1, 1), is 1 / sqrt(1.01) = 0.99504.
    assert near_duplicates(points, threshold=0.9950).tolist() == [0, 1, 0, 3, 4]
    assert near_duplicates(points, threshold=0.9951).tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(("count", "dim", "spread"), [(60, 8, 0.02), (150, 100, 0.03), (400, 80, 0.05)])
@pytest.mark.parametrize("threshold", [0.8, 0.97, 0.99])
def test_the_plain_definition(count, dim, spread, threshold):
    """With and without the screen of 64 directions, in one block and in several."""
    points = clustered(count, count=count, dim=dim, spread=spread)
    groups = near_duplicates(points, threshold=threshold)
    assert groups.tolist() == plain(points, threshold)
    covered = points[::7]
    rest = np.delete(points, np.s_[::7], axis=0)
    found = near_duplicates(rest, threshold=threshold, covered=covered)
    assert found.tolist() == plain(rest, threshold, covered)
    assert (found == ANSWERED).any() or len(np.unique(groups)) == len(points)


def test_a_group_is_answered_by_way_of_another_item():
    """1 lies near the covered one, 0 only near 1: a chain of near-duplicates is one group."""
    angles = np.deg2rad([0, 10, 20, 120, 180, 200, 210, 300])
    ring = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    ring -= ring.mean(axis=0)
    alone = near_duplicates(ring[[0, 1, 3, 4, 5, 6, 7]], threshold=0.97, covered=ring[[2]])
    assert alone.tolist() == plain(ring[[0, 1, 3, 4, 5, 6, 7]], 0.97, ring[[2]])
    assert alone[:3].tolist() == [ANSWERED, ANSWERED, 2]


def test_the_order_of_items_changes_names_alone():
    points = clustered(3, count=100, dim=90, spread=0.03)
    order = np.random.default_rng(0).permutation(len(points))
    one, other = near_duplicates(points)[order], near_duplicates(points[order])
    assert len(np.unique(one)) == len(np.unique(other)) < len(points)
    assert len({(int(a), int(b)) for a, b in zip(one, other, strict=True)}) == len(np.unique(one))


def test_scale_and_shift_change_nothing():
    """No backbone's own scale, and nothing that all images share, plays a part."""
    points = clustered(4, count=80, dim=30, spread=0.02)
    assert (
        near_duplicates(points * 1000 + 50, threshold=0.95).tolist() == near_duplicates(points, threshold=0.95).tolist()
    )


def test_all_alike():
    """A pool of one image alone is one group, and so is one of hardly different ones beside others."""
    assert near_duplicates(np.full((3000, 70), 0.3, dtype=np.float32)).tolist() == [0] * 3000
    rng = np.random.default_rng(1)
    points = rng.random((3000, 70)).astype(np.float32)
    points[300:] = points[300] + 0.001 * rng.normal(size=(2700, 70)).astype(np.float32)
    groups = near_duplicates(points)
    assert groups[300:].tolist() == [300] * 2700
    assert len(np.unique(groups)) == 301


def test_zero_vectors_are_alike():
    points = np.random.default_rng(2).normal(size=(50, 5)).astype(np.float32)
    points[[3, 40]] = 0
    groups = near_duplicates(points, threshold=0.999)
    assert groups[[3, 40]].tolist() == [3, 3]
    assert len(np.unique(groups)) == 49


def test_nothing_and_one():
    assert near_duplicates(np.empty((0, 4), np.float32)).tolist() == []
    assert near_duplicates(np.ones((1, 4), np.float32)).tolist() == [0]
    assert near_duplicates(np.ones((1, 4), np.float32), covered=np.ones((1, 4), np.float32)).tolist() == [ANSWERED]


@pytest.mark.parametrize(
    ("embeddings", "options", "message"),
    [
        (np.ones((3, 2)), {}, "embeddings: got dtype float64, expected float32"),
        (np.array([[1, np.nan]], np.float32), {}, r"embeddings: got nan at \[0, 1\], expected finite values"),
        (
            np.ones((3, 2), np.float32),
            {"covered": np.ones((1, 3), np.float32)},
            r"covered: got shape \(1, 3\), expected",
        ),
        (np.ones((3, 2), np.float32), {"threshold": 0.0}, "threshold: got 0.0, expected a cosine above 0"),
        (np.ones((3, 2), np.float32), {"threshold": 1.1}, "threshold: got 1.1, expected a cosine above 0"),
    ],
)
def test_bad_input(embeddings, options, message):
    with pytest.raises(ValueError, match=message):
        near_duplicates(embeddings, **options)


def test_first_of_each():
    groups = np.array([0, 1, 0, ANSWERED, 1, 5, ANSWERED])
    assert first_of_each(np.array([4, 3, 2, 1, 0, 5]), groups).tolist() == [4, 2, 5]
    assert first_of_each(np.arange(7), groups).tolist() == [0, 1, 5]
    assert first_of_each(np.empty(0, np.int64), groups).tolist() == []
    assert first_of_each(np.array([6, 3]), groups).tolist() == []
    for wrong in (-1, 7):
        with pytest.raises(ValueError, match=r"positions: got .*, expected 0 to 6"):
            first_of_each(np.array([0, wrong]), groups)


def test_links_by_hand():
    links = Links.of(np.array([[9, 4], [4, 7], [2, 30], [5, 5]]))
    assert links.rows.tolist() == [2, 4, 7, 9, 30]
    assert links.groups.tolist() == [2, 4, 4, 4, 2]
    assert [rows.tolist() for rows in links.finish()] == [[4, 7, 9], [2, 30]]
    joined = links.merge(Links.of(np.array([[30, 7], [50, 60]])))
    assert [rows.tolist() for rows in joined.finish()] == [[2, 4, 7, 9, 30], [50, 60]]


def test_links_of_nothing():
    empty = Links.of(np.empty((0, 2), np.int64))
    assert empty.finish() == []
    some = Links.of(np.array([[1, 3]]))
    assert empty.merge(some).finish()[0].tolist() == some.merge(empty).finish()[0].tolist() == [1, 3]
    with pytest.raises(ValueError, match="pairs: got dtype int32, expected int64"):
        Links.of(np.zeros((1, 2), np.int32))


def test_links_do_not_depend_on_how_they_are_folded():
    rng = np.random.default_rng(5)
    pairs = rng.integers(0, 1000, (400, 2))
    whole = Links.of(pairs).finish()
    assert len(whole) > 50
    for cuts in ([100], [1, 2, 399], [50, 300]):
        parts = [Links.of(part) for part in np.split(rng.permutation(pairs), cuts)]
        folded = parts[-1]
        for part in parts[:-1]:
            folded = part.merge(folded)
        assert [rows.tolist() for rows in folded.finish()] == [rows.tolist() for rows in whole]
