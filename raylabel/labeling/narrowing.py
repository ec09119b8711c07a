"""The pass over the pool that narrows it to the bounded candidate set of an exact strategy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raylabel import runtime
from raylabel.campaign import Campaign, Pieces, Rows
from raylabel.sampling import TopItems, random_priority
from raylabel.workspace import Part, read_part


def narrow(campaign: Campaign, number: int, pieces: Pieces, *, statistic: str, barred: Rows) -> Rows:
    """Keep the rows of the pool that a statistic ranks highest, at most sampling.max_candidates of them.

    Args:
        campaign: whose pool.
        number: the round; the random priority is another one in each.
        pieces: predictions, or embeddings where the statistic is "random".
        statistic: "random", "least_confidence", "margin" or "entropy".
        barred: rows that may not be asked about, answered and audited ones.

    Returns:
        Pool rows, ascending; none where everything is barred.

    Cost: one pass over two columns. Memory of the driver: twice the candidates.
    """
    found = runtime.fold(_Narrow(campaign, number, statistic, barred), pieces.parts, TopItems.merge)
    return found.finish() if found is not None else np.empty(0, dtype=np.int64)


@dataclass(frozen=True)
class _Narrow:
    """One part's contribution to the bounded candidate set, in a task."""

    campaign: Campaign
    number: int
    statistic: str
    barred: Rows

    def __call__(self, part: Part) -> TopItems:
        wanted = {"least_confidence": "confidence", "margin": "margin", "entropy": "entropy"}.get(self.statistic)
        table = read_part(self.campaign.store, part, columns=["row", *([wanted] if wanted else [])])
        table = table.filter(pc.invert(pc.is_in(table.column("row"), value_set=pa.array(self.barred, pa.int64()))))
        rows = table.column("row").to_numpy()
        if wanted is None:
            priority = random_priority(rows, seed=self.campaign.config.seed, round_number=self.number)
        else:
            values = table.column(wanted).to_numpy().astype(np.float64)
            priority = values if wanted == "entropy" else 1.0 - values
        return TopItems.of(rows, priority, limit=self.campaign.config.sampling.max_candidates)
