"""A campaign: one config and one workspace, with the fingerprint that ties them together; `opening` makes it.

What every step is handed, where a round's files lie, and what is random in a campaign.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from raylabel.config import Config
from raylabel.profile import Profile
from raylabel.workspace import Part, Record, Records, Store

Rows = NDArray[np.int64]
"""Rows of the pool."""

BEGUN = "backbones/first"
FORECAST = "audit/forecast-0000"
PURPOSES = {
    "audit": 1,
    "shortlist": 2,
    "select": 3,
    "folds": 4,
    "weights": 5,
    "finetune": 6,
    "members": 7,
    "second_audit": 8,
    "hints": 9,
    "gold": 10,
}


@dataclass(frozen=True)
class EncoderRef:
    """A backbone whose weights lie in the workspace.

    Args:
        digest: the hash it goes by.
        dim: of its embeddings.
        seen: pool rows whose answers it was tuned on; no figure may be judged on those.
    """

    digest: str
    dim: int
    seen: tuple[int, ...] = ()

    @property
    def weights(self) -> str:
        """Name of its weights below the workspace."""
        return f"backbones/{self.digest}.safetensors"


@dataclass(frozen=True)
class Pieces:
    """Parts that cover the readable pool in order: embeddings of one backbone, or predictions of one round.

    Args:
        parts: data files, sorted by row; none holds rows of two plan versions.
        spans: first and last row of each.
        starts: of the plan that they cover: the first row of each of its versions.
    """

    parts: tuple[Part, ...]
    spans: tuple[tuple[int, int], ...]
    starts: tuple[int, ...] = (0,)

    @property
    def version(self) -> int:
        """Of the plan that they cover."""
        return len(self.starts) - 1

    def added(self, version: int) -> Pieces:
        """The parts of the rows that one plan version added, all of them in version 0."""
        end = self.starts[version + 1] if version < self.version else None
        inside = [
            (part, span)
            for part, span in zip(self.parts, self.spans, strict=True)
            if span[0] >= self.starts[version] and (end is None or span[0] < end)
        ]
        return Pieces(tuple(part for part, _ in inside), tuple(span for _, span in inside), self.starts[: version + 1])

    @property
    def num_rows(self) -> int:
        """Readable items."""
        return sum(part.rows for part in self.parts)

    def holding(self, rows: np.ndarray[Any, np.dtype[np.int64]]) -> list[tuple[Part, np.ndarray[Any, Any]]]:
        """Sort rows to the parts whose span they fall into; parts without any are left out."""
        rows = np.sort(rows)
        found = []
        for part, (first, last) in zip(self.parts, self.spans, strict=True):
            inside = rows[np.searchsorted(rows, first) : np.searchsorted(rows, last, side="right")]
            if len(inside):
                found.append((part, inside))
        return found


@dataclass(frozen=True)
class Campaign:
    """What every step is handed: settings, workspace, and what results depend on. Travels to tasks."""

    config: Config
    store: Store
    profile: Profile
    fingerprint: str

    @property
    def records(self) -> Records:
        """The commit-once records of the workspace."""
        return Records(self.store, self.fingerprint)

    def rng(self, purpose: str, number: int = 0) -> np.random.Generator:
        """The generator of one purpose in one round, the same in every run."""
        return np.random.default_rng([self.config.seed, PURPOSES[purpose], number])

    def seed(self, purpose: str, number: int = 0) -> int:
        """A seed for libraries that take an integer."""
        return int(self.rng(purpose, number).integers(2**31 - 1))


def sample_share(num_rows: int) -> float:
    """The share of a pool's embeddings that the pass which embeds them writes a second time, to train an index on.

    240 * sqrt(rows) of them: 60 for each of 4 * sqrt(rows) cells; a quarter of a small pool. It only falls as a pool
    grows, so that what was sampled of a smaller one is enough for ever.
    """
    return min(0.25, 240 / num_rows**0.5) if num_rows else 0.25


def in_sample(campaign: Campaign, rows: Rows, *, num_rows: int) -> NDArray[np.bool_]:
    """Which rows belong to the training sample of an index: a matter of the row, not of its shard or worker.

    Args:
        campaign: its seed decides.
        rows: (n,) int64 rows of the pool.
        num_rows: of the pool.
    """
    chosen: NDArray[np.bool_] = priority_of(campaign, rows) >= 1 - sample_share(num_rows)
    return chosen


def priority_of(campaign: Campaign, rows: Rows) -> NDArray[np.float64]:
    """A number in [0, 1) for each row that looks random and depends on seed and row alone."""
    from raylabel.sampling import random_priority  # as below: SciPy and FAISS are not for every worker

    return random_priority(rows, seed=campaign.config.seed, round_number=0)


def folder(number: int) -> str:
    """Where a round's files lie."""
    return f"rounds/{number:04d}"


def of_version(name: str, version: int) -> str:
    """What a record or folder is called under a plan version: from the first growth on it carries the number."""
    return f"{name}-{version:04d}" if version else name


def newest_plan(campaign: Campaign) -> Record | None:
    """The record of the pool's newest plan version; None before planning."""
    version = 0
    while campaign.store.exists(f"pool/plan-{version:04d}.json"):
        version += 1
    return campaign.records.find(f"pool/plan-{version - 1:04d}") if version else None


def find_labels(campaign: Campaign) -> Record | None:
    """The record of the labels of the newest plan version; None as long as they are not written."""
    plan = newest_plan(campaign)
    version = len(plan.facts["starts"]) - 1 if plan else 0
    return campaign.records.find(f"{of_version('labels', version)}/labels")


def training_answers(answered: pa.Table) -> pa.Table:
    """The rows of schema.RESOLVED that a model may learn from: no audit item, and none that nobody could tell."""
    is_train = pc.equal(answered.column("purpose"), "train")
    return answered.filter(pc.and_(is_train, pc.greater_equal(answered.column("label_index"), 0)))
