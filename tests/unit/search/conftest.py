"""A tiny campaign that has been embedded and indexed, as its records say."""

import pytest

from raylabel import schema
from raylabel.campaign import BEGUN
from raylabel.index import build
from raylabel.workspace import Record, write_part


@pytest.fixture
def publish():
    """Commit a backbone, its embeddings and what is in quarantine, as a run would."""

    def commit(tiny, pieces, *, name=BEGUN, ref=None, lost=()):
        ref = ref or tiny.ref
        records = tiny.campaign.records
        records.once("pool/plan-0000", lambda: Record(facts=tiny.plan.to_json()))
        records.commit(name, Record(facts={"digest": ref.digest, "dim": ref.dim, "seen": []}))
        table = schema.QUARANTINE.empty_table().from_pylist(list(lost), schema=schema.QUARANTINE)
        parts = {
            "embeddings": list(pieces.parts),
            "quarantine": [write_part(tiny.campaign.store, "quarantine/shard", table)],
        }
        facts = {"spans": [list(span) for span in pieces.spans]}
        records.commit(f"embeddings/{ref.digest}", Record(facts=facts, parts=parts))

    return commit


@pytest.fixture
def indexed(ray_session, tiny, publish):
    """The tiny campaign with its records and its index; the broken item is in quarantine."""
    lost = {
        "id": tiny.ids[tiny.broken],
        "shard": tiny.plan.shards[0].name,
        "stage": "embed",
        "error_code": "cut",
        "message": "Premature end of JPEG file",
    }
    publish(tiny, tiny.pieces, lost=[lost])
    build(tiny.campaign, tiny.ref, tiny.pieces)
    return tiny
