"""Bound the candidates of a pool of any size: the rows of highest priority, by statistics folded batch by batch.

Two passes, neither of which sorts the pool: a `Histogram` of the priority tells the `Threshold`, then `Highest` keeps
what lies above it. Whatever the split of the pool into shards and the order in which workers finish, the same rows
are kept. Knows rows and numbers; knows nothing of strategies, shards or Ray.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from raylabel.sampling.arrays import IndexArray
from raylabel.sampling.checks import INT64, check_array

BINS = 4096
"""Of a histogram: 32 KiB, and of ten million rows some thousands to a bin."""

_GOLDEN = 0x9E3779B97F4A7C15
_WORD = (1 << 64) - 1


class Threshold(NamedTuple):
    """Where the rows that are kept begin.

    Args:
        place: the bin of the threshold: rows of the bins above are kept, rows of the bins below are not.
        within: how many rows of that bin itself fit, at least 1.
        span: lowest and highest priority of the bins.
    """

    place: int
    within: int
    span: tuple[float, float]


@dataclass(frozen=True, eq=False)
class Histogram:
    """How many rows of the pool have a priority in each of `BINS` equal bins.

    Priorities outside the span count in the first or the last bin. `merge` is associative and commutative.

    Args:
        counts: (BINS,) int64.
        span: lowest and highest priority of the bins, the same in all parts.
    """

    counts: IndexArray
    span: tuple[float, float]

    @classmethod
    def of(cls, priority: NDArray[np.floating], *, span: tuple[float, float]) -> Histogram:
        """Count one batch.

        Args:
            priority: (n,) float32 or float64.
            span: lowest and highest priority, (low, high) with low < high.

        Raises:
            ValueError: a priority is not finite, or the span is empty.

        Cost: O(n + BINS) time.
        """
        check_array("priority", priority, shape=("n",), dtypes=("float32", "float64"))
        return cls(np.bincount(_bins(priority, span), minlength=BINS).astype(np.int64), span)

    def merge(self, other: Histogram) -> Histogram:
        """Add up two parts of a pool.

        Raises:
            ValueError: the spans differ.
        """
        if self.span != other.span:
            raise ValueError(f"span: got {self.span} and {other.span}, expected the same in both parts")
        return Histogram(self.counts + other.counts, self.span)

    def finish(self, limit: int) -> Threshold:
        """Tell above what to keep, so that `limit` rows are kept, or all where there are fewer.

        Raises:
            ValueError: `limit` is below 1.
        """
        if limit < 1:
            raise ValueError(f"limit: got {limit}, expected at least 1")
        # Rows in this bin or above; it never ascends from bin to bin.
        reached = np.cumsum(self.counts[::-1])[::-1]
        place = max(int(np.searchsorted(-reached, -limit, side="right")) - 1, 0)
        return Threshold(place, limit - int(reached[place] - self.counts[place]), self.span)


@dataclass(frozen=True, eq=False)
class Highest:
    """The rows above a threshold, and as many of its own bin as fit: those of highest priority, ties by lowest row.

    `merge` is associative and commutative, and `of` an empty batch changes nothing.

    Args:
        above: (n,) int64 rows of the pool in bins above the threshold's, in any order.
        within: the best rows of the threshold's bin.
    """

    above: IndexArray
    within: TopItems

    @classmethod
    def of(cls, rows: IndexArray, priority: NDArray[np.floating], *, threshold: Threshold) -> Highest:
        """Take from one batch.

        Args:
            rows: (n,) int64 rows of the pool, in any order, without repeats.
            priority: (n,) float32 or float64, the ones that were counted.
            threshold: from the histogram of the whole pool.

        Raises:
            ValueError: lengths differ, or a priority is not finite.

        Cost: O(n) time, and a sort of what lies in the threshold's bin.
        """
        check_array("rows", rows, shape=("n",), dtypes=INT64)
        check_array("priority", priority, shape=(len(rows),), dtypes=("float32", "float64"))
        bins = _bins(priority, threshold.span)
        inside = bins == threshold.place
        return cls(rows[bins > threshold.place], TopItems.of(rows[inside], priority[inside], limit=threshold.within))

    def merge(self, other: Highest) -> Highest:
        """Put two parts of a pool together that share no row; O(n) time."""
        return Highest(np.concatenate([self.above, other.above]), self.within.merge(other.within))

    def finish(self) -> IndexArray:
        """Give the rows kept, (n,) int64, ascending.

        Raises:
            ValueError: a row is there twice, as when a batch is folded twice.
        """
        rows = np.sort(np.concatenate([self.above, self.within.rows]))
        twice = rows[1:][rows[1:] == rows[:-1]]
        if len(twice):
            raise ValueError(f"rows: got row {twice[0]} more than once, expected parts that share no row")
        return rows


def _bins(priority: NDArray[np.floating], span: tuple[float, float]) -> NDArray[np.intp]:
    """The bin of each priority: never lower for a higher one, as each step of the arithmetic keeps the order."""
    low, high = span
    if not low < high:
        raise ValueError(f"span: got {span}, expected a lower end below the upper one")
    scaled = (priority.astype(np.float64) - low) * (BINS / (high - low))
    return np.clip(scaled, 0, BINS - 1).astype(np.intp)


@dataclass(frozen=True, eq=False)
class TopItems:
    """The `limit` rows of highest priority seen so far; ties keep the lowest row.

    `merge` is associative and commutative, and `of` an empty batch changes nothing.

    Args:
        priority: (n,) float64, descending, n at most `limit`.
        rows: (n,) int64 rows of the pool, ascending among equal priorities, without repeats.
        limit: how many rows to keep, at least 1.

    Raises:
        ValueError: a shape, dtype, value or order is not as above. Make one with `of`, not by hand.
    """

    priority: NDArray[np.float64]
    rows: IndexArray
    limit: int

    def __post_init__(self) -> None:
        """Check what `merge` relies on."""
        if self.limit < 1:
            raise ValueError(f"limit: got {self.limit}, expected at least 1")
        check_array("rows", self.rows, shape=("n",), dtypes=INT64)
        check_array("priority", self.priority, shape=(len(self.rows),), dtypes=("float64",))
        if len(self.rows) > self.limit:
            raise ValueError(f"rows: got {len(self.rows)}, expected at most the limit of {self.limit}")
        values, counts = np.unique(self.rows, return_counts=True)
        if len(values) < len(self.rows):
            raise ValueError(f"rows: got row {values[counts > 1][0]} more than once, expected each row once")
        if not np.array_equal(np.lexsort((self.rows, -self.priority)), np.arange(len(self.rows))):
            raise ValueError("priority: got another order, expected descending, equal ones by ascending row")

    @classmethod
    def of(cls, rows: IndexArray, priority: NDArray[np.floating], *, limit: int) -> TopItems:
        """Take the best of one batch.

        Args:
            rows: (n,) int64 rows of the pool, in any order, without repeats.
            priority: (n,) float32 or float64, one per row; higher is kept.
            limit: how many to keep; the same for all batches that will be merged.

        Raises:
            ValueError: lengths differ, a priority is not finite, or `limit` is below 1.

        Cost: O(n log n) time.
        """
        check_array("rows", rows, shape=("n",), dtypes=INT64)
        check_array("priority", priority, shape=(len(rows),), dtypes=("float32", "float64"))
        return cls._best(rows, priority.astype(np.float64), limit=limit)

    def merge(self, other: TopItems) -> TopItems:
        """Take the best of two parts of a pool that share no row.

        Raises:
            ValueError: the limits differ, or a row is in both parts, as when a batch is folded twice.

        Cost: O(limit log limit) time, O(limit) memory.
        """
        if self.limit != other.limit:
            raise ValueError(f"limit: got {self.limit} and {other.limit}, expected the same in both parts")
        shared = np.intersect1d(self.rows, other.rows)
        if len(shared):
            raise ValueError(f"rows: got row {shared[0]} in both parts, expected parts that share no row")
        return self._best(
            np.concatenate([self.rows, other.rows]),
            np.concatenate([self.priority, other.priority]),
            limit=self.limit,
        )

    def finish(self) -> IndexArray:
        """Give the rows kept, (n,) int64, ascending."""
        return np.sort(self.rows)

    @classmethod
    def _best(cls, rows: IndexArray, priority: NDArray[np.float64], *, limit: int) -> TopItems:
        order = np.lexsort((rows, -priority))[: max(limit, 0)]
        return cls(priority[order], rows[order], limit)


def random_priority(rows: IndexArray, *, seed: int, round_number: int) -> NDArray[np.float64]:
    """Give each row a number that looks random and depends on seed, round and row alone.

    The rows of highest number are thus a random subset that is the same for any number of shards and workers,
    which no generator with a state could promise.

    Args:
        rows: (n,) int64 rows of the pool, at least 0.
        seed: the campaign's seed, at least 0; taken modulo 2**64.
        round_number: the round, at least 0.

    Returns:
        (n,) float64 within [0, 1), multiples of 2**-53.

    Raises:
        ValueError: a row, the seed or the round is negative.

    Cost: O(n) time and memory.
    Source: splitmix64 (Steele, Lea and Flood 2014): output number `row` + 1 of the generator seeded with a
        hash of seed and round.
    """
    check_array("rows", rows, shape=("n",), dtypes=INT64)
    for name, value in (("seed", seed), ("round_number", round_number), ("rows", int(rows.min(initial=0)))):
        if value < 0:
            raise ValueError(f"{name}: got {value}, expected at least 0")
    # Hashing the seed before the round is added keeps (seed 1, round 0) apart from (seed 0, round 1).
    start = _splitmix64(np.array([seed & _WORD], dtype=np.uint64), np.array([1], dtype=np.uint64))
    start += np.uint64(round_number & _WORD)
    start = _splitmix64(start, np.array([1], dtype=np.uint64))
    hashed = _splitmix64(start, rows.astype(np.uint64) + np.uint64(1))
    # 53 bits are what a float64 holds exactly; rounding 64 of them could give 1.0.
    return (hashed >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _splitmix64(seed: NDArray[np.uint64], count: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Give output number `count` (the first is 1) of splitmix64 seeded with `seed`, modulo 2**64."""
    mixed: NDArray[np.uint64] = seed + count * np.uint64(_GOLDEN)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))
