from dataclasses import dataclass

import numpy as np
import pyarrow.parquet as pq
import pytest

from raylabel.acceptance import Certificate, ConfidenceHistogram, Withheld, certify, hypergeometric_upper
from raylabel.errors import UnknownName

FIVE = {"max_error": 0.05, "alpha": 0.05}


@dataclass
class Pool:
    """Predictions whose truth is known, audited over and over."""

    confidence: np.ndarray
    correct: np.ndarray

    def certify(self, rows, *, human=None, promise="auto", finite=True, **asked):
        """Certify by an audit of these rows; `human` answered beside it."""
        answered = np.zeros(len(self.confidence), bool) if human is None else human.copy()
        answered[rows] = True
        pool = ConfidenceHistogram.of(self.confidence, human=answered) if finite else None
        result = certify(self.confidence[rows], self.correct[rows], promise=promise, pool=pool, **{**FIVE, **asked})
        return result, answered

    def replay(self, num_audit, *, draws, human=None, promise="auto", finite=True, seed=0):
        """Return in how many draws the promise was broken, and the mean coverage."""
        rng, broken, coverage = np.random.default_rng(seed), 0, []
        for _ in range(draws):
            rows = rng.choice(len(self.confidence), num_audit, replace=False)
            result, answered = self.certify(rows, human=human, promise=promise, finite=finite)
            coverage.append(0.0)
            if isinstance(result, Certificate):
                passing = self.confidence >= result.threshold
                auto = passing & ~answered if finite else passing
                if finite:
                    assert (passing.sum(), auto.sum()) == (result.num_passing, result.num_auto)
                wrong, labels = (auto & ~self.correct).sum(), auto.sum() if promise == "auto" else len(auto)
                broken += wrong > 0.05 * labels
                coverage[-1] = passing.mean()
        return broken, np.mean(coverage)


@pytest.fixture(scope="module")
def imagenet(data):
    table = pq.read_table(data / "predictions" / "imagenet.parquet", columns=["confidence", "correct"])
    return Pool(table["confidence"].to_numpy(), table["correct"].to_numpy())


def clean_pool(num, wrong_below=0.0):
    """Confidences evenly spread; wrong exactly where they are below a value."""
    confidence = (np.arange(num) / num).astype(np.float32)
    return Pool(confidence, confidence >= wrong_below)


# 200 draws at a true rate of 5 %: more than 19 would come up in 1 of 1,000 runs.
@pytest.mark.parametrize("promise", ["auto", "whole"])
def test_imagenet_keeps_its_promise(imagenet, promise):
    broken, coverage = imagenet.replay(1000, draws=200, promise=promise)
    assert broken <= 12
    # The table to beat: 0.328 for "auto"; 0.598 labels saved for "whole" with five times the answers.
    assert coverage > (0.46 if promise == "auto" else 0.598)


@pytest.mark.parametrize(("num_audit", "table"), [(500, 0.244), (5000, 0.548)])
def test_imagenet_beats_the_table(imagenet, num_audit, table):
    broken, coverage = imagenet.replay(num_audit, draws=60)
    assert broken <= 8
    assert coverage > table


@pytest.mark.parametrize("promise", ["auto", "whole"])
def test_imagenet_as_an_infinite_population(imagenet, promise):
    broken, coverage = imagenet.replay(1000, draws=100, promise=promise, finite=False)
    assert broken <= 12
    assert coverage > (0.40 if promise == "auto" else 0.58)


def test_half_of_the_pool_audited(imagenet):
    rows = np.random.default_rng(1).choice(50_000, 2000, replace=False)
    small = Pool(imagenet.confidence[rows], imagenet.correct[rows])
    broken, coverage = small.replay(1000, draws=200)
    assert broken <= 19
    assert coverage > 0.35


def test_people_answered_easy_items_first(imagenet):
    """What they left is harder than what passes: an error rate of all that passes would break the promise."""
    easiest = np.argsort(-imagenet.confidence, kind="stable")[:4000]
    human = np.isin(np.arange(50_000), easiest)
    broken, coverage = imagenet.replay(2000, draws=60, human=human)
    assert broken <= 8
    assert coverage > 0.4


def test_a_certificate_by_hand():
    pool = clean_pool(10_000, wrong_below=0.5)
    result, answered = pool.certify(np.arange(0, 10_000, 20))
    # 500 audited, one in 20, 250 of them above 0.5; the next threshold would take in too many wrong ones.
    assert isinstance(result, Certificate)
    assert 0.45 < result.threshold < 0.53
    assert result.num_passing == (pool.confidence >= result.threshold).sum()
    assert result.num_auto == result.num_passing - result.num_audited
    assert result.num_wrong == (pool.confidence[::20][pool.confidence[::20] >= result.threshold] < 0.5).sum()
    upper = hypergeometric_upper(result.num_passing, result.num_audited, result.num_wrong, alpha=0.05)
    assert result.bound == (upper - result.num_wrong) / result.num_auto
    assert 0.01 < result.bound < 0.02
    assert (result.num_pool, result.population, result.promise) == (10_000, "finite", "auto")
    assert result.method == "exact hypergeometric test, fixed sequence"
    assert answered.sum() == 500


