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
from raylabel.campaign import Campaign, Pieces, find_labels, folder, of_version
from raylabel.errors import ConfigError, RaylabelError
from raylabel.reporting.accept import verdicts_of, view_audit
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
    verdicts = verdicts_of(last.verdict)
    view = view_audit(campaign, last.predictions, answered)
    calibration = MonotoneCalibration.fit(view.confidence, view.correct) if len(view.correct) else None
    people = dict(zip(answered.column("row").to_pylist(), answered.column("label_index").to_pylist(), strict=True))
    label = _Label(campaign, place, last, people, calibration)
    counts: Counter[str] = Counter()
    parts: list[Part] = []
    num_uncovered = 0
    for version in range(last.predictions.version + 1):
        stratum = last.predictions.added(version)
        verdict = verdicts[version] if version < len(verdicts) else None
        threshold = verdict.threshold if isinstance(verdict, Certificate) else None
        results = list(runtime.map_tasks(label, [(part, threshold) for part in stratum.parts]))
        found = sum((counted for _, counted in results), Counter[str]())
        if isinstance(verdict, Certificate):
            assert found["auto"] == verdict.num_auto, "the certificate counted exactly the items that are accepted"
        num_uncovered += stratum.num_rows if verdict is None else 0
        counts += found
        parts += [part for part, _ in results]
    facts = {"num_human": counts["human"], "num_auto": counts["auto"], "num_undecided": counts["none"]}
    return Record({"folder": place, **facts, "num_uncovered": num_uncovered}, {"labels": parts})


@dataclass(frozen=True)
class _Label:
    """Label the items of one prediction part, in a task: those that reach its threshold, if it has one."""

    campaign: Campaign
    place: str
    last: Last
    people: dict[int, int]
    calibration: MonotoneCalibration | None

    def __call__(self, work: tuple[Part, float | None]) -> tuple[Part, Counter[str]]:
        part, threshold = work
        store, classes = self.campaign.store, np.array(self.campaign.config.classes, dtype=object)
        table = read_part(store, part, columns=["row", "id", "label_index", "confidence"])
        rows, index = table.column("row").to_pylist(), table.column("label_index").to_numpy().copy()
        confidence = table.column("confidence").to_numpy()
        source = np.full(len(rows), "none", dtype=object)
        if threshold is not None:
            source[confidence >= np.float32(threshold)] = "auto"
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
            "round": np.full(count, self.last.number, dtype=np.int32),
            "model": pa.array([self.last.model] * count, pa.string(), mask=human),
            "certificate": pa.array(
                [f"{folder(self.last.number)}/verdict"] * count, pa.string(), mask=source != "auto"
            ),
        }
        found = pa.table(columns, schema=schema.LABELS)
        return write_part(store, f"{self.place}/labels", found), Counter(source.tolist())


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
    record = find_labels(campaign)
    if record is None:
        raise RaylabelError(f"{campaign.store.root}: no result yet; `raylabel run` goes on to it")
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
