"""A pool of 6,000 clustered vectors in as many shards as asked for, as the embedding pass leaves it."""

import importlib
from dataclasses import dataclass, replace

import numpy as np
import pytest
from clusters import vectors_of, write_shards

from raylabel.campaign import Campaign, EncoderRef, Pieces
from raylabel.workspace import Store

EXACT = 1_000


@dataclass(frozen=True)
class Clustered:
    """The campaign, its backbone, its parts, and what is known of its pool; rows count by twos."""

    campaign: Campaign
    ref: EncoderRef
    pieces: Pieces
    vectors: np.ndarray
    rows: np.ndarray

    def exact(self, queries, size):
        """Rows and squared distances of brute force, in float64."""
        stored = self.vectors.astype(np.float64)
        distances = ((queries.astype(np.float64)[:, None] - stored[None]) ** 2).sum(axis=2)
        order = np.argsort(distances, axis=1, kind="stable")[:, :size]
        return self.rows[order], np.take_along_axis(distances, order, axis=1)


@pytest.fixture
def pool_of(tiny, tmp_path, monkeypatch):
    """Make a pool in a workspace of its own; small as it is, it gets an index of cells."""
    monkeypatch.setattr("raylabel.index.plan.EXACT_ROWS", EXACT)

    def make(shards=4, *, name="clusters", vectors=None, root=None) -> Clustered:
        vectors = vectors_of() if vectors is None else vectors
        store = Store(root or str(tmp_path / f"ws-{name}-{shards}"))
        campaign = replace(tiny.campaign, store=store)
        ref = EncoderRef(name, vectors.shape[1])
        rows = np.arange(len(vectors), dtype=np.int64) * 2
        pieces = write_shards(campaign, ref, vectors, rows, shards=shards)
        return Clustered(campaign, ref, pieces, vectors, rows)

    return make


@pytest.fixture
def small_runs(monkeypatch):
    """A task adds 1,000 rows, not 65,536: several run."""
    module = importlib.import_module("raylabel.index.build")  # the package's name `build` is the function
    monkeypatch.setattr(module, "RUN_ROWS", 1_000)
    monkeypatch.setattr(module, "ROWS_PER_CELL_OF_RUN", 1)
