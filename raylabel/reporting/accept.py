"""Accept machine labels as far as a certificate carries: one look a round, each with its share of alpha."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from raylabel import runtime
from raylabel.acceptance import Certificate, ConfidenceHistogram, Withheld, agreement, certify
from raylabel.campaign import Campaign, Pieces, folder
from raylabel.progress import say
from raylabel.reporting.metrics import Confusion, Quality, Reliability, binomial_interval
from raylabel.reporting.touched import refuse_touched
from raylabel.workspace import Part, Record, read_part
from raylabel.workspace.vectors import gather_rows

Rows = NDArray[np.int64]
Counting = Callable[[Part], ConfidenceHistogram]
Merging = Callable[[ConfidenceHistogram, ConfidenceHistogram], ConfidenceHistogram]
Fold = Callable[[Counting, Iterable[Part], Merging], ConfidenceHistogram | None]


@dataclass(frozen=True)
class AuditView:
    """The audit sample as one round's predictions see it.

    Args:
        confidence: (n,) float32 of the predicted class.
        predicted: (n,) int32.
        answered: (n,) int32, -1 where nobody could tell: that counts as wrong.
    """

    confidence: NDArray[np.float32]
    predicted: NDArray[np.int32]
    answered: NDArray[np.int32]

    @property
    def correct(self) -> NDArray[np.bool_]:
        """Whether prediction and people agree."""
        return np.asarray(self.predicted == self.answered, dtype=bool)


def accept(
    campaign: Campaign, number: int, predictions: Pieces, answered: pa.Table, *, audit: Rows, is_last: bool
) -> Record:
    """Certify the labels of a round, or say why not; once.

    The audit's answers are compared with the round's predictions, and the confidence of every readable item of the
    pool is counted. Where every round looks, each may spend alpha / rounds, so that the last certificate holds
    although the loop looked every time; where only the last one does, it may spend all of alpha.

    Rows by which the pool has grown are a stratum of their own, with an audit sample and a threshold of their own. A
    look divides what it may spend evenly among the strata whose audit is answered.

    Args:
        campaign: its `acceptance` section is the promise.
        number: the round.
        predictions: of the round.
        answered: rows of schema.RESOLVED up to this round.
        audit: rows of the whole audit draw; a readable one without an answer withholds the certificate.
        is_last: whether the loop ends with this round; must not depend on audit answers where looks is "last".

    Raises:
        RaylabelError: a strategy picked an item of the audit sample, so that the sample is no longer random.

    Returns:
        Its record: facts plan (the plan version that it covers), strata (one for each version's rows: `verdict`,
        "certificate" or "withheld", with `details` of it, `sentence`, and `audit`, the quality that the stratum's
        audit sample estimates), and of all together verdict, num_auto, sentence and audit, which is the first one's.
    """

    def make() -> Record:
        refuse_touched(campaign, number, audit)
        facts = judge(campaign, predictions, answered, audit=audit, is_last=is_last, fold=runtime.fold)
        say(f"round {number} · accept: {facts['sentence']}")
        return Record(facts=facts)

    return campaign.records.once(f"{folder(number)}/verdict", make)


def judge(
    campaign: Campaign, predictions: Pieces, answered: pa.Table, *, audit: Rows, is_last: bool, fold: Fold
) -> dict[str, Any]:
    """Work out the facts that `accept` records, from files alone; as often as one likes.

    Args:
        campaign: as in `accept`, and so are predictions, answered, audit and is_last.
        predictions: of the round.
        answered: of all rounds up to it.
        audit: rows of the whole audit draw.
        is_last: whether the loop ended with the round.
        fold: runs a function on every part and merges what it returns, as `runtime.fold` does.
    """
    parts = [predictions.added(version) for version in range(predictions.version + 1)]
    views = [view_audit(campaign, part, answered) for part in parts]
    missing = [_readable(campaign, part, audit) - len(view.correct) for part, view in zip(parts, views, strict=True)]
    # Which strata share depends on who has answered, never on what was said.
    answered_ones = sum(len(view.correct) > 0 and not left for view, left in zip(views, missing, strict=True))
    share = campaign.config.alpha_per_look() / max(answered_ones, 1)
    human = answered.column("row").to_numpy()
    of_stratum = _Judge(campaign, human, share, is_last=is_last, alone=len(parts) == 1, fold=fold)
    strata: list[dict[str, Any]] = []
    for part, view, num_missing in zip(parts, views, missing, strict=True):
        verdict, sentence = of_stratum(part, view, num_missing)
        kind = "certificate" if isinstance(verdict, Certificate) else "withheld"
        found = {"verdict": kind, "details": verdict.to_dict(), "sentence": sentence}
        strata.append({"plan": part.version, "num_items": part.num_rows, **found})
        strata[-1]["audit"] = quality(view, campaign.config.classes)
    return {
        "plan": predictions.version,
        "verdict": "certificate" if any(s["verdict"] == "certificate" for s in strata) else "withheld",
        "num_auto": sum(stratum["details"].get("num_auto", 0) for stratum in strata),
        "sentence": _together(campaign, strata),
        "audit": strata[0]["audit"],
        "strata": strata,
    }


@dataclass(frozen=True)
class _Judge:
    """Certifies one stratum, or says why not.

    Args:
        campaign: its `acceptance` section is the promise.
        human: rows that people have answered.
        alpha: what this look may spend on the stratum.
        is_last: whether the loop ends with this round.
        alone: whether it is the only stratum.
        fold: as in `judge`.
    """

    campaign: Campaign
    human: Rows
    alpha: float
    is_last: bool
    alone: bool
    fold: Fold

    def __call__(self, part: Pieces, view: AuditView, num_missing: int) -> tuple[Certificate | Withheld, str]:
        settings = self.campaign.config.acceptance
        asked: dict[str, Any] = {
            "max_error": settings.max_error,
            "alpha": self.alpha,
            "promise": settings.promise,
        }
        if num_missing:
            reason = f"{num_missing} readable items of the audit sample have no answer"
            return self._withheld(reason, view, asked), f"No certificate: {reason}."
        if settings.looks == "last" and not self.is_last:
            reason = "the one look at the audit is kept for the end of the loop"
            return self._withheld(reason, view, asked), f"No certificate yet: {reason}."
        counted = self.fold(Count(self.campaign, self.human), part.parts, ConfidenceHistogram.merge)
        # A stratum of which nothing can be read is a pool of nothing, not any pool.
        pool = counted if counted is not None else ConfidenceHistogram.empty()
        verdict = certify(view.confidence, view.correct, pool=pool, **asked)
        return verdict, verdict.sentence(num_looks=self.campaign.config.num_looks() if self.alone else 1)

    def _withheld(self, reason: str, view: AuditView, asked: dict[str, Any]) -> Withheld:
        return Withheld(reason=reason, num_needed=None, num_audited=len(view.correct), **asked)


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


def verdicts_of(record: Record) -> list[Certificate | Withheld]:
    """What a round's record holds of each stratum: the certificate, or its refusal."""
    return [
        (Certificate if stratum["verdict"] == "certificate" else Withheld).from_dict(stratum["details"])
        for stratum in record.facts["strata"]
    ]


