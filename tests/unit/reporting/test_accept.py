from dataclasses import replace
from functools import reduce

import numpy as np
import pyarrow as pa
import pytest
from scipy.stats import binomtest

from raylabel import schema
from raylabel.acceptance import Certificate, ConfidenceHistogram, Withheld, certify, certify_by_class, sentence_by_class
from raylabel.audited import AuditView
from raylabel.errors import RaylabelError
from raylabel.reporting.accept import accept, judge, quality, verdicts_of

AUDIT = np.array([1, 4, 8, 17, 23, 25, 26, 33, 39, 40, 41, 47, 52, 55, 59])  # 17 cannot be read
TRAIN = np.array([0, 2, 30])
NONE = np.empty(0, dtype=np.int64)
UNDRAWN = schema.AUDIT.empty_table()


def sure(tiny, wrong=()):
    """Predictions that are right but for some rows, surer of lower rows."""
    labels = tiny.truth.copy()
    labels[list(wrong)] = (labels[list(wrong)] + 1) % 10
    return labels, np.linspace(0.99, 0.5, 60).astype(np.float32)


def answers(tiny, labels=None):
    rows = np.concatenate([AUDIT[AUDIT != 17], TRAIN])
    purpose = ["audit"] * 14 + ["train"] * 3
    return tiny.answered(rows, purpose, labels)


def accepted(campaign, number, predictions, answered, *, audit=AUDIT, second=UNDRAWN, is_last=False):
    return accept(campaign, number, predictions, answered, audit=audit, second=second, is_last=is_last)


def test_certificate(ray_session, tiny, capsys):
    """The same as certifying arrays: each of two rounds may spend half of alpha."""
    labels, confidence = sure(tiny)
    record = accepted(tiny.campaign, 0, tiny.predicted(0, labels, confidence), answers(tiny))
    audit = AUDIT[AUDIT != 17]
    human = np.isin(tiny.rows, np.concatenate([audit, TRAIN]))
    pool = ConfidenceHistogram.of(confidence[tiny.rows], human=human)
    expected = certify(confidence[audit], np.ones(14, bool), max_error=0.3, alpha=0.05 / 2, promise="auto", pool=pool)
    assert isinstance(expected, Certificate)
    assert (expected.num_pool, expected.num_auto) == (59, 59 - 17)
    assert verdicts_of(record) == [expected]
    assert (record.facts["verdict"], record.facts["plan"], record.facts["num_auto"]) == ("certificate", 0, 42)
    assert record.facts["sentence"] == expected.sentence(num_looks=2)
    assert record.facts["sentence"].startswith(
        "With confidence 97.5 % at this look, 95 % over all 2 looks together, at most 30 % of the 42 labels"
    )
    assert record.facts["audit"]["accuracy"] == 1.0
    assert f"round 0 · accept: {expected.sentence(num_looks=2)}" in capsys.readouterr().err
    again = accepted(tiny.campaign, 0, tiny.predicted(0, labels, confidence), tiny.answered(TRAIN), audit=NONE)
    assert again.facts == tiny.campaign.records.find("rounds/0000/verdict").facts  # a round has one verdict


def test_withheld(ray_session, tiny):
    labels, confidence = sure(tiny, wrong=AUDIT[:9])
    record = accepted(tiny.campaign, 0, tiny.predicted(0, labels, confidence), answers(tiny))
    [verdict] = verdicts_of(record)
    assert isinstance(verdict, Withheld)
    assert record.facts["verdict"] == "withheld"
    assert record.facts["sentence"] == verdict.sentence(num_looks=2)
    assert (verdict.num_audited, verdict.max_error, verdict.alpha) == (14, 0.3, 0.025)
    assert record.facts["audit"]["accuracy"] == pytest.approx(1 - 8 / 14)  # the ninth cannot be read


def test_one_look_at_the_end_spends_all_of_alpha(ray_session, tiny):
    config = tiny.campaign.config
    acceptance = config.acceptance.model_copy(update={"looks": "last"})
    campaign = replace(tiny.campaign, config=config.model_copy(update={"acceptance": acceptance}))
    labels, confidence = sure(tiny)
    early = accepted(campaign, 0, tiny.predicted(0, labels, confidence), answers(tiny))
    assert early.facts["sentence"] == "No certificate yet: the one look at the audit is kept for the end of the loop."
    assert isinstance(verdicts_of(early)[0], Withheld)
    [final] = verdicts_of(accepted(campaign, 1, tiny.predicted(1, labels, confidence), answers(tiny), is_last=True))
    assert isinstance(final, Certificate)
    assert final.alpha == 0.05
    assert final.sentence().startswith("With confidence 95 %, at most")


