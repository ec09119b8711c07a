"""A tiny real campaign: 60 handwritten digits in two Parquet files, embedded by their own pixels."""

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from raylabel import schema
from raylabel.campaign import Campaign, EncoderRef, Pieces
from raylabel.config import Config
from raylabel.demo import DIGITS
from raylabel.labeling.answers import taken
from raylabel.models.arithmetic import Arithmetic
from raylabel.pool import Plan, Shard
from raylabel.pool.listing import etag_of
from raylabel.profile import Profile
from raylabel.workspace import Record, Store, open_filesystem, write_part

NUM = 60
SHARDS = ((0, 40), (40, 60))
PARTS = ((0, 25), (25, 40), (40, 60))
PREDICTED = ("margin", "entropy", "top_index", "top_probability")
BROKEN = 17  # this row of the pool has no embedding, as if its image could not be read


@dataclass(frozen=True)
class Tiny:
    """The campaign and what is known of its pool; row by row, `BROKEN` among them."""

    campaign: Campaign
    plan: Plan
    pieces: Pieces
    ref: EncoderRef
    embeddings: np.ndarray
    truth: np.ndarray
    ids: tuple[str, ...]
    broken: int = BROKEN

    @property
    def rows(self):
        """Readable rows."""
        return np.setdiff1d(np.arange(NUM), [BROKEN])

    def answered(self, rows, purpose="train", labels=None, number=0):
        """Answers after consensus in one round: the truth of some rows, or other labels."""
        rows = np.asarray(rows, dtype=np.int64)
        columns = {
            "row": rows,
            "id": [self.ids[row] for row in rows],
            "purpose": [purpose] * len(rows) if isinstance(purpose, str) else list(purpose),
            "label_index": self.truth[rows] if labels is None else np.asarray(labels, dtype=np.int32),
            "round": np.full(len(rows), number, dtype=np.int32),
        }
        return pa.table(columns, schema=schema.RESOLVED)

    def resolve(self, number, table):
        """Commit the answers of a round, as `ask` would."""
        part = write_part(self.campaign.store, f"rounds/{number:04d}/answered", table)
        record = Record(facts={"answers": taken(self.campaign, number)}, parts={"resolved": [part]})
        self.campaign.records.commit(f"rounds/{number:04d}/answered", record)

    def doubt(self, number, scores, **facts):
        """Commit the model of a round that doubts the answers of some rows, as `train` would: the likeliest first."""
        rows = sorted(scores, key=lambda row: -scores[row])
        columns = {
            "row": np.array(rows, dtype=np.int64),
            "id": [self.ids[row] for row in rows],
            "label_index": self.truth[rows],
            "suggested_index": ((self.truth[rows] + 1) % 10).astype(np.int32),
            "score": np.array([scores[row] for row in rows], dtype=np.float32),
        }
        part = write_part(self.campaign.store, f"rounds/{number:04d}/doubts", pa.table(columns, schema=schema.DOUBTS))
        self.campaign.records.commit(f"rounds/{number:04d}/model", Record(facts=facts, parts={"doubts": [part]}))

    def publish(self, number, rows, strategy="random"):
        """Commit a shortlist, as `select` would."""
        columns = {
            "row": np.asarray(rows, dtype=np.int64),
            "id": [self.ids[row] for row in rows],
            "position": np.arange(len(rows), dtype=np.int32),
            "strategy": [strategy] * len(rows),
            "score": np.linspace(1, 0, len(rows), dtype=np.float32),
            "reason": [f"the reason of {row}" for row in rows],
        }
        part = write_part(
            self.campaign.store, f"rounds/{number:04d}/shortlist", pa.table(columns, schema=schema.SHORTLIST)
        )
        return self.campaign.records.commit(f"rounds/{number:04d}/shortlist", Record(parts={"shortlist": [part]}))

    def predicted(self, number, label_index, confidence):
        """Write the predictions of a round by hand, row by row; margin and entropy are left empty."""
        columns = {
            "row": self.rows,
            "id": [self.ids[row] for row in self.rows],
            "label_index": np.asarray(label_index, dtype=np.int32)[self.rows],
            "confidence": np.asarray(confidence, dtype=np.float32)[self.rows],
        }
        empty = {name: pa.nulls(len(self.rows), schema.PREDICTIONS.field(name).type) for name in PREDICTED}
        table = pa.table({**columns, **empty}, schema=schema.PREDICTIONS)
        parts, start = [], 0
        for part in self.pieces.parts:
            parts.append(
                write_part(self.campaign.store, f"rounds/{number:04d}/predictions", table.slice(start, part.rows))
            )
            start += part.rows
        return Pieces(tuple(parts), self.pieces.spans)


