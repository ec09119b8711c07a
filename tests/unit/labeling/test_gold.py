import csv
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from raylabel import schema
from raylabel.demo import DIGITS
from raylabel.errors import AnswersError, ConfigError
from raylabel.labeling.gold import find_gold, gold_of_round, judge_gold, know_gold
from raylabel.workspace import Record

NONE = np.array([], dtype=np.int64)
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.fixture
def with_gold(begin, tmp_path):
    """Begin a campaign with a sheet of some rows and their truth, or of lines as they stand."""

    def make(rows=(), *, lines=None, budget=None, **labeling):
        sheet, probe = tmp_path / "gold.csv", begin()
        with sheet.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["id", "label"])
            writer.writerows(lines or [(probe.ids[row], DIGITS[probe.truth[row]]) for row in rows])
        settings = {"labeler": "files", "gold": str(sheet), **labeling}
        return begin(
            labeling=settings,
            workspace=str(tmp_path / "golden"),
            budget={"rounds": 4, **(budget or {"train_answers": 20})},
        )

    return make


def test_the_sheet_is_found_in_the_pool_in_the_order_of_its_rows(ray_session, with_gold, capsys):
    tiny = with_gold([44, 5, 30, 59])
    know_gold(tiny.campaign, tiny.plan, np.array([30, 31]))
    found = find_gold(tiny.campaign)
    assert found.schema == schema.GOLD
    assert found.to_pylist() == [
        {"row": row, "id": tiny.ids[row], "label_index": tiny.truth[row]} for row in (5, 44, 59)
    ]
    said = capsys.readouterr().err
    assert "gold: 3 items of" in said and "1 more the audit asks about" in said


def test_it_is_read_once(ray_session, with_gold, tmp_path):
    tiny = with_gold([44, 5])
    know_gold(tiny.campaign, tiny.plan, NONE)
    (tmp_path / "gold.csv").unlink()
    know_gold(tiny.campaign, tiny.plan, NONE)
    assert find_gold(tiny.campaign).num_rows == 2


def test_ids_of_a_pool_that_has_none_of_its_own(ray_session, with_gold):
    """A Parquet pool without an id column names its items by file and row."""
    tiny = with_gold(lines=[("part-1.parquet#3", "four"), ("part-0.parquet#39", "two")])
    know_gold(tiny.campaign, replace(tiny.plan, id_column=None), NONE)
    assert find_gold(tiny.campaign).column("row").to_pylist() == [39, 43]


def test_a_part_of_the_pool_that_cannot_be_read_is_named(ray_session, with_gold):
    tiny = with_gold([44, 5])
    gone = replace(tiny.plan, shards=(tiny.plan.shards[0], replace(tiny.plan.shards[1], etag="another")))
    with pytest.raises(
        AnswersError, match=r"line 2: unknown id 'digit-08': \S+part-1.parquet.* cannot be read \(\w+: .*and no"
    ):
        know_gold(tiny.campaign, gone, NONE)


def test_gold_that_leaves_too_few_to_ask_about_is_refused(ray_session, with_gold):
    """40 training and 20 audit answers of 60 items."""
    tiny = with_gold([44], budget={"train_answers": 40})
    with pytest.raises(
        ConfigError,
        match=r"40 training and 20 audit answers are more than the 59 beside 1 gold item \(.*\) of the 60 items of",
    ):
        know_gold(tiny.campaign, tiny.plan, NONE)


