"""Near-duplicates among embeddings: groups of items that a person would answer alike, so that one of each is asked.

Two items are near-duplicates where the cosine of their embeddings, less the mean embedding, reaches a threshold;
groups are what such pairs connect. Knows arrays; knows nothing of ids, shards or models.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from raylabel.sampling.arrays import FloatArray, IndexArray
from raylabel.sampling.checks import FLOAT32, INT64, check_array

ANSWERED = -1
"""The group of all items that are near-duplicates of an answered one."""

THRESHOLD = 0.97
"""Measured on real images, at 0.97 after centring; pools of 400 to 1,200, 60 to 150 copies of each kind.

- Copies found, photos (TrashNet, 512 x 384; MobileNetV2 / ResNet-18 without its last stage): JPEG quality 90
  100 / 100 %, 5 to 10 % smaller or larger 100 / 100 %, 10 % brighter or darker 99 / 89 %, quality 50 10 / 35 %,
  mirrored 0 / 2 %.
- Small or plain pictures change more: of CIFAR-10's, enlarged four times, quality 90 is found in 94 % (EfficientNet-B4)
  and 33 % (MobileNetV2), of grey tiles in 97 % (ResNet-18) and 75 % (MobileNetV2); resized ones are mostly missed.
- Pairs of different files that reach it, whole sets, EfficientNet-B4: 16 in TrashNet (2,527 photos; 13 pairs of one
  class, 3 of one picture that stands under two), 86 among the tiles (1,344; 85 of one class); 30 and 333 from 0.95 on.
- Without centring no one value would do: half of all different tiles have a neighbour of cosine 0.98.

