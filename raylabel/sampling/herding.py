"""Cover the pool softly, most of all where a model is unsure: MaxHerding and Uncertainty Herding.

Knows arrays; knows nothing of models or storage. Rows are taken from their mean and brought to length 1 first, so a
distance says how far two directions lie apart, whatever the backbone's scale and whatever all of its embeddings share.
"""

from __future__ import annotations

import heapq
from typing import NamedTuple

import numpy as np

from raylabel.sampling.arrays import FloatArray, IndexArray
from raylabel.sampling.checks import FLOAT32, check_array, check_size

MAX_TARGETS = 4_096
"""The coverage is the mean over so many rows at most, drawn at random."""

MAX_ROWS, ROWS_PER_PICK = 8_192, 4
"""At most so many rows, drawn at random, may be picked; or four for each pick, if that is more."""

WIDTH = 1.0
"""Squared width of the kernel, in mean squared distances between rows."""

BLOCK_ROWS = 1_024


class HerdPicks(NamedTuple):
    """Picks and what each of them added.

    Args:
        positions: (size,) int64 positions in the candidates, in pick order, without repeats.
        gains: (size,) float32 share of the whole (weighted) coverage that the pick added. Never ascending.
    """

    positions: IndexArray
    gains: FloatArray


def herd(
    embeddings: FloatArray,
    *,
    covered: FloatArray,
    size: int,
    rng: np.random.Generator,
    weights: FloatArray | None = None,
    width: float = WIDTH,
) -> HerdPicks:
    """Pick, one after another, the candidate that raises the pool's coverage most.

    The coverage of a set S is the mean over rows x of w(x) * max over s in S of k(x, s), with the Gaussian kernel
    k(x, s) = exp(-|x - s|² / (width * v)) of directions from the mean of all rows, v the mean squared distance between
    two of them. With equal weights it is MaxHerding's, with a model's uncertainty as weights it is Uncertainty
    Herding's. The function is submodular, so the greedy choice comes within 1 - 1/e of the best, and gains that are out
    of date are bounds: few are taken anew.

    Args:
        embeddings: (N, D) float32.
        covered: (L, D) float32 embeddings of what is labeled, which cover as picks do; L may be 0.
        size: how many to pick, at most N.
        rng: draws the rows that the coverage is taken over and, of more than 8,192 and four a pick, those that may be
            picked.
        weights: (N,) float32 of each row's coverage, at least 0; all equal where None.
        width: the kernel's squared width in mean squared distances, above 0.

    Returns:
        The picks; ties break by lowest position. Gains are sums in float32: what is even but for their rounding, as
            copies are and two items that only cover each other, may come in either order.

    Raises:
        ValueError: `size` or `width` is out of range, lengths or dimensions differ, a weight is negative, or a value
            is not finite.

    Cost: O(n * T * D) time and 4 * n * T bytes of memory for n = min(N, max(8,192, 4 * size)) and T = min(N, 4,096);
        O(T) for each gain that is taken anew.
    Source: Bae, Noh and Sutherland 2024, arXiv 2407.12212 (MaxHerding, Algorithm 1); Bae, Oliveira and Sutherland 2025,
        arXiv 2412.20644 (equation 4). Lazy greedy: Minoux 1978.
    """
    check_array("embeddings", embeddings, shape=("N", "D"), dtypes=FLOAT32)
    check_array("covered", covered, shape=("L", embeddings.shape[1]), dtypes=FLOAT32)
    check_size(size, available=len(embeddings))
    if weights is not None:
        check_array("weights", weights, shape=(len(embeddings),), dtypes=FLOAT32)
        if weights.min(initial=0.0) < 0:
            raise ValueError(f"weights: got {weights.min()}, expected at least 0")
    if not width > 0:
        raise ValueError(f"width: got {width}, expected above 0")
    mean = embeddings.mean(axis=0, dtype=np.float64).astype(np.float32)
    unit = to_unit(embeddings - mean)
    targets = _drawn(len(unit), MAX_TARGETS, rng)
    rows = _drawn(len(unit), max(MAX_ROWS, ROWS_PER_PICK * size), rng)
    scale = width * max(mean_squared_distance(unit[targets]), 1e-12)
    share = np.ones(len(targets)) if weights is None else weights[targets].astype(np.float64)
    share = (share / max(share.sum(), 1e-12)).astype(np.float32)
    reached = np.zeros(len(targets), dtype=np.float32)
    for start in range(0, len(covered), BLOCK_ROWS):
        block = _kernel(to_unit(covered[start : start + BLOCK_ROWS] - mean), unit[targets], scale)
        np.maximum(reached, block.max(axis=0), out=reached)
    picked, gains = _lazy_greedy(_kernel(unit[rows], unit[targets], scale), share, reached, size=size)
    return HerdPicks(rows[picked], gains)


def to_unit(rows: FloatArray) -> FloatArray:
    """Rows of length 1; zero vectors stay as they are."""
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.ascontiguousarray(rows / np.where(norms > 0, norms, np.float32(1.0)))


def mean_squared_distance(rows: FloatArray) -> float:
    """The mean of |x - y|² over all pairs of rows, a row with itself included: twice their mean variance.

    Cost: O(N * D) time, from sums: the mean of |x - y|² is 2 (mean |x|² - |mean x|²).
    """
    wide = rows.astype(np.float64)
    return float(2 * ((wide**2).sum(axis=1).mean() - (wide.mean(axis=0) ** 2).sum()))


def _drawn(count: int, most: int, rng: np.random.Generator) -> IndexArray:
    if count <= most:
        return np.arange(count, dtype=np.int64)
    return np.sort(rng.choice(count, most, replace=False)).astype(np.int64)


def _kernel(rows: FloatArray, targets: FloatArray, scale: float) -> FloatArray:
    """(n, T) float32 values of the kernel."""
    found = np.empty((len(rows), len(targets)), dtype=np.float32)
    norms = (targets**2).sum(axis=1)
    for start in range(0, len(rows), BLOCK_ROWS):
        block = rows[start : start + BLOCK_ROWS]
        squared = (block**2).sum(axis=1)[:, None] + norms - 2 * (block @ targets.T)
        np.exp(np.maximum(squared, 0.0) / np.float32(-scale), out=found[start : start + BLOCK_ROWS])
    return found


def _lazy_greedy(
    kernel: FloatArray, share: FloatArray, reached: FloatArray, *, size: int
) -> tuple[IndexArray, FloatArray]:
    """Rows of greatest gain over `reached`, one after another: gains only fall, so an old one bounds the new one."""

    def gain(first: int, last: int) -> FloatArray:
        found: FloatArray = np.maximum(kernel[first:last] - reached, 0.0) @ share
        return found

    blocks = [gain(start, start + BLOCK_ROWS) for start in range(0, len(kernel), BLOCK_ROWS)]
    heap = [(-float(value), row) for row, value in enumerate(np.concatenate(blocks))]
    heapq.heapify(heap)
    picked = np.empty(size, dtype=np.int64)
    gains = np.empty(size, dtype=np.float32)
    for step in range(size):
        while True:
            _, row = heapq.heappop(heap)
            now = (-float(gain(row, row + 1)[0]), row)
            if not heap or now <= heap[0]:
                break
            heapq.heappush(heap, now)
        picked[step], gains[step] = row, -now[0]
        np.maximum(reached, kernel[row], out=reached)
    return picked, gains
