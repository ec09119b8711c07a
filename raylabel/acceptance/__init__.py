"""How far machine labels can be accepted, and the proof: audit, certificate, calibration.

Pure: NumPy, SciPy and scikit-learn in, numbers out; no Ray, no torch, no storage, no config.
"""

from raylabel.acceptance.audit import draw, num_needed, power, smallest_audit
from raylabel.acceptance.bounds import hypergeometric_upper
from raylabel.acceptance.calibrate import MonotoneCalibration
from raylabel.acceptance.certificate import Certificate, Withheld
from raylabel.acceptance.certify import certify
from raylabel.acceptance.histogram import ConfidenceHistogram
from raylabel.acceptance.neighbours import NeighbourVote
from raylabel.acceptance.scaling import VectorScaling, fit_temperature, softmax
from raylabel.acceptance.score import LearnedScore, log_odds

__all__ = [
    "Certificate",
    "ConfidenceHistogram",
    "LearnedScore",
    "MonotoneCalibration",
    "NeighbourVote",
    "VectorScaling",
    "Withheld",
    "certify",
    "draw",
    "fit_temperature",
    "hypergeometric_upper",
    "log_odds",
    "num_needed",
    "power",
    "smallest_audit",
    "softmax",
]