def test_without_a_sheet_there_is_no_gold(ray_session, begin):
    tiny = begin(labeling={"labeler": "files"})
    know_gold(tiny.campaign, tiny.plan, NONE)
    assert find_gold(tiny.campaign).num_rows == 0
    assert gold_of_round(tiny.campaign, 0, tiny.pieces, num_others=100).num_rows == 0


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (
            [("digit-07", "one"), ("digit-99", "two")],
            r"line 3: unknown id 'digit-99': no image of the pool has it; gold items go by the ids of the pool$",
        ),
        ([("digit-07", "oen")], r"line 2: unknown class 'oen': did you mean one"),
        ([("digit-07", "")], r"line 2: a gold item needs an id and its label"),
        ([("", "one")], r"line 2: a gold item needs an id and its label"),
        ([("digit-07", "one"), ("digit-07", "two")], r"line 3: digit-07 is 'two', but 'one' on line 2"),
    ],
)
def test_a_sheet_that_is_wrong_is_refused_by_line(ray_session, with_gold, lines, words):
    tiny = with_gold(lines=lines)
    with pytest.raises(AnswersError, match=rf"gold\.csv, {words}"):
        know_gold(tiny.campaign, tiny.plan, NONE)
    assert tiny.campaign.records.find("gold/known-0000") is None


def test_a_sheet_without_items_or_none_at_all_is_refused(ray_session, with_gold, tmp_path):
    tiny = with_gold([])
    with pytest.raises(AnswersError, match="holds no gold item"):
        know_gold(tiny.campaign, tiny.plan, NONE)
    (tmp_path / "gold.csv").unlink()
    with pytest.raises(AnswersError, match="cannot be read"):
        know_gold(tiny.campaign, tiny.plan, NONE)


def test_one_for_so_many_others_and_all_of_them_before_one_again(ray_session, with_gold):
    gold = [1, 2, 3, 4, 5, 17]  # 17 cannot be read
    tiny = with_gold(gold, gold_every=10)
    know_gold(tiny.campaign, tiny.plan, NONE)
    asked = []
    for number in range(4):
        found = gold_of_round(tiny.campaign, number, tiny.pieces, num_others=12)  # 2 for 9 and for 3 more
        assert found.column_names == ["row", "id"]
        assert found.column("id").to_pylist() == [tiny.ids[row] for row in found.column("row").to_pylist()]
        asked.append(found.column("row").to_pylist())
        tiny.campaign.records.commit(f"rounds/{number:04d}/shortlist", Record(facts={"num_gold": found.num_rows}))
    assert [len(each) for each in asked] == [2, 2, 2, 2]
    first = [row for each in asked for row in each][:5]
    assert sorted(first) == [1, 2, 3, 4, 5] != first
    assert asked[2][1] == first[0] and asked[3] == first[1:3]
    assert gold_of_round(tiny.campaign, 0, tiny.pieces, num_others=9).num_rows == 1
    assert gold_of_round(tiny.campaign, 0, tiny.pieces, num_others=10).num_rows == 2
    # No item twice in a round.
    assert sorted(gold_of_round(tiny.campaign, 0, tiny.pieces, num_others=1000).column("row").to_pylist()) == gold[:5]


def test_judged_by_hand():
    gold = pa.table({"row": [0, 1], "id": ["x", "y"], "label_index": [1, 0]}, schema=schema.GOLD)
    said = [
        ("x", "ann", "label", "bee", 0),
        ("y", "ann", "label", "bee", 0),
        ("y", "ann", "label", "ant", 1),  # the latest counts
        ("x", "bob", "label", "ant", 0),
        ("y", "bob", "cannot_tell", None, 0),
        ("x", "cat", "skip", None, 0),
        ("z", "bob", "label", "ant", 0),  # nobody knows what it is
    ]
    columns = {
        "answer_id": [str(number) for number in range(len(said))],
        "id": [row[0] for row in said],
        "kind": [row[2] for row in said],
        "label": [row[3] for row in said],
        "annotator": [row[1] for row in said],
        "answered_at": [NOON + timedelta(minutes=row[4]) for row in said],
        "seconds": [None] * len(said),
        "round": [0] * len(said),
        "purpose": ["gold"] * len(said),
        "source": ["file"] * len(said),
        "comment": [None] * len(said),
    }
    assert judge_gold(pa.table(columns, schema=schema.ANSWERS), gold, ("ant", "bee")) == {
        "ann": {"num_answers": 2, "num_shared": 2, "error_rate": 0},
        "bob": {"num_answers": 1, "num_shared": 1, "error_rate": 1},
    }
