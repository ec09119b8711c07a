"""Take answers from a file: all or none, taking it twice changes nothing, and a million of them in little memory.

The file is read once, row by row: what is checked waits in a file of its own. What rows say of each other is compared
in arrays of numbers, and what is new is written part by part and becomes answers by one record of its round.
"""

from __future__ import annotations

import hashlib
import tempfile
from array import array
from collections.abc import Iterator
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from raylabel import schema
from raylabel.campaign import Campaign, Rows, find_labels
from raylabel.errors import AnswersError
from raylabel.labeling.answers import Answer, Ledger, commit, index_of
from raylabel.labeling.asked import AskedItems
from raylabel.labeling.readers import Reader, reader_of
from raylabel.labeling.readers.fields import check_fields, round_of, seconds_of, text_of, time_of
from raylabel.labeling.readers.sheet import said_in

BATCH_ROWS = 8_192
CLOCKS_APART = timedelta(days=1)
"""So much later than now an answer may say that it was given."""


def import_answers(campaign: Campaign, source: Path, audit: Rows) -> tuple[int, int, int]:
    """Take the answers of a file or folder, all or none; taking it twice changes nothing.

    A row without a label is a question still open. `kind` may say "skip", "cannot_tell" or "retract" instead of a
    label; `annotator`, `answered_at` (ISO 8601), `seconds`, `comment`, `answer_id` and `round` are taken where they are
    given: of an item that was asked again, rows without a round answer the last one. `file`, the name of an image,
    leads to the item of a row without an `id`, as `AskedItems.id_of` says.

    A process that is killed while it reads or writes has taken nothing of the file. The answers of a round count by
    one record, written once those of all rounds lie there: a kill between two of these records leaves the earlier
    rounds' answers taken and the later rounds' not. Taking the file again adds what is missing.

    Returns:
        How many answers the file holds, how many were new, and how many rows were still open.

    Raises:
        AnswersError: the campaign asks nobody or is done; or names the line and what is wrong with it.

    Cost: 40 microseconds and 60 bytes an answer, 200 bytes for each item that was asked about, 0.5 kB more for each of
    them where rows name files, and 1 kB for each answer that a round of its has already.
    """
    try:
        check_open(campaign)
        reader = reader_of(source)
        with tempfile.TemporaryDirectory() as place:
            intake = _Intake(campaign, source, reader, AskedItems(campaign, audit), Path(place) / "checked.parquet")
            intake.read()
            return intake.num_answers, intake.commit(intake.kept()), intake.num_open
    except AnswersError as error:
        end = "" if str(error).endswith("?") else "."
        raise AnswersError(f"{error}{end} Nothing of it was taken") from error


def check_open(campaign: Campaign) -> None:
    """Refuse answers where nobody is asked, or nobody any more.

    Raises:
        AnswersError: the oracle answers, or the campaign is done.
    """
    root = campaign.store.root
    if campaign.config.labeling.labeler == "oracle":
        do = 'to ask people, set it to "files" in a workspace of its own'
        raise AnswersError(f'{root}: labeling.labeler is "oracle", which answers from the pool; {do}')
    if find_labels(campaign) is not None:
        raise AnswersError(f"{root}: the campaign is done; to ask again, begin another workspace")