def test_a_readable_audit_item_without_an_answer_withholds(ray_session, tiny):
    labels, confidence = sure(tiny)
    audit = np.sort(np.append(AUDIT, 50))
    record = accepted(tiny.campaign, 0, tiny.predicted(0, labels, confidence), answers(tiny), audit=audit)
    assert record.facts["verdict"] == "withheld"
    assert record.facts["sentence"] == "No certificate: 1 readable items of the audit sample have no answer."


def test_what_the_pool_has_grown_by_is_certified_apart(ray_session, begin):
    """Two strata share the look: each is certified on its own audit items and counts, with half of what a look has."""
    tiny = begin(acceptance={"max_error": 0.6})
    labels, confidence = sure(tiny)
    predictions = replace(tiny.predicted(0, labels, confidence), starts=(0, 40))
    record = accepted(tiny.campaign, 0, predictions, answers(tiny))
    expected = []
    for start, end in ((0, 40), (40, 60)):
        rows = tiny.rows[(tiny.rows >= start) & (tiny.rows < end)]
        audit = np.intersect1d(rows, AUDIT)
        pool = ConfidenceHistogram.of(confidence[rows], human=np.isin(rows, [*AUDIT, *TRAIN]))
        right = labels[audit] == tiny.truth[audit]
        expected.append(certify(confidence[audit], right, max_error=0.6, alpha=0.05 / 2 / 2, promise="auto", pool=pool))
    assert verdicts_of(record) == expected
    assert all(isinstance(verdict, Certificate) for verdict in expected)
    assert (expected[0].num_auto, expected[1].num_auto) == (39 - 8 - 3, 20 - 6)
    assert (record.facts["plan"], record.facts["verdict"]) == (1, "certificate")
    assert record.facts["num_auto"] == expected[0].num_auto + expected[1].num_auto
    assert [(s["plan"], s["num_items"], s["audit"]["num_audited"]) for s in record.facts["strata"]] == [
        (0, 39, 8),
        (1, 20, 6),
    ]
    assert record.facts["sentence"] == (
        f"Of the 39 items of the first plan: {expected[0].sentence()} Of the 20 items that plan 1 added: "
        f"{expected[1].sentence()} All looks at all of them hold together with confidence 95 %."
    )


def test_a_stratum_that_nobody_has_audited_yet_shares_nothing(ray_session, tiny):
    labels, confidence = sure(tiny)
    predictions = replace(tiny.predicted(0, labels, confidence), starts=(0, 40))
    rows = np.concatenate([AUDIT[(AUDIT < 40) & (AUDIT != 17)], TRAIN])
    answered = tiny.answered(rows, ["audit"] * 8 + ["train"] * 3)
    record = accepted(tiny.campaign, 0, predictions, answered)
    first, second = verdicts_of(record)
    assert first.alpha == 0.025
    assert isinstance(second, Withheld)
    said = "Of the 20 items that plan 1 added: No certificate: 6 readable items of the audit sample have no answer."
    assert said in record.facts["sentence"]


def test_a_stratum_of_which_nothing_can_be_read(ray_session, begin):
    """It is a pool of nothing, not a sample of any pool; and it shares nothing of a look."""
    tiny = begin(acceptance={"max_error": 0.6})
    labels, confidence = sure(tiny)
    predictions = replace(tiny.predicted(0, labels, confidence), starts=(0, 60))
    record = accepted(tiny.campaign, 0, predictions, answers(tiny))
    first, second = verdicts_of(record)
    assert isinstance(first, Certificate) and isinstance(second, Withheld)
    assert first.alpha == 0.025
    assert second.reason == "there are no audit answers"


def test_no_audit(ray_session, tiny):
    labels, confidence = sure(tiny)
    record = accepted(tiny.campaign, 0, tiny.predicted(0, labels, confidence), tiny.answered(TRAIN), audit=NONE)
    assert record.facts["verdict"] == "withheld"
    assert "there are no audit answers" in record.facts["sentence"]
    assert record.facts["audit"] == {"num_audited": 0}


