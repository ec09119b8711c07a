"""What goes into a strategy and what comes out of it: `Candidates`, `Labeled`, `Picks`.

Each checks shapes, dtypes and values when it is made, so that no strategy has to.
Knows arrays; knows nothing of ids, rows, models or storage: the caller keeps the table from positions to
ids, and passes candidates sorted by id so that ties, which break by lowest position, break by id.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from raylabel.sampling.checks import FLOAT32, INT32, INT64, check_array, check_probabilities

FloatArray = NDArray[np.float32]
IndexArray = NDArray[np.int64]
ProbabilityArray = NDArray[np.float32] | NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Candidates:
    """The items a strategy may pick from, sorted by id.

    Fields beyond `embeddings` may be None; `Strategy.needs` names those that a strategy reads.

    Args:
        embeddings: (N, D) float32, D at least 1.
        probabilities: (N, K) float32 or float64 class probabilities, all K of them, K at least 2.
        members: (M, N, K) float32 or float64 class probabilities of M ensemble members.
        head: maps (n, D) float32 embeddings to (n, K) class probabilities.
        neighbours: (N, k) int64 positions into these candidates, -1 where there are fewer than k.
        groups: (N,) int64 near-duplicate group of each candidate.

    Raises:
        ValueError: a shape, dtype or value is not as above; the message names the field. NaN is refused.
    """

    embeddings: FloatArray
    probabilities: ProbabilityArray | None = None
    members: ProbabilityArray | None = None
    head: Callable[[FloatArray], ProbabilityArray] | None = None
    neighbours: IndexArray | None = None
    groups: IndexArray | None = None

    def __post_init__(self) -> None:
        """Check every field against the number of embeddings and against each other."""
        check_array("embeddings", self.embeddings, shape=("N", "D"), dtypes=FLOAT32)
        if self.embeddings.shape[1] == 0:
            raise ValueError("embeddings: got 0 dimensions, expected at least 1")
        num_items = len(self.embeddings)
        num_classes: int | str = "K"
        if self.probabilities is not None:
            check_probabilities("probabilities", self.probabilities, shape=(num_items, "K"))
            num_classes = self.probabilities.shape[1]
        if self.members is not None:
            check_probabilities("members", self.members, shape=("M", num_items, num_classes))
        if self.head is not None and not callable(self.head):
            raise ValueError(f"head: got {type(self.head).__name__}, expected a callable")
        if self.neighbours is not None:
            check_array("neighbours", self.neighbours, shape=(num_items, "k"), dtypes=INT64)
            _check_range("neighbours", self.neighbours, lowest=-1, highest=num_items - 1)
        if self.groups is not None:
            check_array("groups", self.groups, shape=(num_items,), dtypes=INT64)

    def __len__(self) -> int:
        """How many candidates there are, N."""
        return len(self.embeddings)

    def take(self, positions: IndexArray) -> Candidates:
        """Some of them, in the order given; without `neighbours`, which index all of them.

        Args:
            positions: (n,) int64.
        """
        return Candidates(
            self.embeddings[positions],
            probabilities=None if self.probabilities is None else self.probabilities[positions],
            members=None if self.members is None else self.members[:, positions],
            head=self.head,
            groups=None if self.groups is None else self.groups[positions],
        )


@dataclass(frozen=True)
class Round:
    """How a round went, as far as training answers tell.

    Args:
        strategy: that picked its items.
        num_answers: training answers up to its end.
        accuracy: of its head on answers that were held out from it; None where nothing could be judged.
    """

    strategy: str
    num_answers: int
    accuracy: float | None


@dataclass(frozen=True, eq=False)
class Labeled:
    """What people have answered already: training answers alone, never the audit's.

    Args:
        embeddings: (L, D) float32; L may be 0, D is the candidates'.
        label_index: (L,) int32, the class of each.
        history: one `Round` for each round so far, oldest first, for strategies that look back.

    Raises:
        ValueError: a shape, dtype or value is not as above; the message names the field.
    """

    embeddings: FloatArray
    label_index: NDArray[np.int32]
    history: tuple[Round, ...] = ()

    def __post_init__(self) -> None:
        """Check that embeddings and labels belong together."""
        check_array("labeled embeddings", self.embeddings, shape=("L", "D"), dtypes=FLOAT32)
        check_array("label_index", self.label_index, shape=(len(self.embeddings),), dtypes=INT32)
        _check_range("label_index", self.label_index, lowest=0)
        if not isinstance(self.history, tuple) or not all(isinstance(entry, Round) for entry in self.history):
            raise ValueError(f"history: got {type(self.history).__name__}, expected a tuple of Round")

    def __len__(self) -> int:
        """How many labeled items there are, L."""
        return len(self.embeddings)


@dataclass(frozen=True, eq=False)
class Picks:
    """The items to ask people about, in the order they were picked.

    Args:
        positions: (size,) int64 into the candidates, in pick order, without repeats.
        scores: (size,) float32, higher = more worth asking. Comparable within one strategy only;
            not always descending, as a strategy that looks for spread also takes items of lower score.
        reasons: one short sentence per pick.

    Raises:
        ValueError: a shape, dtype or value is not as above; the message names the field.
    """

    positions: IndexArray
    scores: FloatArray
    reasons: tuple[str, ...]

    def __post_init__(self) -> None:
        """Check that the three belong together."""
        check_array("positions", self.positions, shape=("size",), dtypes=INT64)
        num_picks = len(self.positions)
        _check_range("positions", self.positions, lowest=0)
        values, counts = np.unique(self.positions, return_counts=True)
        if len(values) < num_picks:
            raise ValueError(f"positions: got {values[counts > 1][0]} more than once, expected no repeats")
        check_array("scores", self.scores, shape=(num_picks,), dtypes=FLOAT32)
        if not isinstance(self.reasons, tuple) or len(self.reasons) != num_picks:
            got = f"{type(self.reasons).__name__} of {len(self.reasons)}"
            raise ValueError(f"reasons: got a {got}, expected a tuple of {num_picks}")

    def __len__(self) -> int:
        """How many picks there are."""
        return len(self.positions)


def _check_range(name: str, values: NDArray[np.signedinteger], *, lowest: int, highest: int | None = None) -> None:
    if values.size and int(values.min()) < lowest:
        raise ValueError(f"{name}: got {values.min()}, expected at least {lowest}")
    if highest is not None and values.size and int(values.max()) > highest:
        raise ValueError(f"{name}: got {values.max()}, expected at most {highest}")
