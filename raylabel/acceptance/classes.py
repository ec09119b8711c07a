"""Certificates by predicted class, which hold all together.

Knows the classes that a model predicted, and `certify`; knows nothing of their names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from raylabel.acceptance.audit import smallest_audit
from raylabel.acceptance.certificate import Certificate, Withheld, confidence_in_words, percent
from raylabel.acceptance.certify import certify
from raylabel.acceptance.checks import BoolArray, ConfidenceArray, check_open_unit
from raylabel.acceptance.histogram import ConfidenceHistogram
from raylabel.acceptance.needed import estimate_needed


@dataclass(frozen=True, eq=False)
class ClassHistograms:
    """The confidences of a pool by predicted class: one mergeable pass.

    Args:
        pools: for each class that was predicted, its items as `certify` takes them. 64 KB each.
    """

    pools: Mapping[int, ConfidenceHistogram]

    @classmethod
    def of(cls, confidence: NDArray[np.float32], *, predicted: NDArray[np.integer], human: BoolArray) -> Self:
        """Count one batch.

        Args:
            confidence: (n,) float32 in [0, 1].
            predicted: (n,) classes.
            human: (n,) bool, as in `ConfidenceHistogram.of`.

        Raises:
            ValueError: what `ConfidenceHistogram.of` refuses, or another number of classes.
        """
        if predicted.shape != confidence.shape:
            raise ValueError(f"predicted: got shape {predicted.shape}, expected {confidence.shape}, one per confidence")
        found = {}
        for name in np.unique(predicted).tolist():
            chosen = predicted == name
            found[int(name)] = ConfidenceHistogram.of(confidence[chosen], human=human[chosen])
        return cls(found)

    def merge(self, other: ClassHistograms) -> ClassHistograms:
        """Return the histograms of both parts; the order of merging makes no difference."""
        empty = ConfidenceHistogram.empty()
        names = sorted({*self.pools, *other.pools})
        return ClassHistograms({n: self.pools.get(n, empty).merge(other.pools.get(n, empty)) for n in names})


def certify_by_class(
    confidence: ConfidenceArray,
    correct: BoolArray,
    *,
    predicted: NDArray[np.integer],
    pools: Mapping[int, ConfidenceHistogram],
    max_error: float,
    alpha: float,
    promise: str,
) -> dict[int, Certificate | Withheld]:
    """Certify the labels of each predicted class, with confidence 1 - alpha that all certificates hold.

    A uniform audit of the pool is a uniform audit of the items of each predicted class. Alpha is divided evenly among
    the classes that are tried (Bonferroni): as many as can be with enough audited items each to prove the promise by if
    none of them is wrong. That is decided by their numbers, before any right or wrong is looked at.

    Args:
        confidence: (n,) of the audited items.
        correct: (n,) bool.
        predicted: (n,) classes of the audited items, each with a pool.
        pools: the pool's items by predicted class, as `certify` takes them; a class without items may be left out.
        max_error: the error rate to promise of every class.
        alpha: the chance that any of the promises may be broken.
        promise: "auto" or "whole": of the class's auto-labels, or of all items predicted to be of the class.

    Returns:
        For each class of `pools`, in its order, a certificate (its `alpha` is the class's share) or why there is none.

    Raises:
        ValueError: lengths differ, an audited item of a class without a pool, or what `certify` refuses.
        UnknownName: no such promise.
    """
    check_open_unit("max_error", max_error)
    check_open_unit("alpha", alpha)
    if predicted.shape != confidence.shape:
        raise ValueError(f"predicted: got shape {predicted.shape}, expected {confidence.shape}, one per confidence")
    unknown = np.setdiff1d(predicted, np.array(list(pools), np.int64))
    if unknown.size:
        raise ValueError(f"predicted: got class {unknown[0]}, expected one of the {len(pools)} classes with a pool")
    num_audited = {name: int((predicted == name).sum()) for name in pools}
    ranked = sorted(pools, key=lambda name: -num_audited[name])
    num_tried = 0
    while num_tried < len(ranked):
        if num_audited[ranked[num_tried]] < smallest_audit(max_error, alpha / (num_tried + 1)):
            break
        num_tried += 1
    found: dict[int, Certificate | Withheld] = {}
    for name, pool in pools.items():
        chosen = predicted == name
        if name in ranked[:num_tried]:
            share = alpha / num_tried
            found[name] = certify(
                confidence[chosen], correct[chosen], max_error=max_error, alpha=share, promise=promise, pool=pool
            )
            continue
        share = alpha / (num_tried + 1)
        least = smallest_audit(max_error, share)
        reason = (
            f"{num_audited[name]:,} audited items are predicted to be of this class, and beside {num_tried} other"
            f" classes a certificate takes {least:,} at least"
        )
        needed = estimate_needed(
            confidence[chosen],
            correct[chosen],
            max_error=max_error,
            alpha=share,
            promise=promise,
            num_pool=pool.num_items,
        )
        found[name] = Withheld(reason, needed, max_error, share, promise, num_audited[name])
    return found


def sentence_by_class(verdicts: Mapping[str, Certificate | Withheld], *, alpha: float, num_looks: int = 1) -> str:
    """Say certificates by class in plain English.

    Args:
        verdicts: of each class by its name, as `certify_by_class` found them with `alpha`.
        alpha: the chance that any of the promises may be broken.
        num_looks: as in `Certificate.sentence`.
    """
    kept = {name: found for name, found in verdicts.items() if isinstance(found, Certificate)}
    asked = next(iter(verdicts.values()))
    missed = [name for name in verdicts if name not in kept]
    share, sure = percent(asked.max_error), confidence_in_words(alpha, num_looks)
    of_what = "labels of each" if asked.promise == "auto" else "items taken for each"
    if not kept:
        return f"No certificate by class that at most {share} of the {of_what} are wrong (confidence {sure}): see each."
    listed = ", ".join(f"{name} ({found.num_auto:,})" for name, found in kept.items())
    said = f"With confidence {sure} for all of them together, at most {share} of the {of_what} of"
    said += f" {len(kept)} of {len(verdicts)} classes are wrong: {listed} labels."
    return said + (f" Not certified: {', '.join(missed)}." if missed else "")
