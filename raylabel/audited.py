"""The audit as a round's predictions see it, and the pool's confidences beside it: what certificates are made of.

Accepting and drawing a second time both read this. Knows tables in the workspace; knows nothing of who answered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from raylabel.acceptance import ClassHistograms, ConfidenceHistogram
from raylabel.campaign import Campaign, Pieces, Rows
from raylabel.workspace import Part, read_part
from raylabel.workspace.vectors import gather_rows

Fold = Callable[[Callable[[Any], Any], Iterable[Any], Callable[[Any, Any], Any]], Any]
"""Runs a function on every part and merges what it returns, None where there are none: `runtime.fold`, `fold_here`."""


@dataclass(frozen=True)
class AuditView:
    """Audit items as one round's predictions see them.

    Args:
        confidence: (n,) float32 of the predicted class.
        predicted: (n,) int32.
        answered: (n,) int32, -1 where nobody could tell: that counts as wrong.
    """

    confidence: NDArray[np.float32]
    predicted: NDArray[np.int32]
    answered: NDArray[np.int32]

    @property
    def correct(self) -> NDArray[np.bool_]:
        """Whether prediction and people agree."""
        return np.asarray(self.predicted == self.answered, dtype=bool)


def view_audit(campaign: Campaign, predictions: Pieces, answered: pa.Table) -> AuditView:
    """Put predictions and answers of the audit items among `answered` beside each other, in row order."""
    audit = answered.filter(pc.equal(answered.column("purpose"), "audit"))
    truth = dict(zip(audit.column("row").to_pylist(), audit.column("label_index").to_pylist(), strict=True))
    table = gather_rows(campaign.store, predictions.holding(audit.column("row").to_numpy()))
    if table is None:
        none = np.empty(0, dtype=np.int32)
        return AuditView(np.empty(0, dtype=np.float32), none, none)
    told = np.array([truth[row] for row in table.column("row").to_pylist()], dtype=np.int32)
    return AuditView(table.column("confidence").to_numpy(), table.column("label_index").to_numpy(), told)


@dataclass(frozen=True)
class Stratum:
    """The rows that one version of the plan added, and their audit.

    Args:
        pieces: predictions of its readable rows.
        first: what was drawn of it uniformly, before anything was selected, as far as it is answered.
        second: what was drawn of it a second time, as far as it is answered.
        probability: with which each item of the second draw was drawn; 1 without one.
        num_missing: readable items of either draw without an answer.
    """

    pieces: Pieces
    first: AuditView
    second: AuditView
    probability: float
    num_missing: int

    @property
    def is_audited(self) -> bool:
        """Whether it has audit answers, and all of them."""
        return len(self.first.correct) > 0 and not self.num_missing


def stratum_name(version: int) -> str:
    """What a draw calls the rows that a version of the plan added."""
    return f"plan-{version:04d}" if version else "pool"


def strata_of(
    campaign: Campaign, predictions: Pieces, answered: pa.Table, *, audit: Rows, second: pa.Table
) -> list[Stratum]:
    """Look at the strata of the plan that a round's predictions cover.

    Args:
        campaign: whose workspace.
        predictions: of the round.
        answered: rows of schema.RESOLVED.
        audit: rows of the first draws.
        second: rows of schema.AUDIT, of the second draws.
    """
    again = pc.is_in(answered.column("row"), value_set=second.column("row"))
    drawn = np.union1d(audit, second.column("row").to_numpy())
    strata = []
    for version in range(predictions.version + 1):
        pieces = predictions.added(version)
        first, later = (view_audit(campaign, pieces, answered.filter(which)) for which in (pc.invert(again), again))
        here = second.filter(pc.equal(second.column("stratum"), stratum_name(version)))
        probability = here.column("inclusion_probability")[0].as_py() if here.num_rows else 1.0
        readable = gather_rows(campaign.store, pieces.holding(drawn))
        num_readable = 0 if readable is None else readable.num_rows
        num_missing = num_readable - len(first.correct) - len(later.correct)
        strata.append(Stratum(pieces, first, later, probability, num_missing))
    return strata


def alpha_each(campaign: Campaign, strata: list[Stratum]) -> float:
    """What a look may spend on each stratum: they share it that are audited, whatever was said there."""
    return campaign.config.alpha_per_look() / max(sum(stratum.is_audited for stratum in strata), 1)


@dataclass(frozen=True)
class Count:
    """Count the confidences of one prediction part, in a task."""

    campaign: Campaign
    human: Rows

    def __call__(self, part: Part) -> ConfidenceHistogram:
        """The histogram of one part."""
        table = read_part(self.campaign.store, part, columns=["row", "confidence"])
        human = np.isin(table.column("row").to_numpy(), self.human)
        return ConfidenceHistogram.of(table.column("confidence").to_numpy(), human=human)


@dataclass(frozen=True)
class CountByClass:
    """Count the confidences of one prediction part by predicted class, in a task."""

    campaign: Campaign
    human: Rows

    def __call__(self, part: Part) -> ClassHistograms:
        """The histograms of one part."""
        table = read_part(self.campaign.store, part, columns=["row", "label_index", "confidence"])
        human = np.isin(table.column("row").to_numpy(), self.human)
        return ClassHistograms.of(
            table.column("confidence").to_numpy(), predicted=table.column("label_index").to_numpy(), human=human
        )
