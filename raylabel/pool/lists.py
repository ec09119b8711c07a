"""Lists of URIs: CSV, JSONL or Parquet that says where each image lies, copied shard by shard as it is streamed.

Nothing that a list names is looked at here; what is not there shows when it is read.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from posixpath import normpath
from typing import Any

import pyarrow as pa

from raylabel import schema
from raylabel.config import Pool
from raylabel.errors import PoolError, StorageError
from raylabel.pool.listing import PARQUET_SUFFIXES, Found, cut
from raylabel.pool.objects import open_planned
from raylabel.pool.parquet import open_parquet, parquet_failures
from raylabel.pool.shards import Shard, ShardUnreadable
from raylabel.workspace import Part, Store, read_part, write_part
from raylabel.workspace.store import failures

SCHEMES = ("s3", "http", "https", "file")

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_NO_TEXT = re.compile("[\0\ud800-\udfff]")
"""NUL, and the half characters that JSON can write: no file is named so, and no table takes them."""

_Placed = Iterator[tuple[str, dict[str, Any]]]
"""Rows of a list, each with its place for messages."""

_Row = tuple[str, str, str | None, int | None, str | None]
"""As `schema.URIS` has it."""


def locate(root: str, uri: str) -> str:
    """Where a URI of a list leads: a relative one starts at the list's own folder, on a disk and in S3 alike."""
    if uri.startswith("/") or _SCHEME.match(uri):
        return uri
    # An object store takes . and .. for names.
    dotted = {".", ".."} & set(uri.split("/"))
    if not dotted:
        return f"{root}/{uri}"
    scheme, mark, path = root.rpartition("://")
    return f"{scheme}{mark}{normpath(f'{path}/{uri}')}"