@pytest.fixture(scope="session")
def digits():
    """60 digits: (60, 64) float16 pixels in [0, 1], their classes, and ids whose order is not that of the rows."""
    found = load_digits()
    pixels = (found.data[:NUM] / 16).astype(np.float16)
    ids = tuple(f"digit-{(row * 7) % NUM:02d}" for row in range(NUM))
    return pixels, found.target[:NUM].astype(np.int32), ids


@pytest.fixture(scope="session")
def digit_pool(digits, tmp_path_factory) -> Path:
    """The digits as 16 x 16 PNGs in two Parquet files; never written to."""
    pixels, truth, ids = digits
    folder = tmp_path_factory.mktemp("digits")
    for number, (start, end) in enumerate(SHARDS):
        images = []
        for flat in pixels[start:end]:
            data = io.BytesIO()
            Image.fromarray((flat.astype(float).reshape(8, 8) * 255).astype(np.uint8)).resize((16, 16)).save(
                data, "PNG"
            )
            images.append(data.getvalue())
        labels = [DIGITS[index] for index in truth[start:end]]
        table = pa.table({"id": list(ids[start:end]), "image": images, "label": labels})
        pq.write_table(table, folder / f"part-{number}.parquet", row_group_size=20)
    return folder


def plan_of(folder: Path) -> Plan:
    """The plan of the digits, made by hand."""
    shards = []
    for number, (start, end) in enumerate(SHARDS):
        name = f"part-{number}.parquet"
        filesystem, path = open_filesystem(str(folder / name))
        groups = (0, -(-(end - start) // 20))
        shards.append(Shard(number, name, start, end - start, etag_of(filesystem.info(path)), groups))
    return Plan(str(folder), "parquet", "id", tuple(shards))


def embed_by_hand(store: Store, ref: EncoderRef, embeddings, ids, rows, cuts) -> Pieces:
    """Write embedding parts with the project's own columns."""
    columns = schema.embeddings(dim=ref.dim, backbone=ref.digest)
    parts, spans = [], []
    for start, end in cuts:
        inside = [row for row in rows if start <= row < end]
        data = pa.py_buffer(np.ascontiguousarray(embeddings[inside]))
        packed = pa.FixedSizeBinaryArray.from_buffers(columns.field("embedding").type, len(inside), [None, data])
        arrays = [pa.array(inside, pa.int64()), pa.array([ids[row] for row in inside]), packed]
        table = pa.Table.from_arrays(arrays, schema=columns)
        parts.append(write_part(store, f"embeddings/{ref.digest}/part", table))
        spans.append((inside[0], inside[-1]))
    return Pieces(tuple(parts), tuple(spans))


@pytest.fixture
def begin(digits, digit_pool, tmp_path):
    """Begin a tiny campaign; keyword arguments replace settings in single sections."""

    def make(**sections) -> Tiny:
        pixels, truth, ids = digits
        tree = {
            "workspace": str(tmp_path / "workspace"),
            "classes": DIGITS,
            "pool": {"path": str(digit_pool), "label_column": "label"},
            "backbone": {"name": "tiny_cnn", "weights": "none", "image_size": 16},
            "budget": {"train_answers": 12, "audit_answers": 20, "rounds": 2},
            "labeling": {"labeler": "oracle", "poll_s": 0.05},
            "acceptance": {"max_error": 0.3},
        }
        for name, value in sections.items():
            tree[name] = {**tree.get(name, {}), **value} if isinstance(value, dict) else value
        config = Config.model_validate(tree)
        arithmetic = Arithmetic("cpu", "float32", fused=False, compiled=False, batch_size=32, threads=1)
        profile = Profile(arithmetic, 1, "test", {})
        campaign = Campaign(config, Store(config.workspace), profile, "f" * 64)
        ref = EncoderRef("tiny", pixels.shape[1])
        rows = [row for row in range(NUM) if row != BROKEN]
        pieces = embed_by_hand(campaign.store, ref, pixels, ids, rows, PARTS)
        return Tiny(campaign, plan_of(digit_pool), pieces, ref, pixels, truth, ids)

    return make


@pytest.fixture
def tiny(begin) -> Tiny:
    """A tiny campaign with default settings."""
    return begin()
