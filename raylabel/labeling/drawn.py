"""What was drawn for the audit, and which answers a verdict rests on: found by records alone.

Knows records; knows nothing of how they are drawn.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from raylabel import schema
from raylabel.campaign import Campaign, Rows
from raylabel.labeling.answers import resolved_before
from raylabel.workspace import read_parts

SECOND = "audit/second"
"""Name of the record of a targeted audit's second draw."""


def find_audit(campaign: Campaign) -> Rows:
    """The rows of the first audit draws, sorted: of the whole pool, and of all that it has grown by.

    Raises:
        RaylabelError: none was.
    """
    record = campaign.records.require(draw_name(0), missing="no audit sample is drawn yet; `raylabel run` begins")
    parts, version = list(record.parts["audit"]), 1
    while (further := campaign.records.find(draw_name(version))) is not None:
        parts += further.parts["audit"]
        version += 1
    table = read_parts(campaign.store, parts, schema=schema.AUDIT, columns=["row"])
    return _rows(table)


def draw_name(version: int) -> str:
    """Name of the record of a version's draw."""
    return f"audit/draw-{version:04d}"


def find_second(campaign: Campaign) -> pa.Table:
    """What was drawn a second time, as rows of schema.AUDIT; none where nothing was."""
    record = campaign.records.find(SECOND)
    return read_parts(campaign.store, record.parts["audit"] if record else (), schema=schema.AUDIT)


def answers_of(campaign: Campaign, number: int) -> pa.Table:
    """What a round's verdict and labels rest on: rows of schema.RESOLVED up to it, with those of its second draw."""
    record = campaign.records.find(SECOND)
    drew = record is not None and record.facts["round"] == number
    return resolved_before(campaign, number + 1 + drew)


def asked_for_audit(campaign: Campaign) -> Rows:
    """Rows of all audit draws, sorted: what is asked about them is asked for the audit."""
    rows: Rows = np.union1d(find_audit(campaign), _rows(find_second(campaign)))
    return rows


def _rows(table: pa.Table) -> Rows:
    # Arrow's own way there imports pandas: 40 MB for whoever only reads questions.
    return np.array(table.column("row").to_pylist(), dtype=np.int64)