def test_whole_accepts_more_than_auto():
    pool = clean_pool(10_000, wrong_below=0.5)
    auto, _ = pool.certify(np.arange(0, 10_000, 20))
    whole, _ = pool.certify(np.arange(0, 10_000, 20), promise="whole")
    assert whole.threshold < auto.threshold
    assert whole.bound <= 0.05 < whole.auto_bound
    upper = hypergeometric_upper(whole.num_passing, whole.num_audited, whole.num_wrong, alpha=0.05)
    assert whole.bound == (upper - whole.num_wrong) / 10_000


def test_a_perfect_model_is_accepted_throughout():
    for finite in (True, False):
        result, _ = clean_pool(5000).certify(np.arange(0, 5000, 10), finite=finite)
        assert result.threshold == 0
        assert (result.num_audited, result.num_wrong) == (500, 0)


def test_more_than_half_audited_shares_alpha():
    pool = clean_pool(2000)
    half, _ = pool.certify(np.arange(0, 2000, 2))
    more, _ = pool.certify(np.append(np.arange(0, 2000, 2), 1))
    assert half.method == "exact hypergeometric test, fixed sequence"
    assert more.method == "exact hypergeometric test, each threshold at 1/10 of alpha"
    assert half.bound == hypergeometric_upper(2000, 1000, 0, alpha=0.05) / 1000
    assert more.bound == hypergeometric_upper(2000, 1001, 0, alpha=0.005) / 999
    assert more.alpha == 0.05


def test_unresolved_items_count_as_wrong():
    pool = clean_pool(10_000)
    rows = np.arange(0, 10_000, 20)
    resolved, _ = pool.certify(rows)
    pool.correct[rows[::10]] = False
    unresolved, _ = pool.certify(rows)
    assert isinstance(resolved, Certificate)
    assert isinstance(unresolved, Withheld)


def test_float64_and_the_order_of_items_change_nothing():
    pool = clean_pool(10_000, wrong_below=0.5)
    rows = np.arange(0, 10_000, 20)
    shuffled = np.random.default_rng(0).permutation(rows)
    for finite in (True, False):
        expected, _ = pool.certify(rows, finite=finite)
        assert pool.certify(shuffled, finite=finite)[0] == expected
    wide = certify(pool.confidence[rows].astype(np.float64), pool.correct[rows], **FIVE, promise="auto",
                   pool=ConfidenceHistogram.of(pool.confidence, human=np.isin(np.arange(10_000), rows)))  # fmt: skip
    assert wide == pool.certify(rows)[0]


@pytest.mark.parametrize("finite", [True, False])
def test_withheld_without_answers(finite):
    result, _ = clean_pool(100_000).certify(np.zeros(0, np.int64), finite=finite)
    assert result.reason == "there are no audit answers"
    assert result.num_audited == 0
    assert result.num_needed > 59


@pytest.mark.parametrize("finite", [True, False])
def test_withheld_for_too_few_answers(finite):
    result, _ = clean_pool(100_000).certify(np.arange(58) * 1000, finite=finite)
    assert result.reason == "58 audit answers are too few: with none of them wrong they would not prove it"
    assert 58 < result.num_needed < 1000
    enough, _ = clean_pool(100_000).certify(np.arange(60) * 1000, finite=finite)
    assert isinstance(enough, Certificate)


@pytest.mark.parametrize("finite", [True, False])
def test_withheld_for_too_many_errors(finite):
    pool = clean_pool(100_000)
    pool.correct[::3] = False
    result, _ = pool.certify(np.arange(0, 100_000, 100), finite=finite)
    assert isinstance(result, Withheld)
    assert result.num_needed is None
    assert result.reason.startswith("of the ")
    words = result.reason.split()
    audited, wrong = int(words[2]), int(words[words.index("are") - 1])
    # The least size that allows 3 wrong: the first above 0.6 * sqrt(59 * 1000).
    assert audited == pytest.approx(154, abs=1)
    assert wrong == pytest.approx(audited / 3, abs=2)
    assert "are wrong, which proves an error rate of at most 4" in result.reason
    assert result.reason.endswith("%, not 5 %")


def test_withheld_where_people_answered_everything():
    pool = clean_pool(1000)
    result, _ = pool.certify(np.arange(0, 1000, 5), human=np.ones(1000, bool))
    assert result.reason == "people have answered every item, so no auto-label is left to promise anything about"
    assert result.num_needed is None


