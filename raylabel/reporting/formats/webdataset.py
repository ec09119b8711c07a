"""WebDataset shards: a tar for each shard of the pool, with image, class index and facts of each sample."""

from __future__ import annotations

import io
import json
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

from raylabel.reporting.formats.items import Labeled
from raylabel.workspace import Store


def write_shard(place: Store, number: int, items: Iterator[Labeled], classes: tuple[str, ...]) -> int:
    """Write one tar: `<row>.<ext>`, `<row>.cls` and `<row>.json`; keys are rows, as ids hold dots and slashes."""
    count = 0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "shard.tar"
        with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
            for item in items:
                key = f"{item.row:012d}"
                _add(tar, f"{key}{item.suffix}", item.image)
                _add(tar, f"{key}.cls", str(item.facts["label_index"]).encode())
                _add(tar, f"{key}.json", json.dumps(item.facts, ensure_ascii=False).encode())
                count += 1
        if count:
            place.upload(path, f"shard-{number:06d}.tar")
    return count


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(data)
    tar.addfile(entry, io.BytesIO(data))
