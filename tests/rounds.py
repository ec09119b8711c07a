"""Round 1 of the tiny campaign: what was asked before, what is audited, and a model of the answers."""

import numpy as np

from raylabel.campaign import Pieces
from raylabel.inference.predict import _Score
from raylabel.labeling.shortlist import Model
from raylabel.models.heads import fit_head

KNOWN = np.array([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 30, 31])  # asked in round 0: every class at least once
AUDIT = np.array([10, 11, 17, 25, 40, 59])


def model_of(tiny):
    """A head of the known items and its predictions."""
    head, cross = fit_head(tiny.embeddings[KNOWN], tiny.truth[KNOWN], num_classes=10, seed=0)
    name = "rounds/0000/head.safetensors"
    tiny.campaign.store.write(name, head.to_bytes())
    parts = tuple(_Score(tiny.campaign, 0, name)(list(tiny.pieces.parts)))
    return head, Model(name, cross.penalty, Pieces(parts, tiny.pieces.spans))


def free_rows(tiny):
    """What round 1 may still ask about, sorted by id."""
    free = np.setdiff1d(tiny.rows, np.concatenate([KNOWN, AUDIT]))
    return np.array(sorted(free, key=lambda row: tiny.ids[row]))
