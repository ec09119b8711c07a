from dataclasses import replace

import numpy as np
import pytest
from celled import clustered, index_of, write_celled
from rounds import AUDIT, KNOWN, free_rows, model_of

from raylabel import runtime
from raylabel.campaign import Pieces
from raylabel.labeling import narrowing
from raylabel.labeling.narrowing import Indexed, narrow
from raylabel.sampling import Candidates, Labeled, random_priority, uncertainty
from raylabel.sampling import select as pick
from raylabel.sampling.cells import cells_of, count_free, draw, quotas
from raylabel.sampling.partitioned import Search, centers, common_radius, num_centers

SIZE = 7
NUM, DIM = 900, 16


@pytest.mark.parametrize("statistic", ["margin", "entropy", "least_confidence"])
def test_the_highest_stay(ray_session, begin, statistic, monkeypatch):
    """Whatever part of the pool they lie in, and however the parts are put together."""
    tiny = begin(sampling={"max_candidates": SIZE})
    tiny.resolve(0, tiny.answered(KNOWN))
    head, model = model_of(tiny)
    barred = np.union1d(KNOWN, AUDIT)
    rows = np.sort(free_rows(tiny))
    scores = getattr(uncertainty, statistic)(head.probabilities(tiny.embeddings[rows]))
    for task_rows in (1, 30, 1000):
        monkeypatch.setattr(narrowing, "TASK_ROWS", task_rows)
        found = narrow(tiny.campaign, 1, model.predictions, statistic=statistic, barred=barred)
        assert found.tolist() == np.sort(rows[np.argsort(-scores, kind="stable")[:SIZE]]).tolist()
    assert len({next(i for i, (_, last) in enumerate(tiny.pieces.spans) if row <= last) for row in found}) > 1


@pytest.mark.parametrize("statistic", ["random", "cells", "centers", "neighbours"])
def test_at_random(ray_session, begin, statistic):
    """Also where there is no index, or one without cells."""
    tiny = begin(sampling={"max_candidates": SIZE})
    barred = np.union1d(KNOWN, AUDIT)
    rows = free_rows(tiny)
    priority = random_priority(rows, seed=0, round_number=1)
    for indexed in (None, Indexed({"num_cells": 0}, KNOWN, 3)):
        found = narrow(tiny.campaign, 1, tiny.pieces, statistic=statistic, barred=barred, indexed=indexed)
        assert set(found.tolist()) == set(rows[np.argsort(-priority)[:SIZE]].tolist())


def test_everything_barred(ray_session, tiny, celled):
    found = narrow(tiny.campaign, 1, tiny.pieces, statistic="random", barred=np.arange(60))
    assert found.tolist() == []
    for statistic in ("cells", "centers", "neighbours"):
        campaign, indexed, pieces = celled()
        indexed = replace(indexed, known=np.zeros((1, DIM), np.float32))
        assert narrow(campaign, 1, pieces, statistic=statistic, barred=np.arange(3 * NUM), indexed=indexed).size == 0


def test_no_parts(ray_session, tiny):
    assert narrow(tiny.campaign, 1, Pieces((), ()), statistic="random", barred=AUDIT).tolist() == []


@pytest.fixture
def pool():
    vectors, centroids = clustered(num=NUM, dim=DIM)
    return vectors, np.arange(NUM, dtype=np.int64) * 3, centroids


@pytest.fixture
def celled(begin, pool, tmp_path):
    """A pool of 900 vectors whose rows count by threes, its parts and its index of twelve cells."""
    vectors, rows, centroids = pool
    made = []

    def make(order=None, cuts=3, **sampling):
        """Shards written in another order, and their rows added in that order; the answered rows are the first 30."""
        made.append(1)
        campaign = begin(sampling=sampling, workspace=str(tmp_path / f"ws-{len(made)}")).campaign
        facts, pieces = write_celled(campaign, vectors, rows, centroids, order=order, cuts=cuts)
        return campaign, Indexed(facts, rows[:30], 10), pieces

    return make


def test_quotas_of_cells(ray_session, celled, pool, monkeypatch):
    """Those of a direct call on the index, whatever cells a task looks at."""
    vectors, rows, centroids = pool
    cells, barred = cells_of(index_of(vectors, rows, centroids)), np.sort(rows[:45])
    places = quotas(count_free(cells, range(12), barred=barred), 100)
    expected = draw(cells, range(12), places=places, barred=barred, seed=0, round_number=4)
    for task_rows in (1, 200, 10_000):
        monkeypatch.setattr(narrowing, "TASK_ROWS", task_rows)
        campaign, indexed, pieces = celled(max_candidates=100)
        found = narrow(campaign, 4, pieces, statistic="cells", barred=barred, indexed=indexed)
        assert found.tolist() == np.sort(expected).tolist()
    assert len(found) == 100
    assert not set(found.tolist()) & set(barred.tolist())


