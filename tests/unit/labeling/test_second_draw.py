from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from raylabel import schema
from raylabel.acceptance import ConfidenceHistogram, plan_second_draw
from raylabel.campaign import Pieces
from raylabel.errors import WaitingForPeople
from raylabel.labeling.auditing import draw_audit
from raylabel.labeling.drawn import SECOND, answers_of, asked_for_audit, find_audit, find_second
from raylabel.labeling.second_draw import audit_again, redraw_second
from raylabel.runtime import fold_here
from raylabel.sampling import random_priority
from raylabel.workspace import read_parts

TRAIN = np.array([0, 2, 31])
CONFIDENCE = np.linspace(0.99, 0.5, 60).astype(np.float32)
TARGETED = {"audit": "targeted", "looks": "last", "max_error": 0.5}


@pytest.fixture
def targeted(begin, ray_session):
    """A campaign whose round 0 is answered: two audit items of fourteen, which the model gets right, and three more."""

    def make(**sections):
        tiny = begin(**{"acceptance": TARGETED, "budget": {"train_answers": 3, "audit_answers": 14}, **sections})
        first = draw_audit(tiny.campaign, tiny.plan)
        assert len(first) == 2 and not np.isin(first, [*TRAIN, tiny.broken]).any()
        tiny.publish(0, [*first, *TRAIN])
        answered = tiny.answered([*first, *TRAIN], ["audit"] * 2 + ["train"] * 3)
        tiny.resolve(0, answered)
        return tiny, first, answered, tiny.predicted(0, tiny.truth, CONFIDENCE)

    return make


def expected(tiny, first, size=12, max_error=0.5, correct=(True, True)):
    """The plan and the draw by arrays: of the open items above the threshold those of the highest numbers."""
    human = np.isin(tiny.rows, [*first, *TRAIN])
    plan = plan_second_draw(
        CONFIDENCE[first],
        np.array(correct),
        pool=ConfidenceHistogram.of(CONFIDENCE[tiny.rows], human=human),
        size=size,
        max_error=max_error,
        alpha=0.05,
        promise="auto",
    )
    open_ = tiny.rows[~human & (CONFIDENCE[tiny.rows] >= np.float32(plan.threshold))]
    assert len(open_) == plan.num_open
    number = random_priority(open_, seed=tiny.campaign.seed("second_audit"), round_number=0)
    return plan, np.sort(open_[np.argsort(-number)[: plan.size]])


def test_draws_uniformly_from_what_is_open_above_the_threshold(targeted):
    tiny, first, answered, predictions = targeted()
    plan, rows = expected(tiny, first)
    assert plan.num_open > 12  # else the test says nothing of who is drawn
    drawn, facts = redraw_second(tiny.campaign, tiny.plan, predictions, answered, fold=fold_here)
    assert facts == [{"plan": 0, "threshold": plan.threshold, "num_open": plan.num_open, "size": 12}]
    assert drawn.to_pylist() == [
        {
            "row": row,
            "id": tiny.ids[row],
            "stratum": "pool",
            "inclusion_probability": 12 / plan.num_open,
            "draw": 1,
            "seed": 0,
        }
        for row in rows.tolist()
    ]


def test_what_lies_below_the_threshold_is_not_drawn(targeted):
    """The model errs on the less sure of the two that were drawn first: the draw aims at where it may be trusted."""
    tiny, first, answered, _ = targeted(acceptance=TARGETED | {"max_error": 0.2})
    labels = tiny.truth.copy()
    labels[first[1]] = (labels[first[1]] + 1) % 10
    predictions = tiny.predicted(1, labels, CONFIDENCE)
    plan, rows = expected(tiny, first, max_error=0.2, correct=(True, False))
    assert plan.threshold > 0.6 and 12 < plan.num_open < 40
    drawn, facts = redraw_second(tiny.campaign, tiny.plan, predictions, answered, fold=fold_here)
    assert drawn.column("row").to_pylist() == rows.tolist()
    assert (CONFIDENCE[rows] >= np.float32(plan.threshold)).all()
    assert facts == [{"plan": 0, "threshold": plan.threshold, "num_open": plan.num_open, "size": 12}]


