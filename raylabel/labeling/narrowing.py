"""The pass over the pool that narrows it to the bounded candidate set of an exact strategy.

By a statistic of each item, or by the cells of the index where a strategy wants spread. Every task gives a mergeable
part; the driver holds one histogram, the sizes of the cells, and the candidates.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from raylabel import runtime
from raylabel.campaign import Campaign, Pieces, Rows
from raylabel.sampling import Highest, Histogram, Threshold, TopItems, random_priority
from raylabel.sampling.cells import Cells, cells_of, count_free, draw, quotas
from raylabel.sampling.partitioned import Search, centers, common_radius, num_centers
from raylabel.workspace import Part, Store, read_part
from raylabel.workspace.indexes import open_index

TASK_ROWS = 262_144
"""Rows that a task looks at, about: parts or cells are put together up to here."""

LEAST_NEIGHBOURS, MOST_NEIGHBOURS = 100, 8_192
"""Neighbours of each known item of a rare class: SEALS takes 100; with few known ones there is room for more."""

COLUMNS = {"least_confidence": "top_probability", "margin": "margin", "entropy": "entropy"}
"""The column of the predictions that a statistic is made of: strategies see the softmax, whatever the confidence that
labels are accepted by."""


@dataclass(frozen=True)
class Indexed:
    """What narrowing by cells reads beside the pool.

    Args:
        facts: of the index's record.
        covered: training rows answered so far, all of them barred: what "centers" takes as covered.
        size: items that the strategy will pick of the candidates.
        known: (M, dim) float32 embeddings whose surroundings are wanted: what "neighbours" asks the index for.
    """

    facts: Mapping[str, Any]
    covered: Rows
    size: int
    known: NDArray[np.float32] | None = None


def narrow(
    campaign: Campaign, number: int, pieces: Pieces, *, statistic: str, barred: Rows, indexed: Indexed | None = None
) -> Rows:
    """Keep the rows of the pool that a statistic ranks highest, at most sampling.max_candidates of them.

    Args:
        campaign: whose pool.
        number: the round; the random priority is another one in each.
        pieces: predictions, or embeddings where the statistic is no column of those.
        statistic: "random", "least_confidence", "margin", "entropy"; "cells": from each cell of the index in proportion
            to its size, at random; "centers": farthest-first in each cell down to a common radius; or "neighbours": of
            `indexed.known`, as many of each. Without an index that has cells, as for small pools, these are "random".
        barred: rows that may not be asked about, answered and audited ones.
        indexed: the index of the same pool; None where there is none.

    Returns:
        Pool rows, ascending; none where everything is barred.

    Raises:
        StorageError: a part or the index was changed or is gone.

    Cost: two passes over two columns, or over the ids of the index; for "centers" one over its vectors as well. Memory
    of the driver: 32 KiB, 16 bytes a cell, and three times the candidates.
    """
    barred, limit = np.unique(barred), campaign.config.sampling.max_candidates
    if statistic in ("cells", "centers", "neighbours"):
        if indexed is not None and indexed.facts["num_cells"]:
            if statistic == "neighbours":
                assert indexed.known is not None, "whoever looks for a class has known items of it"
                near = runtime.call(_Neighbours(campaign.store, indexed.facts, limit, barred), indexed.known)
                if len(near) >= indexed.size:
                    return near
                # What is known has few neighbours left: the rest of the pool makes up the number.
                taken, rest = np.union1d(barred, near), limit - len(near)
                return np.union1d(near, _by_cells(campaign, number, indexed, centered=False, barred=taken, most=rest))
            centered = statistic == "centers"
            return _by_cells(campaign, number, indexed, centered=centered, barred=barred, most=limit)
        statistic = "random"
    runs = list(_runs(pieces.parts))
    seen = _Statistic(campaign, number, statistic, barred)
    histogram = runtime.fold(_Count(seen), runs, Histogram.merge)
    if histogram is None:
        return np.empty(0, dtype=np.int64)
    found = runtime.fold(_Keep(seen, histogram.finish(limit)), runs, Highest.merge)
    assert found is not None, "there are runs"
    return found.finish()


def _runs(parts: Sequence[Part]) -> Iterator[list[Part]]:
    """Parts put together for tasks."""
    run: list[Part] = []
    for part in parts:
        run.append(part)
        if sum(each.rows for each in run) >= TASK_ROWS:
            yield run
            run = []
    if run:
        yield run


@dataclass(frozen=True)
class _Statistic:
    """The priority of every row of a part that may be asked about; higher is kept."""

    campaign: Campaign
    number: int
    statistic: str
    barred: Rows

    @property
    def span(self) -> tuple[float, float]:
        """What the priority lies between, about: wrong ends would cost time, and change nothing."""
        return (0.0, float(np.log(len(self.campaign.config.classes))) if self.statistic == "entropy" else 1.0)

    def __call__(self, part: Part) -> tuple[Rows, NDArray[np.float64]]:
        wanted = COLUMNS.get(self.statistic)
        table = read_part(self.campaign.store, part, columns=["row", *([wanted] if wanted else [])])
        table = table.filter(pc.invert(pc.is_in(table.column("row"), value_set=pa.array(self.barred, pa.int64()))))
        rows = table.column("row").to_numpy()
        if wanted is None:
            return rows, random_priority(rows, seed=self.campaign.config.seed, round_number=self.number)
        column = table.column(wanted)
        values = (pc.list_element(column, 0) if wanted == "top_probability" else column).to_numpy().astype(np.float64)
        return rows, values if wanted == "entropy" else 1.0 - values


@dataclass(frozen=True)
class _Count:
    """One run's part of the histogram, in a task."""

    seen: _Statistic

    def __call__(self, run: list[Part]) -> Histogram:
        of_parts = [Histogram.of(self.seen(part)[1], span=self.seen.span) for part in run]
        return Histogram(np.sum([each.counts for each in of_parts], axis=0), self.seen.span)