def test_centers_of_cells(ray_session, celled, pool, monkeypatch):
    vectors, rows, centroids = pool
    cells, barred = cells_of(index_of(vectors, rows, centroids)), np.sort(rows[:45])
    # 15 for each of 10 picks; answered ones are covered, audited ones only barred.
    search = Search(num_centers(10, num_cells=12, most=1000), barred, rows[:30])
    assert search.limit == 150
    expected = centers(cells, range(12), search, radius=common_radius(cells, search)).finish()
    for task_rows in (1, 10_000):
        monkeypatch.setattr(narrowing, "TASK_ROWS", task_rows)
        campaign, indexed, pieces = celled(max_candidates=1000)
        found = narrow(campaign, 4, pieces, statistic="centers", barred=barred, indexed=indexed)
        assert found.tolist() == expected.tolist()
    assert len(found) == 150


@pytest.mark.parametrize("limit", [50, 150, 1000])
def test_neighbours_of_what_is_known(ray_session, celled, pool, limit):
    """Rank by rank, the nearest of each of three before the second nearest of any, and none twice."""
    vectors, rows, _ = pool
    known, barred = vectors[[3, 200, 850]], np.sort(rows[:45])
    campaign, indexed, pieces = celled(max_candidates=limit)
    indexed = replace(indexed, known=known, facts={**indexed.facts, "nprobe": 12})  # all cells, so that it is exact
    found = narrow(campaign, 1, pieces, statistic="neighbours", barred=barred, indexed=indexed)
    ranked = [np.argsort(((vectors - one) ** 2).sum(axis=1), kind="stable") for one in known]
    expected: list[int] = []
    each = max(narrowing.LEAST_NEIGHBOURS, limit // 3)
    for rank in range(each):
        for order in ranked:
            row = int(rows[order[rank]])
            if row not in barred and row not in expected and len(expected) < limit:
                expected.append(row)
    assert found.tolist() == sorted(expected)
    assert len(expected) == limit if limit < 150 else len(expected) > 100


def test_neighbours_that_are_too_few_are_made_up_from_the_pool(ray_session, celled, pool):
    """A hundred neighbours of one item cannot fill a round of 200: all of them are in, and others beside them."""
    vectors, rows, _ = pool
    campaign, indexed, pieces = celled(max_candidates=300)
    indexed = replace(indexed, known=vectors[[3]], size=200, facts={**indexed.facts, "nprobe": 12})
    index_limit = {"LEAST_NEIGHBOURS": 100, "MOST_NEIGHBOURS": 100}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in index_limit.items():
            patch.setattr(narrowing, name, value)
        near = narrowing._Neighbours(campaign.store, indexed.facts, 300, rows[:0])(indexed.known)
    found = narrow(campaign, 1, pieces, statistic="neighbours", barred=rows[~np.isin(rows, near)][40:], indexed=indexed)
    assert len(near) == 100
    assert np.isin(near, found).all()
    assert len(found) == 140  # what is not barred


@pytest.mark.parametrize("statistic", ["cells", "centers"])
def test_nothing_is_left_out_of_a_pool_below_the_bound(ray_session, celled, pool, statistic):
    barred = pool[1][30:]
    campaign, indexed, pieces = celled(max_candidates=50)
    found = narrow(campaign, 1, pieces, statistic=statistic, barred=barred, indexed=indexed)
    assert found.tolist() == pool[1][:30].tolist()


@pytest.mark.parametrize(
    ("statistic", "strategy"), [("random", "kmeans"), ("cells", "kmeans"), ("centers", "k_center")]
)
def test_shard_orders_and_workers_change_no_shortlist(ray_session, celled, pool, monkeypatch, statistic, strategy):
    """One worker and three, shards in two orders and of two sizes: the same candidates, the same picks."""
    vectors, rows, _ = pool
    monkeypatch.setattr(narrowing, "TASK_ROWS", 150)
    found = []
    for workers, order, cuts in ((1, [0, 1, 2, 3], 4), (3, [2, 0, 3, 1], 4), (3, [4, 1, 0, 3, 2], 5)):
        monkeypatch.setattr(runtime, "IN_FLIGHT", workers)
        # A third of a core each, so that three of them fit on any machine.
        monkeypatch.setitem(runtime.map_tasks.__kwdefaults__, "num_cpus", 1 / workers)
        campaign, indexed, pieces = celled(order, cuts, max_candidates=200)
        barred = np.sort(rows[:45])
        kept = narrow(campaign, 2, pieces, statistic=statistic, barred=barred, indexed=indexed)
        known = Labeled(vectors[:30], np.zeros(30, np.int32))
        picks = pick(strategy, Candidates(vectors[kept // 3]), known, size=20, rng=np.random.default_rng(0))
        found.append((kept.tolist(), kept[picks.positions].tolist(), picks.scores.tolist()))
    assert len(found[0][1]) == 20
    assert found[0] == found[1] == found[2]