def test_the_promise_is_about_what_people_left():
    # The upper half is answered beside the audit, so that hardly an auto-label passes a high threshold.
    pool = clean_pool(10_000)
    result, answered = pool.certify(np.arange(0, 10_000, 20), human=pool.confidence >= 0.5)
    assert result.threshold == 0
    assert result.num_auto == (~answered).sum() == 4750


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"correct": np.ones(99, bool)}, "correct: got 99 values, expected 100"),
        ({"correct": np.ones(100)}, "correct: got dtype float64, expected bool"),
        ({"confidence": np.full(100, np.nan, np.float32)}, "confidence: got nan at [0], expected values in [0, 1]"),
        ({"max_error": 0.0}, "max_error: got 0.0, expected a number above 0 and below 1"),
        ({"max_error": 1.0}, "max_error: got 1.0"),
        ({"alpha": 0.0}, "alpha: got 0.0"),
        ({"alpha": 5.0}, "alpha: got 5.0"),
        ({"weights": np.ones(3)}, "weights: got shape (3,), expected (100,)"),
        ({"weights": np.full(100, np.nan)}, "weights: got a value that is NaN"),
        ({"weights": np.zeros(100)}, "weights: got a value that is NaN, infinite, 0 or negative"),
        ({"pool": ConfidenceHistogram.empty()}, "pool: got 0 human-answered items at confidence"),
    ],
)
def test_input_that_will_not_do_is_refused(change, message):
    fitting = {"confidence": np.full(100, 0.75, np.float32), "correct": np.ones(100, bool), **FIVE, "promise": "auto"}
    arguments = {**fitting, **change}
    with pytest.raises(ValueError) as caught:
        certify(arguments.pop("confidence"), arguments.pop("correct"), **arguments)
    assert str(caught.value).startswith(message)


def test_equal_weights_are_a_uniform_draw():
    confidence, correct = np.full(100, 0.75, np.float32), np.ones(100, bool)
    plain = certify(confidence, correct, **FIVE, promise="auto")
    assert certify(confidence, correct, **FIVE, promise="auto", weights=np.full(100, 2.5)) == plain
    assert isinstance(plain, Certificate)


def test_an_unknown_promise_is_refused():
    with pytest.raises(UnknownName, match="unknown promise 'auto-labels': did you mean auto"):
        certify(np.zeros(1, np.float32), np.ones(1, bool), **FIVE, promise="auto-labels")


def test_an_audit_that_the_pool_does_not_count_as_human_is_refused():
    pool = clean_pool(1000)
    nobody = ConfidenceHistogram.of(pool.confidence, human=np.zeros(1000, bool))
    with pytest.raises(ValueError, match=r"pool: got 0 human-answered items at confidence 0, expected at least the 1"):
        certify(pool.confidence[::10], pool.correct[::10], **FIVE, promise="auto", pool=nobody)


def test_equal_weights_of_the_whole_pool_are_a_uniform_draw():
    pool = clean_pool(10_000, wrong_below=0.5)
    rows = np.arange(0, 10_000, 20)
    assert pool.certify(rows, weights=np.full(500, 20.0))[0] == pool.certify(rows)[0]


def test_a_draw_from_the_most_confident_items_is_tested_as_far_as_it_reaches():
    pool = clean_pool(10_000)
    rows = np.arange(6000, 10_000, 10)
    result, _ = pool.certify(rows, weights=np.full(400, 10.0))
    # The least confident audited item, at 0.6, is the one that does not pass.
    assert 0.6 < result.threshold < 0.603
    assert result.num_audited == 399
    assert result.method == "exact hypergeometric test, fixed sequence"


def test_unequal_weights_are_tested_by_betting():
    pool = clean_pool(10_000, wrong_below=0.45)
    rows = np.concatenate([np.arange(0, 5000, 10), np.arange(5000, 10_000, 25)])
    weights = np.repeat([10.0, 25.0], [500, 200])
    for finite in (True, False):
        result, _ = pool.certify(rows, weights=weights, finite=finite)
        assert result.method == "betting test of a weighted audit, fixed sequence"
        assert 0.4 < result.threshold < 0.6
        assert 0 < result.bound <= 0.05
        order = np.random.default_rng(0).permutation(700)
        assert pool.certify(rows[order], weights=weights[order], finite=finite)[0] == result
    all_wrong = Pool(pool.confidence, np.zeros(10_000, bool))
    withheld, _ = all_wrong.certify(rows, weights=weights)
    assert isinstance(withheld, Withheld)
    assert "are wrong, which proves an error rate of at most" in withheld.reason


@pytest.mark.parametrize("weight", [1.0, 200.0])
def test_weights_that_do_not_stand_for_the_pool_are_refused(weight):
    pool = clean_pool(10_000)
    with pytest.raises(ValueError, match="expected about the number of items that the audit was drawn from"):
        pool.certify(np.arange(0, 10_000, 20), weights=np.full(500, weight))


def test_a_targeted_audit_of_one_confidence_is_withheld():
    pool = Pool(np.repeat(np.array([0.9, 0.3], np.float32), [4000, 6000]), np.ones(10_000, bool))
    result, _ = pool.certify(np.arange(0, 4000, 10), weights=np.full(400, 10.0))
    assert result.reason.startswith("all audited items have the same confidence")


def test_one_confidence_for_all_is_accepted_or_not():
    """As a model of one class gives."""
    confidence = np.ones(10_000, np.float32)
    fine, _ = Pool(confidence, np.arange(10_000) % 100 != 0).certify(np.arange(0, 10_000, 11))
    assert (fine.num_passing, fine.threshold) == (10_000, 0.0)
    wrong, _ = Pool(confidence, np.arange(10_000) % 10 != 0).certify(np.arange(0, 10_000, 11))
    assert isinstance(wrong, Withheld)
