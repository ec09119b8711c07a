"""What runs on the workers: an actor that takes one shard after another from bytes to embeddings, and decode tasks.

An actor decodes its shards itself, where a core is as good as any other; nothing but names then passes through the
object store. Where the model has a device of its own, decode tasks on any node stream batches to it, many shards at
once.
"""

from __future__ import annotations

import json
import pickle
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import ray
from numpy.typing import NDArray

from raylabel import schema
from raylabel.campaign import Campaign, EncoderRef, in_sample
from raylabel.errors import RaylabelError
from raylabel.inference.decoders import DeviceDecoder, IsolatedDecoder, LocalDecoder
from raylabel.inference.decoding import DecodedBatch, Decoder, Failure, decode_shard
from raylabel.meter import Work
from raylabel.pool import Plan, Shard, ShardUnreadable
from raylabel.pool.shards import shard_from_json
from raylabel.workspace import Part, Record, write_part

PART_BYTES = 64 * 1024 * 1024
BATCHES_AHEAD = 2
REPORT_EVERY_S = 0.5


@dataclass(frozen=True)
class Job:
    """What every worker of a pass is handed.

    Args:
        campaign: whose pool.
        plan: without its list of shards.
        num_rows: items of the pool; decides how many of their embeddings an index is trained on.
        ref: the backbone.
        in_tasks: decode tasks stream to the actor; otherwise it decodes itself.
        isolate: decode one image at a time in a process apart.
    """

    campaign: Campaign
    plan: Plan
    num_rows: int
    ref: EncoderRef
    in_tasks: bool
    isolate: bool


def shard_name(shard: Shard) -> str:
    """What a shard's record is called below its backbone's folder."""
    return f"shard-{shard.index:06d}"


def _told(shard: Shard, error: RaylabelError | None = None) -> pa.Table:
    """One row: a shard that is committed, or the error that ends the run, pickled."""
    told = None if error is None else pickle.dumps(error)
    return pa.table({"shard": pa.array([shard.index], pa.int32()), "error": pa.array([told], pa.binary())})


class EmbedShards:
    """An actor that holds the backbone and embeds whole shards."""

    def __init__(self, job: Job, meter: Any) -> None:
        from raylabel.models import backbones, weights
        from raylabel.models.encode import BatchEncoder, keep_freed_memory

        keep_freed_memory()
        encoder = backbones.build(job.campaign.config.backbone)
        weights.fit(encoder, weights.read(job.campaign.store.uri(job.ref.weights)), source=job.ref.weights)
        self._encoder = BatchEncoder(encoder, job.campaign.profile.arithmetic)
        self._job = job
        self._meter = meter

    def __call__(self, table: pa.Table) -> pa.Table:
        """Embed one shard, write its parts and commit it; gives its number.

        The commit is the actor's own: were it the driver's, a driver that is killed would take along what its actors
        had finished, beside what they were at.
        """
        shard = shard_from_json(json.loads(table.column("shard")[0].as_py()))
        try:
            try:
                record = self._embed(shard)
            except ShardUnreadable as error:
                # Nothing of a shard that changed or broke half-way counts, not even what was embedded before.
                record = self._record(shard, _PartWriter(self._job), [(None, error.code, error.message)], shard.rows)
            name = f"embeddings/{self._job.ref.digest}/{shard_name(shard)}"
            self._job.campaign.records.commit(name, record)
        except RaylabelError as error:
            return _told(shard, error)
        return _told(shard)

    def _embed(self, shard: Shard) -> Record:
        writer, report = _PartWriter(self._job), _Reporter(self._meter, shard.index)
        failed: list[Failure] = []
        batches = self._batches(shard)
        while True:
            began = time.perf_counter()
            batch = next(batches, None)
            waited = time.perf_counter() - began
            if batch is None:
                break
            failed += batch.failed
            began = time.perf_counter()
            if batch.rows:
                found = self._encoder.encode(batch.pixels[: len(batch.rows)])
                failed += writer.add(batch, found)
            encoded = time.perf_counter()
            writer.flush(at_least=PART_BYTES)
            report.add(
                Work(
                    items=batch.num_items,
                    read_s=batch.read_s,
                    decode_s=batch.decode_s,
                    wait_s=waited if self._job.in_tasks else 0.0,
                    model_s=encoded - began,
                    write_s=time.perf_counter() - encoded,
                )
            )
        began = time.perf_counter()
        writer.flush(at_least=1)
        writer.flush_sample()
        report.add(Work(write_s=time.perf_counter() - began))
        report.close()
        failed.sort(key=lambda failure: failure.row)
        return self._record(shard, writer, [(f.id, f.error_code, f.message) for f in failed], len(failed))

    def _record(
        self, shard: Shard, writer: _PartWriter, failed: list[tuple[str | None, str, str]], num_failed: int
    ) -> Record:
        parts = {"embeddings": writer.parts, "sample": writer.sample, "quarantine": []}
        if failed:
            ids, codes, messages = zip(*failed, strict=True)
            where = {"shard": [shard.name] * len(failed), "stage": ["embed"] * len(failed)}
            columns = {"id": ids, "error_code": codes, "message": messages, **where}
            table = pa.table({name: columns[name] for name in schema.QUARANTINE.names}, schema=schema.QUARANTINE)
            parts["quarantine"] = [write_part(self._job.campaign.store, f"quarantine/{shard_name(shard)}", table)]
        return Record(facts={"rows": shard.rows, "spans": writer.spans, "failed": num_failed}, parts=parts)

    def _batches(self, shard: Shard) -> Iterator[DecodedBatch]:
        if not self._job.in_tasks or decodes_on_device(shard.index, self._job.campaign.profile.arithmetic.gpu_decode):
            yield from decode(self._job, shard)
            return
        stream = _decode_task.options(_generator_backpressure_num_objects=BATCHES_AHEAD).remote(self._job, shard)
        for reference in stream:
            try:
                yield ray.get(reference)
            except ray.exceptions.RayTaskError as error:
                raise error.cause from None