def test_quality_by_hand():
    """Five items: three right, one wrong, one that nobody could tell and that therefore counts as wrong."""
    confidence = np.array([0.9, 0.8, 0.7, 0.6, 1.0], np.float32)
    view = AuditView(confidence, np.array([0, 1, 2, 1, 2], np.int32), np.array([0, 1, 1, -1, 2], np.int32))
    found = quality(view, ("a", "b", "c"))
    assert found["num_audited"] == 5
    assert found["num_unresolved"] == 1
    assert found["accuracy"] == pytest.approx(3 / 5)
    interval = binomtest(3, 5).proportion_ci(confidence_level=0.95, method="exact")
    assert found["accuracy_interval"] == pytest.approx([interval.low, interval.high])
    # Of the four that people could tell: truth a b b c, predicted a b c c.
    assert found["per_class"] == {
        "a": {"precision": 1.0, "recall": 1.0, "f1": 1.0, "num_audited": 1},
        "b": {"precision": 1.0, "recall": 0.5, "f1": pytest.approx(2 / 3), "num_audited": 2},
        "c": {"precision": 0.5, "recall": 1.0, "f1": pytest.approx(2 / 3), "num_audited": 1},
    }
    assert found["macro"] == {
        "precision": pytest.approx(2.5 / 3),
        "recall": pytest.approx(2.5 / 3),
        "f1": pytest.approx(7 / 9),
    }
    assert found["micro"] == {"precision": 0.75, "recall": 0.75, "f1": 0.75}
    # Bins of 1/15: every item has one of its own.
    assert found["calibration_error"] == pytest.approx((0.1 + 0.2 + 0.7 + 0.6 + 0.0) / 5, abs=1e-6)


def test_quality_where_nobody_could_tell_anything():
    view = AuditView(np.array([0.9, 0.8], np.float32), np.array([0, 1], np.int32), np.array([-1, -1], np.int32))
    found = quality(view, ("a", "b"))
    assert (found["num_audited"], found["num_unresolved"], found["accuracy"]) == (2, 2, 0.0)
    assert found["accuracy_interval"][0] == 0.0
    assert found["macro"] == found["micro"] == {"precision": 0.0, "recall": 0.0, "f1": 0.0}
    assert found["per_class"]["a"] == {"precision": 0.0, "recall": 0.0, "f1": 0.0, "num_audited": 0}
    assert found["calibration_error"] == pytest.approx(0.85)


def test_an_audit_sample_that_a_strategy_touched_is_refused(ray_session, tiny):
    labels, confidence = sure(tiny)
    tiny.publish(1, [0, 25], strategy="entropy")
    predictions = tiny.predicted(1, labels, confidence)
    with pytest.raises(
        RaylabelError, match=r"the strategy entropy picked digit-55 \(row 25\) of the audit sample: such"
    ):
        accepted(tiny.campaign, 1, predictions, answers(tiny))
    assert tiny.campaign.records.find("rounds/0001/verdict") is None


def test_judging_again_gives_the_same_facts(ray_session, tiny):
    """In this process, without an engine, and as often as one likes."""
    labels, confidence = sure(tiny, wrong=[4])
    predictions = tiny.predicted(0, labels, confidence)
    record = accepted(tiny.campaign, 0, predictions, answers(tiny))

    def fold(function, parts, merge):
        return reduce(merge, map(function, parts))

    facts = judge(tiny.campaign, predictions, answers(tiny), audit=AUDIT, second=UNDRAWN, is_last=False, fold=fold)
    assert facts == record.facts


def test_a_targeted_audit_rests_on_its_second_draw_alone(ray_session, begin):
    """The first draw, on which the model errs, only takes its items away; the second was one of four items."""
    tiny = begin(acceptance={"max_error": 0.5, "audit": "targeted", "looks": "last"})
    first, second = AUDIT[9:], AUDIT[:9][AUDIT[:9] != 17]
    labels, confidence = sure(tiny, wrong=first)
    columns = {"row": second, "id": [""] * 8, "stratum": ["pool"] * 8, "inclusion_probability": [0.25] * 8}
    columns |= {"draw": [1] * 8, "seed": [0] * 8}
    drawn = pa.table(columns, schema=schema.AUDIT)
    record = accepted(
        tiny.campaign, 0, tiny.predicted(0, labels, confidence), answers(tiny), audit=first, second=drawn, is_last=True
    )
    human = np.isin(tiny.rows, np.concatenate([AUDIT, TRAIN]))
    pool = ConfidenceHistogram.of(confidence[tiny.rows], human=human)
    expected = certify(
        confidence[second],
        np.ones(8, bool),
        max_error=0.5,
        alpha=0.05,
        promise="auto",
        pool=pool,
        weights=np.full(8, 4.0),
    )
    assert isinstance(expected, Certificate) and expected.num_audited <= 8
    assert verdicts_of(record) == [expected]
    # What the whole pool is like is told by the uniform draw.
    [stratum] = record.facts["strata"]
    assert (stratum["num_audited"], stratum["audit"]["num_audited"], stratum["audit"]["accuracy"]) == (14, 6, 0.0)


