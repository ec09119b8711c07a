"""Weak labels for the head: the label model of a round, and what its probabilities say, as a prior of the head.

Votes are counted over the pool, a bounded sample of it is learned from; audit items are in neither, and answered ones
not in the sample. People's training answers judge the label model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from raylabel import runtime
from raylabel.acceptance import ABSTAIN, LabelModel, VoteCounts, fit_label_model
from raylabel.campaign import Campaign, Rows, priority_of
from raylabel.models.prior import Prior, fit_prior
from raylabel.training.votes import Voted
from raylabel.workspace import Part, Store, read_part
from raylabel.workspace.vectors import gather_rows

if TYPE_CHECKING:
    from raylabel.sampling import TopItems  # FAISS is not for every worker

WEAK_ITEMS = 4_000
"""Items whose weak labels a head learns from, at most."""
COUNTED_ITEMS = 100_000
COUNTED_CELLS = 20_000_000
"""Items whose votes the label model is fitted on, about, and fewer with many classes: it holds some arrays of a number
for each combination of votes and class."""


@dataclass(frozen=True, eq=False)
class Sampled:
    """What a round needs of the pool's votes.

    Args:
        counts: of combinations of votes.
        items: rows to learn from, for each of which some function votes.
    """

    counts: VoteCounts
    items: TopItems

    def merge(self, other: Sampled) -> Sampled:
        """Put two parts of the pool together."""
        return Sampled(self.counts.merge(other.counts), self.items.merge(other.items))


@dataclass(frozen=True, eq=False)
class Weak:
    """What the weak labels of a round are made of; travels to the actor that fits its head.

    Args:
        voted: the pool's votes.
        counts: as in `Sampled`.
        rows: as `Sampled.items`, ascending.
    """

    voted: Voted
    counts: VoteCounts
    rows: Rows


def sample(campaign: Campaign, voted: Voted, answered: Rows) -> Weak | None:
    """Count the pool's votes and draw the items whose weak labels a round learns from, by the campaign's seed.

    Args:
        campaign: whose pool.
        voted: its votes.
        answered: rows that people have answered; they and the audit's are not drawn.

    Returns:
        What `fit_weak` needs; None where no function votes for anything.

    Cost: one pass over the votes, in tasks. Memory: the combinations of votes of 100,000 items, and 4,000 rows.
    """
    barred = np.union1d(voted.audit, answered)
    most = min(COUNTED_ITEMS, COUNTED_CELLS // len(campaign.config.classes))
    share = min(1.0, most / max(voted.facts["num_items"], 1))
    work = _Sample(campaign, voted.functions, voted.audit, barred, share)
    found: Sampled | None = runtime.fold(work, voted.pieces.parts, Sampled.merge)
    if found is None or not (found.counts.patterns != ABSTAIN).any():
        return None
    return Weak(voted, found.counts, found.items.finish())


@dataclass(frozen=True)
class _Sample:
    """One part's votes, in a task."""

    campaign: Campaign
    functions: tuple[str, ...]
    audit: Rows
    barred: Rows
    share: float

    def __call__(self, part: Part) -> Sampled:
        from raylabel.sampling import TopItems

        table = read_part(self.campaign.store, part)
        rows, votes = table.column("row").to_numpy(), votes_of(table, self.functions)
        priority = priority_of(self.campaign, rows)
        counted = (priority >= 1 - self.share) & ~np.isin(rows, self.audit)
        free = (votes != ABSTAIN).any(axis=1) & ~np.isin(rows, self.barred)
        items = TopItems.of(rows[free], priority[free], limit=WEAK_ITEMS)
        return Sampled(VoteCounts.of(votes[counted]), items)


def votes_of(table: pa.Table, functions: Sequence[str]) -> NDArray[np.int16]:
    """(n, F) votes of a table with columns of `schema.votes`."""
    return np.stack([table.column(name).to_numpy() for name in functions], axis=1)


@dataclass(frozen=True)
class Labeled:
    """Weak labels of a round, as a prior.

    Args:
        prior: of the head; None where the weak labels say nothing.
        facts: for the round's record, see `fit_weak`.
    """

    prior: Prior | None
    facts: dict[str, Any]


def fit_weak(
    store: Store, weak: Weak, embeddings: dict[int, NDArray[np.float16]], *, known: pa.Table, num_classes: int
) -> Labeled:
    """Fit the label model of a round, and on its probabilities the prior of the round's head.

    Args:
        store: the workspace.
        weak: of `sample`.
        embeddings: by row, of the readable ones among `weak.rows` at least.
        known: training answers, rows of schema.RESOLVED; they choose where expectation maximization starts (how far
            each function is to be trusted), how far it goes and how sure the label model is; see `fit_label_model`.
        num_classes: K.

    Returns:
        The prior, and facts: num_items that it was fitted on, num_covered and num_voted_on items of the pool; and of
        each function, by name, coverage (share of the pool's items it votes for), conflicts (share of its votes where
        another function names another class), accuracy (the share of right votes that the label model expects; None
        for one that never votes), and num_answered and num_right: its votes on answered items, and how many agree.
    """
    voted = weak.voted
    votes, label_index = _votes_on(store, voted, known)
    model = fit_label_model(weak.counts, num_classes=num_classes, known=(votes, label_index))
    rows = np.array([row for row in weak.rows.tolist() if row in embeddings], dtype=np.int64)
    prior = None
    if len(rows):
        table = gather_rows(store, voted.pieces.holding(rows))
        assert table is not None, "some rows are asked for"
        said = model.probabilities(votes_of(table, voted.functions))
        prior = fit_prior(np.stack([embeddings[row] for row in rows.tolist()]), said)
    return Labeled(prior, _facts(voted, model, votes, label_index) | {"num_items": len(rows)})


def _votes_on(store: Store, voted: Voted, known: pa.Table) -> tuple[NDArray[np.int16], NDArray[np.int32]]:
    """Votes on answered items, and what people say of them."""
    rows = known.column("row").to_numpy()
    labels = dict(zip(rows.tolist(), known.column("label_index").to_pylist(), strict=True))
    table = gather_rows(store, voted.pieces.holding(rows))
    if table is None:
        return np.empty((0, len(voted.functions)), dtype=np.int16), np.empty(0, dtype=np.int32)
    found = np.array([labels[row] for row in table.column("row").to_pylist()], dtype=np.int32)
    return votes_of(table, voted.functions), found


def _facts(voted: Voted, model: LabelModel, votes: NDArray[np.int16], label_index: NDArray[np.int32]) -> dict[str, Any]:
    functions, spoken = {}, votes != ABSTAIN
    right = spoken & (votes == label_index[:, np.newaxis])
    num_items = voted.facts["num_items"]
    for place, name in enumerate(voted.functions):
        counts = voted.facts["functions"][name]
        functions[name] = {
            "coverage": counts["num_votes"] / max(num_items, 1),
            "conflicts": counts["num_conflicts"] / max(counts["num_votes"], 1),
            "accuracy": None if np.isnan(model.accuracy[place]) else float(model.accuracy[place]),
            "num_answered": int(spoken[:, place].sum()),
            "num_right": int(right[:, place].sum()),
        }
    return {"functions": functions, "num_covered": voted.facts["num_covered"], "num_voted_on": num_items}