def decodes_on_device(shard: int, share: float) -> bool:
    """Whether a shard is one of those that the GPU decodes itself: so many of them, evenly spread, the same always."""
    return int((shard + 1) * share) > int(shard * share)


def decode(job: Job, shard: Shard) -> Iterator[DecodedBatch]:
    """Read and decode a shard in this process, or with every image in one apart."""
    config, arithmetic = job.campaign.config, job.campaign.profile.arithmetic
    decoder: Decoder = LocalDecoder(config)
    if job.isolate:
        decoder = IsolatedDecoder(config)
    elif decodes_on_device(shard.index, arithmetic.gpu_decode):
        decoder = DeviceDecoder(config, arithmetic.device)
    return decode_shard(job.campaign, job.plan, shard, decoder)


@ray.remote(num_cpus=1, max_retries=0, num_returns="streaming")
def _decode_task(job: Job, shard: Shard) -> Iterator[DecodedBatch]:
    import torch  # on the workers, not in the driver

    torch.set_num_threads(1)
    yield from decode(job, shard)


class _Reporter:
    """Tells the meter of a shard's first batch at once, and of the others twice a second."""

    def __init__(self, meter: Any, shard: int) -> None:
        self._meter, self._shard = meter, shard
        self._pending = Work()
        self._sent_at = 0.0
        meter.begin.remote(shard)

    def add(self, work: Work) -> None:
        """More is done."""
        self._pending = self._pending.merge(work)
        if time.monotonic() - self._sent_at >= REPORT_EVERY_S:
            self._meter.add.remote(self._shard, self._pending)
            self._pending, self._sent_at = Work(), time.monotonic()

    def close(self) -> None:
        """The shard is done."""
        self._meter.add.remote(self._shard, self._pending)
        self._meter.end.remote(self._shard)


class _PartWriter:
    """Gathers the embeddings of a shard and writes them as few parts, and a sample of them as one."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self.parts: list[Part] = []
        self.spans: list[list[int]] = []
        self.sample: list[Part] = []
        self._kept: list[pa.Table] = []
        self._clear()

    def _clear(self) -> None:
        self._rows: list[int] = []
        self._ids: list[str] = []
        self._embeddings: list[NDArray[np.float16]] = []
        self._bytes = 0

    def add(self, batch: DecodedBatch, embeddings: NDArray[np.float16]) -> list[Failure]:
        """Take a batch's embeddings; those that are not finite are failures."""
        finite = np.asarray(np.isfinite(embeddings).all(axis=1), dtype=bool)
        message = "the backbone's output holds NaN or infinity in float16"
        for row, name, good in zip(batch.rows, batch.ids, finite, strict=True):
            if good:
                self._rows.append(row)
                self._ids.append(name)
        self._embeddings.append(embeddings[finite])
        self._bytes += self._embeddings[-1].nbytes
        bad = np.flatnonzero(~finite)
        return [Failure(batch.rows[i], batch.ids[i], "not_finite", message) for i in bad]

    def flush(self, *, at_least: int) -> None:
        """Write what was gathered, if it has so many bytes."""
        if self._bytes < at_least:
            return
        ref = self._job.ref
        columns = schema.embeddings(dim=ref.dim, backbone=ref.digest)
        packed = pa.FixedSizeBinaryArray.from_buffers(
            columns.field("embedding").type, len(self._rows), [None, pa.py_buffer(np.concatenate(self._embeddings))]
        )
        rows = np.array(self._rows, dtype=np.int64)
        arrays = [pa.array(rows), pa.array(self._ids, pa.string()), packed]
        table = pa.Table.from_arrays(arrays, schema=columns)
        self.parts.append(write_part(self._job.campaign.store, f"embeddings/{ref.digest}/part", table))
        self.spans.append([self._rows[0], self._rows[-1]])
        self._kept.append(table.filter(pa.array(in_sample(self._job.campaign, rows, num_rows=self._job.num_rows))))
        self._clear()

    def flush_sample(self) -> None:
        """Write the rows that an index is trained on, if the shard has any."""
        table = pa.concat_tables(self._kept) if self._kept else None
        if table is not None and table.num_rows:
            name = f"embeddings/{self._job.ref.digest}/sample"
            self.sample = [write_part(self._job.campaign.store, name, table)]


def head_of(plan: Plan) -> Plan:
    """The plan as workers need it: without its shards, of which each is handed over by itself."""
    return replace(plan, shards=(), unreadable=())
