from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from raylabel import schema
from raylabel.acceptance import ClassHistograms, ConfidenceHistogram
from raylabel.audited import Count, CountByClass, alpha_each, strata_of, stratum_name, view_audit
from raylabel.runtime import fold_here

AUDIT = np.array([1, 4, 8, 17, 23, 25, 26, 33, 39, 40, 41, 47, 52, 55, 59])  # 17 cannot be read
TRAIN = np.array([0, 2, 30])
UNDRAWN = schema.AUDIT.empty_table()
CONFIDENCE = np.linspace(0.99, 0.5, 60).astype(np.float32)


def predicted(tiny, wrong=()):
    """Predictions that are right but for some rows, surer of lower rows."""
    labels = tiny.truth.copy()
    labels[list(wrong)] = (labels[list(wrong)] + 1) % 10
    return labels, tiny.predicted(0, labels, CONFIDENCE)


def answers(tiny):
    rows = np.concatenate([AUDIT[AUDIT != 17], TRAIN])
    return tiny.answered(rows, ["audit"] * 14 + ["train"] * 3)


def drawn(rows, stratum="pool", probability=0.25):
    columns = {
        "row": rows,
        "id": [""] * len(rows),
        "stratum": [stratum] * len(rows),
        "inclusion_probability": [probability] * len(rows),
        "draw": [1] * len(rows),
        "seed": [0] * len(rows),
    }
    return pa.table(columns, schema=schema.AUDIT)


def test_view_puts_predictions_and_answers_side_by_side(tiny):
    labels, predictions = predicted(tiny, wrong=[4])
    told = tiny.truth[[59, 4, 1, 17]].copy()
    told[0] = -1
    answered = tiny.answered([59, 4, 1, 17], "audit", told)
    view = view_audit(tiny.campaign, predictions, answered)
    assert view.confidence.tolist() == CONFIDENCE[[1, 4, 59]].tolist()
    assert view.predicted.tolist() == labels[[1, 4, 59]].tolist()
    assert view.answered.tolist() == [tiny.truth[1], tiny.truth[4], -1]
    assert view.correct.tolist() == [True, False, False]


def test_view_sees_no_training_answer(tiny):
    _, predictions = predicted(tiny)
    assert len(view_audit(tiny.campaign, predictions, answers(tiny)).correct) == 14
    view = view_audit(tiny.campaign, predictions, tiny.answered(TRAIN))
    assert (len(view.confidence), len(view.correct)) == (0, 0)
    assert view.confidence.dtype == np.float32


def test_draws_of_strata_are_kept_apart(tiny):
    """Rows 47 and 52 were drawn a second time, of which 47 is answered; row 17 of the first draw cannot be read."""
    _, predictions = predicted(tiny, wrong=[47])
    grown = replace(predictions, starts=(0, 40))
    first = np.setdiff1d(AUDIT, [47, 52])
    answered = tiny.answered(np.setdiff1d(AUDIT, [17, 52]), "audit")
    second = drawn([47, 52], stratum_name(1))
    old, new = strata_of(tiny.campaign, grown, answered, audit=first, second=second)
    assert (old.pieces.num_rows, new.pieces.num_rows) == (39, 20)
    assert (len(old.first.correct), len(old.second.correct), old.num_missing, old.probability) == (8, 0, 0, 1.0)
    assert (len(new.first.correct), new.second.correct.tolist(), new.num_missing, new.probability) == (
        4,
        [False],
        1,
        0.25,
    )
    assert (old.is_audited, new.is_audited) == (True, False)
    assert (stratum_name(0), stratum_name(1)) == ("pool", "plan-0001")


def test_what_a_look_may_spend_is_shared_by_strata_that_are_audited(tiny):
    """Two rounds, so half of alpha a look; a stratum with an open question, or without any answer, takes no share."""
    _, predictions = predicted(tiny)
    grown = replace(predictions, starts=(0, 40))
    both = strata_of(tiny.campaign, grown, answers(tiny), audit=AUDIT, second=UNDRAWN)
    assert alpha_each(tiny.campaign, both) == pytest.approx(0.05 / 2 / 2)
    one = strata_of(tiny.campaign, grown, tiny.answered(AUDIT[AUDIT < 40], "audit"), audit=AUDIT, second=UNDRAWN)
    assert [stratum.num_missing for stratum in one] == [0, 6]
    assert alpha_each(tiny.campaign, one) == pytest.approx(0.05 / 2)
    none = strata_of(tiny.campaign, grown, tiny.answered(TRAIN), audit=TRAIN[:0], second=UNDRAWN)
    assert alpha_each(tiny.campaign, none) == pytest.approx(0.05 / 2)


def test_counts_by_parts_are_those_of_the_pool(tiny):
    labels, predictions = predicted(tiny, wrong=[3, 44])
    human = np.isin(tiny.rows, TRAIN)
    whole = ConfidenceHistogram.of(CONFIDENCE[tiny.rows], human=human)
    counted = fold_here(Count(tiny.campaign, TRAIN), predictions.parts, ConfidenceHistogram.merge)
    assert counted.counts.tolist() == whole.counts.tolist()
    assert counted.human_counts.tolist() == whole.human_counts.tolist()
    by_class = fold_here(CountByClass(tiny.campaign, TRAIN), predictions.parts, ClassHistograms.merge).pools
    assert sorted(by_class) == sorted(set(labels[tiny.rows].tolist()))
    for index, pool in by_class.items():
        mine = labels[tiny.rows] == index
        expected = ConfidenceHistogram.of(CONFIDENCE[tiny.rows][mine], human=human[mine])
        assert pool.counts.tolist() == expected.counts.tolist()
        assert pool.human_counts.tolist() == expected.human_counts.tolist()
