"""What was asked, by id: in which rounds and what for. Compact, as a shortlist may hold a million items.

Knows shortlists; knows nothing of answers.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from typing import Any

import pyarrow as pa

from raylabel import schema
from raylabel.campaign import Campaign, Rows, folder
from raylabel.errors import AnswersError, RaylabelError
from raylabel.file_names import safe_path, tails, whole_names
from raylabel.labeling.answers import purpose_of
from raylabel.workspace import Record, read_batches, read_parts

CHUNK_ROWS = 16_384
QUESTION = ("row", "id", "position")
"""What of a shortlist leads to questions: neither strategy nor score nor reason."""
MOST_GUESSED = 10_000
"""Of so many items the nearest id is looked for where one is unknown."""


def newest_shortlist(campaign: Campaign) -> tuple[int, pa.Table]:
    """The number of the last round that asked, and its shortlist in order: the columns of `QUESTION`.

    Raises:
        RaylabelError: no round has asked yet.
    """
    number, record = _require_asked(campaign)
    table = read_parts(campaign.store, record.parts["shortlist"], schema=schema.SHORTLIST, columns=QUESTION)
    return number, table.sort_by("position")


def newest_asked(campaign: Campaign, *, after: int = -1) -> tuple[int, Record] | None:
    """The last round that has a shortlist, and its record; None where there is none behind `after`."""
    # The second draw of an audit is asked about after the last round.
    for number in reversed(range(after + 1, campaign.config.budget.rounds + 1)):
        name = f"{folder(number)}/shortlist"
        if campaign.store.exists(f"{name}.json"):
            return number, campaign.records.require(name, missing=f"the shortlist of round {number} is gone")
    return None


def _require_asked(campaign: Campaign) -> tuple[int, Record]:
    found = newest_asked(campaign)
    if found is None:
        raise RaylabelError(f"{campaign.store.root}: no shortlist yet; `raylabel run` writes the first one")
    return found


def rows_of(table: pa.Table) -> Iterator[dict[str, Any]]:
    """The rows of a table, as few at a time as need be."""
    for batch in table.to_batches(max_chunksize=CHUNK_ROWS):
        yield from batch.to_pylist()


class AskedItems:
    """The items of all rounds so far.

    Args:
        campaign: whose shortlists.
        audit: rows of all audit draws.

    Cost: 200 bytes an item.
    """

    def __init__(self, campaign: Campaign, audit: Rows) -> None:
        self.position: dict[str, int] = {}
        """Of each id, in the order of asking."""
        self._code = array("H")
        self._asked: list[dict[int, str]] = []
        # What files may be called, and the id that each means; None stands for several.
        self._equal: dict[str, str | None] | None = None
        self._ends: dict[str, str | None] | None = None
        audited, codes = set(audit.tolist()), dict[tuple[int, int, str], int]()
        for number in range(_require_asked(campaign)[0] + 1):
            record = campaign.records.find(f"{folder(number)}/shortlist")
            for part in record.parts["shortlist"] if record else ():
                wanted = ["row", "id", "strategy"]
                for batch in read_batches(campaign.store, part, columns=wanted, batch_rows=CHUNK_ROWS):
                    for item in batch.to_pylist():
                        self._add(item["id"], number, purpose_of(item, audited), codes)

    def _add(self, name: str, number: int, purpose: str, codes: dict[tuple[int, int, str], int]) -> None:
        position = self.position.setdefault(name, len(self._code))
        before = self._code[position] if position < len(self._code) else -1
        key = (before, number, purpose)
        if key not in codes:
            codes[key] = len(self._asked)
            self._asked.append((self._asked[before] if before >= 0 else {}) | {number: purpose})
        if before < 0:
            self._code.append(codes[key])
        else:
            self._code[position] = codes[key]

    def rounds_of(self, name: str, *, where: str) -> dict[int, str]:
        """The rounds that asked about an item, in order, and what for.

        Raises:
            AnswersError: none did.
        """
        position = self.position.get(name)
        if position is None:
            raise AnswersError(f"{where}: unknown id {name!r}: no round has asked about it{self._hint(name)}")
        return self._asked[self._code[position]]

    def id_of(self, file: str, *, where: str) -> str:
        """The id of an item by the name of its file, compared by whole parts of the paths.

        A name leads to the id that it equals, with or without the suffix of either's last part; else to the one id that
        ends in it, so that a name without folders is looked up alone; else to the longest id that it ends in. Paths of
        which neither ends in the other are of different items, whatever their last parts. Ids go by what they are and
        by what `safe_path` makes of them.

        Raises:
            AnswersError: no item that was asked about goes by it, or several do.

        Cost: the first call makes an index, 0.5 kB an item.
        """
        if file in self.position:
            return file
        if self._equal is None or self._ends is None:
            self._equal, self._ends = {}, {}
            for name in self.position:
                for path in {name, safe_path(name)}:
                    _enter(self._equal, whole_names(path), name)
                    _enter(self._ends, tails(path), name)
        plain = "/".join(part for part in file.split("/") if part not in ("", "."))
        for known in (*whole_names(file), *whole_names(plain)):
            if known in self._equal:
                return _only(self._equal[known], file, where=where)
        if plain in self._ends:
            return _only(self._ends[plain], file, where=where)
        for known in tails(plain):
            if known in self.position:
                return known
            # Another suffix is another file, unless the whole names are equal.
            if known in self._equal and safe_path(found := _only(self._equal[known], file, where=where)) == known:
                return found
        raise AnswersError(f"{where}: no item that was asked about goes by {file!r}{self._hint(file)}")

    def _hint(self, name: str) -> str:
        near = get_close_matches(name, self.position, n=1, cutoff=0.5) if len(self.position) < MOST_GUESSED else ()
        return f"; did you mean {near[0]}?" if near else ""


def _enter(names: dict[str, str | None], called: Iterable[str], name: str) -> None:
    for known in called:
        names[known] = name if names.get(known, name) == name else None


def _only(found: str | None, file: str, *, where: str) -> str:
    if found is None:
        raise AnswersError(f"{where}: {file!r} may be several of the items that were asked about; keep ids")
    return found
