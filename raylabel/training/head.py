"""Fit a linear head on the stored embeddings of the answered items, in an actor that is kept for the whole run."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from raylabel import runtime, schema
from raylabel.acceptance import Agreement, agreement, find_label_errors, softmax
from raylabel.campaign import Campaign, EncoderRef, Pieces, folder, training_answers
from raylabel.errors import RaylabelError
from raylabel.progress import counted, say
from raylabel.training.votes import Voted
from raylabel.training.weak import Labeled, Weak, fit_weak, sample
from raylabel.workspace import Part, Record, write_part

if TYPE_CHECKING:
    from raylabel.models.heads import CrossFit, Head  # SciPy and scikit-learn are not for every worker


class HeadTrainer:
    """Handle of the kept actor; it is started when the first head is fitted."""

    def __init__(self) -> None:
        self._kept: runtime.Kept | None = None

    def fit(self, campaign: Campaign, number: int, work: tuple[EncoderRef, Pieces, pa.Table, Weak | None]) -> Record:
        """Fit one head in the actor."""
        if self._kept is None:
            self._kept = runtime.Kept(HeadActor, campaign)
        record: Record = self._kept.call("fit", number, *work)
        return record

    def close(self) -> None:
        """End the actor, if it was started."""
        if self._kept is not None:
            self._kept.close()


def train(
    campaign: Campaign,
    number: int,
    trainer: HeadTrainer,
    *,
    ref: EncoderRef,
    pieces: Pieces,
    answered: pa.Table,
    voted: Voted | None = None,
) -> Record:
    """Fit the head of a round on all training answers so far; once.

    Args:
        campaign: whose answers.
        number: the round.
        trainer: the kept actor.
        ref: the backbone of the embeddings.
        pieces: its embeddings.
        answered: rows of schema.RESOLVED up to this round; audit answers in it are left alone.
        voted: labeling functions' votes; None where there are none.

    Returns:
        Its record: facts head (file name), accuracy (cross-fitted; None where all answers name one class: such a head
        says that class of everything), agreement (of people with the held-out head; None likewise), num_answers,
        num_seen_classes, unseen (classes without an answer), confidence (which kind it got, and why not the one asked
        for: too few answers could be held out), weak (None without votes; else what `fit_weak` says of the functions,
        and how held-out answers weighed their labels, as `Weighed`). Parts "held_out": columns of schema.HELD_OUT;
        "doubts": answers that are likely wrong, schema.DOUBTS.

    Raises:
        RaylabelError: no answer names a class.
    """

    def fit() -> Record:
        # Whoever was asked about an item has spoken, even "cannot tell": its weak label is no longer wanted.
        weak = sample(campaign, voted, answered.column("row").to_numpy()) if voted else None
        record = trainer.fit(campaign, number, (ref, pieces, training_answers(answered), weak))
        unseen, accuracy = ", ".join(record.facts["unseen"]), record.facts["accuracy"]
        judged = "all of one class: not judged" if accuracy is None else f"{accuracy:.1%} right on answers held out"
        say(
            f"round {number} · train: {record.facts['num_answers']} answers, {judged}"
            + (f"; no answer names {unseen} yet, so the model cannot" if unseen else "")
        )
        if (found := record.facts["weak"]) is not None:
            taken = f"taken with the weight {found['weight']:g}" if found["weight"] else "left out"
            say(f"round {number} · train: weak labels of {counted(found['num_items'], 'item')} are {taken}")
        if reason := record.facts["confidence"]["reason"]:
            say(f"round {number} · train: confidence is the softmax's, as {reason}")
        return record

    return campaign.records.once(f"{folder(number)}/model", fit)


class HeadActor:
    """Keeps the embeddings of answered items between rounds, so that each is read once."""

    def __init__(self, campaign: Campaign) -> None:
        self._campaign = campaign
        self._digest = ""
        self._embeddings: dict[int, np.ndarray[Any, Any]] = {}

    def fit(self, number: int, ref: EncoderRef, pieces: Pieces, answered: pa.Table, weak: Weak | None = None) -> Record:
        """Fit a head on answered training items, beside what weak labels say, and write it."""
        from raylabel.models.confidence import fit_confidence
        from raylabel.models.heads import fit_head

        campaign, rows = self._campaign, answered.column("row").to_numpy()
        self._read(ref, pieces, rows if weak is None else np.union1d(rows, weak.rows))
        # An item whose image could not be read under a new backbone has an answer but no embedding.
        readable = [row in self._embeddings for row in answered.column("row").to_pylist()]
        usable = answered.filter(pa.array(readable, pa.bool_()))
        if usable.num_rows == 0:
            raise RaylabelError(f"round {number}: no training answer names a class; answer some of the shortlist")
        usable = usable.sort_by("id")
        label_index = usable.column("label_index").to_numpy()
        embeddings = np.stack([self._embeddings[row] for row in usable.column("row").to_pylist()])
        num_classes = len(campaign.config.classes)
        seed = campaign.seed("folds", number)
        unseen = ~np.isin(usable.column("row").to_numpy(), ref.seen)
        labeled = self._label(weak, usable)
        prior = labeled.prior if labeled else None
        head, cross = fit_head(embeddings, label_index, num_classes=num_classes, seed=seed, fair=unseen, prior=prior)
        asked = campaign.config.acceptance.confidence
        fitted = fit_confidence(asked, head, cross, embeddings=embeddings, label_index=label_index)
        data = head.to_bytes(fitted.confidence.arrays())
        # Of an answer whose class its fold had not seen, the head can say nothing.
        doubts, agreed = _compare(usable, embeddings, softmax(cross.logits, head.temperature), fair=cross.judged)
        digest = hashlib.sha256(data).hexdigest()[:16]
        name = f"{folder(number)}/head-{digest}.safetensors"
        campaign.store.write(name, data)
        return Record(
            parts={
                "held_out": self._held_out(number, usable, cross, fitted.held_out, fair=unseen),
                "doubts": [write_part(campaign.store, f"{folder(number)}/doubts", doubts)],
            },
            facts={
                "head": name,
                "model": f"{ref.digest}/{digest}",
                "backbone": ref.digest,
                "confidence": {"asked": asked, "used": fitted.used, "reason": fitted.reason},
                "agreement": agreed.to_dict(campaign.config.classes) if agreed else None,
                "num_judged": int(unseen.sum()),
                **_told(campaign.config.classes, label_index, head, cross),
                "weak": {**labeled.facts, **_weighed(cross)} if labeled else None,
            },
        )

    def _label(self, weak: Weak | None, usable: pa.Table) -> Labeled | None:
        if weak is None:
            return None
        num_classes = len(self._campaign.config.classes)
        return fit_weak(self._campaign.store, weak, self._embeddings, known=usable, num_classes=num_classes)

    def _held_out(
        self,
        number: int,
        usable: pa.Table,
        cross: CrossFit,
        confidence: np.ndarray[Any, Any],
        *,
        fair: np.ndarray[Any, Any],
    ) -> list[Part]:
        """Write what was held out: nothing where all answers name one class, which tells nothing."""
        if cross.accuracy is None or not fair.any():
            return []
        predicted = cross.logits.argmax(axis=1)
        columns = {
            "row": usable.column("row"),
            "confidence": confidence.astype(np.float32),
            "correct": predicted == usable.column("label_index").to_numpy(),
        }
        table = pa.table(columns, schema=schema.HELD_OUT).filter(pa.array(fair))
        return [write_part(self._campaign.store, f"{folder(number)}/held-out", table)]

    def _read(self, ref: EncoderRef, pieces: Pieces, rows: np.ndarray[Any, Any]) -> None:
        from raylabel.workspace.vectors import embeddings_of, gather_rows

        if ref.digest != self._digest:
            self._digest, self._embeddings = ref.digest, {}
        wanted = np.array([row for row in rows.tolist() if row not in self._embeddings], dtype=np.int64)
        table = gather_rows(self._campaign.store, pieces.holding(wanted))
        if table is not None:
            self._embeddings.update(zip(table.column("row").to_pylist(), embeddings_of(table), strict=True))


def _told(
    classes: Sequence[str], label_index: np.ndarray[Any, np.dtype[np.int32]], head: Head, cross: CrossFit
) -> dict[str, Any]:
    """Facts of a fit and of the answers that it was fitted on."""
    counts = np.bincount(label_index, minlength=len(classes))
    return {
        "accuracy": cross.accuracy,
        "penalty": cross.penalty,
        "temperature": head.temperature,
        "num_answers": len(label_index),
        "answers_by_class": counts.tolist(),
        "num_seen_classes": int((counts > 0).sum()),
        "unseen": [name for name, num in zip(classes, counts, strict=True) if num == 0],
    }


def _weighed(cross: CrossFit) -> dict[str, float | None]:
    """How weak labels were weighed: not at all where no answer could be held out, or they say nothing."""
    if cross.weak is None:
        return {"weight": 0.0, "log_loss": None, "gain": None, "standard_error": None}
    return asdict(cross.weak)


def _compare(
    answered: pa.Table,
    embeddings: np.ndarray[Any, Any],
    probabilities: np.ndarray[Any, np.dtype[np.float64]],
    *,
    fair: np.ndarray[Any, np.dtype[np.bool_]],
) -> tuple[pa.Table, Agreement | None]:
    """Training answers that are likely wrong, and how far people agree with the head that was held out from them.

    Args:
        answered: rows of schema.RESOLVED.
        embeddings: (L, D) of them.
        probabilities: (L, K) cross-fitted.
        fair: (L,) which answers may be compared.
    """
    label_index, judged = answered.column("label_index").to_numpy(), np.flatnonzero(fair)
    if len(judged) == 0 or len(np.unique(label_index)) == 1:
        return schema.DOUBTS.empty_table(), None
    said = label_index[judged]
    errors = find_label_errors(probabilities[judged], said, embeddings=embeddings[judged])
    ranked = errors.ranked()
    columns = {
        "row": answered.column("row").take(pa.array(judged[ranked])),
        "id": answered.column("id").take(pa.array(judged[ranked])),
        "label_index": said[ranked],
        "suggested_index": errors.suggested[ranked],
        "score": errors.score[ranked].astype(np.float32),
    }
    machine = probabilities[judged].argmax(axis=1)
    agreed = agreement(said, machine, num_classes=probabilities.shape[1])
    return pa.table(columns, schema=schema.DOUBTS), agreed
