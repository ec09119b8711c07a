"""Who to ask next: strategies that pick a shortlist from arrays, and the statistic that bounds what they see.

Pure: NumPy, SciPy and FAISS in, arrays out; no Ray, no torch, no storage, no config.
"""

from raylabel.sampling.arrays import Candidates, Labeled, Picks, Round
from raylabel.sampling.duplicates import first_of_each, near_duplicates
from raylabel.sampling.narrow import Highest, Histogram, Threshold, TopItems, random_priority
from raylabel.sampling.rare import wanted
from raylabel.sampling.registry import STRATEGIES, Strategy, find, resolve, select

__all__ = [
    "STRATEGIES",
    "Candidates",
    "Highest",
    "Histogram",
    "Labeled",
    "Picks",
    "Round",
    "Strategy",
    "Threshold",
    "TopItems",
    "find",
    "first_of_each",
    "near_duplicates",
    "random_priority",
    "resolve",
    "select",
    "wanted",
]
