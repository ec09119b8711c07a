import json
from dataclasses import replace

import pytest

from raylabel.acceptance import Certificate, Withheld
from raylabel.errors import UnknownName

FINITE = Certificate(
    threshold=0.875,
    bound=0.0456,
    max_error=0.05,
    alpha=0.05,
    promise="auto",
    method="exact hypergeometric test, fixed sequence",
    num_passing=25_000,
    num_audited=500,
    num_wrong=15,
    num_auto=24_000,
    num_pool=50_000,
    population="finite",
)
INFINITE = replace(FINITE, num_passing=None, num_auto=None, num_pool=None, population="infinite")
WITHHELD = Withheld("there are no audit answers", 200, 0.05, 0.05, "auto", 0)


@pytest.mark.parametrize("result", [FINITE, INFINITE, WITHHELD, replace(WITHHELD, num_needed=None)])
def test_json_and_back(result):
    assert type(result).from_dict(json.loads(json.dumps(result.to_dict()))) == result


def test_sentence_of_auto():
    assert FINITE.sentence() == (
        "With confidence 95 %, at most 5 % of the 24,000 labels accepted at confidence 0.875 and above are wrong."
        " Evidence: 15 wrong among the 500 audited items that pass (exact hypergeometric test, fixed sequence)."
        " Wrong means: differs from the consensus of the audit."
    )
    assert "at most 5 % of the labels accepted at confidence 0.875" in INFINITE.sentence()


def test_sentence_of_whole_bounds_the_auto_labels_too():
    whole = replace(FINITE, promise="whole")
    # 5 % of 50,000 are 2,500, which are 10.416... % of 24,000: rounded up, never down.
    assert whole.auto_bound == pytest.approx(2500 / 24000)
    assert whole.sentence().startswith(
        "With confidence 95 %, at most 5 % of the whole result for 50,000 items is wrong when labels are accepted at"
        " confidence 0.875 and above and people answer the rest, and so at most 10.42 % of its 24,000 auto-labels."
    )
    assert replace(whole, num_auto=2000).auto_bound == 1.0
    assert FINITE.auto_bound == 0.05


def test_an_infinite_whole_says_nothing_of_the_auto_labels():
    whole = replace(INFINITE, promise="whole")
    assert whole.auto_bound is None
    assert "of the whole result is wrong" in whole.sentence()
    assert "auto-labels" not in whole.sentence()


def test_sentence_of_withheld():
    assert WITHHELD.sentence() == (
        "No certificate that at most 5 % of the auto-labels are wrong (confidence 95 %): there are no audit answers."
        " About 200 audit answers in all would probably do."
    )
    hopeless = replace(WITHHELD, num_needed=None, promise="whole", alpha=0.001)
    assert hopeless.sentence() == (
        "No certificate that at most 5 % of the whole result is wrong (confidence 99.9 %): there are no audit"
        " answers. At the error rates seen so far no number of audit answers would do."
    )


def test_sentence_of_one_look_of_several_says_both_confidences():
    """Five looks at 1 % each: all of them hold together with at least 95 %."""
    assert (
        replace(FINITE, alpha=0.01)
        .sentence(num_looks=5)
        .startswith(
            "With confidence 99 % at this look, 95 % over all 5 looks together, at most 5 % of the 24,000 labels"
        )
    )
    assert "(confidence 97.5 % at this look, 92.5 % over all 3 looks together)" in replace(
        WITHHELD, alpha=0.025
    ).sentence(num_looks=3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"max_error": 0.0}, "max_error: got 0.0"),
        ({"alpha": 1.0}, "alpha: got 1.0"),
        ({"threshold": 1.1}, "threshold: got 1.1"),
        ({"threshold": float("nan")}, "threshold: got nan"),
        ({"bound": 0.0501}, "bound: got 0.0501, expected at least 0, at most 0.05"),
        ({"bound": -0.1}, "bound: got -0.1"),
        ({"num_wrong": 501}, "num_wrong: got 501, expected at most 500 audited"),
        ({"population": "large"}, "population: got 'large'"),
        ({"population": "infinite"}, "num_passing, num_auto, num_pool: got"),
        ({"num_pool": None}, "num_passing, num_auto, num_pool: got"),
        ({"num_auto": 0}, "num_auto: got 0, expected 1 to"),
        ({"num_auto": 24_501}, "num_auto: got 24501, expected 1 to 25000 passing - 500 audited"),
        ({"num_pool": 24_999}, "num_passing: got 25000, expected at most 24999"),
    ],
)
def test_a_certificate_that_contradicts_itself_is_refused(change, message):
    with pytest.raises(ValueError) as caught:
        replace(FINITE, **change)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"reason": ""}, "reason: got ''"),
        ({"num_audited": -1}, "num_audited: got -1"),
        ({"num_audited": 200}, "num_needed: got 200, expected more than 200"),
        ({"max_error": 1.0}, "max_error: got 1.0"),
        ({"alpha": 0.0}, "alpha: got 0.0"),
    ],
)
def test_a_withheld_that_contradicts_itself_is_refused(change, message):
    with pytest.raises(ValueError) as caught:
        replace(WITHHELD, **change)
    assert str(caught.value).startswith(message)


def test_an_unknown_promise_is_refused():
    with pytest.raises(UnknownName, match="unknown promise 'all'"):
        replace(FINITE, promise="all")
    with pytest.raises(UnknownName, match="unknown promise 'all'"):
        replace(WITHHELD, promise="all")


def test_fields_that_do_not_belong_are_named():
    values = FINITE.to_dict()
    values["epsilon"] = values.pop("max_error")
    with pytest.raises(ValueError, match=r"Certificate: got missing \['max_error'\] and unknown \['epsilon'\]"):
        Certificate.from_dict(values)
    with pytest.raises(ValueError, match=r"Withheld: got missing \['alpha'"):
        Withheld.from_dict({"reason": "none"})