A copy that is missed is asked about once more; an item that is taken for a copy is never asked. So it is rather high.
"""

_BLOCK = 512
_PAIRS = 8192
_SCREEN_DIMS = 64
_SAMPLE = 4096
_SLACK = 1e-4
"""Of a squared distance between unit vectors: a float32 matrix product is off by a hundredth of it."""


def near_duplicates(
    embeddings: FloatArray, *, threshold: float = THRESHOLD, covered: FloatArray | None = None
) -> IndexArray:
    """Group items by near-duplicates.

    Args:
        embeddings: (N, D) float32, in the order in which an item stands for its group.
        threshold: cosine, within 0 to 1, after the mean of embeddings and covered ones has been taken off.
        covered: (M, D) float32, the answered items; M may be 0.

    Returns:
        (N,) int64 group of each item: the lowest position in it, `ANSWERED` where it holds a covered item. Items
        without a near-duplicate are groups of one.

    Raises:
        ValueError: a shape, dtype or value is not as above.

    The mean is what all images of a pool share; it makes up most of an embedding whose values are never negative.
    Of fewer than some twenty items it says little, and pairs are missed.

    Cost: every pair is held against a bound in the `_SCREEN_DIMS` directions of largest variance, which no distance
    falls below; what passes is measured exactly, in float64, so that the groups do not depend on threads or blocks.
    O(N * (N + M) * 64) time: 1.2 s on one core for 25,000 x 448, four times that for 50,000.
    Memory: 8 * D * (N + M) bytes, and 2.5 kB * (N + M), 8 times that where all are alike.
    """
    check_array("embeddings", embeddings, shape=("N", "D"), dtypes=FLOAT32)
    count, dim = embeddings.shape
    covered = np.empty((0, dim), dtype=np.float32) if covered is None else covered
    check_array("covered", covered, shape=("M", dim), dtypes=FLOAT32)
    if not 0 < threshold <= 1:
        raise ValueError(f"threshold: got {threshold}, expected a cosine above 0 and at most 1")
    if count == 0:
        return np.empty(0, dtype=np.int64)
    directions = _directions(np.concatenate([embeddings, covered]))
    radius = 2 - 2 * threshold  # the squared distance of unit vectors with that cosine
    groups = np.arange(len(directions))
    left, right = _screens(directions)
    for start in range(0, count, _BLOCK):
        # What came before was held against everything.
        passed = left[start : min(start + _BLOCK, count)] @ right[start:].T >= -(radius + _SLACK) / 2
        pairs = np.argwhere(passed) + start
        while len(pairs := pairs[groups[pairs[:, 0]] != groups[pairs[:, 1]]]):
            # A few at a time: where all are alike, those few join most of the others.
            some, pairs = pairs[:_PAIRS], pairs[_PAIRS:]
            groups = _joined(groups, some[_squared(directions, some) <= radius])
    mine = groups[:count].copy()
    mine[np.isin(mine, groups[count:])] = ANSWERED
    return mine


def first_of_each(positions: IndexArray, groups: IndexArray) -> IndexArray:
    """Keep the first item of each group, and none of a group that is answered.

    Args:
        positions: (n,) int64 into the groups, in order of preference, as `Picks.positions`.
        groups: (N,) int64, as `near_duplicates` gives them.

    Returns:
        (k,) int64 of the positions, in their order. With all positions in order, one item for each open group.

    Raises:
        ValueError: a shape, dtype or position is not as above.
    """
    check_array("positions", positions, shape=("n",), dtypes=INT64)
    check_array("groups", groups, shape=("N",), dtypes=INT64)
    if len(positions) and not 0 <= positions.min() <= positions.max() < len(groups):
        raise ValueError(f"positions: got {positions.min()} to {positions.max()}, expected 0 to {len(groups) - 1}")
    _, first = np.unique(groups[positions], return_index=True)
    kept = positions[np.sort(first)]
    asked: IndexArray = kept[groups[kept] != ANSWERED]
    return asked


@dataclass(frozen=True, eq=False)
class Links:
    """Which rows of a pool belong together, folded batch by batch: mergeable, in any order.

    Args:
        rows: (n,) int64 rows that are linked to others, ascending.
        groups: (n,) int64, the lowest row that each is linked to, be it by way of others.
    """

    rows: IndexArray
    groups: IndexArray

    @classmethod
    def of(cls, pairs: IndexArray) -> Links:
        """Link rows.

        Args:
            pairs: (n, 2) int64 rows, in any order; a row with itself is no link.

        Raises:
            ValueError: another shape or dtype.

        Cost: O(n log n) time.
        """
        check_array("pairs", pairs, shape=("n", 2), dtypes=INT64)
        pairs = pairs[pairs[:, 0] != pairs[:, 1]]
        rows, positions = np.unique(pairs, return_inverse=True)
        joined = _joined(np.arange(len(rows)), positions.reshape(-1, 2))
        return cls(rows, rows[joined])

    def merge(self, other: Links) -> Links:
        """Link what either links. Cost: O(n log n) time and O(n) memory in the rows that are linked."""
        both = [np.stack([links.rows, links.groups], axis=1) for links in (self, other)]
        return Links.of(np.concatenate(both))

    def finish(self) -> list[IndexArray]:
        """Give the rows of each group, ascending; the largest groups first, then by lowest row."""
        order = np.argsort(self.groups, kind="stable")
        _, starts = np.unique(self.groups[order], return_index=True)
        found = np.split(self.rows[order], starts[1:]) if len(self.rows) else []
        return sorted(found, key=lambda rows: (-len(rows), rows[0]))


def _directions(rows: FloatArray) -> FloatArray:
    """Rows less their mean, at length 1; what is the mean itself stays 0."""
    mean = rows.mean(axis=0, dtype=np.float64)
    directions = np.empty_like(rows)
    for start in range(0, len(rows), _BLOCK):
        centred = rows[start : start + _BLOCK] - mean
        lengths = np.linalg.norm(centred, axis=1, keepdims=True)
        directions[start : start + _BLOCK] = np.divide(centred, lengths, out=centred, where=lengths > 0)
    return directions


def _screens(directions: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Two forms of the directions whose products are -1/2 of a squared distance, or of what is below it.

    Distances are taken in the directions of largest variance alone, so none grows: a and b become
    (a, 1, -|a|²/2) and (b, -|b|²/2, 1).
    """
    if directions.shape[1] > _SCREEN_DIMS:
        sample = directions[:: -(-len(directions) // _SAMPLE)]
        _, axes = np.linalg.eigh(sample.T @ sample)
        directions = directions @ axes[:, -_SCREEN_DIMS:]
    half = -np.einsum("ij,ij->i", directions, directions)[:, None] / 2
    one = np.ones_like(half)
    return np.concatenate([directions, one, half], axis=1), np.concatenate([directions, half, one], axis=1)


def _squared(directions: FloatArray, pairs: IndexArray) -> NDArray[np.float64]:
    """Squared distance of each pair, in float64."""
    apart = directions[pairs[:, 0]].astype(np.float64) - directions[pairs[:, 1]]
    squared: NDArray[np.float64] = np.einsum("ij,ij->i", apart, apart)
    return squared


def _joined(groups: IndexArray, pairs: IndexArray) -> IndexArray:
    """Groups after pairs of positions were connected, each called by its lowest position."""
    if len(pairs) == 0:
        return groups
    count = len(groups)
    first, second = np.concatenate([pairs[:, 0], np.arange(count)]), np.concatenate([pairs[:, 1], groups])
    links = coo_array((np.ones(len(first), dtype=bool), (first, second)), shape=(count, count))
    _, component = connected_components(links, directed=False)
    lowest = np.full(component.max() + 1, count, dtype=np.int64)
    np.minimum.at(lowest, component, np.arange(count))
    joined: IndexArray = lowest[component]
    return joined