def test_parts_make_no_difference(targeted):
    tiny, _, answered, predictions = targeted()
    whole = redraw_second(tiny.campaign, tiny.plan, predictions, answered, fold=fold_here)
    backwards = Pieces(predictions.parts[::-1], predictions.spans[::-1])
    other = redraw_second(tiny.campaign, tiny.plan, backwards, answered, fold=fold_here)
    assert set(other[0].column("row").to_pylist()) == set(whole[0].column("row").to_pylist())
    assert other[1] == whole[1]


def test_the_draw_is_asked_about_and_answered(targeted):
    """By the oracle, in a shortlist of its own; strategies are not in it, and nobody trains on it."""
    tiny, first, answered, predictions = targeted()
    _, rows = expected(tiny, first)
    second, now = audit_again(tiny.campaign, tiny.plan, 0, predictions, answered, is_last=True)
    assert second.column("row").to_pylist() == rows.tolist() == find_second(tiny.campaign).column("row").to_pylist()
    record = tiny.campaign.records.find("rounds/0001/shortlist")
    items = read_parts(tiny.campaign.store, record.parts["shortlist"], schema=schema.SHORTLIST)
    assert sorted(items.column("row").to_pylist()) == rows.tolist()
    assert items.column("row").to_pylist() != rows.tolist()  # in a random order
    assert set(items.column("strategy").to_pylist()) == {"audit"}
    assert now.slice(0, 5).to_pylist() == answered.to_pylist()
    assert {(row["row"], row["purpose"], row["label_index"], row["round"]) for row in now.slice(5).to_pylist()} == {
        (row, "audit", tiny.truth[row], 1) for row in rows.tolist()
    }
    assert answers_of(tiny.campaign, 0).equals(now)
    assert asked_for_audit(tiny.campaign).tolist() == sorted([*find_audit(tiny.campaign).tolist(), *rows.tolist()])
    # Once: what the confidences are now changes nothing.
    other = tiny.predicted(0, tiny.truth, CONFIDENCE[::-1])
    again, _ = audit_again(tiny.campaign, tiny.plan, 0, other, answered, is_last=True)
    assert again.equals(second)


def test_people_are_waited_for(targeted):
    tiny, _, answered, predictions = targeted(labeling={"labeler": "files"})
    with pytest.raises(WaitingForPeople, match="round 1 waits for 12 of 12 answers"):
        audit_again(tiny.campaign, tiny.plan, 0, predictions, answered, is_last=True)
    assert tiny.campaign.records.find(SECOND).facts["round"] == 0


def test_nothing_is_drawn_before_the_end_or_for_a_uniform_audit(targeted, tiny):
    made, _, answered, predictions = targeted()
    second, same = audit_again(made.campaign, made.plan, 0, predictions, answered, is_last=False)
    assert (second.num_rows, same is answered, find_second(made.campaign).num_rows) == (0, True, 0)
    uniform, same = audit_again(tiny.campaign, tiny.plan, 0, predictions, answered, is_last=True)
    assert (uniform.num_rows, same is answered) == (0, True)


def test_a_pool_that_people_have_answered_whole(targeted):
    """Nothing is left to draw, so that nothing is asked."""
    tiny, _, answered, predictions = targeted()
    rest = np.setdiff1d(tiny.rows, answered.column("row").to_numpy())
    everything = pa.concat_tables([answered, tiny.answered(rest)])
    second, same = audit_again(tiny.campaign, tiny.plan, 0, predictions, everything, is_last=True)
    assert (second.num_rows, same is everything) == (0, True)
    assert tiny.campaign.records.find("rounds/0001/shortlist") is None


def test_only_strata_that_are_audited_are_drawn_from(targeted):
    """Of two strata one has an audit item without an answer: it is withheld, and nobody is asked more about it."""
    tiny, first, answered, predictions = targeted()
    grown = Pieces(predictions.parts, predictions.spans, (0, 40))
    some = answered.filter(pa.array([row != first[-1] for row in answered.column("row").to_pylist()]))
    plan = replace(tiny.plan, starts=(0, 40))
    _, facts = redraw_second(tiny.campaign, plan, grown, some, fold=fold_here)
    audited = [version for version, start, end in ((0, 0, 40), (1, 40, 60)) if start <= first[0] < end]
    assert first[-1] >= 40 > first[0]
    assert [stratum["plan"] for stratum in facts] == audited == [0]
