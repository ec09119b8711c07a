"""Five candidates on a line whose picks can be worked out by hand, and who is labeled beside them."""

import numpy as np

from raylabel.sampling import Candidates, Labeled, Picks, select

# Three classes, five items on a line; margins .8, .02, 0, .5, .25 and confidences .9, .5, .34, .7, .5.
ROWS = [[0.9, 0.1, 0.0], [0.5, 0.48, 0.02], [0.34, 0.32, 0.34], [0.7, 0.2, 0.1], [0.25, 0.5, 0.25]]
PLACES = [0.0, 10.0, 4.0, 9.0, 1.0]


def above_five(embeddings):
    """A head of two classes: below and above 5."""
    above = (embeddings[:, 0] > 5).astype(np.float64)
    return np.stack([1 - above, above], axis=1)


CANDIDATES = Candidates(
    np.array(PLACES, np.float32)[:, None],
    probabilities=np.array(ROWS),
    members=np.array([ROWS, ROWS[::-1]]),
    head=above_five,
)
NOTHING = Labeled(np.zeros((0, 1), np.float32), np.zeros(0, np.int32))
AT_ZERO = Labeled(np.zeros((1, 1), np.float32), np.zeros(1, np.int32))


def pick(strategy, size, labeled=NOTHING, seed=0, candidates=CANDIDATES) -> Picks:
    """Run a strategy on them."""
    return select(strategy, candidates, labeled, size=size, rng=np.random.default_rng(seed))