@dataclass(frozen=True)
class _Keep:
    """One run's rows above the threshold, in a task."""

    seen: _Statistic
    threshold: Threshold

    def __call__(self, run: list[Part]) -> Highest:
        first, *others = (Highest.of(*self.seen(part), threshold=self.threshold) for part in run)
        for other in others:
            first = first.merge(other)
        return first


def _by_cells(campaign: Campaign, number: int, indexed: Indexed, *, centered: bool, barred: Rows, most: int) -> Rows:
    facts = indexed.facts
    opened = _Opened(campaign.store, facts)
    each = max(1, facts["num_cells"] * TASK_ROWS // max(facts["num_rows"], 1))
    ranges = [range(start, min(start + each, facts["num_cells"])) for start in range(0, facts["num_cells"], each)]
    free = np.concatenate(list(runtime.map_tasks(_Free(opened, barred), ranges)))
    limit = num_centers(indexed.size, num_cells=facts["num_cells"], most=most) if centered else most
    if centered and int(free.sum()) > limit:
        search = Search(limit, barred, np.intersect1d(indexed.covered, barred))
        radius = runtime.call(_Radius(opened, search))
        found = runtime.fold(_Centers(opened, search, radius), ranges, TopItems.merge)
        assert found is not None, "there are cells"
        return found.finish()
    work = _Draw(opened, quotas(free, limit), barred, seed=campaign.config.seed, number=number)
    return np.sort(np.concatenate(list(runtime.map_tasks(work, ranges))))


@dataclass(frozen=True)
class _Opened:
    """The cells of an index that a record names, mapped into memory by the task that asks."""

    store: Store
    facts: Mapping[str, Any]

    def __call__(self) -> Cells:
        cells = cells_of(open_index(self.store, self.facts))
        assert cells is not None, "its record says that it has cells"
        return cells


@dataclass(frozen=True)
class _Neighbours:
    """The rows nearest to some embeddings, as many of each, in a task."""

    store: Store
    facts: Mapping[str, Any]
    limit: int
    barred: Rows

    def __call__(self, known: NDArray[np.float32]) -> Rows:
        index = open_index(self.store, self.facts)
        wanted = max(LEAST_NEIGHBOURS, min(MOST_NEIGHBOURS, self.limit // len(known)))
        _, rows = index.search(np.ascontiguousarray(known), min(wanted, self.facts["num_rows"]))
        # Row by row outwards, so that all known ones give as many where the limit cuts.
        order = rows.T.ravel()
        order = order[(order >= 0) & ~np.isin(order, self.barred)]
        _, first = np.unique(order, return_index=True)
        return np.sort(order[np.sort(first)][: self.limit])


@dataclass(frozen=True)
class _Free:
    """Rows of each of some cells that may be asked about, in a task."""

    opened: _Opened
    barred: Rows

    def __call__(self, which: range) -> Rows:
        return count_free(self.opened(), which, barred=self.barred)


@dataclass(frozen=True)
class _Draw:
    """The rows drawn from some cells, in a task."""

    opened: _Opened
    places: Rows
    barred: Rows
    seed: int
    number: int

    def __call__(self, which: range) -> Rows:
        places = self.places[which.start : which.stop]
        return draw(self.opened(), which, places=places, barred=self.barred, seed=self.seed, round_number=self.number)


@dataclass(frozen=True)
class _Radius:
    """The radius that is common to all cells, in a task."""

    opened: _Opened
    search: Search

    def __call__(self) -> float:
        return common_radius(self.opened(), self.search)


@dataclass(frozen=True)
class _Centers:
    """The centers of some cells, in a task."""

    opened: _Opened
    search: Search
    radius: float

    def __call__(self, which: range) -> TopItems:
        return centers(self.opened(), which, self.search, radius=self.radius)
