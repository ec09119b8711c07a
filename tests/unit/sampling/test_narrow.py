import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raylabel.sampling.narrow import BINS, Highest, Histogram, Threshold, TopItems, random_priority


def rows_of(*values):
    return np.array(values, np.int64)


def test_keeps_the_highest_and_breaks_ties_by_row():
    top = TopItems.of(rows_of(9, 4, 7, 1, 3), np.array([0.5, 0.9, 0.5, 0.1, 0.5]), limit=3)
    assert top.rows.tolist() == [4, 3, 7]
    assert top.priority.tolist() == [0.9, 0.5, 0.5]
    assert top.finish().tolist() == [3, 4, 7]
    assert top.finish().dtype == np.int64


def test_float32_priorities_are_taken_as_they_are():
    top = TopItems.of(rows_of(0, 1), np.array([0.1, 0.2], np.float32), limit=2)
    assert top.priority.tolist() == [float(np.float32(0.2)), float(np.float32(0.1))]


def test_nothing_is_lost_below_the_limit():
    top = TopItems.of(rows_of(2, 0), np.array([0.1, 0.2]), limit=10)
    assert top.merge(TopItems.of(rows_of(5), np.array([0.3]), limit=10)).finish().tolist() == [0, 2, 5]


def state(top):
    return (top.rows.tolist(), top.priority.tolist(), top.limit)


# Few distinct priorities, so that ties fall on the border of what is kept.
POOLS = st.lists(st.sampled_from([-1.0, 0.0, -0.0, 0.25, 0.5, 2.0]), max_size=40)


@given(priorities=POOLS, limit=st.integers(1, 12), shards=st.integers(1, 6), seed=st.integers(0, 999))
def test_result_does_not_depend_on_the_split_or_the_order(priorities, limit, shards, seed):
    rng = np.random.default_rng(seed)
    priority = np.array(priorities, np.float64)
    rows = rng.permutation(1000)[: len(priority)].astype(np.int64)
    shard = rng.integers(shards, size=len(priority))
    parts = [TopItems.of(rows[shard == s], priority[shard == s], limit=limit) for s in range(shards)]
    while len(parts) > 1:
        one, two = (parts.pop(int(rng.integers(len(parts)))) for _ in range(2))
        parts.append(one.merge(two))
    best = sorted(zip(priorities, rows.tolist(), strict=True), key=lambda item: (-item[0], item[1]))[:limit]
    assert parts[0].rows.tolist() == [row for _, row in best]
    assert parts[0].priority.tolist() == [value for value, _ in best]
    assert parts[0].finish().tolist() == sorted(row for _, row in best)


@given(priorities=POOLS, limit=st.integers(1, 12), cuts=st.tuples(st.integers(0, 40), st.integers(0, 40)))
def test_merge_is_associative_and_commutative_with_a_neutral_element(priorities, limit, cuts):
    first, second = sorted(cuts)
    rows, priority = np.arange(len(priorities), dtype=np.int64), np.array(priorities, np.float64)
    a, b, c = (
        TopItems.of(rows[part], priority[part], limit=limit)
        for part in (slice(0, first), slice(first, second), slice(second, None))
    )
    assert state(a.merge(b).merge(c)) == state(a.merge(b.merge(c)))
    assert state(a.merge(b)) == state(b.merge(a))
    empty = TopItems.of(rows[:0], priority[:0], limit=limit)
    assert state(a.merge(empty)) == state(empty.merge(a)) == state(a)


