from dataclasses import replace
from functools import reduce

import numpy as np
import pytest
from scipy.stats import binomtest

from raylabel.acceptance import Certificate, ConfidenceHistogram, Withheld, certify
from raylabel.errors import RaylabelError
from raylabel.reporting.accept import AuditView, accept, judge, quality, verdicts_of, view_audit

AUDIT = np.array([1, 4, 8, 17, 23, 25, 26, 33, 39, 40, 41, 47, 52, 55, 59])  # 17 cannot be read
TRAIN = np.array([0, 2, 30])
NONE = np.empty(0, dtype=np.int64)


def sure(tiny, wrong=()):
    """Predictions that are right but for some rows, surer of lower rows."""
    labels = tiny.truth.copy()
    labels[list(wrong)] = (labels[list(wrong)] + 1) % 10
    return labels, np.linspace(0.99, 0.5, 60).astype(np.float32)


def answers(tiny, labels=None):
    rows = np.concatenate([AUDIT[AUDIT != 17], TRAIN])
    purpose = ["audit"] * 14 + ["train"] * 3
    return tiny.answered(rows, purpose, labels)


def test_view_puts_predictions_and_answers_side_by_side(tiny):
    labels, confidence = sure(tiny, wrong=[4])
    predictions = tiny.predicted(0, labels, confidence)
    told = tiny.truth[[59, 4, 1, 17]].copy()
    told[0] = -1
    answered = tiny.answered([59, 4, 1, 17], "audit", told)
    view = view_audit(tiny.campaign, predictions, answered)
    assert view.confidence.tolist() == confidence[[1, 4, 59]].tolist()
    assert view.predicted.tolist() == labels[[1, 4, 59]].tolist()
    assert view.answered.tolist() == [tiny.truth[1], tiny.truth[4], -1]
    assert view.correct.tolist() == [True, False, False]


def test_view_sees_no_training_answer(tiny):
    labels, confidence = sure(tiny)
    predictions = tiny.predicted(0, labels, confidence)
    assert len(view_audit(tiny.campaign, predictions, answers(tiny)).correct) == 14
    view = view_audit(tiny.campaign, predictions, tiny.answered(TRAIN))
    assert (len(view.confidence), len(view.correct)) == (0, 0)
    assert view.confidence.dtype == np.float32


def test_certificate(ray_session, tiny, capsys):
    """The same as certifying arrays: each of two rounds may spend half of alpha."""
    labels, confidence = sure(tiny)
    record = accept(tiny.campaign, 0, tiny.predicted(0, labels, confidence), answers(tiny), audit=AUDIT, is_last=False)
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
    again = accept(
        tiny.campaign, 0, tiny.predicted(0, labels, confidence), tiny.answered(TRAIN), audit=NONE, is_last=False
    )
    assert again.facts == tiny.campaign.records.find("rounds/0000/verdict").facts  # a round has one verdict


def test_withheld(ray_session, tiny):
    labels, confidence = sure(tiny, wrong=AUDIT[:9])
    record = accept(tiny.campaign, 0, tiny.predicted(0, labels, confidence), answers(tiny), audit=AUDIT, is_last=False)
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
    early = accept(campaign, 0, tiny.predicted(0, labels, confidence), answers(tiny), audit=AUDIT, is_last=False)
    assert early.facts["sentence"] == "No certificate yet: the one look at the audit is kept for the end of the loop."
    assert isinstance(verdicts_of(early)[0], Withheld)
    [final] = verdicts_of(
        accept(campaign, 1, tiny.predicted(1, labels, confidence), answers(tiny), audit=AUDIT, is_last=True)
    )
    assert isinstance(final, Certificate)
    assert final.alpha == 0.05
    assert final.sentence().startswith("With confidence 95 %, at most")


def test_a_readable_audit_item_without_an_answer_withholds(ray_session, tiny):
    labels, confidence = sure(tiny)
    audit = np.sort(np.append(AUDIT, 50))
    record = accept(tiny.campaign, 0, tiny.predicted(0, labels, confidence), answers(tiny), audit=audit, is_last=False)
    assert record.facts["verdict"] == "withheld"
    assert record.facts["sentence"] == "No certificate: 1 readable items of the audit sample have no answer."


def test_what_the_pool_has_grown_by_is_certified_apart(ray_session, begin):
    """Two strata share the look: each is certified on its own audit items and counts, with half of what a look has."""
    tiny = begin(acceptance={"max_error": 0.6})
    labels, confidence = sure(tiny)
    predictions = replace(tiny.predicted(0, labels, confidence), starts=(0, 40))
    record = accept(tiny.campaign, 0, predictions, answers(tiny), audit=AUDIT, is_last=False)
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
    record = accept(tiny.campaign, 0, predictions, answered, audit=AUDIT, is_last=False)
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
    record = accept(tiny.campaign, 0, predictions, answers(tiny), audit=AUDIT, is_last=False)
    first, second = verdicts_of(record)
    assert isinstance(first, Certificate) and isinstance(second, Withheld)
    assert first.alpha == 0.025
    assert second.reason == "there are no audit answers"


def test_no_audit(ray_session, tiny):
    labels, confidence = sure(tiny)
    record = accept(
        tiny.campaign, 0, tiny.predicted(0, labels, confidence), tiny.answered(TRAIN), audit=NONE, is_last=False
    )
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
        accept(tiny.campaign, 1, predictions, answers(tiny), audit=AUDIT, is_last=False)
    assert tiny.campaign.records.find("rounds/0001/verdict") is None


def test_judging_again_gives_the_same_facts(ray_session, tiny):
    """In this process, without an engine, and as often as one likes."""
    labels, confidence = sure(tiny, wrong=[4])
    predictions = tiny.predicted(0, labels, confidence)
    record = accept(tiny.campaign, 0, predictions, answers(tiny), audit=AUDIT, is_last=False)

    def fold(function, parts, merge):
        return reduce(merge, map(function, parts))

    facts = judge(tiny.campaign, predictions, answers(tiny), audit=AUDIT, is_last=False, fold=fold)
    assert facts == record.facts
