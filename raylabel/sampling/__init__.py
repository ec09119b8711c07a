"""Who to ask next: strategies that pick a shortlist from arrays, and the statistic that bounds what they see.

Pure: NumPy, SciPy and FAISS in, arrays out; no Ray, no torch, no storage, no config.
"""

from raylabel.sampling.arrays import Candidates, Labeled, Picks
from raylabel.sampling.narrow import TopItems, random_priority
from raylabel.sampling.registry import STRATEGIES, Strategy, select

__all__ = [
    "STRATEGIES",
    "Candidates",
    "Labeled",
    "Picks",
    "Strategy",
    "TopItems",
    "random_priority",
    "select",
]
