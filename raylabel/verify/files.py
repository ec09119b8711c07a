"""Every record of a workspace, and every data file that one names: there, whole, and as it was written."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from raylabel.campaign import Campaign
from raylabel.errors import FileChanged
from raylabel.reporting.report import REPORT
from raylabel.workspace import Part, Store
from raylabel.workspace.tables import check_part

READERS = 8
"""Files that are read at once; each may lie in memory whole."""

_FIELDS = {"fingerprint", "writer", "facts", "parts"}
_FOREIGN = ("/driver.lease/", "/review.lease/", "/finetune/")
"""Places whose JSON objects are no records: who drives, who serves the review page, and checkpoints of Ray Train."""

_OTHERS = ("campaign.json", REPORT)
"""JSON objects that are no records, and are checked for themselves."""


def check_files(campaign: Campaign) -> tuple[int, list[str]]:
    """Read every record and every part that a record names, and compare fingerprint, sha256 and rows.

    Returns:
        How many data files there are, and what is wrong with records and files, in words.

    Cost: one read of everything that the records name, embeddings included.
    """
    store = campaign.store
    parts: dict[str, Part] = {}
    wrong: list[str] = []
    for name in records_of(store):
        try:
            tree = json.loads(store.read(name))
            if not isinstance(tree, dict) or set(tree) != _FIELDS:
                raise ValueError(f"got {_keys(tree)}, expected {', '.join(sorted(_FIELDS))}")
            named = [Part(**part) for found in tree["parts"].values() for part in found]
        except (ValueError, TypeError, AttributeError) as error:
            wrong.append(f"{store.uri(name)}: is no record any more ({error})")
            continue
        if tree["fingerprint"] != campaign.fingerprint:
            wrong.append(f"{store.uri(name)}: belongs to another campaign, or campaign.json was changed")
        for part in named:
            if parts.setdefault(part.name, part) != part:
                wrong.append(f"{store.uri(name)}: says otherwise of {part.name} than another record")
    with ThreadPoolExecutor(READERS) as readers:
        wrong += [found for found in readers.map(lambda part: _look(store, part), parts.values()) if found]
    return len(parts), wrong


def records_of(store: Store) -> Iterator[str]:
    """Names of the JSON objects of a workspace that must be records, in order."""
    for name in store.walk():
        if name.endswith(".json") and name not in _OTHERS and not any(place in f"/{name}" for place in _FOREIGN):
            yield name


def _look(store: Store, part: Part) -> str:
    try:
        check_part(store, part)
    except FileChanged as error:
        return str(error)
    return ""


def _keys(tree: Any) -> str:
    return ", ".join(sorted(tree)) if isinstance(tree, dict) else f"a {type(tree).__name__}"


def as_kept(tree: Any) -> Any:
    """A tree as JSON gives it back: tuples are lists, keys are texts."""
    return json.loads(json.dumps(tree))
