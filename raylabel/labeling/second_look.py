"""Second looks: training answers that the model doubts are asked again, once each, among the questions of a round.

Audit answers are never doubted: answers changed where the model disagrees would flatter the model.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from raylabel import schema
from raylabel.campaign import Campaign, folder
from raylabel.labeling.answers import SECOND_LOOK
from raylabel.workspace import read_parts


def second_looks(campaign: Campaign, number: int) -> pa.Table:
    """The answers to ask again in a round: those that the model of the round before doubts most.

    Returns:
        Rows of schema.DOUBTS in order of doubt, as many as the budget has for the round; none that was asked again
        before.
    """
    size = campaign.config.second_look_sizes()[number]
    record = campaign.records.find(f"{folder(number - 1)}/model") if size else None
    if record is None:
        return schema.DOUBTS.empty_table()
    doubts = read_parts(campaign.store, record.parts["doubts"], schema=schema.DOUBTS)
    looked = pa.array(sorted(_looked_at(campaign, number)), pa.int64())
    return doubts.filter(pc.invert(pc.is_in(doubts.column("row"), value_set=looked))).slice(0, size)


def _looked_at(campaign: Campaign, number: int) -> set[int]:
    """Rows that earlier rounds have asked about again."""
    found: set[int] = set()
    for earlier in range(number):
        record = campaign.records.find(f"{folder(earlier)}/shortlist")
        if record is not None:
            asked = read_parts(campaign.store, record.parts["shortlist"], schema=schema.SHORTLIST)
            found |= set(asked.filter(pc.equal(asked.column("strategy"), SECOND_LOOK)).column("row").to_pylist())
    return found
