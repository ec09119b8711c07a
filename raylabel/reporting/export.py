"""Labels out of the workspace, into a file that other tools read: the result, or those of a campaign that runs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import csv

from raylabel import schema
from raylabel.campaign import Campaign
from raylabel.errors import ConfigError
from raylabel.reporting.committed import Committed, require_labels
from raylabel.reporting.result import rule_of
from raylabel.workspace import read_part

PROVISIONAL = schema.LABELS.append(pa.field("provisional", pa.bool_()))
"""Columns of labels in between rounds; `provisional` is true in every row: no file of them passes for a result."""


def export_labels(campaign: Campaign, target: Path) -> int:
    """Write the result to a .parquet, .csv or .jsonl file, part by part.

    Returns:
        How many labels were written.

    Raises:
        ConfigError: the name ends in something else, or its folder is not there.
        RaylabelError: the campaign has no result yet.
    """
    check_target(target)
    record = require_labels(campaign)
    return _write(target, schema.LABELS, (read_part(campaign.store, part) for part in record.parts["labels"]))


def export_provisional(campaign: Campaign, newest: Committed, answered: pa.Table, target: Path) -> int:
    """Write the labels that a running campaign would end with, had its newest round been the last; part by part.

    They carry that round's certificate where it has one: each look spends its own share of alpha, so that it holds
    whatever later rounds say. Every row is marked provisional: later answers may change any label.

    Args:
        campaign: that runs.
        newest: its newest round.
        answered: rows of schema.RESOLVED up to that round.
        target: a .parquet, .csv or .jsonl file.

    Returns:
        How many labels were written.

    Raises:
        ConfigError: as `export_labels`.
    """
    check_target(target)
    rule, pieces = rule_of(campaign, newest.last, answered), newest.predictions

    def labeled() -> Iterable[pa.Table]:
        for version in range(pieces.version + 1):
            for part in pieces.added(version).parts:
                found = rule(part, version)
                yield found.append_column(PROVISIONAL.field("provisional"), pa.array([True] * found.num_rows))

    return _write(target, PROVISIONAL, labeled())


def check_target(target: Path) -> None:
    """Refuse a file that no labels can be written to.

    Raises:
        ConfigError: the name ends in something else, or its folder is not there.
    """
    if target.suffix not in (".parquet", ".csv", ".jsonl"):
        raise ConfigError(f"{target}: expected a name that ends in .parquet, .csv or .jsonl")
    if not target.parent.is_dir():
        raise ConfigError(f"{target}: there is no folder {target.parent}; make it or choose another")


def _write(target: Path, columns: pa.Schema, tables: Iterable[pa.Table]) -> int:
    count = 0

    def through(write: Callable[[pa.Table], Any]) -> None:
        nonlocal count
        for table in tables:
            write(table)
            count += table.num_rows

    if target.suffix == ".parquet":
        with pq.ParquetWriter(target, columns, compression="zstd") as writer:
            through(writer.write_table)
    elif target.suffix == ".csv":
        with csv.CSVWriter(target, columns) as writer:
            through(writer.write_table)
    else:
        with target.open("w", encoding="utf-8") as file:
            through(lambda table: file.writelines(json.dumps(r, ensure_ascii=False) + "\n" for r in table.to_pylist()))
    return count
