import numpy as np
import pytest

from raylabel.acceptance import ConfidenceHistogram
from raylabel.acceptance.histogram import EDGES, count_bins, count_passing


def random_confidences(num, seed=0):
    rng = np.random.default_rng(seed)
    logits = rng.normal(3, 5, num)
    confidence = (1 / (1 + np.exp(-logits))).astype(np.float32)
    # Values on the edges, one step to either side of them, and at both ends.
    on = rng.choice(EDGES, 300)
    return np.concatenate([confidence, on, np.nextafter(on, np.float32(1)), np.nextafter(on, np.float32(0)), [0, 1]])


def test_edges_are_float32_uniform_in_logit_and_start_at_0():
    assert EDGES.dtype == np.float32
    assert EDGES[0] == 0
    assert (np.diff(EDGES) > 0).all()
    inner = EDGES[1:].astype(np.float64)
    assert np.isclose(np.log(inner[0] / (1 - inner[0])), -12, atol=1e-3)
    assert inner[-1] == np.float32(1 / (1 + np.exp(-12)))
    # Steps of 24 / 4095 in logit, as far as float32 can tell; near 1 it rounds a few of the 4,096 together.
    middle = inner[1500:2500]
    assert np.allclose(np.diff(np.log(middle / (1 - middle))), 24 / 4095, rtol=1e-3)
    assert 4000 < len(EDGES) <= 4097
    with pytest.raises(ValueError, match="read-only"):
        EDGES[0] = 1


def test_a_suffix_counts_exactly_the_items_at_or_above_its_edge():
    confidence = random_confidences(2000).astype(np.float32)
    human = np.random.default_rng(1).random(len(confidence)) < 0.3
    histogram = ConfidenceHistogram.of(confidence, human=human)
    passes = confidence >= EDGES[:, np.newaxis]
    assert (histogram.num_passing() == passes.sum(axis=1)).all()
    assert (histogram.num_human_passing() == (passes & human).sum(axis=1)).all()
    assert histogram.num_items == len(confidence)
    assert histogram.num_human == human.sum()


def test_bins_by_hand():
    first_inner, last = EDGES[1], EDGES[-1]
    counts = count_bins(np.array([0, np.nextafter(first_inner, np.float32(0)), first_inner, last, 1], np.float32))
    assert counts[:3].tolist() == [2, 1, 0]
    assert counts[-2:].tolist() == [0, 2]
    passing = count_passing(counts)
    assert passing[:3].tolist() == [5, 3, 2]
    assert passing[-1] == 2


def test_merged_parts_are_the_whole_in_any_order():
    confidence = random_confidences(500).astype(np.float32)
    human = confidence > 0.9
    whole = ConfidenceHistogram.of(confidence, human=human)
    parts = [
        ConfidenceHistogram.of(c, human=h)
        for c, h in zip(np.split(confidence, [7, 900]), np.split(human, [7, 900]), strict=True)
    ]
    for order in ([0, 1, 2], [2, 0, 1]):
        merged = ConfidenceHistogram.empty()
        for i in order:
            merged = merged.merge(parts[i])
        assert (merged.counts == whole.counts).all()
        assert (merged.human_counts == whole.human_counts).all()


def test_only_float32_confidences_with_their_flags_are_counted():
    with pytest.raises(ValueError, match="confidence: got dtype float64, expected float32"):
        ConfidenceHistogram.of(np.array([0.5]), human=np.array([True]))
    with pytest.raises(ValueError, match="confidence: got nan at"):
        ConfidenceHistogram.of(np.array([np.nan], np.float32), human=np.array([True]))
    with pytest.raises(ValueError, match="human: got 2 values, expected 1"):
        ConfidenceHistogram.of(np.array([0.5], np.float32), human=np.array([True, False]))


def test_counts_that_contradict_each_other_are_refused():
    none, some = np.zeros(len(EDGES), np.int64), np.ones(len(EDGES), np.int64)
    with pytest.raises(ValueError, match=r"human_counts: got a bin outside 0\.\.counts"):
        ConfidenceHistogram(none, some)
    with pytest.raises(ValueError, match="human_counts: got a bin outside"):
        ConfidenceHistogram(some, -some)
    with pytest.raises(ValueError, match=r"counts: got int64 of shape \(3,\), expected int64 of shape"):
        ConfidenceHistogram(none[:3], none)
    with pytest.raises(ValueError, match="human_counts: got float64"):
        ConfidenceHistogram(some, none.astype(np.float64))
