"""The result: one label for every readable item, with its source, calibrated confidence, model and certificate."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from raylabel import runtime, schema
from raylabel.acceptance import Certificate, MonotoneCalibration
from raylabel.audited import view_audit
from raylabel.campaign import Campaign, Pieces, folder, of_version
from raylabel.reporting.accept import Verdict, verdicts_of
from raylabel.workspace import Part, Record, read_part, write_part


@dataclass(frozen=True)
class Last:
    """The round whose model labels the pool.

    Args:
        number: of the round.
        model: name of its model.
        predictions: of the readable pool.
        verdict: record of its certificate.
    """

    number: int
    model: str
    predictions: Pieces
    verdict: Record


def write_labels(campaign: Campaign, last: Last, answered: pa.Table) -> Record:
    """Write the labels of the whole readable pool; once for each version of its plan, in a folder of its own.

    People's answers stand as they are. Items whose confidence reaches the certificate's threshold are labeled by
    machine; all others, and all of them without a certificate, are undecided ("none"): so are items that came into the
    pool after the last verdict, as no certificate covers them. `confidence` is calibrated
    on the audit sample, monotonically and after certifying, so that it changes no decision.

    Returns:
        Its record: part "labels", facts folder, num_human, num_auto, num_undecided, and num_uncovered: items that no
        verdict covers yet.
    """
    place = of_version("labels", last.predictions.version)
    record = campaign.records.once(f"{place}/labels", lambda: _write(campaign, place, last, answered))
    # A run that was killed while it wrote left files that no record names; readers of the folder must not see them.
    named = {part.name.rsplit("/", 1)[-1] for part in record.parts["labels"]}
    for name in campaign.store.list(place):
        if name.endswith(".parquet") and name not in named:
            campaign.store.remove(f"{place}/{name}")
    return record


def _write(campaign: Campaign, place: str, last: Last, answered: pa.Table) -> Record:
    strata = last.verdict.facts["strata"]
    write = _Write(campaign, place, rule_of(campaign, last, answered))
    counts: Counter[str] = Counter()
    parts: list[Part] = []
    num_uncovered = 0
    for version in range(last.predictions.version + 1):
        stratum = last.predictions.added(version)
        results = list(runtime.map_tasks(write, [(part, version) for part in stratum.parts]))
        found = sum((counted for _, counted in results), Counter[str]())
        if version < len(strata):
            promised = strata[version]["num_auto"]
            assert found["auto"] == promised, "the certificate counted exactly the items that are accepted"
        else:
            num_uncovered += stratum.num_rows
        counts += found
        parts += [part for part, _ in results]
    facts = {"num_human": counts["human"], "num_auto": counts["auto"], "num_undecided": counts["none"]}
    return Record({"folder": place, **facts, "num_uncovered": num_uncovered}, {"labels": parts})


def rule_of(campaign: Campaign, last: Last, answered: pa.Table) -> Rule:
    """Make the rule by which a round's verdict and people's answers label the pool, from files alone."""
    view = view_audit(campaign, last.predictions, answered)
    verdicts = verdicts_of(last.verdict)
    columns = (answered.column(name).to_pylist() for name in ("row", "label_index", "round"))
    return Rule(
        campaign=campaign,
        number=last.number,
        model=last.model,
        thresholds=tuple(_thresholds(found, campaign.config.classes) for found in verdicts),
        by_class=campaign.config.acceptance.by_class,
        people={row: (index, number) for row, index, number in zip(*columns, strict=True)},
        calibration=MonotoneCalibration.fit(view.confidence, view.correct) if len(view.correct) else None,
    )


def _thresholds(verdict: Verdict, classes: tuple[str, ...]) -> NDArray[np.float32]:
    """(K,) the least confidence of an accepted label of each class; infinite where none is accepted."""
    found = verdict if isinstance(verdict, dict) else dict.fromkeys(classes, verdict)
    return np.array([v.threshold if isinstance(v, Certificate) else np.inf for v in found.values()], np.float32)


@dataclass(frozen=True, eq=False)
class Rule:
    """Labels the items of one prediction part; travels to tasks.

    Args:
        campaign: whose predictions and classes.
        number: the round whose model and verdict label.
        model: name of its model.
        thresholds: of each plan version's rows, (K,) of each class, infinite without a certificate.
        by_class: whether each class has a certificate of its own.
        people: label index and round of every row that people answered; -1 where nobody could tell.
        calibration: of the confidence; None without an audit.
    """

    campaign: Campaign
    number: int
    model: str
    thresholds: tuple[NDArray[np.float32], ...]
    by_class: bool
    people: dict[int, tuple[int, int]]
    calibration: MonotoneCalibration | None

    def __call__(self, part: Part, version: int) -> pa.Table:
        """The labels of a part's items, in its order: columns of schema.LABELS.

        A person's label carries the round that asked for it, any other label the round of the model. A certificate goes
        by its record's name, with the number of the plan version behind it where that is not the first, and the name of
        the class where each has its own.
        """
        classes = np.array(self.campaign.config.classes, dtype=object)
        table = read_part(self.campaign.store, part, columns=["row", "id", "label_index", "confidence"])
        rows, index = table.column("row").to_pylist(), table.column("label_index").to_numpy().copy()
        confidence = table.column("confidence").to_numpy()
        source = np.full(len(rows), "none", dtype=object)
        rounds = np.full(len(rows), self.number, dtype=np.int32)
        if version < len(self.thresholds):
            source[confidence >= self.thresholds[version][index]] = "auto"
        for position, row in enumerate(rows):
            if row in self.people:
                index[position], number = self.people[row]
                source[position] = "human" if index[position] >= 0 else "none"
                rounds[position] = number
        none, human = source == "none", source == "human"
        calibrated = self.calibration.apply(confidence) if self.calibration else confidence
        labels = classes[np.maximum(index, 0)]
        certificate = np.full(len(rows), f"{folder(self.number)}/verdict" + (f"#{version}" if version else ""), object)
        if self.by_class:
            certificate = certificate + "/" + labels
        columns: dict[str, Any] = {
            "id": table.column("id"),
            "label": pa.array(labels, pa.string(), mask=none),
            "label_index": pa.array(index, pa.int32(), mask=none),
            "source": source.tolist(),
            "confidence": pa.array(calibrated, pa.float32(), mask=human),
            "round": rounds,
            "model": pa.array([self.model] * len(rows), pa.string(), mask=human),
            "certificate": pa.array(certificate, pa.string(), mask=source != "auto"),
        }
        return pa.table(columns, schema=schema.LABELS)


@dataclass(frozen=True)
class _Write:
    """Write the labels of one prediction part, in a task."""

    campaign: Campaign
    place: str
    rule: Rule

    def __call__(self, work: tuple[Part, int]) -> tuple[Part, Counter[str]]:
        found = self.rule(*work)
        return write_part(self.campaign.store, f"{self.place}/labels", found), Counter(found["source"].to_pylist())
