import json
import threading
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pytest

from raylabel.errors import FingerprintError, RaylabelError
from raylabel.workspace import Part, Record, Records, write_part

FINGERPRINT = "a" * 64
STEP = "rounds/0000/round"


@pytest.fixture
def records(store):
    return Records(store, FINGERPRINT)


def test_a_step_that_has_not_happened_has_no_record(records):
    assert records.find(STEP) is None
    with pytest.raises(RaylabelError) as caught:
        records.require(STEP, missing="no round yet; `raylabel run` begins")
    assert str(caught.value) == f"{records.store.root}: no round yet; `raylabel run` begins"


def test_a_step_that_has_happened_is_given(records):
    record = Record(facts={"n": 1})
    records.commit(STEP, record)
    assert records.require(STEP, missing="no round yet") == record


def test_once_runs_a_step_once_and_finds_it_afterwards(records, store):
    made = []

    def make() -> Record:
        made.append(1)
        part = write_part(store, "rounds/0000/x", pa.table({"row": [len(made)]}))
        return Record(facts={"made": len(made), "classes": ["a", "b"], "none": None}, parts={"x": (part,), "y": ()})

    first = records.once(STEP, make)
    assert (len(made), first.facts["made"]) == (1, 1)
    assert records.once(STEP, make) == first
    assert Records(store, FINGERPRINT).once(STEP, make) == first, "another process finds it as well"
    assert records.find(STEP) == first
    assert len(made) == 1
    (part,) = first.parts["x"]
    assert isinstance(part, Part) and store.exists(part.name)


def test_a_step_that_fails_leaves_no_record(records, store):
    def broken() -> Record:
        raise RuntimeError("half-way")

    with pytest.raises(RuntimeError, match="half-way"):
        records.once(STEP, broken)
    assert records.find(STEP) is None
    assert store.list("rounds/0000") == []
    assert records.once(STEP, lambda: Record(facts={"n": 2})).facts == {"n": 2}


def test_a_record_is_readable_json_with_its_writer_and_fingerprint(records, store):
    record = Record(facts={"n": 1}, parts={"x": (Part("x-1.parquet", 3, "0f"),)})
    records.commit(STEP, record)
    tree = json.loads(store.read(f"{STEP}.json"))
    assert len(tree.pop("writer")) == 32
    assert tree == {
        "fingerprint": FINGERPRINT,
        "facts": {"n": 1},
        "parts": {"x": [{"name": "x-1.parquet", "rows": 3, "sha256": "0f"}]},
    }


def test_a_record_of_another_campaign_is_refused(records, store):
    records.commit(STEP, Record(facts={"n": 1}))
    other = Records(store, "b" * 64)
    message = (
        f"{store.uri(STEP)}.json was written by a campaign with fingerprint {'a' * 12}, this one has {'b' * 12}; "
        "use another workspace"
    )
    for call in (
        lambda: other.find(STEP),
        lambda: other.once(STEP, lambda: Record(facts={"n": 2})),
        lambda: other.commit(STEP, Record(facts={"n": 2})),
    ):
        with pytest.raises(FingerprintError) as caught:
            call()
        assert (str(caught.value), caught.value.exit_code) == (message, 2)
    assert records.find(STEP) == Record(facts={"n": 1}), "it stands as it was"


def test_of_two_writers_at_once_both_get_the_record_of_the_first(records):
    made = threading.Barrier(2)

    def make(writer: int) -> Record:
        made.wait(timeout=30)
        return Record(facts={"writer": writer}, parts={"x": (Part(f"x-{writer}", writer, "0"),)})

    with ThreadPoolExecutor(2) as threads:
        one, two = threads.map(lambda writer: records.once(STEP, lambda: make(writer)), [1, 2])
    assert one == two == records.find(STEP)
    assert one.facts["writer"] in (1, 2)
    assert one.parts["x"][0].rows == one.facts["writer"]


def test_commit_returns_the_record_that_counts(records):
    first = records.commit(STEP, Record(facts={"n": 1}))
    assert first.facts == {"n": 1}
    assert records.commit(STEP, Record(facts={"n": 2})).facts == {"n": 1}
    assert records.commit("rounds/0001/round", Record(facts={"n": 2})).facts == {"n": 2}