class _Intake:
    """The answers of one file.

    Args:
        campaign: that takes them.
        source: the file.
        reader: of it.
        asked: what was asked.
        draft: where what was checked waits.
    """

    def __init__(self, campaign: Campaign, source: Path, reader: Reader, asked: AskedItems, draft: Path) -> None:
        self.campaign, self.source, self.reader, self.asked, self.draft = campaign, source, reader, asked, draft
        self.num_answers = self.num_open = 0
        self._classes = {name: position for position, name in enumerate(campaign.config.classes)}
        self._now = datetime.now(UTC)
        self._codes: dict[str, int] = {}
        # Of each answer: item, annotator, round, what was said, and where it stands; the digest of an id of its own.
        self._item, self._by, self._round = array("i"), array("i"), array("h")
        self._said, self._number, self._own = array("i"), array("i"), bytearray()

    def read(self) -> None:
        """Check every row by itself, and put what is an answer aside."""
        rows: list[dict[str, Any]] = []
        with pq.ParquetWriter(self.draft, schema.ANSWERS) as writer:
            for number, row in self.reader.read(self.source):
                answer = self._answer(row, where=f"{self.source}, {self.reader.unit} {number}")
                if answer is None:
                    self.num_open += 1
                    continue
                self._note(answer, number)
                rows.append(answer)
                if len(rows) == BATCH_ROWS:
                    writer.write_table(pa.Table.from_pylist(rows, schema=schema.ANSWERS))
                    rows.clear()
            writer.write_table(pa.Table.from_pylist(rows, schema=schema.ANSWERS))
        self.num_answers = len(self._number)

    def _answer(self, row: dict[str, Any], *, where: str) -> dict[str, Any] | None:
        """A row of schema.ANSWERS; None where the question is still open."""
        check_fields(row, where=where)
        name = text_of(row.get("id"))
        if not name and "file" in row:
            name = self.asked.id_of(text_of(row["file"]), where=where)
        asked, (kind, label) = self.asked.rounds_of(name, where=where), said_in(row)
        if not kind:
            return None
        if kind not in schema.ANSWER_KINDS:
            raise AnswersError(f"{where}: unknown kind {kind!r}: expected one of {', '.join(schema.ANSWER_KINDS)}")
        if kind == "label":
            index_of(label, self._classes, where=where)
        number = round_of(row.get("round"), asked, where=where)
        given = row.get("answered_at")
        answered_at = time_of(given, where=where) if given else self._now
        if answered_at > self._now + CLOCKS_APART:  # it would stay somebody's last word, whatever they said later
            raise AnswersError(f"{where}: answered_at {text_of(given)!r} is still to come; mend it, or leave it out")
        return {
            "answer_id": text_of(row.get("answer_id")),
            "id": name,
            "kind": kind,
            "label": label or None,
            "annotator": text_of(row.get("annotator")),
            "answered_at": answered_at,
            "seconds": seconds_of(row.get("seconds"), where=where),
            "round": number,
            "purpose": asked[number],
            "source": self.reader.source,
            "comment": text_of(row.get("comment")) or None,
        }

    def _note(self, answer: dict[str, Any], number: int) -> None:
        self._item.append(self.asked.position[answer["id"]])
        self._by.append(self._code(answer["annotator"]))
        self._round.append(answer["round"])
        self._said.append(self._code(f"{answer['kind']} {answer['label'] or ''}".strip()))
        self._number.append(number)
        own = answer["answer_id"]
        self._own += hashlib.blake2b(own.encode(), digest_size=16).digest() if own else bytes(16)

    def _code(self, text: str) -> int:
        return self._codes.setdefault(text, len(self._codes))

    def kept(self) -> NDArray[np.bool_]:
        """Which answers count: of an annotator's for an item and round the last, of those with one id the first.

        Raises:
            AnswersError: two contradict each other, or have one id and say different things.
        """
        item, by, round_, said = (np.frombuffer(a, a.typecode) for a in (self._item, self._by, self._round, self._said))
        own = np.frombuffer(self._own, ">u8").reshape(-1, 2)
        has_own = np.asarray(own.any(axis=1), dtype=np.bool_)
        # One number for each annotator's item and round.
        whose = (item.astype(np.int64) * len(self._codes) + by) * (int(round_.max(initial=0)) + 1) + round_
        first, last = _ends(whose.argsort(kind="stable"), (whose,))
        retract = said == self._codes.get("retract", -1)
        if retract.any():  # taking an answer back and giving another is no contradiction: the first that stands counts
            stands = np.flatnonzero(~retract)
            first[stands] = stands[_ends(whose[stands].argsort(kind="stable"), (whose[stands],))[0]]
        # Where answers have ids of their own, an annotator may have changed an answer: the latest counts, by its time.
        self._refuse(np.flatnonzero((said != said[first]) & ~retract & ~has_own), first, self._contradiction)
        positions = np.arange(len(item))
        earliest = positions
        if has_own.any():
            earliest, _ = _ends(np.lexsort((positions, own[:, 1], own[:, 0])), (own[:, 0], own[:, 1]))
            differs = (item != item[earliest]) | (by != by[earliest]) | (said != said[earliest])
            self._refuse(np.flatnonzero(has_own & differs), earliest, self._same_id)
        # An answer with an id of its own stands beside others; without one the last of an annotator counts.
        kept: NDArray[np.bool_] = np.where(has_own, earliest == positions, self._last_plain(has_own, last))
        return kept

    def _last_plain(self, has_own: NDArray[np.bool_], last: NDArray[np.intp]) -> NDArray[np.bool_]:
        """Which answers without an id are the last of their annotator for their item and round."""
        newest = np.full(len(last), -1)
        plain = np.flatnonzero(~has_own)
        np.maximum.at(newest, last[plain], plain)
        found: NDArray[np.bool_] = newest[last] == np.arange(len(last))
        return found

    def _refuse(self, wrong: NDArray[np.intp], before: NDArray[np.intp], say: Any) -> None:
        if len(wrong):
            say(int(wrong[0]), int(before[wrong[0]]))

    def _contradiction(self, at: int, before: int) -> None:
        [now], texts = self._rows(at), list(self._codes)
        where = f"{self.source}, {self.reader.unit} {self._number[at]}"
        raise AnswersError(
            f"{where}: {now['annotator'] or 'the annotator'} says {texts[self._said[at]]!r} of {now['id']}, but "
            f"{texts[self._said[before]]!r} on {self.reader.unit} {self._number[before]}; keep one of them"
        )

    def _same_id(self, at: int, before: int) -> None:
        [now] = self._rows(at)
        where = f"{self.source}, {self.reader.unit} {self._number[at]}"
        raise AnswersError(
            f"{where}: answer_id {now['answer_id']!r} is that of {self.reader.unit} {self._number[before]}, which says "
            "something else; every answer needs an id of its own"
        )

    def _rows(self, position: int) -> list[dict[str, Any]]:
        table = pq.read_table(self.draft).slice(position, 1)
        found: list[dict[str, Any]] = table.to_pylist()
        return found

    def commit(self, kept: NDArray[np.bool_]) -> int:
        """Write what is new, of all rounds before any of it counts; returns how many answers that are."""
        new, records = 0, []
        for number in sorted(set(self._round)):
            ledger, digest, parts = Ledger(self.campaign, number), hashlib.sha256(), []
            for answers in self._batches(kept & (np.frombuffer(self._round, "h") == number)):
                if fresh := ledger.fresh(answers):
                    digest.update("\n".join(row["answer_id"] for row in fresh).encode())
                    parts.append(ledger.write(fresh))
                    new += len(fresh)
            if parts:
                records.append((number, digest.hexdigest()[:16], parts))
        for number, name, parts in records:
            commit(self.campaign, number, name, parts)
        return new

    def _batches(self, chosen: NDArray[np.bool_]) -> Iterator[list[Answer]]:
        start, names = 0, {field.name for field in fields(Answer)}
        with pq.ParquetFile(self.draft) as file:
            for batch in file.iter_batches(batch_size=BATCH_ROWS):
                rows = batch.filter(pa.array(chosen[start : start + batch.num_rows])).to_pylist()
                start += batch.num_rows
                yield [Answer(**{name: row[name] for name in names}) for row in rows]


def _ends(order: NDArray[np.intp], keys: tuple[NDArray[Any], ...]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """First and last of the rows that are equal in all keys, for each row, by an order that sorts the keys."""
    new = np.ones(len(order), dtype=np.bool_)
    if len(order):
        new[1:] = np.any([key[order][1:] != key[order][:-1] for key in keys], axis=0)
    if new.all():  # as most files are: every row is the first and last of its own
        positions = np.arange(len(order))
        return positions, positions
    group = np.cumsum(new) - 1
    starts = np.flatnonzero(new)
    ends = np.append(starts[1:], len(order)) - 1
    first, last = np.empty_like(order), np.empty_like(order)
    first[order], last[order] = order[starts[group]], order[ends[group]]
    return first, last
