"""What runs on the workers: a task that reads and decodes a shard, and an actor that embeds its batches."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from raylabel import schema
from raylabel.campaign import Campaign, EncoderRef
from raylabel.pool import Item, Plan, ShardUnreadable, read_shard
from raylabel.pool.shards import shard_from_json
from raylabel.workspace import Part, write_part

_READ_ROWS = 256

Failure = dict[str, Any]


def decode_shard(table: pa.Table, *, campaign: Campaign, plan: Plan) -> Iterator[pa.Table]:
    """Read and decode one shard: one Ray row for each batch of the backbone.

    Columns: shard · rows and ids of the decoded images · images (n, S, S, 3) uint8 as one binary ·
    accounted, the items this row answers for · failed, those that could not be decoded, as JSON.
    An unreadable shard gives one row that quarantines all of it.
    """
    from raylabel.pool.decode import Undecodable, decode  # torch is imported in the task, not in the driver

    config = campaign.config
    shard = shard_from_json(json.loads(table.column("shard")[0].as_py()))
    items: list[Item] = []
    images: list[NDArray[np.uint8]] = []
    failed: list[Failure] = []
    accounted = 0
    try:
        for batch in read_shard(plan, shard, pool=config.pool, store=campaign.store, batch_rows=_READ_ROWS):
            for item in batch.items:
                if item.error is not None:
                    failed.append(_failure(item, *item.error))
                    continue
                try:
                    pixels = decode(item.image, config.backbone, max_pixels=config.pool.max_pixels)
                except Undecodable as error:
                    failed.append(_failure(item, error.code, error.message))
                    continue
                items.append(replace(item, image=None))
                images.append(pixels)
                if len(images) == campaign.profile.batch_size:
                    yield _row(shard.index, items, images, failed)
                    accounted += len(items) + len(failed)
                    items, images, failed = [], [], []
    except ShardUnreadable as error:
        # Nothing of a shard that changed or broke half-way counts: rows given so far are taken back.
        yield _unreadable(shard.index, shard.rows - accounted, error)
        return
    if items or failed:
        yield _row(shard.index, items, images, failed)


def _row(shard: int, items: list[Item], images: list[NDArray[np.uint8]], failed: list[Failure]) -> pa.Table:
    pixels = np.stack(images) if images else np.zeros((0, 0, 0, 3), dtype=np.uint8)
    buffers = [None, pa.py_buffer(np.array([0, pixels.nbytes], dtype=np.int64)), pa.py_buffer(pixels)]
    return pa.table(
        {
            "shard": pa.array([shard], pa.int32()),
            "rows": pa.array([[item.row for item in items]], pa.list_(pa.int64())),
            "ids": pa.array([[item.id for item in items]], pa.list_(pa.string())),
            "images": pa.LargeBinaryArray.from_buffers(pa.large_binary(), 1, buffers),
            "side": pa.array([pixels.shape[1]], pa.int32()),
            "accounted": pa.array([len(items) + len(failed)], pa.int32()),
            "failed": pa.array([json.dumps(failed)], pa.string()),
            "broken": pa.array([False]),
        }
    )


def _unreadable(shard: int, remaining: int, error: ShardUnreadable) -> pa.Table:
    failure = {"row": -1, "id": None, "error_code": error.code, "message": error.message}
    row = _row(shard, [], [], [failure])
    row = row.set_column(row.schema.get_field_index("accounted"), "accounted", pa.array([remaining], pa.int32()))
    return row.set_column(row.schema.get_field_index("broken"), "broken", pa.array([True]))


def _failure(item: Item, code: str, message: str) -> Failure:
    return {"row": item.row, "id": item.id, "error_code": code, "message": message}


class EmbedBatches:
    """An actor that holds the backbone, embeds decoded batches and writes one part per shard of a block."""

    def __init__(self, campaign: Campaign, ref: EncoderRef) -> None:
        from raylabel.models import backbones, weights
        from raylabel.models.encode import BatchEncoder

        encoder = backbones.build(campaign.config.backbone)
        weights.fit(encoder, weights.read(campaign.store.uri(ref.weights)), source=ref.weights)
        profile = campaign.profile
        self._encoder = BatchEncoder(
            encoder, device=profile.device, batch_size=profile.batch_size, threads=profile.threads
        )
        self._campaign = campaign
        self._ref = ref

    def __call__(self, block: pa.Table) -> pa.Table:
        """Embed a block; give back what was written, as JSON: shard, span of rows, part, failures."""
        by_shard: dict[int, list[int]] = {}
        for position, shard in enumerate(block.column("shard").to_pylist()):
            by_shard.setdefault(shard, []).append(position)
        results = [self._embed(shard, block.take(pa.array(where))) for shard, where in by_shard.items()]
        return pa.table({"result": pa.array([json.dumps(result) for result in results], pa.string())})

    def _embed(self, shard: int, batches: pa.Table) -> dict[str, Any]:
        failed: list[Failure] = [f for text in batches.column("failed").to_pylist() for f in json.loads(text)]
        rows: list[int] = []
        ids: list[str] = []
        embeddings: list[NDArray[np.float16]] = []
        for position in range(batches.num_rows):
            names = batches.column("ids")[position].as_py()
            if not names:
                continue
            numbers = batches.column("rows")[position].as_py()
            found = self._encoder.encode(_pixels(batches, position, len(names)))
            finite = np.asarray(np.isfinite(found).all(axis=1), dtype=bool)
            for index in np.flatnonzero(~finite):
                failed.append(
                    {
                        "row": numbers[index],
                        "id": names[index],
                        "error_code": "not_finite",
                        "message": "the backbone's output holds NaN or infinity in float16",
                    }
                )
            rows += [number for number, good in zip(numbers, finite, strict=True) if good]
            ids += [name for name, good in zip(names, finite, strict=True) if good]
            embeddings.append(found[finite])
        return {
            "shard": shard,
            "accounted": sum(batches.column("accounted").to_pylist()),
            "broken": any(batches.column("broken").to_pylist()),
            "part": self._write(rows, ids, np.concatenate(embeddings)).to_json() if rows else None,
            "span": [rows[0], rows[-1]] if rows else None,
            "failed": failed,
        }

    def _write(self, rows: list[int], ids: list[str], embeddings: NDArray[np.float16]) -> Part:
        columns = schema.embeddings(dim=self._ref.dim, backbone=self._ref.digest)
        packed = pa.FixedSizeBinaryArray.from_buffers(
            columns.field("embedding").type, len(rows), [None, pa.py_buffer(np.ascontiguousarray(embeddings))]
        )
        table = pa.Table.from_arrays([pa.array(rows, pa.int64()), pa.array(ids, pa.string()), packed], schema=columns)
        return write_part(self._campaign.store, f"embeddings/{self._ref.digest}/part", table)


def _pixels(batches: pa.Table, position: int, count: int) -> NDArray[np.uint8]:
    """The images of one batch as (count, S, S, 3), without a copy."""
    side = batches.column("side")[position].as_py()
    data = np.frombuffer(batches.column("images")[position].as_buffer(), dtype=np.uint8)
    return data.reshape(count, side, side, 3)
