"""Who to ask next: strategies that pick a shortlist from arrays, and the statistic that bounds what they see.

Pure: NumPy, SciPy and FAISS in, arrays out; no Ray, no torch, no storage, no config.
"""

from raylabel.sampling.arrays import Candidates, Labeled, Picks
from raylabel.sampling.narrow import Highest, Histogram, Threshold, TopItems, random_priority
from raylabel.sampling.registry import STRATEGIES, Strategy, select

__all__ = [
    "STRATEGIES",
    "Candidates",
    "Highest",
    "Histogram",
    "Labeled",
    "Picks",
    "Strategy",
    "Threshold",
    "TopItems",
    "random_priority",
    "select",
]
