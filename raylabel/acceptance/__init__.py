"""How far machine labels can be accepted, and the proof: audit, certificate, calibration.

Pure: NumPy, SciPy and scikit-learn in, numbers out; no Ray, no torch, no storage, no config.
"""

from raylabel.acceptance.another_round import AnotherRound, another_round
from raylabel.acceptance.audit import draw, num_needed, power, smallest_audit
from raylabel.acceptance.bounds import hypergeometric_upper
from raylabel.acceptance.calibrate import MonotoneCalibration
from raylabel.acceptance.certificate import Certificate, Withheld
from raylabel.acceptance.certify import certify
from raylabel.acceptance.classes import certify_by_class
from raylabel.acceptance.forecast import Expected, Forecast, assumed, forecast, hopeless, learned
from raylabel.acceptance.histogram import ConfidenceHistogram
from raylabel.acceptance.neighbours import NeighbourVote
from raylabel.acceptance.scaling import VectorScaling, fit_temperature, softmax
from raylabel.acceptance.score import LearnedScore, log_odds
from raylabel.acceptance.targeted import SecondDraw, plan_second_draw
from raylabel.acceptance.verify import verify

__all__ = [
    "AnotherRound",
    "Certificate",
    "ConfidenceHistogram",
    "Expected",
    "Forecast",
    "LearnedScore",
    "MonotoneCalibration",
    "NeighbourVote",
    "SecondDraw",
    "VectorScaling",
    "Withheld",
    "another_round",
    "assumed",
    "certify",
    "certify_by_class",
    "draw",
    "fit_temperature",
    "forecast",
    "hopeless",
    "hypergeometric_upper",
    "learned",
    "log_odds",
    "num_needed",
    "plan_second_draw",
    "power",
    "smallest_audit",
    "softmax",
    "verify",
]
