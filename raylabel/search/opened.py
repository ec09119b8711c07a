"""What a look-up works on: a campaign's plan, the newest backbone that has an index, its embeddings and that index."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

from raylabel.campaign import BEGUN, Campaign, EncoderRef, Pieces, folder, of_version
from raylabel.errors import ConfigError
from raylabel.index import latest
from raylabel.planned import find_plan
from raylabel.pool import Plan
from raylabel.workspace import Record

T = TypeVar("T")
R = TypeVar("R")

READERS = 8
"""Files that are read at once; each may lie in memory whole."""


@dataclass(frozen=True)
class Opened:
    """A campaign as it is searched.

    Args:
        campaign: whose pool.
        plan: of the pool.
        ref: the newest backbone that has an index.
        pieces: its embeddings.
        index: the index's record.
        quarantine: the record that names what could not be embedded.
    """

    campaign: Campaign
    plan: Plan
    ref: EncoderRef
    pieces: Pieces
    index: Record
    quarantine: Record


def open_newest(campaign: Campaign) -> Opened:
    """Find what there is to search; needs neither the driver's lease nor Ray, and reads records alone.

    Raises:
        ConfigError: the campaign has no index yet, or one of another backbone lies in its place.
        RaylabelError: the pool is not planned yet.
    """
    plan = find_plan(campaign)
    for ref in reversed(backbones(campaign)):
        index = latest(campaign, ref.digest)
        if index is None:
            continue
        if index.facts["dim"] != ref.dim:
            raise ConfigError(
                f"{campaign.store.uri('index')}/{ref.digest}: an index of another backbone (embeddings of "
                f"{index.facts['dim']} values, {ref.digest} gives {ref.dim}); remove that folder and its record, "
                "and `raylabel select` builds it again"
            )
        embedded = _embedded(campaign, ref, plan.version)
        spans = tuple((first, last) for first, last in embedded.facts["spans"])
        pieces = Pieces(tuple(embedded.parts["embeddings"]), spans, plan.starts)
        return Opened(campaign, plan, ref, pieces, index, embedded)
    raise ConfigError(f"{campaign.store.root}: no index yet; `raylabel select` builds it, as does `raylabel run`")


def _embedded(campaign: Campaign, ref: EncoderRef, version: int) -> Record:
    """The embeddings of the newest plan version that has them: a pool that has just grown may not be embedded yet."""
    for older in range(version, -1, -1):
        if found := campaign.records.find(of_version(f"embeddings/{ref.digest}", older)):
            return found
    raise ConfigError(f"{campaign.store.uri('embeddings')}: those of the index are gone; restore the folder")


def backbones(campaign: Campaign) -> list[EncoderRef]:
    """Every backbone of a campaign so far, oldest first: the one it began with, and those it tuned."""
    names = [BEGUN, *(f"{folder(number)}/backbone" for number in range(campaign.config.budget.rounds))]
    found = [record.facts for name in names if (record := campaign.records.find(name)) is not None]
    return [EncoderRef(facts["digest"], facts["dim"], tuple(facts.get("seen", ()))) for facts in found]


def side_by_side(function: Callable[[T], R], items: Sequence[T]) -> Iterator[R]:
    """Results of a function that reads, in order, `READERS` at once; whoever stops early leaves the rest unread."""
    with ThreadPoolExecutor(READERS) as readers:
        for start in range(0, len(items), READERS):
            yield from readers.map(function, items[start : start + READERS])


def facts_of(opened: Opened) -> dict[str, Any]:
    """What was searched, for people and programs."""
    return {
        "backbone": opened.ref.digest,
        "index": opened.index.facts["factory"],
        "num_rows": opened.pieces.num_rows,
    }
