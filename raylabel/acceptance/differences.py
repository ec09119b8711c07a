"""Where facts that were kept differ from those that the same evidence gives again.

Knows trees of JSON values; knows nothing of what they say or where evidence comes from.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

TOLERANCE = 1e-9
"""Real numbers agree up to this share: another build of SciPy rounds its last digits otherwise."""


def differences(kept: Any, found: Any, *, where: str = "") -> list[str]:
    """Compare two trees of JSON values and say where they differ, in words.

    Args:
        kept: as it was written.
        found: as it comes out again.
        where: what the trees are, for the sentences.

    Returns:
        One sentence for each value that differs: integers, texts and names exactly, real numbers up to `TOLERANCE`.
    """
    return list(_differences(kept, found, where))


def _differences(kept: Any, found: Any, where: str) -> Iterator[str]:
    if isinstance(kept, Mapping) and isinstance(found, Mapping):
        for key in [*kept, *(key for key in found if key not in kept)]:
            below = f"{where}.{key}" if where else str(key)
            if key not in kept:
                yield f"{below}: is missing, recomputed {found[key]!r}"
            elif key not in found:
                yield f"{below}: kept {kept[key]!r}, nothing like it is recomputed"
            else:
                yield from _differences(kept[key], found[key], below)
    elif _is_list(kept) and _is_list(found) and len(kept) == len(found):
        for position, (one, other) in enumerate(zip(kept, found, strict=True)):
            yield from _differences(one, other, f"{where}[{position}]")
    elif not _same(kept, found):
        yield f"{where}: kept {kept!r}, recomputed {found!r}"


def _same(kept: Any, found: Any) -> bool:
    if isinstance(kept, float) or isinstance(found, float):
        numbers = all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in (kept, found))
        return numbers and math.isclose(kept, found, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
    return bool(kept == found)


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)
