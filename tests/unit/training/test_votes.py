import numpy as np
import pytest

from raylabel import schema
from raylabel.demo import DIGITS
from raylabel.errors import ConfigError
from raylabel.models.functions import load_function
from raylabel.pool import Plan
from raylabel.training import votes
from raylabel.training.votes import _VoteOnShard, count, vote, vote_on
from raylabel.workspace import read_parts

FUNCTIONS = """
ASKED = []

def label(columns):
    ASKED.append(len(columns["id"]))
    return columns.pop("label")

def even(columns):
    return ["two" if int(name[-1]) % 2 == 0 else None for name in columns["id"]]

def silent(columns):
    return [None for _ in columns["id"]]
"""
NAMES = ("label", "even", "silent")


@pytest.fixture
def mine(tmp_path):
    """The file of the functions."""
    file = tmp_path / "mine.py"
    file.write_text(FUNCTIONS)
    return file


@pytest.fixture
def campaign(begin, mine):
    """The tiny campaign with three functions; the pool's own labels are metadata."""

    def make(*names):
        functions = [f"{mine}:{name}" for name in names]
        return begin(weak={"functions": functions}, pool={"metadata_columns": ["label"]})

    return make


NOBODY = np.empty(0, dtype=np.int64)


def test_votes_of_the_pool(campaign, ray_session):
    tiny = campaign(*NAMES)
    voted = vote(tiny.campaign, tiny.plan, NOBODY)
    assert voted.functions == ("mine.py:label", "mine.py:even", "mine.py:silent")
    assert voted.pieces.spans == ((0, 39), (40, 59))
    table = read_parts(tiny.campaign.store, voted.pieces.parts, schema=schema.votes(voted.functions))
    assert table.schema.equals(schema.votes(voted.functions))
    assert table.column("row").to_pylist() == list(range(60))
    assert table.column("id").to_pylist() == list(tiny.ids)
    assert table.column("mine.py:label").to_pylist() == tiny.truth.tolist()
    even = [2 if int(name[-1]) % 2 == 0 else -1 for name in tiny.ids]
    assert table.column("mine.py:even").to_pylist() == even
    assert set(table.column("mine.py:silent").to_pylist()) == {-1}
    disputed = sum(vote == 2 and truth != 2 for vote, truth in zip(even, tiny.truth, strict=True))
    assert voted.facts == {
        "functions": {
            "mine.py:label": {"num_votes": 60, "num_conflicts": disputed},
            "mine.py:even": {"num_votes": 30, "num_conflicts": disputed},
            "mine.py:silent": {"num_votes": 0, "num_conflicts": 0},
        },
        "num_items": 60,
        "num_covered": 60,
    }


def test_without_functions_nobody_votes(tiny):
    assert vote(tiny.campaign, tiny.plan, NOBODY) is None
    assert not tiny.campaign.store.exists("votes/all.json")


def test_a_shard_that_is_done_is_not_done_again(campaign, ray_session):
    """A run that was killed after its first shard goes on with the second; one that is done reads its record."""
    tiny = campaign("label")
    first = tiny.plan.shards[0]
    assert _VoteOnShard(tiny.campaign, tiny.plan)(first) == 40
    name = "votes/shard-000000"
    part = tiny.campaign.records.find(name).parts["votes"][0]
    voted = vote(tiny.campaign, tiny.plan, NOBODY)
    assert [found.rows for found in voted.pieces.parts] == [40, 20]
    assert voted.pieces.parts[0] == part
    again = vote(tiny.campaign, tiny.plan, NOBODY)
    assert (again.pieces, again.facts) == (voted.pieces, voted.facts)
    assert _VoteOnShard(tiny.campaign, tiny.plan)(first) == 40  # a task that Ray tries again
    assert tiny.campaign.records.find(name).parts["votes"][0] == part


def test_a_grown_pool_votes_on_what_came(campaign, ray_session):
    tiny = campaign("label")
    plan = Plan(tiny.plan.root, "parquet", "id", tiny.plan.shards, starts=(0, 40))
    before = vote(tiny.campaign, plan.at(0), NOBODY)
    assert (before.facts["num_items"], before.pieces.starts) == (40, (0,))
    after = vote(tiny.campaign, plan, NOBODY)
    assert (after.facts["num_items"], after.pieces.starts) == (60, (0, 40))
    assert after.pieces.parts[0] == before.pieces.parts[0]
    assert vote(tiny.campaign, plan.at(0), NOBODY).pieces == before.pieces
    assert tiny.campaign.store.exists("votes/all-0001.json")


