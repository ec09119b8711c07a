import numpy as np
import pyarrow as pa
import pytest

from raylabel import schema
from raylabel.errors import RaylabelError
from raylabel.labeling.drawn import SECOND, answers_of, asked_for_audit, draw_name, find_audit, find_second
from raylabel.workspace import Record, write_part


def drawn(tiny, name, rows, **facts):
    """Commit a draw by hand."""
    columns = {
        "row": rows,
        "id": [tiny.ids[row] for row in rows],
        "stratum": ["pool"] * len(rows),
        "inclusion_probability": [0.5] * len(rows),
        "draw": [0] * len(rows),
        "seed": [0] * len(rows),
    }
    part = write_part(tiny.campaign.store, name, pa.table(columns, schema=schema.AUDIT))
    tiny.campaign.records.commit(name, Record(facts=facts, parts={"audit": [part]}))


def test_nothing_is_drawn_yet(tiny):
    with pytest.raises(RaylabelError, match="no audit sample is drawn yet; `raylabel run` begins"):
        find_audit(tiny.campaign)
    assert find_second(tiny.campaign).num_rows == 0


def test_draws_of_all_versions_and_the_second_one(tiny):
    drawn(tiny, draw_name(0), [3, 8])
    assert find_audit(tiny.campaign).tolist() == asked_for_audit(tiny.campaign).tolist() == [3, 8]
    drawn(tiny, draw_name(1), [44])
    drawn(tiny, SECOND, [5, 50], round=1)
    assert find_audit(tiny.campaign).tolist() == [3, 8, 44]
    assert find_second(tiny.campaign).column("row").to_pylist() == [5, 50]
    assert asked_for_audit(tiny.campaign).tolist() == [3, 5, 8, 44, 50]


def test_a_verdict_rests_on_the_second_draw_of_its_own_round(tiny):
    for number, row in enumerate((1, 2, 5)):
        tiny.resolve(number, tiny.answered(np.array([row]), "audit" if row == 5 else "train"))
    drawn(tiny, SECOND, [5], round=1)
    assert [answers_of(tiny.campaign, number).column("row").to_pylist() for number in (0, 1)] == [[1], [1, 2, 5]]