def test_an_item_of_the_second_draw_without_an_answer_withholds(ray_session, begin):
    tiny = begin(acceptance={"max_error": 0.5, "audit": "targeted", "looks": "last"})
    labels, confidence = sure(tiny)
    columns = {"row": [50], "id": [""], "stratum": ["pool"], "inclusion_probability": [0.25], "draw": [1], "seed": [0]}
    drawn = pa.table(columns, schema=schema.AUDIT)
    predictions = tiny.predicted(0, labels, confidence)
    record = accepted(tiny.campaign, 0, predictions, answers(tiny), second=drawn, is_last=True)
    assert record.facts["sentence"] == "No certificate: 1 readable items of the audit sample have no answer."


def test_by_class(ray_session, begin):
    """Two classes by their halves of the pool, of which the model gets one wrong; eight others it never names."""
    tiny = begin(acceptance={"max_error": 0.6, "by_class": True})
    labels = np.where(np.arange(60) < 30, 3, 7).astype(np.int32)
    confidence = np.tile(np.linspace(0.99, 0.5, 30), 2).astype(np.float32)
    rows = AUDIT[AUDIT != 17]
    told = np.where(rows < 30, 3, 8)
    answered = tiny.answered(rows, "audit", told)
    predictions = tiny.predicted(0, labels, confidence)
    record = accepted(tiny.campaign, 0, predictions, answered, is_last=True)
    human = np.isin(tiny.rows, rows)
    pools = {
        name: ConfidenceHistogram.of(confidence[tiny.rows][mine], human=human[mine])
        for name in (3, 7)
        for mine in [labels[tiny.rows] == name]
    }
    expected = certify_by_class(
        confidence[rows],
        labels[rows] == told,
        predicted=labels[rows],
        pools=pools,
        max_error=0.6,
        alpha=0.05 / 2,
        promise="auto",
    )
    assert isinstance(expected[3], Certificate) and isinstance(expected[7], Withheld)
    [found] = verdicts_of(record)
    assert list(found) == list(tiny.campaign.config.classes)
    assert (found["three"], found["seven"]) == (expected[3], expected[7])
    assert found["one"].reason == "the model takes no item for one of this class"
    [stratum] = record.facts["strata"]
    assert (stratum["details"], stratum["verdict"], stratum["num_auto"]) == (None, "certificate", expected[3].num_auto)
    assert record.facts["num_auto"] == expected[3].num_auto
    assert record.facts["sentence"] == sentence_by_class(found, alpha=0.025, num_looks=2)


def test_what_a_strategy_picked_and_nobody_answered_may_be_drawn_again(ray_session, begin):
    """Rows 50 and 51 were asked for training and left open: they are no audit items that a strategy picked."""
    tiny = begin(acceptance={"max_error": 0.5, "audit": "targeted", "looks": "last"})
    labels, confidence = sure(tiny)
    second = [45, 50, 51]
    columns = {"row": second, "id": [""] * 3, "stratum": ["pool"] * 3, "inclusion_probability": [3 / 42] * 3}
    drawn = pa.table(columns | {"draw": [1] * 3, "seed": [0] * 3}, schema=schema.AUDIT)
    tiny.publish(0, [0, 2, 30, 50, 51], strategy="margin")
    tiny.publish(1, second, strategy="audit")
    rows = np.concatenate([AUDIT[AUDIT != 17], second])
    answered = tiny.answered(rows, "audit")
    predictions = tiny.predicted(0, labels, confidence)
    record = accepted(tiny.campaign, 0, predictions, answered, second=drawn, is_last=True)
    assert record.facts["strata"][0]["num_audited"] == 17