def test_a_shard_that_cannot_be_read_has_no_votes(campaign, ray_session, tmp_path, digit_pool):
    tiny = campaign("label")
    (tmp_path / "pool").mkdir()
    (tmp_path / "pool" / "part-1.parquet").write_bytes((digit_pool / "part-1.parquet").read_bytes())
    plan = Plan(str(tmp_path / "pool"), "parquet", "id", tiny.plan.shards)
    voted = vote(tiny.campaign, plan, NOBODY)
    assert (voted.pieces.parts, voted.facts["num_items"], voted.facts["num_covered"]) == ((), 0, 0)
    # The first is gone, the second has another etag than was planned.


def test_a_function_finds_its_columns_whole(mine):
    """Whatever the one before did to them; each is loaded once for as long as its source is the same."""
    names = [f"{mine}:label", f"{mine}:label"]
    columns = {"id": ["a1", "a2"], "label": ["one", None]}
    assert vote_on(columns, names, DIGITS).tolist() == [[1, 1], [-1, -1]]
    assert vote_on(columns, names[:1], DIGITS).dtype == np.int16
    assert votes._loaded(names[0], votes.source_digest(names[0])).__globals__["ASKED"] == [2, 2, 2]
    assert load_function(names[0], setting="").__globals__["ASKED"] == []
    mine.write_text(FUNCTIONS.replace('columns.pop("label")', "['two', 'two']"))
    assert vote_on(columns, names[:1], DIGITS).tolist() == [[2], [2]]


def test_counts_by_hand():
    found = np.array([[0, -1, 1], [1, 1, -1], [-1, -1, -1], [2, -1, -1]], dtype=np.int16)
    assert count(found, "abc") == {
        "functions": {
            "a": {"num_votes": 3, "num_conflicts": 1},
            "b": {"num_votes": 1, "num_conflicts": 0},
            "c": {"num_votes": 1, "num_conflicts": 1},
        },
        "num_items": 4,
        "num_covered": 3,
    }
    assert count(found[:0], "abc")["functions"]["a"] == {"num_votes": 0, "num_conflicts": 0}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (
            "return ['one', 'eleven']",
            r"mine\.py:f says 'eleven' of item 'a2'; expected a class \(zero, one, .*\) or None",
        ),
        ("return ['one', 2]", r"mine\.py:f says 2 of item 'a2'"),
        ("return [['one'], None]", r"mine\.py:f says \['one'\] of item 'a1'"),
        ("return ['one']", r"mine\.py:f returned 1 votes for 2 items \(the first is 'a1'\); expected one for each"),
        ("return None", r"mine\.py:f fails on item 'a1': TypeError: 'NoneType' object is not iterable"),
        ("return [1 / len(c) and None for c in columns['who']]", r"fails on item 'a2': ZeroDivisionError: division"),
        (
            "return columns['blue']",
            r"fails on item 'a1': KeyError: 'blue'; it is given the columns id, who \(pool\.meta",
        ),
        ("return [None] * (1 // (2 - len(columns['id']))) ", r"fails on 2 items from 'a1' on: ZeroDivisionError"),
    ],
)
def test_functions_that_cannot_be_used(tmp_path, body, message):
    file = tmp_path / "mine.py"
    file.write_text(f"def f(columns):\n    {body}\n")
    with pytest.raises(ConfigError, match=rf"weak\.functions: .*{message}"):
        vote_on({"id": ["a1", "a2"], "who": ["x", ""]}, [f"{file}:f"], DIGITS)


def test_an_error_in_a_task_ends_the_pass(begin, ray_session, tmp_path):
    file = tmp_path / "mine.py"
    file.write_text("def f(columns):\n    return ['one' if n < 'digit-4' else 'none' for n in columns['label']]\n")
    tiny = begin(weak={"functions": [f"{file}:f"]}, pool={"metadata_columns": ["label"]})
    with pytest.raises(ConfigError, match=r"mine\.py:f says 'none' of item 'digit-"):
        vote(tiny.campaign, tiny.plan, NOBODY)
    assert not tiny.campaign.store.exists("votes/all.json")
