"""The result: one label for every readable item, with its source, calibrated confidence, model and certificate."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import csv

from raylabel import runtime, schema
from raylabel.acceptance import Certificate, MonotoneCalibration
from raylabel.campaign import Campaign, Pieces, folder
from raylabel.errors import ConfigError
from raylabel.reporting.accept import verdict_of, view_audit
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
    """Write the labels of the whole readable pool; once.

    People's answers stand as they are. Items whose confidence reaches the certificate's threshold are labeled by
    machine; all others, and all of them without a certificate, are undecided ("none"). `confidence` is calibrated
    on the audit sample, monotonically and after certifying, so that it changes no decision.

    Returns:
        Its record: part "labels", facts num_human, num_auto and num_undecided.
    """
    record = campaign.records.once("labels/labels", lambda: _write(campaign, last, answered))
    # A run that was killed while it wrote left files that no record names; readers of the folder must not see them.
    named = {part.name.rsplit("/", 1)[-1] for part in record.parts["labels"]}
    for name in campaign.store.list("labels"):
        if name.endswith(".parquet") and name not in named:
            campaign.store.remove(f"labels/{name}")
    return record


def _write(campaign: Campaign, last: Last, answered: pa.Table) -> Record:
    verdict = verdict_of(last.verdict)
    view = view_audit(campaign, last.predictions, answered)
    calibration = MonotoneCalibration.fit(view.confidence, view.correct) if len(view.correct) else None
    people = dict(zip(answered.column("row").to_pylist(), answered.column("label_index").to_pylist(), strict=True))
    threshold = verdict.threshold if isinstance(verdict, Certificate) else None
    work = _Label(campaign, last.number, last.model, people, threshold, calibration)
    results = list(runtime.map_tasks(work, last.predictions.parts))
    counts = sum((counted for _, counted in results), Counter[str]())
    facts = {"num_human": counts["human"], "num_auto": counts["auto"], "num_undecided": counts["none"]}
    if isinstance(verdict, Certificate):
        assert facts["num_auto"] == verdict.num_auto, "the certificate counted exactly the items that are accepted"
    return Record(facts=facts, parts={"labels": [part for part, _ in results]})


@dataclass(frozen=True)
class _Label:
    """Label the items of one prediction part, in a task."""

    campaign: Campaign
    number: int
    model: str
    people: dict[int, int]
    threshold: float | None
    calibration: MonotoneCalibration | None

    def __call__(self, part: Part) -> tuple[Part, Counter[str]]:
        store, classes = self.campaign.store, np.array(self.campaign.config.classes, dtype=object)
        table = read_part(store, part, columns=["row", "id", "label_index", "confidence"])
        rows, index = table.column("row").to_pylist(), table.column("label_index").to_numpy().copy()
        confidence = table.column("confidence").to_numpy()
        source = np.full(len(rows), "none", dtype=object)
        if self.threshold is not None:
            source[confidence >= np.float32(self.threshold)] = "auto"
        for position, row in enumerate(rows):
            if row in self.people:
                index[position] = self.people[row]
                source[position] = "human" if index[position] >= 0 else "none"
        none, human = source == "none", source == "human"
        calibrated = self.calibration.apply(confidence) if self.calibration else confidence
        count = len(rows)
        columns: dict[str, Any] = {
            "id": table.column("id"),
            "label": pa.array(np.where(none, None, classes[np.maximum(index, 0)]), pa.string(), mask=none),
            "label_index": pa.array(index, pa.int32(), mask=none),
            "source": source.tolist(),
            "confidence": pa.array(calibrated, pa.float32(), mask=human),
            "round": np.full(count, self.number, dtype=np.int32),
            "model": pa.array([self.model] * count, pa.string(), mask=human),
            "certificate": pa.array([f"{folder(self.number)}/verdict"] * count, pa.string(), mask=source != "auto"),
        }
        found = pa.table(columns, schema=schema.LABELS)
        return write_part(store, "labels/labels", found), Counter(source.tolist())


def export_labels(campaign: Campaign, target: Path) -> int:
    """Write the result to a .parquet, .csv or .jsonl file, part by part.

    Returns:
        How many labels were written.

    Raises:
        ConfigError: the name ends in something else, or its folder is not there.
        RaylabelError: the campaign has no result yet.
    """
    if target.suffix not in (".parquet", ".csv", ".jsonl"):
        raise ConfigError(f"{target}: expected a name that ends in .parquet, .csv or .jsonl")
    if not target.parent.is_dir():
        raise ConfigError(f"{target}: there is no folder {target.parent}; make it or choose another")
    record = campaign.records.require("labels/labels", missing="no result yet; `raylabel run` goes on to it")
    tables = (read_part(campaign.store, part) for part in record.parts["labels"])
    if target.suffix == ".parquet":
        with pq.ParquetWriter(target, schema.LABELS, compression="zstd") as writer:
            for table in tables:
                writer.write_table(table)
    elif target.suffix == ".csv":
        with csv.CSVWriter(target, schema.LABELS) as writer:
            for table in tables:
                writer.write_table(table)
    else:
        with target.open("w", encoding="utf-8") as file:
            for table in tables:
                file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in table.to_pylist())
    return sum(part.rows for part in record.parts["labels"])
