"""Frozen embeddings of the real images, computed once with raylabel's own encoder and kept beside the benchmarks' work.

`python benchmarks/features.py FOLDER` makes all of them; CIFAR-10 takes 11 minutes on 2 cores.
"""

from __future__ import annotations

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from record import real_data

from raylabel.config import Backbone
from raylabel.models import backbones
from raylabel.models.arithmetic import Arithmetic
from raylabel.models.encode import BatchEncoder
from raylabel.pool.decode import decode

BATCH = 32
MAX_PIXELS = 50_000_000
SETS = {"cifar10": 128, "trashnet": 224, "magtile": 224}
"""Name of the folder of images, and pixels a side."""

BACKBONE = "effnet_b4_trunc"


@dataclass(frozen=True)
class Features:
    """A data set as a linear head sees it.

    Args:
        embeddings: (N, D) float16.
        label_index: (N,) int32, by the classes' alphabetical order.
        is_test: (N,) bool; all False where the source has no split.
        classes: names.
    """

    embeddings: NDArray[np.float16]
    label_index: NDArray[np.int32]
    is_test: NDArray[np.bool_]
    classes: tuple[str, ...]


def features(name: str, place: Path) -> Features:
    """Embed a data set, or load what an earlier run kept in `place`."""
    file = place / f"{name}-{BACKBONE}-{SETS[name]}.npz"
    if not file.exists():
        place.mkdir(parents=True, exist_ok=True)
        _embed(name, file)
    found = np.load(file)
    return Features(found["embeddings"], found["label_index"], found["is_test"], tuple(found["classes"].tolist()))


def _embed(name: str, file: Path) -> None:
    data = real_data()
    backbone = Backbone(
        name=f"{data / 'weights' / 'backbones.py'}:build", options={"n": BACKBONE}, image_size=SETS[name]
    )
    arithmetic = Arithmetic("cpu", "bfloat16", False, False, BATCH, os.cpu_count() or 1)
    encoder = BatchEncoder(backbones.build(backbone), arithmetic)
    parts = sorted((data / name).glob("part-*.parquet"))
    table = pa.concat_tables([pq.read_table(part, columns=["image", "label", "split"]) for part in parts])
    found: list[NDArray[np.float16]] = []
    with ThreadPoolExecutor(1) as ahead:
        starts = range(0, table.num_rows, BATCH)
        batches = ahead.map(
            lambda start: np.stack(
                [
                    decode(image.as_py(), backbone, max_pixels=MAX_PIXELS)
                    for image in table.column("image").slice(start, BATCH)
                ]
            ),
            starts,
        )
        found = [encoder.encode(batch) for batch in batches]
    classes, label_index = np.unique(table.column("label").to_pylist(), return_inverse=True)
    draft = file.with_suffix(".draft.npz")
    np.savez(
        draft,
        embeddings=np.concatenate(found),
        label_index=label_index.astype(np.int32),
        is_test=np.array(table.column("split").to_pylist()) == "test",
        classes=classes,
    )
    draft.rename(file)


if __name__ == "__main__":
    for each in sorted(SETS, reverse=True):
        print(each, features(each, Path(sys.argv[1])).embeddings.shape, flush=True)
