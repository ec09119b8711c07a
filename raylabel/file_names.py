"""Names as files can have them, and what a file with such a name may be called.

Knows texts; knows nothing of items or formats.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import PurePosixPath

LONGEST = 200
"""Bytes of a file's name: file systems take 255, and an ending may follow."""

_ROW = re.compile(r"\.row\d+$")
_UNSAFE = re.compile(r'[\x00-\x1f\x7f\\:*?"<>|%#]')


def safe_path(name: str) -> str:
    """A name as a relative path: what a file system refuses or climbs out by is percent-encoded.

    Different names stay different.
    """
    return "/".join(safe_name(part) for part in name.split("/"))


def safe_name(name: str) -> str:
    """A name as that of one file or folder; of a long one the start, and a digest."""
    if name in ("", ".", ".."):
        return "%" + name.replace(".", "2E")
    found = _UNSAFE.sub(lambda match: f"%{ord(match[0]):02X}", name).replace("/", "%2F")
    if len(found.encode()) <= LONGEST:
        return found
    return f"{found.encode()[:100].decode(errors='ignore')}%{hashlib.sha256(name.encode()).hexdigest()[:24]}"


def whole_names(name: str) -> list[str]:
    """What a name is called in full: as it is, without the suffix of its last part, and without the row before that."""
    suffix = PurePosixPath(name).suffix
    bare = name.removesuffix(suffix)
    return list(dict.fromkeys([name, bare, _ROW.sub("", bare)]))


def tails(name: str) -> list[str]:
    """A path with fewer and fewer folders before it, down to its last part."""
    parts = [part for part in name.split("/") if part]
    return ["/".join(parts[start:]) for start in range(1, len(parts))]
