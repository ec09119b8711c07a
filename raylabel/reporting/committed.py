"""A committed round as it lies in the workspace: found by records alone, without Ray; nothing is written."""

from __future__ import annotations

from dataclasses import dataclass

from raylabel.campaign import Campaign, Pieces, find_labels, folder, of_version
from raylabel.errors import RaylabelError
from raylabel.reporting.result import Last
from raylabel.workspace import Record


@dataclass(frozen=True)
class Committed:
    """A round that was committed.

    Args:
        number: of the round.
        facts: of its commit.
        model: record of its model.
        verdict: record of its verdict.
        predictions: of the readable pool, as far as the plan version that was asked for.
    """

    number: int
    facts: Record
    model: Record
    verdict: Record
    predictions: Pieces

    @property
    def last(self) -> Last:
        """The round as the one that labels the pool."""
        return Last(self.number, self.model.facts["model"], self.predictions, self.verdict)


def find_round(campaign: Campaign, number: int, *, version: int | None = None) -> Committed | None:
    """Find a committed round.

    Args:
        campaign: whose workspace.
        number: the round.
        version: of the plan that its predictions shall cover; by default the one that the round knew.

    Returns:
        The round; None where it was not committed.

    Raises:
        RaylabelError: a record that a committed round must have is gone.
    """
    records, place = campaign.records, folder(number)
    done = records.find(f"{place}/round")
    if done is None:
        return None
    version = done.facts["plan"] if version is None else version
    gone = f"round {number} was committed, but its {{}} record is gone; restore the workspace's files"
    model = records.require(f"{place}/model", missing=gone.format("model"))
    verdict = records.require(f"{place}/verdict", missing=gone.format("verdict"))
    plan = records.require(f"pool/plan-{version:04d}", missing=gone.format("plan"))
    embedded = records.require(
        of_version(f"embeddings/{model.facts['backbone']}", version), missing=gone.format("embeddings")
    )
    name = f"{place}/predictions"
    predicted = records.require(name, missing=gone.format("predictions"))
    parts = list(predicted.parts["predictions"])
    for later in range(predicted.facts["plan"] + 1, version + 1):
        more = records.require(of_version(name, later), missing=gone.format(f"predictions-{later:04d}"))
        parts += more.parts["predictions"]
    spans = tuple((first, last) for first, last in embedded.facts["spans"])
    # What was predicted in one go for a later version of the plan covers more than an earlier one.
    pieces = Pieces(tuple(parts[: len(spans)]), spans, tuple(plan.facts["starts"]))
    return Committed(number, done, model, verdict, pieces)


def newest_round(campaign: Campaign) -> Committed | None:
    """The last round that was committed; None before the first."""
    for number in reversed(range(campaign.config.budget.rounds)):
        if found := find_round(campaign, number):
            return found
    return None


def require_labels(campaign: Campaign) -> Record:
    """The record of the labels.

    Raises:
        RaylabelError: there is no result yet.
    """
    record = find_labels(campaign)
    if record is None:
        raise RaylabelError(
            f"{campaign.store.root}: no result yet; `raylabel run` goes on to it, and `--what provisional` writes what "
            "the last round would say"
        )
    return record