def view_audit(campaign: Campaign, predictions: Pieces, answered: pa.Table) -> AuditView:
    """Put predictions and answers of the audit items among them beside each other, in row order."""
    audit = answered.filter(pc.equal(answered.column("purpose"), "audit"))
    truth = dict(zip(audit.column("row").to_pylist(), audit.column("label_index").to_pylist(), strict=True))
    table = gather_rows(campaign.store, predictions.holding(audit.column("row").to_numpy()))
    if table is None:
        none = np.empty(0, dtype=np.int32)
        return AuditView(np.empty(0, dtype=np.float32), none, none)
    told = np.array([truth[row] for row in table.column("row").to_pylist()], dtype=np.int32)
    return AuditView(table.column("confidence").to_numpy(), table.column("label_index").to_numpy(), told)


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


def _readable(campaign: Campaign, predictions: Pieces, rows: Rows) -> int:
    """How many of some pool rows have a prediction."""
    table = gather_rows(campaign.store, predictions.holding(rows))
    return 0 if table is None else int(table.num_rows)


@dataclass(frozen=True)
class Count:
    """Count the confidences of one prediction part, in a task."""

    campaign: Campaign
    human: NDArray[np.int64]

    def __call__(self, part: Part) -> ConfidenceHistogram:
        """The histogram of one part."""
        table = read_part(self.campaign.store, part, columns=["row", "confidence"])
        human = np.isin(table.column("row").to_numpy(), self.human)
        return ConfidenceHistogram.of(table.column("confidence").to_numpy(), human=human)
