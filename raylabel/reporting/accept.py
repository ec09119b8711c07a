"""Accept machine labels as far as a certificate carries: one look a round, each with its share of alpha."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from raylabel import runtime
from raylabel.acceptance import (
    Certificate,
    ClassHistograms,
    ConfidenceHistogram,
    Withheld,
    agreement,
    certify,
    certify_by_class,
    sentence_by_class,
)
from raylabel.audited import AuditView, Count, CountByClass, Fold, Stratum, alpha_each, strata_of
from raylabel.campaign import Campaign, Pieces, Rows, folder
from raylabel.progress import say
from raylabel.reporting.metrics import Confusion, Quality, Reliability, binomial_interval
from raylabel.reporting.touched import refuse_touched
from raylabel.workspace import Record

ByClass = dict[str, Certificate | Withheld]
Verdict = Certificate | Withheld | ByClass
"""Of all labels of a stratum together, or of each predicted class by its name."""


def accept(
    campaign: Campaign,
    number: int,
    predictions: Pieces,
    answered: pa.Table,
    *,
    audit: Rows,
    second: pa.Table,
    is_last: bool,
) -> Record:
    """Certify the labels of a round, or say why not; once.

    The audit's answers are compared with the round's predictions, and the confidence of every readable item of the
    pool is counted. Where every round looks, each may spend alpha / rounds, so that the last certificate holds
    although the loop looked every time; where only the last one does, it may spend all of alpha.

    Rows by which the pool has grown are a stratum of their own, with an audit sample and a threshold of their own. A
    look divides what it may spend evenly among the strata whose audit is answered, and where classes are certified
    apart, what a stratum has among its classes.

    Args:
        campaign: its `acceptance` section is the promise.
        number: the round.
        predictions: of the round.
        answered: rows of schema.RESOLVED up to this round.
        audit: rows of the first audit draws; a readable one without an answer withholds the certificate.
        second: rows of schema.AUDIT: what was drawn a second time for this round. Then the certificate rests on these
            alone, as the first draw has said where to draw them.
        is_last: whether the loop ends with this round; must not depend on audit answers where looks is "last".

    Raises:
        RaylabelError: a strategy picked an item of the audit sample, so that the sample is no longer random.

    Returns:
        Its record: facts plan (the plan version that it covers), strata (one for each version's rows: `verdict`,
        "certificate" or "withheld"; `details` of it, or `classes`, verdict and details of each; `sentence`, num_items,
        num_auto, num_audited; and `audit`, the quality that the stratum's first draw estimates), and of all together
        verdict, num_auto, sentence and audit, which is the first one's.
    """

    def make() -> Record:
        refuse_touched(campaign, range(number + 1), audit)
        # What a strategy picked and nobody answered is open: the second draw may well hold it.
        refuse_touched(campaign, range(number + 1, number + 1 + bool(second.num_rows)), second.column("row").to_numpy())
        facts = judge(campaign, predictions, answered, audit=audit, second=second, is_last=is_last, fold=runtime.fold)
        say(f"round {number} · accept: {facts['sentence']}")
        return Record(facts=facts)

    return campaign.records.once(f"{folder(number)}/verdict", make)


def judge(
    campaign: Campaign,
    predictions: Pieces,
    answered: pa.Table,
    *,
    audit: Rows,
    second: pa.Table,
    is_last: bool,
    fold: Fold,
) -> dict[str, Any]:
    """Work out the facts that `accept` records, from files alone; as often as one likes.

    Args:
        campaign: as in `accept`, and so are predictions, answered, audit, second and is_last.
        predictions: of the round.
        answered: of all rounds up to it.
        audit: rows of the first draws.
        second: of the second draws.
        is_last: whether the loop ended with the round.
        fold: runs a function on every part and merges what it returns, as `runtime.fold` does.
    """
    strata = strata_of(campaign, predictions, answered, audit=audit, second=second)
    judge_one = _Judge(
        campaign,
        human=answered.column("row").to_numpy(),
        alpha=alpha_each(campaign, strata),
        may_look=is_last or campaign.config.acceptance.looks == "every",
        alone=len(strata) == 1,
        fold=fold,
    )
    found = [_facts_of(campaign, stratum, judge_one(stratum)) for stratum in strata]
    return {
        "plan": predictions.version,
        "verdict": "certificate" if any(facts["verdict"] == "certificate" for facts in found) else "withheld",
        "num_auto": sum(facts["num_auto"] for facts in found),
        "sentence": _together(campaign, found),
        "audit": found[0]["audit"],
        "strata": found,
    }


@dataclass(frozen=True)
class _Judge:
    """Certifies one stratum, or says why not.

    Args:
        campaign: its `acceptance` section is the promise.
        human: rows that people have answered.
        alpha: what this look may spend on the stratum.
        may_look: whether this round looks at all.
        alone: whether it is the only stratum.
        fold: as in `judge`.
    """

    campaign: Campaign
    human: Rows
    alpha: float
    may_look: bool
    alone: bool
    fold: Fold

    def __call__(self, stratum: Stratum) -> tuple[Verdict, str]:
        settings = self.campaign.config.acceptance
        asked: dict[str, Any] = {"max_error": settings.max_error, "alpha": self.alpha, "promise": settings.promise}
        if stratum.num_missing:
            reason = f"{stratum.num_missing} readable items of the audit sample have no answer"
            return self._withheld(reason, stratum, asked), f"No certificate: {reason}."
        if not self.may_look:
            reason = "the one look at the audit is kept for the end of the loop"
            return self._withheld(reason, stratum, asked), f"No certificate yet: {reason}."
        num_looks = self.campaign.config.num_looks() if self.alone else 1
        if settings.by_class:
            verdicts = self._by_class(stratum, asked)
            return verdicts, sentence_by_class(verdicts, alpha=self.alpha, num_looks=num_looks)
        counted = self.fold(Count(self.campaign, self.human), stratum.pieces.parts, ConfidenceHistogram.merge)
        # A stratum of which nothing can be read is a pool of nothing, not any pool.
        pool = counted if counted is not None else ConfidenceHistogram.empty()
        view, weights = stratum.first, None
        if settings.audit == "targeted":
            view, weights = stratum.second, np.full(len(stratum.second.correct), 1 / stratum.probability)
        verdict = certify(view.confidence, view.correct, pool=pool, weights=weights, **asked)
        return verdict, verdict.sentence(num_looks=num_looks)

    def _by_class(self, stratum: Stratum, asked: dict[str, Any]) -> ByClass:
        counted = self.fold(CountByClass(self.campaign, self.human), stratum.pieces.parts, ClassHistograms.merge)
        view, pools = stratum.first, counted.pools if counted is not None else {}
        found = certify_by_class(view.confidence, view.correct, predicted=view.predicted, pools=pools, **asked)
        none = Withheld("the model takes no item for one of this class", None, num_audited=0, **asked)
        return {name: found.get(index, none) for index, name in enumerate(self.campaign.config.classes)}

    def _withheld(self, reason: str, stratum: Stratum, asked: dict[str, Any]) -> Withheld:
        return Withheld(reason=reason, num_needed=None, num_audited=len(stratum.first.correct), **asked)


def _facts_of(campaign: Campaign, stratum: Stratum, found: tuple[Verdict, str]) -> dict[str, Any]:
    """What is recorded of a stratum, its verdict and its sentence."""
    verdict, sentence = found
    each = verdict if isinstance(verdict, dict) else {"": verdict}
    certified = [one for one in each.values() if isinstance(one, Certificate)]
    return {
        "plan": stratum.pieces.version,
        "num_items": stratum.pieces.num_rows,
        "verdict": "certificate" if certified else "withheld",
        "details": None if isinstance(verdict, dict) else verdict.to_dict(),
        "classes": {name: _kept(one) for name, one in each.items()} if isinstance(verdict, dict) else None,
        "sentence": sentence,
        "num_auto": sum(one.num_auto or 0 for one in certified),
        "num_audited": len(stratum.first.correct) + len(stratum.second.correct),
        "audit": quality(stratum.first, campaign.config.classes),
    }


def _kept(verdict: Certificate | Withheld) -> dict[str, Any]:
    kind = "certificate" if isinstance(verdict, Certificate) else "withheld"
    return {"verdict": kind, "details": verdict.to_dict()}


def _read(kept: dict[str, Any]) -> Certificate | Withheld:
    return (Certificate if kept["verdict"] == "certificate" else Withheld).from_dict(kept["details"])


def _together(campaign: Campaign, strata: list[dict[str, Any]]) -> str:
    """What all strata say; with several, each for its own items, and what holds of all looks at all of them."""
    if len(strata) == 1:
        return str(strata[0]["sentence"])
    said = [f"Of the {strata[0]['num_items']:,} items of the first plan: {strata[0]['sentence']}"]
    said += [f"Of the {s['num_items']:,} items that plan {s['plan']} added: {s['sentence']}" for s in strata[1:]]
    if any(stratum["verdict"] == "certificate" for stratum in strata):
        confidence = 100 * (1 - campaign.config.acceptance.alpha)
        said.append(f"All looks at all of them hold together with confidence {confidence:.4g} %.")
    return " ".join(said)


def verdicts_of(record: Record) -> list[Verdict]:
    """What a round's record holds of each stratum: the certificate or its refusal, or those of all classes by name."""
    return [
        {name: _read(kept) for name, kept in stratum["classes"].items()} if stratum["classes"] else _read(stratum)
        for stratum in record.facts["strata"]
    ]


def quality(view: AuditView, classes: tuple[str, ...]) -> dict[str, Any]:
    """What the audit sample estimates of the whole pool, with 95 % intervals; items nobody could tell are wrong."""
    num = len(view.correct)
    if num == 0:
        return {"num_audited": 0}
    num_wrong = int((~view.correct).sum())
    low, high = binomial_interval(num_wrong, num, alpha=0.05)
    told = view.answered >= 0
    found = _figures(view.answered[told], view.predicted[told], len(classes))
    per_class = {
        name: {
            "precision": float(found.precision[i]),
            "recall": float(found.recall[i]),
            "f1": float(found.f1[i]),
            "num_audited": int(found.support[i]),
        }
        for i, name in enumerate(classes)
    }
    return {
        "num_audited": num,
        "num_unresolved": int((~told).sum()),
        "accuracy": 1 - num_wrong / num,
        "accuracy_interval": [1 - high, 1 - low],
        "macro": {"precision": found.macro_precision, "recall": found.macro_recall, "f1": found.macro_f1},
        "micro": {"precision": found.micro_precision, "recall": found.micro_recall, "f1": found.micro_f1},
        "agreement": agreement(view.answered[told], view.predicted[told], num_classes=len(classes)).to_dict(classes)
        if told.any()
        else None,
        "calibration_error": Reliability.of(view.confidence, view.correct).finish(),
        "per_class": per_class,
    }


def _figures(true: NDArray[np.int32], predicted: NDArray[np.int32], num_classes: int) -> Quality:
    """Quality of items that people could tell; zeros where they could tell none."""
    if len(true) == 0:
        each = (0.0,) * num_classes
        return Quality(each, each, each, (0,) * num_classes, *[0.0] * 7)
    return Confusion.of(true, predicted, num_classes=num_classes).finish()
