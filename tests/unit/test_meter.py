import pytest

from raylabel.meter import Meter, Work, bound_by, rates


def test_a_shard_that_is_begun_again_counts_once():
    meter = Meter()
    meter.begin(1)
    meter.begin(2)
    meter.add(1, Work(items=10, decode_s=1.0, model_s=2.0))
    meter.add(2, Work(items=4, decode_s=0.5))
    assert meter.total() == Work(items=14, decode_s=1.5, model_s=2.0)
    meter.begin(1)  # its worker was lost
    assert meter.total() == Work(items=4, decode_s=0.5)
    meter.add(1, Work(items=12, read_s=0.25))
    meter.add(1, Work(items=1, read_s=0.25))
    meter.end(1)
    meter.end(2)
    assert meter.total() == Work(items=17, read_s=0.5, decode_s=0.5)


def test_the_first_items_tell_when_the_start_was_over(monkeypatch):
    monkeypatch.setattr("raylabel.meter.time.time", lambda: 5.0)
    meter = Meter()
    meter.begin(1)
    assert meter.first() is None
    meter.add(1, Work(items=32))
    monkeypatch.setattr("raylabel.meter.time.time", lambda: 9.0)
    meter.add(1, Work(items=31))
    assert meter.first() == (5.0, 32)


def test_what_was_added_since():
    before, now = Work(items=4, write_s=1.0), Work(items=6, write_s=1.5, wait_s=0.25)
    assert now.less(before) == Work(items=2, write_s=0.5, wait_s=0.25)


@pytest.mark.parametrize(
    ("work", "decodes_itself", "bound"),
    [
        (Work(read_s=1, decode_s=2, model_s=3, write_s=0.5), True, "model"),
        (Work(read_s=4, decode_s=2, model_s=3, write_s=0.5), True, "storage"),
        (Work(read_s=1, decode_s=2, model_s=1, write_s=5), True, "write"),
        # Beside decode tasks, the model's actors tell by waiting whose turn it is, however long decoding took in all.
        (Work(read_s=1, decode_s=90, wait_s=1, model_s=3, write_s=0.5), False, "model"),
        (Work(read_s=1, decode_s=90, wait_s=5, model_s=3, write_s=0.5), False, "decode"),
        (Work(read_s=95, decode_s=90, wait_s=5, model_s=3, write_s=0.5), False, "storage"),
    ],
)
def test_bound(work, decodes_itself, bound):
    assert bound_by(work, decodes_itself=decodes_itself) == bound


def test_rates_where_actors_decode_themselves():
    """Two actors, 100 items: 1 s of decoding and 3 s of the model together, so 50 a second at best."""
    work = Work(items=100, read_s=0.5, decode_s=1.0, model_s=3.0, write_s=0.25)
    found = rates(work, images=100, seconds=2.5, models=2, decoders=None)
    assert (found.read, found.decode, found.write) == (400, 200, 800)
    assert found.model == pytest.approx(200 / 3)
    assert found.limit == 50
    assert found.achieved == 40


def test_rates_where_tasks_decode_beside_the_model():
    """Eight decoders at 1 s an item and one model at 0.05 s: 8 and 20 a second, so 8 at best."""
    work = Work(items=100, read_s=10.0, decode_s=100.0, model_s=5.0, write_s=1.0)
    found = rates(work, images=100, seconds=20, models=1, decoders=8)
    assert (found.decode, found.model, found.read, found.limit, found.achieved) == (8, 20, 80, 8, 5)
