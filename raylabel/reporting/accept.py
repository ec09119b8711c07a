"""Accept machine labels as far as a certificate carries: one look a round, each with its share of alpha."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from raylabel import runtime
from raylabel.acceptance import Certificate, ConfidenceHistogram, Withheld, certify
from raylabel.campaign import Campaign, Pieces, folder
from raylabel.progress import say
from raylabel.reporting.metrics import Confusion, Quality, Reliability, binomial_interval
from raylabel.workspace import Part, Record, read_part
from raylabel.workspace.vectors import gather_rows

Rows = NDArray[np.int64]


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

    Args:
        campaign: its `acceptance` section is the promise.
        number: the round.
        predictions: of the round.
        answered: rows of schema.RESOLVED up to this round.
        audit: rows of the whole audit draw; a readable one without an answer withholds the certificate.
        is_last: whether the loop ends with this round; must not depend on audit answers where looks is "last".

    Returns:
        Its record: facts verdict ("certificate" or "withheld"), the certificate's own fields, its sentence, and
        audit: the quality that the audit sample estimates.
    """
    return campaign.records.once(
        f"{folder(number)}/verdict", lambda: _accept(campaign, number, predictions, answered, audit, is_last)
    )


def _accept(
    campaign: Campaign, number: int, predictions: Pieces, answered: pa.Table, audit: Rows, is_last: bool
) -> Record:
    settings = campaign.config.acceptance
    asked: dict[str, Any] = {
        "max_error": settings.max_error,
        "alpha": campaign.config.alpha_per_look(),
        "promise": settings.promise,
    }
    view = view_audit(campaign, predictions, answered)
    verdict: Certificate | Withheld
    num_unanswered = _readable(campaign, predictions, audit) - len(view.correct)
    if num_unanswered:
        reason = f"{num_unanswered} readable items of the audit sample have no answer"
        verdict = Withheld(reason=reason, num_needed=None, num_audited=len(view.correct), **asked)
        sentence = f"No certificate: {reason}."
    elif settings.looks == "last" and not is_last:
        reason = "the one look at the audit is kept for the end of the loop"
        verdict = Withheld(reason=reason, num_needed=None, num_audited=len(view.correct), **asked)
        sentence = f"No certificate yet: {reason}."
    else:
        human = answered.column("row").to_numpy()
        counted = runtime.fold(_Count(campaign, human), predictions.parts, ConfidenceHistogram.merge)
        verdict = certify(view.confidence, view.correct, pool=counted, **asked)
        sentence = verdict.sentence(num_looks=campaign.config.num_looks())
    say(f"round {number} · accept: {sentence}")
    facts = {
        "verdict": "certificate" if isinstance(verdict, Certificate) else "withheld",
        "details": verdict.to_dict(),
        "sentence": sentence,
        "audit": quality(view, campaign.config.classes),
    }
    return Record(facts=facts)


def verdict_of(record: Record) -> Certificate | Withheld:
    """The certificate, or its refusal, that a round's record holds."""
    kind = Certificate if record.facts["verdict"] == "certificate" else Withheld
    return kind.from_dict(record.facts["details"])


def view_audit(campaign: Campaign, predictions: Pieces, answered: pa.Table) -> AuditView:
    """Put predictions and answers of the audit sample beside each other, in row order."""
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
class _Count:
    """Count the confidences of one prediction part, in a task."""

    campaign: Campaign
    human: NDArray[np.int64]

    def __call__(self, part: Part) -> ConfidenceHistogram:
        table = read_part(self.campaign.store, part, columns=["row", "confidence"])
        human = np.isin(table.column("row").to_numpy(), self.human)
        return ConfidenceHistogram.of(table.column("confidence").to_numpy(), human=human)
