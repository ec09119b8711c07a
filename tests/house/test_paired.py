"""What benchmarks/paired.py says of learning curves, worked out by hand."""

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import ttest_rel

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture
def paired(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import paired

    return paired


def test_area_counts_every_doubling_alike(paired):
    values = np.array([[0.0, 1.0, 1.0], [0.5, 0.5, 0.5]])
    assert paired.area([10, 20, 40], values) == pytest.approx([0.75, 0.5])


def test_answers_to_a_target(paired):
    mean = np.array([0.2, 0.4, 0.3, 0.6])
    assert paired.reached([10, 20, 30, 40], mean, 0.3) == pytest.approx(15)
    assert paired.reached([10, 20, 30, 40], mean, 0.2) == 10
    assert paired.reached([10, 20, 30, 40], mean, 0.5) == pytest.approx(30 + 10 * 2 / 3)
    assert paired.reached([10, 20, 30, 40], mean, 0.7) == float("inf")


def test_one_sided_and_paired(paired):
    ours, theirs = np.array([1.0, 2.0, 3.5]), np.array([1.5, 2.1, 3.6])
    assert paired.p_below(ours, theirs) == pytest.approx(ttest_rel(ours, theirs).pvalue / 2)
    assert paired.p_below(theirs, ours) == pytest.approx(1 - ttest_rel(ours, theirs).pvalue / 2)
    assert paired.p_below(ours, ours) == 1.0
    assert paired.p_below(ours, ours + 1.0) == 0.0


def test_holm_by_hand(paired):
    """Sorted .01, .03, .04 times 3, 2, 1; the third may not be below the second."""
    assert paired.holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])
    assert paired.holm([0.9, 0.8]) == pytest.approx([1.0, 1.0])


def test_standard_error(paired):
    assert paired.standard_error(np.array([1.0, 2.0, 3.0, 4.0])) == pytest.approx(np.sqrt(5 / 3) / 2)
