import numpy as np
import pytest

from raylabel.acceptance import (
    Certificate,
    ClassHistograms,
    ConfidenceHistogram,
    Withheld,
    certify,
    certify_by_class,
    sentence_by_class,
    smallest_audit,
)

FIVE = {"max_error": 0.05, "alpha": 0.05, "promise": "auto"}


def campaign(sizes, *, wrong=(), step=10):
    """A pool of so many items of each class, every tenth audited; the classes in `wrong` are wrong in one of four."""
    predicted = np.repeat(np.arange(len(sizes)), sizes)
    confidence = np.concatenate([np.arange(size) / size for size in sizes]).astype(np.float32)
    correct = ~np.isin(predicted, wrong) | (np.arange(len(predicted)) // step % 4 != 0)
    audited = np.arange(len(predicted)) % step == 0
    pools = {
        name: ConfidenceHistogram.of(confidence[predicted == name], human=audited[predicted == name])
        for name in range(len(sizes))
    }
    return confidence[audited], correct[audited], predicted[audited], pools


def by_class(sizes, **changes):
    confidence, correct, predicted, pools = campaign(sizes, **changes)
    return certify_by_class(confidence, correct, predicted=predicted, pools=pools, **FIVE)


def test_classes_share_alpha_and_are_certified_as_alone():
    confidence, correct, predicted, pools = campaign([4000, 6000], wrong=[1])
    found = certify_by_class(confidence, correct, predicted=predicted, pools=pools, **FIVE)
    for name, pool in pools.items():
        mine = predicted == name
        alone = certify(confidence[mine], correct[mine], pool=pool, **{**FIVE, "alpha": 0.025})
        assert found[name] == alone
    assert isinstance(found[0], Certificate) and isinstance(found[1], Withheld)
    assert found[0].num_pool == 4000


def test_classes_with_too_few_audited_items_take_no_share():
    # 72 items are the least for 2.5 %, 80 for 5 / 3 %: 400, 75 and 40 of them leave two classes.
    assert [smallest_audit(0.05, 0.05 / number) for number in (1, 2, 3)] == [59, 72, 80]
    found = by_class([4000, 400, 750])
    assert found[0].alpha == found[2].alpha == 0.025
    assert isinstance(found[0], Certificate)
    assert isinstance(found[1], Withheld)
    assert found[1].reason == (
        "40 audited items are predicted to be of this class, and beside 2 other classes a certificate takes 80 at least"
    )
    # What one is told who asks about this class alone, with its share: here that no audit of 400 items would do.
    confidence, correct, predicted, pools = campaign([4000, 400, 750])
    mine = predicted == 1
    alone = certify(confidence[mine], correct[mine], pool=pools[1], **{**FIVE, "alpha": 0.05 / 3})
    assert isinstance(alone, Withheld)
    assert found[1].num_needed == alone.num_needed
    larger = by_class([40_000, 6_000], step=200)[1]
    assert larger.num_audited == 30
    assert larger.num_needed is not None and larger.num_needed >= 72
    assert list(found) == [0, 1, 2]


def test_without_any_class_of_enough_items_all_are_withheld():
    found = by_class([300, 200])
    assert all(isinstance(verdict, Withheld) and verdict.alpha == 0.05 for verdict in found.values())
    assert found[0].reason.endswith("beside 0 other classes a certificate takes 59 at least")
    assert (
        certify_by_class(np.zeros(0, np.float32), np.zeros(0, bool), predicted=np.zeros(0, np.int64), pools={}, **FIVE)
        == {}
    )


def test_the_promises_of_all_classes_hold_together():
    """Two classes of which 5.2 % are wrong whatever the confidence: any certificate breaks its promise."""
    rng, broken, num = np.random.default_rng(0), 0, 300
    confidence = rng.random(20_000).astype(np.float32)
    predicted = np.arange(20_000) % 2
    correct = rng.permutation(20_000) >= 1040
    for _ in range(num):
        audited = np.isin(np.arange(20_000), rng.choice(20_000, 600, replace=False))
        pools = {
            name: ConfidenceHistogram.of(confidence[predicted == name], human=audited[predicted == name])
            for name in (0, 1)
        }
        found = certify_by_class(
            confidence[audited], correct[audited], predicted=predicted[audited], pools=pools, **FIVE
        )
        broken += any(isinstance(verdict, Certificate) for verdict in found.values())
    # 5 % of 300 draws; more than 27 would come up in 1 of 1,000 runs.
    assert broken <= 27


def test_input_that_will_not_do_is_refused():
    confidence, correct, predicted, pools = campaign([1000, 1000])
    with pytest.raises(ValueError, match=r"predicted: got shape \(3,\), expected \(200,\)"):
        certify_by_class(confidence, correct, predicted=predicted[:3], pools=pools, **FIVE)
    with pytest.raises(ValueError, match="predicted: got class 1, expected one of the 1 classes with a pool"):
        certify_by_class(confidence, correct, predicted=predicted, pools={0: pools[0]}, **FIVE)
    with pytest.raises(ValueError, match="alpha: got 0"):
        certify_by_class(confidence, correct, predicted=predicted, pools=pools, **{**FIVE, "alpha": 0})


def test_histograms_by_class_merge_to_those_of_the_whole():
    """In any order, with classes that only one part has."""
    rng = np.random.default_rng(0)
    confidence, human = rng.random(300).astype(np.float32), rng.random(300) < 0.2
    predicted = np.sort(rng.integers(0, 4, 300))
    cuts = [slice(0, 100), slice(100, 220), slice(220, 300)]
    parts = [ClassHistograms.of(confidence[cut], predicted=predicted[cut], human=human[cut]) for cut in cuts]
    assert sorted(parts[0].pools) == [0, 1]
    for order in ((0, 1, 2), (2, 0, 1)):
        merged = parts[order[0]].merge(parts[order[1]]).merge(parts[order[2]])
        assert sorted(merged.pools) == [0, 1, 2, 3]
        for name, pool in merged.pools.items():
            alone = ConfidenceHistogram.of(confidence[predicted == name], human=human[predicted == name])
            assert pool.counts.tolist() == alone.counts.tolist()
            assert pool.human_counts.tolist() == alone.human_counts.tolist()
    with pytest.raises(ValueError, match=r"predicted: got shape \(3,\), expected \(300,\)"):
        ClassHistograms.of(confidence, predicted=predicted[:3], human=human)


def test_sentence_says_what_holds_and_what_does_not():
    kept = Certificate(0.8, 0.04, 0.05, 0.0125, "auto", "by hand", 900, 90, 1, 700, 1000, "finite")
    missed = Withheld("it is too early", 300, 0.05, 0.0125, "auto", 9)
    found = {"ant": kept, "bee": missed, "fly": kept}
    assert sentence_by_class(found, alpha=0.025, num_looks=2) == (
        "With confidence 97.5 % at this look, 95 % over all 2 looks together for all of them together, at most 5 % of "
        "the labels of each of 2 of 3 classes are wrong: ant (700), fly (700) labels. Not certified: bee."
    )
    assert sentence_by_class({"ant": kept}, alpha=0.05).endswith("1 of 1 classes are wrong: ant (700) labels.")
    assert sentence_by_class({"bee": missed}, alpha=0.05) == (
        "No certificate by class that at most 5 % of the labels of each are wrong (confidence 95 %): see each."
    )
