"""Names as files can have them, and what a file with such a name may be called.

Knows texts; knows nothing of items or formats.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath

_UNSAFE = re.compile(r'[\x00-\x1f\x7f\\:*?"<>|%#]')


def safe_path(name: str) -> str:
    """A name as a relative path: what a file system refuses or climbs out by is percent-encoded.

    Different names stay different.
    """
    return "/".join(safe_name(part) for part in name.split("/"))


def safe_name(name: str) -> str:
    """A name as that of one file or folder."""
    if name in ("", ".", ".."):
        return "%" + name.replace(".", "2E")
    found = _UNSAFE.sub(lambda match: f"%{ord(match[0]):02X}", name)
    return found.replace("/", "%2F")


def whole_names(name: str) -> list[str]:
    """What a name is called in full: as it is, and without the suffix of its last part."""
    suffix = PurePosixPath(name).suffix
    return [name, name.removesuffix(suffix)] if suffix else [name]


def tails(name: str) -> list[str]:
    """A path with fewer and fewer folders before it, down to its last part."""
    parts = [part for part in name.split("/") if part]
    return ["/".join(parts[start:]) for start in range(1, len(parts))]
