import threading

import pytest

from raylabel.campaign import EncoderRef
from raylabel.errors import ConfigError, RaylabelError
from raylabel.search.opened import READERS, facts_of, open_newest, side_by_side
from raylabel.workspace import Record


def test_what_is_searched(indexed):
    opened = open_newest(indexed.campaign)
    assert opened.ref == indexed.ref
    assert opened.pieces == indexed.pieces
    assert opened.plan == indexed.plan
    assert facts_of(opened) == {"backbone": "tiny", "index": opened.index.facts["factory"], "num_rows": 59}


def test_the_newest_backbone_that_has_an_index(indexed, publish):
    """One that was tuned but is not indexed yet is passed over."""
    tuned = EncoderRef("tuned", 64)
    publish(indexed, indexed.pieces, name="rounds/0001/backbone", ref=tuned)
    assert open_newest(indexed.campaign).ref.digest == "tiny"
    facts = open_newest(indexed.campaign).index.facts
    indexed.campaign.records.commit("index/tuned", Record(facts=facts))
    assert open_newest(indexed.campaign).ref.digest == "tuned"


def test_no_index_yet(tiny, publish):
    with pytest.raises(RaylabelError, match="the pool is not planned yet"):
        open_newest(tiny.campaign)
    publish(tiny, tiny.pieces)
    with pytest.raises(ConfigError, match=r"no index yet; `raylabel select` builds it, as does `raylabel run`$"):
        open_newest(tiny.campaign)


def test_an_index_of_another_backbone(tiny, publish):
    publish(tiny, tiny.pieces)
    tiny.campaign.records.commit("index/tiny", Record(facts={"dim": 63}))
    with pytest.raises(ConfigError, match=r"index of another backbone \(embeddings of 63 values, tiny gives 64\)"):
        open_newest(tiny.campaign)


def test_reading_side_by_side_keeps_the_order_and_stops_early():
    seen, together = [], threading.Barrier(READERS, timeout=20)

    def read(number):
        seen.append(number)
        together.wait()
        return number * 10

    found = side_by_side(read, range(3 * READERS))
    assert [next(found) for _ in range(READERS)] == [10 * number for number in range(READERS)]
    found.close()
    assert sorted(seen) == list(range(READERS))