@pytest.mark.parametrize(
    ("rows", "priority", "limit", "message"),
    [
        ([0, 1], [0.5], 2, r"priority: got shape \(1,\), expected \(2,\)"),
        ([0, 1], [0.5, np.nan], 2, r"priority: got nan at \[1\], expected finite values"),
        ([3, 3], [0.5, 0.4], 2, "rows: got row 3 more than once, expected each row once"),
        ([0, 1], [0.5, 0.4], 0, "limit: got 0, expected at least 1"),
        ([0, 1], [0.5, 0.4], -3, "limit: got -3, expected at least 1"),
    ],
)
def test_of_refuses(rows, priority, limit, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        TopItems.of(rows_of(*rows), np.array(priority), limit=limit)


def test_of_refuses_rows_of_another_dtype():
    with pytest.raises(ValueError, match="rows: got dtype int32, expected int64"):
        TopItems.of(np.zeros(1, np.int32), np.zeros(1), limit=1)


def test_made_by_hand_it_has_to_be_in_order():
    wrong = "priority: got another order, expected descending, equal ones by ascending row"
    with pytest.raises(ValueError, match=wrong):
        TopItems(np.array([0.1, 0.2]), rows_of(0, 1), 2)
    with pytest.raises(ValueError, match=wrong):
        TopItems(np.array([0.2, 0.2]), rows_of(1, 0), 2)
    with pytest.raises(ValueError, match="rows: got 2, expected at most the limit of 1"):
        TopItems(np.array([0.2, 0.1]), rows_of(0, 1), 1)


def test_merge_refuses_other_limits_and_shared_rows():
    top = TopItems.of(rows_of(0, 1), np.array([0.5, 0.4]), limit=2)
    with pytest.raises(ValueError, match="limit: got 2 and 3, expected the same in both parts"):
        top.merge(TopItems.of(rows_of(7), np.array([0.5]), limit=3))
    with pytest.raises(ValueError, match="rows: got row 1 in both parts, expected parts that share no row"):
        top.merge(TopItems.of(rows_of(5, 1), np.array([0.5, 0.4]), limit=2))


UNIT = (0.0, 1.0)
# Ends, ties, values beyond the span, and neighbours across the border between two bins.
VALUES = [-0.5, 0.0, 0.1, np.nextafter(0.5, 0.0), 0.5, 0.5 + 0.4 / BINS, 0.9, 1.0, 3.0]


def test_histogram_by_hand():
    width = 1 / BINS
    found = Histogram.of(np.array([0.0, 0.4 * width, 1.5 * width, 1.0, -7.0, 2.0]), span=UNIT)
    assert {i: int(n) for i, n in enumerate(found.counts) if n} == {0: 3, 1: 1, BINS - 1: 2}
    # The two best are those of the last bin; a third comes from bin 1; from the fourth on, from bin 0.
    assert [found.finish(limit) for limit in (1, 2, 3, 4, 6)] == [
        Threshold(BINS - 1, 1, UNIT),
        Threshold(BINS - 1, 2, UNIT),
        Threshold(1, 1, UNIT),
        Threshold(0, 1, UNIT),
        Threshold(0, 3, UNIT),
    ]
    assert found.finish(100) == Threshold(0, 97, UNIT)


def test_of_the_bin_of_the_threshold_the_highest_fit_and_ties_by_lowest_row():
    threshold = Threshold(BINS // 2, 2, UNIT)
    priority = np.array([0.9, 0.5, 0.5, 0.5 + 0.5 / BINS, 0.1, 0.5])
    found = Highest.of(rows_of(1, 9, 4, 7, 2, 3), priority, threshold=threshold)
    assert found.above.tolist() == [1]
    assert found.finish().tolist() == [1, 3, 7]


@given(
    priorities=st.lists(st.sampled_from(VALUES), max_size=40),
    limit=st.integers(1, 12),
    shards=st.integers(1, 6),
    seed=st.integers(0, 999),
)
def test_two_passes_keep_what_a_sort_of_the_pool_would(priorities, limit, shards, seed):
    rng = np.random.default_rng(seed)
    priority = np.array(priorities, np.float64)
    rows = rng.permutation(1000)[: len(priority)].astype(np.int64)
    shard = rng.integers(shards, size=len(priority))

    def folded(parts):
        while len(parts) > 1:
            one, two = (parts.pop(int(rng.integers(len(parts)))) for _ in range(2))
            parts.append(one.merge(two))
        return parts[0]

    threshold = folded([Histogram.of(priority[shard == s], span=UNIT) for s in range(shards)]).finish(limit)
    found = folded([Highest.of(rows[shard == s], priority[shard == s], threshold=threshold) for s in range(shards)])
    best = sorted(zip(priorities, rows.tolist(), strict=True), key=lambda item: (-item[0], item[1]))[:limit]
    assert found.finish().tolist() == sorted(row for _, row in best)
    assert len(found.above) + threshold.within <= limit


@given(priorities=st.lists(st.floats(-2, 2), min_size=1, max_size=60), limit=st.integers(1, 20))
def test_two_passes_agree_with_top_items_on_any_number(priorities, limit):
    priority, rows = np.array(priorities), np.arange(len(priorities), dtype=np.int64)
    threshold = Histogram.of(priority, span=UNIT).finish(limit)
    found = Highest.of(rows, priority, threshold=threshold).finish()
    assert found.tolist() == TopItems.of(rows, priority, limit=limit).finish().tolist()


def test_histogram_and_highest_refuse():
    with pytest.raises(ValueError, match=r"priority: got nan at \[0\], expected finite values"):
        Histogram.of(np.array([np.nan]), span=UNIT)
    with pytest.raises(ValueError, match=r"span: got \(1.0, 1.0\), expected a lower end below the upper one"):
        Histogram.of(np.array([0.5]), span=(1.0, 1.0))
    one = Histogram.of(np.array([0.5]), span=UNIT)
    with pytest.raises(ValueError, match=r"span: got \(0.0, 1.0\) and \(0.0, 2.0\), expected the same in both parts"):
        one.merge(Histogram.of(np.array([0.5]), span=(0.0, 2.0)))
    with pytest.raises(ValueError, match="limit: got 0, expected at least 1"):
        one.finish(0)
    with pytest.raises(ValueError, match=r"priority: got shape \(2,\), expected \(1,\)"):
        Highest.of(rows_of(3), np.array([0.5, 0.4]), threshold=one.finish(1))
    twice = Highest.of(rows_of(3), np.array([0.9]), threshold=Threshold(5, 1, UNIT))
    with pytest.raises(ValueError, match="rows: got row 3 more than once, expected parts that share no row"):
        twice.merge(twice).finish()


WORD = (1 << 64) - 1


def splitmix64(seed, count):
    """The published generator in whole Python numbers: its `count`-th output."""
    z = (seed + count * 0x9E3779B97F4A7C15) & WORD
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & WORD
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & WORD
    return z ^ (z >> 31)


def test_random_priority_matches_whole_python_numbers():
    # The first outputs for seed 0 as published, so that the reference itself is held to something.
    published = [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]
    assert [splitmix64(0, count) for count in (1, 2, 3)] == published
    rows = [0, 1, 2, 12_345_678_901, (1 << 63) - 1]
    for seed, round_number in [(0, 0), (7, 3), (WORD, 1), (1 << 70, 2)]:
        start = splitmix64((splitmix64(seed & WORD, 1) + round_number) & WORD, 1)
        expected = [(splitmix64(start, row + 1) >> 11) * 2.0**-53 for row in rows]
        assert random_priority(rows_of(*rows), seed=seed, round_number=round_number).tolist() == expected


def test_random_priority_of_a_row_depends_on_that_row_alone():
    rows = np.arange(1000, dtype=np.int64)
    whole = random_priority(rows, seed=5, round_number=2)
    order = np.random.default_rng(0).permutation(1000)
    assert random_priority(rows[order], seed=5, round_number=2).tolist() == whole[order].tolist()
    assert random_priority(rows[123:124], seed=5, round_number=2).tolist() == whole[123:124].tolist()


def test_random_priority_looks_uniform_and_unlike_its_neighbours():
    rows = np.arange(100_000, dtype=np.int64)
    draws = {
        (seed, round_number): random_priority(rows, seed=seed, round_number=round_number)
        for seed, round_number in [(0, 0), (0, 1), (1, 0), (1, 1)]
    }
    for values in draws.values():
        assert values.min() >= 0.0
        assert values.max() < 1.0
        # 10 bins of 10,000: four standard deviations are 380.
        counts = np.bincount((values * 10).astype(int), minlength=10)
        assert abs(counts - 10_000).max() < 380
        assert abs(np.corrcoef(values[:-1], values[1:])[0, 1]) < 0.015
    keys = list(draws)
    for i, one in enumerate(keys):
        for two in keys[i + 1 :]:
            assert abs(np.corrcoef(draws[one], draws[two])[0, 1]) < 0.015


def test_random_priority_of_nothing():
    assert random_priority(rows_of(), seed=0, round_number=0).shape == (0,)


@pytest.mark.parametrize(
    ("rows", "seed", "round_number", "message"),
    [
        ([0, -4], 0, 0, "rows: got -4, expected at least 0"),
        ([0], -1, 0, "seed: got -1, expected at least 0"),
        ([0], 0, -2, "round_number: got -2, expected at least 0"),
    ],
)
def test_random_priority_refuses_negative_numbers(rows, seed, round_number, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        random_priority(rows_of(*rows), seed=seed, round_number=round_number)
