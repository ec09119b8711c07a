import numpy as np
import pytest

from raylabel.errors import PoolError
from raylabel.pool import Plan, duplicates, plan, plan_pool
from raylabel.pool.duplicates import find_duplicates
from raylabel.workspace import Store

pytestmark = pytest.mark.usefixtures("ray_session")

SETTINGS = {"many buckets": 2, "one bucket": 4_000_000}


@pytest.fixture(params=SETTINGS)
def buckets(request, monkeypatch):
    """The same pools, looked through in one bucket and in many."""
    monkeypatch.setattr(duplicates, "IDS_PER_BUCKET", SETTINGS[request.param])


@pytest.fixture
def planned(folder, workspace, parquet, monkeypatch):
    """A function that plans files of ids in shards of 4 and does not look for duplicates yet."""

    def make(*files: list[object], rows_per_group: int = 2) -> Plan:
        monkeypatch.setattr(plan, "ROWS", 4)
        for number, names in enumerate(files):
            data = parquet({"image": [b"x"] * len(names), "name": names}, rows_per_group=rows_per_group)
            folder.put(f"{number}.parquet", data)
        with monkeypatch.context() as patched:
            patched.setattr(plan, "find_duplicates", lambda plan, store: None)
            return plan_pool(folder.pool(id_column="name"), workspace, labels_needed=False)

    return make


def names(first: int, count: int) -> list[str]:
    return [f"n{number}" for number in range(first, first + count)]


def test_ids_that_are_all_different_pass(planned, buckets, workspace):
    found = planned(names(0, 9), names(9, 6))
    assert len(found.shards) == 5
    assert find_duplicates(found, workspace) is None


def test_an_id_twice_in_one_shard_is_found(planned, buckets, workspace):
    found = planned(["a", "b", "a", "c"], names(0, 5))
    assert find_duplicates(found, workspace) == ("a", "0.parquet, row 0", "0.parquet, row 2")


def test_an_id_twice_in_one_file_is_found_by_its_rows_in_the_file(planned, buckets, workspace):
    found = planned(names(0, 5), [*names(5, 9), "n6"])
    assert find_duplicates(found, workspace) == ("n6", "1.parquet, row 1", "1.parquet, row 9")


def test_an_id_in_two_files_is_found(planned, buckets, workspace):
    found = planned(names(0, 7), names(7, 3), [*names(10, 6), "n8"])
    assert find_duplicates(found, workspace) == ("n8", "1.parquet, row 1", "2.parquet, row 6")


def test_an_id_three_times_gives_its_first_two_places(planned, buckets, workspace):
    found = planned(["a", "x"], ["b", "x"], ["x", "c"])
    assert find_duplicates(found, workspace) == ("x", "0.parquet, row 1", "1.parquet, row 1")


def test_several_ids_twice_give_the_first(planned, workspace):
    found = planned(["a", "b", "c"], ["c", "b", "a"])
    assert find_duplicates(found, workspace) == ("a", "0.parquet, row 0", "1.parquet, row 2")


def test_ids_are_compared_whole(planned, buckets, workspace):
    odd = ["a\x00b", "a\x00c", "a", "a ", "A", "", "ä", "a\u0308", "\u202ea", "x" * 10_000, "x" * 9_999 + "y", "a\n"]
    assert find_duplicates(planned(odd), workspace) is None
    found = planned(odd, [*names(0, 3), "a\x00c"])
    assert find_duplicates(found, workspace) == ("a\x00c", "0.parquet, row 1", "1.parquet, row 3")
    found = planned(["x" * 10_000, "b"], ["c", "x" * 10_000])
    assert find_duplicates(found, workspace) == ("x" * 10_000, "0.parquet, row 0", "1.parquet, row 1")


def test_numbers_are_ids_as_text(planned, workspace):
    assert find_duplicates(planned([1, 2, 3], [4, 5, 6]), workspace) is None
    assert find_duplicates(planned([1, 2, 3], [4, 2, 6]), workspace) == ("2", "0.parquet, row 1", "1.parquet, row 1")


def test_an_item_without_an_id_is_refused(planned, workspace):
    with pytest.raises(PoolError) as caught:
        find_duplicates(planned(names(0, 3), [*names(3, 5), None]), workspace)
    assert str(caught.value) == (
        "1.parquet, row 5: the column 'name' is null there; every item needs an id: choose another pool.id_column"
    )


def test_shards_that_cannot_be_read_are_passed_over(planned, folder, workspace):
    found = planned(["a", "b"], ["c", "d"], ["a", "e"])
    folder.remove("0.parquet")
    assert find_duplicates(found, workspace) is None
    found = planned(["a", "b"], ["c", "d"], ["e", "d"])
    folder.put("0.parquet", b"PAR1")
    assert find_duplicates(found, workspace) == ("d", "1.parquet, row 1", "2.parquet, row 1")


def test_hashes_that_meet_are_told_in_pairs_of_rows_lowest_first():
    """Worked out by hand: rows 5 and 2 share a hash, 7 and 9 and 1 another."""
    one = np.array([[40, 5], [10, 7], [30, 3]], dtype=np.uint64)
    two = np.array([[10, 9], [40, 2], [10, 1]], dtype=np.uint64)
    nothing = np.empty((0, 2), dtype=np.uint64)
    assert duplicates._meeting(one, nothing, two) == [(1, 7), (2, 5), (7, 9)]
    assert duplicates._meeting(nothing) == []


def test_ids_whose_hashes_meet_by_chance_are_compared_as_text(planned, monkeypatch, workspace):
    real = duplicates._Hash

    def weak(plan: Plan, store: Store, buckets: int):
        def hashed(shard):
            (pairs,) = real(plan, store, 1)(shard)
            pairs[:, 0] = 7
            return [pairs]

        return hashed

    monkeypatch.setattr(duplicates, "_Hash", weak)
    assert find_duplicates(planned(names(0, 4), names(4, 3)), workspace) is None
    assert find_duplicates(planned(names(0, 4), ["n3", "n5"]), workspace) == (
        "n3",
        "0.parquet, row 3",
        "1.parquet, row 0",
    )