@dataclass(frozen=True)
class CutList:
    """Copy one list, or what was added to one, into shards, in a task.

    Raises:
        PoolError: the list cannot be read, lacks a column, or has a row that cannot be used; names the place.
        StorageError: a store failed.
    """

    root: str
    pool: Pool
    store: Store
    labels_needed: bool
    rows_per_shard: int

    def __call__(self, work: tuple[Found, Sequence[Shard]]) -> tuple[Shard, ...]:
        """Shards of consecutive rows of a list, behind the shards of it that are known and must still be as they were.

        Index and first row count from where the known ones end.
        """
        found, known = work
        where = f"{self.root}/{found.path}"
        try:
            rows = self._rows(where, found)
            count = self._pass_known(where, rows, known)
            shards = cut(found, rows, self.rows_per_shard, write=self._write)
            return tuple(replace(shard, first_file_row=count + shard.first_file_row) for shard in shards)
        except ShardUnreadable as error:
            raise PoolError(f"{where}: the list cannot be read ({error.code}: {error.message}); repair it") from error
        except UnicodeDecodeError as error:
            raise PoolError(f"{where}: not UTF-8 ({error.reason}, byte {error.object[error.start]:#x})") from error
        except failures() as error:
            raise StorageError(f"{where}: could not be read ({error}); run the same command again") from error

    def _pass_known(self, where: str, rows: Iterator[_Row], known: Sequence[Shard]) -> int:
        """Read on to behind the rows of known shards; how many these are."""
        count = 0
        for shard in known:
            assert shard.listing is not None, "a list's shard has a listing"
            for before in read_part(self.store, shard.listing).to_pylist():
                if next(rows, None) != tuple(before.values()):
                    raise PoolError(
                        f"{where}: item {before['id']!r} no longer stands there as it did when the pool was planned; "
                        "a list grows at its end: put back what was there, or begin another workspace"
                    )
                count += 1
        return count

    def _write(self, rows: list[_Row]) -> Part:
        columns = dict(zip(schema.URIS.names, zip(*rows, strict=True), strict=True))
        return write_part(self.store, "pool/uris", pa.table(columns, schema=schema.URIS))

    def _rows(self, where: str, found: Found) -> Iterator[_Row]:
        for place, row in self._placed(where, found):
            uri = self._text(where, place, row, self.pool.uri_column)
            scheme = _SCHEME.match(uri)
            if scheme and scheme[1] not in SCHEMES:
                raise PoolError(
                    f"{where}, {place}: nothing here serves {uri!r}; give local paths, s3:// or http(s):// URIs"
                )
            name = uri if self.pool.id_column is None else self._text(where, place, row, self.pool.id_column)
            label = self._label(where, place, row)
            named = (label, None) if isinstance(label, str) else (None, label)
            yield name, uri, *named, self._metadata(row)

    def _metadata(self, row: dict[str, Any]) -> str | None:
        wanted = self.pool.metadata_columns
        return json.dumps({name: row.get(name) for name in wanted}, default=str) if wanted else None

    def _label(self, where: str, place: str, row: dict[str, Any]) -> str | int | None:
        label = None if self.pool.label_column is None else row.get(self.pool.label_column)
        if label is None or label == "":
            return None
        by_name = isinstance(label, str) and not _NO_TEXT.search(label)
        by_index = isinstance(label, int) and not isinstance(label, bool) and label.bit_length() < 64
        if by_name or by_index:
            return label  # type: ignore[no-any-return]  # one of the two
        raise PoolError(f"{where}, {place}: the label {label!r} is neither a class's name nor its index; correct it")

    def _placed(self, where: str, found: Found) -> _Placed:
        if found.path.lower().endswith(PARQUET_SUFFIXES):
            with open_parquet(where, etag=found.etag) as file, parquet_failures(where):
                self._check_columns(where, file.schema_arrow.names)
                yield from _parquet_rows(file, [name for name in self._columns() if name in file.schema_arrow.names])
            return
        with open_planned(where, etag=found.etag) as handle:
            if found.path.lower().endswith(".jsonl"):
                yield from _jsonl_rows(io.TextIOWrapper(handle, "utf-8-sig"), where)
                return
            rows = _csv_rows(io.TextIOWrapper(handle, "utf-8-sig", newline=""), where)
            _, header = next(rows, ("", {}))
            self._check_columns(where, list(header))
            yield from rows

    def _columns(self) -> list[str]:
        pool = self.pool
        names = (pool.uri_column, pool.id_column, pool.label_column, *pool.metadata_columns)
        return list(dict.fromkeys(name for name in names if name is not None))

    def _check_columns(self, where: str, names: list[str]) -> None:
        for name in self._columns():
            optional = name == self.pool.label_column and not self.labels_needed
            if name not in names and not optional:
                raise PoolError(
                    f"{where}: has no column {name!r}, only {', '.join(names) or 'none'}; "
                    "correct the list, or say in [pool] what its columns are called"
                )

    def _text(self, where: str, place: str, row: dict[str, Any], column: str) -> str:
        value = row.get(column)
        text = str(value) if isinstance(value, (str, int)) else ""
        if not text or _NO_TEXT.search(text):
            raise PoolError(f"{where}, {place}: {column!r} is {value!r}; every row needs it, as text: correct it")
        return text


def _csv_rows(text: Iterable[str], where: str) -> _Placed:
    """Rows of a CSV; the first of them is the header once more, so that it can be looked at."""
    reader = csv.reader(text, strict=True)
    header: list[str] = []
    try:
        for values in reader:
            if not header and len(set(values)) < len(values):
                raise PoolError(f"{where}: two of its columns have the same name ({', '.join(values)}); rename one")
            header = header or values
            if len(values) not in (0, len(header)):
                raise PoolError(
                    f"{where}, line {reader.line_num}: {len(values)} values for {len(header)} columns; "
                    "put values that hold a comma into quotes"
                )
            if values:
                yield f"line {reader.line_num}", dict(zip(header, values, strict=True))
    except csv.Error as error:
        raise PoolError(f"{where}, line {reader.line_num}: not CSV ({error}); correct it") from error


def _jsonl_rows(text: Iterable[str], where: str) -> _Placed:
    for number, line in enumerate(text, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise PoolError(f"{where}, line {number}: not JSON ({error}); every line is an object") from error
        if not isinstance(row, dict):
            raise PoolError(f"{where}, line {number}: {type(row).__name__}, expected an object with a URI in it")
        yield f"line {number}", row


def _parquet_rows(file: Any, columns: list[str]) -> _Placed:
    number = 0
    for batch in file.iter_batches(columns=columns):
        for row in batch.to_pylist():
            yield f"row {number}", row
            number += 1
