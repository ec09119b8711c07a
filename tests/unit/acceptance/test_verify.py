from dataclasses import replace

import numpy as np
import pytest

from raylabel.acceptance import Certificate, ConfidenceHistogram, Withheld, certify, verify
from raylabel.acceptance.verify import differences

ASKED = {"max_error": 0.05, "alpha": 0.05, "promise": "auto"}


@pytest.fixture
def evidence():
    rng = np.random.default_rng(0)
    confidence = rng.random(20_000).astype(np.float32)
    correct = rng.random(20_000) < 0.97 + 0.03 * confidence
    audit = np.zeros(20_000, bool)
    audit[rng.choice(20_000, 400, replace=False)] = True
    return confidence[audit], correct[audit], ConfidenceHistogram.of(confidence, human=audit)


def test_the_same_evidence_gives_the_same_verdict(evidence):
    confidence, correct, pool = evidence
    for pooled in (pool, None):
        verdict = certify(confidence, correct, pool=pooled, **ASKED)
        assert isinstance(verdict, Certificate)
        assert verify(verdict, confidence, correct, pool=pooled) == []
    withheld = certify(confidence, ~correct, pool=pool, **ASKED)
    assert isinstance(withheld, Withheld)
    assert verify(withheld, confidence, ~correct, pool=pool) == []


def test_what_differs_is_named(evidence):
    confidence, correct, pool = evidence
    verdict = certify(confidence, correct, pool=pool, **ASKED)
    forged = replace(verdict, num_wrong=0, bound=verdict.bound / 2)
    assert verify(forged, confidence, correct, pool=pool) == [
        f"bound: kept {verdict.bound / 2!r}, recomputed {verdict.bound!r}",
        f"num_wrong: kept 0, recomputed {verdict.num_wrong}",
    ]


def test_other_answers_give_another_verdict(evidence):
    confidence, correct, pool = evidence
    verdict = certify(confidence, correct, pool=pool, **ASKED)
    [said] = verify(verdict, confidence, np.zeros_like(correct), pool=pool)
    assert said.startswith("kept is a certificate, the evidence gives a refusal: No certificate that at most 5 %")


def test_differences_by_hand():
    kept = {"a": 1, "b": [1.0, {"c": "x"}], "d": None, "f": True, "gone": 0}
    found = {"a": 1, "b": [1.0 + 1e-12, {"c": "y"}], "d": 0.0, "f": 1.0, "new": 2}
    assert differences(kept, found, where="it") == [
        "it.b[1].c: kept 'x', recomputed 'y'",
        "it.d: kept None, recomputed 0.0",
        "it.f: kept True, recomputed 1.0",
        "it.gone: kept 0, nothing like it is recomputed",
        "it.new: is missing, recomputed 2",
    ]
    assert differences([1, 2], [1], where="list") == ["list: kept [1, 2], recomputed [1]"]
    assert differences(0.1, 0.1 + 1e-8) == [": kept 0.1, recomputed 0.10000001"]
    assert differences({"a": 1}, {"a": 1.0}) == []
