"""Round 1 of the tiny campaign: what was asked before, what is audited, a model of the answers, and other pools."""

from dataclasses import replace

import numpy as np

from raylabel.campaign import Pieces
from raylabel.inference.predict import _Score
from raylabel.labeling.shortlist import Model
from raylabel.models.confidence import Softmax
from raylabel.models.heads import fit_head
from raylabel.workspace import Record

KNOWN = np.array([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 30, 31])  # asked in round 0: every class at least once
AUDIT = np.array([10, 11, 17, 25, 40, 59])
FLAT = Record(facts={"num_cells": 0})
"""The record of an index without cells, as far as selection reads it."""


def model_of(tiny, known=KNOWN):
    """A head of the known items and its predictions."""
    num_classes = len(tiny.campaign.config.classes)
    head, cross = fit_head(tiny.embeddings[known], tiny.truth[known], num_classes=num_classes, seed=0)
    name = "rounds/0000/head.safetensors"
    # A confidence that ranks items otherwise than the head's own probabilities: selection must not see it.
    tiny.campaign.store.write(name, head.to_bytes(Softmax(100.0).arrays()))
    parts = tuple(_Score(tiny.campaign, 0, name)(list(tiny.pieces.parts)))
    return head, Model(name, cross.penalty, Pieces(parts, tiny.pieces.spans))


def free_rows(tiny):
    """What round 1 may still ask about, sorted by id."""
    free = np.setdiff1d(tiny.rows, np.concatenate([KNOWN, AUDIT]))
    return np.array(sorted(free, key=lambda row: tiny.ids[row]))


def with_pool(tiny, vectors, truth, pieces):
    """The tiny campaign over another pool, whose vectors and classes are given row by row; see `celled.part_of`."""
    ids = tuple(f"item-{row}" for row in range(len(vectors)))
    truth = np.asarray(truth, dtype=np.int32)
    return replace(tiny, pieces=pieces, embeddings=vectors.astype(np.float16), truth=truth, ids=ids, broken=-1)
