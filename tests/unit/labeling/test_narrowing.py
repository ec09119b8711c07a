import numpy as np
import pytest
from rounds import AUDIT, KNOWN, free_rows, model_of

from raylabel.labeling.narrowing import narrow
from raylabel.sampling import random_priority, uncertainty

SIZE = 7


@pytest.mark.parametrize("statistic", ["margin", "entropy", "least_confidence"])
def test_the_highest_stay(ray_session, begin, statistic):
    """Whatever part of the pool they lie in."""
    tiny = begin(sampling={"max_candidates": SIZE})
    tiny.resolve(0, tiny.answered(KNOWN))
    head, model = model_of(tiny)
    barred = np.union1d(KNOWN, AUDIT)
    found = narrow(tiny.campaign, 1, model.predictions, statistic=statistic, barred=barred)
    rows = np.sort(free_rows(tiny))
    scores = getattr(uncertainty, statistic)(head.probabilities(tiny.embeddings[rows]))
    assert found.tolist() == np.sort(rows[np.argsort(-scores, kind="stable")[:SIZE]]).tolist()
    assert len({next(i for i, (_, last) in enumerate(tiny.pieces.spans) if row <= last) for row in found}) > 1


def test_at_random(ray_session, begin):
    tiny = begin(sampling={"max_candidates": SIZE})
    barred = np.union1d(KNOWN, AUDIT)
    found = narrow(tiny.campaign, 1, tiny.pieces, statistic="random", barred=barred)
    rows = free_rows(tiny)
    priority = random_priority(rows, seed=0, round_number=1)
    assert set(found.tolist()) == set(rows[np.argsort(-priority)[:SIZE]].tolist())


def test_everything_barred(ray_session, tiny):
    found = narrow(tiny.campaign, 1, tiny.pieces, statistic="random", barred=np.arange(60))
    assert found.tolist() == []
