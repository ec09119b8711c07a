"""How far machine labels can be accepted, and the proof: audit, certificate, calibration.

Pure: NumPy, SciPy and scikit-learn in, numbers out; no Ray, no torch, no storage, no config.
"""

from raylabel.acceptance.agreement import Agreement, agreement
from raylabel.acceptance.another_round import AnotherRound, another_round
from raylabel.acceptance.audit import draw, num_needed, power, smallest_audit
from raylabel.acceptance.bounds import hypergeometric_upper
from raylabel.acceptance.calibrate import MonotoneCalibration
from raylabel.acceptance.certificate import Certificate, Withheld
from raylabel.acceptance.certify import certify
from raylabel.acceptance.classes import ClassHistograms, certify_by_class, sentence_by_class
from raylabel.acceptance.consensus import Consensus, dawid_skene, majority
from raylabel.acceptance.forecast import Expected, Forecast, assumed, forecast, hopeless, learned
from raylabel.acceptance.histogram import ConfidenceHistogram
from raylabel.acceptance.label_errors import LabelErrors, find_label_errors
from raylabel.acceptance.label_model import ABSTAIN, LabelModel, VoteCounts, fit_label_model
from raylabel.acceptance.neighbours import NeighbourVote
from raylabel.acceptance.scaling import VectorScaling, fit_temperature, softmax
from raylabel.acceptance.score import LearnedScore, log_odds
from raylabel.acceptance.targeted import SecondDraw, plan_second_draw
from raylabel.acceptance.votes import Votes

__all__ = [
    "ABSTAIN",
    "Agreement",
    "AnotherRound",
    "Certificate",
    "ClassHistograms",
    "ConfidenceHistogram",
    "Consensus",
    "Expected",
    "Forecast",
    "LabelErrors",
    "LabelModel",
    "LearnedScore",
    "MonotoneCalibration",
    "NeighbourVote",
    "SecondDraw",
    "VectorScaling",
    "VoteCounts",
    "Votes",
    "Withheld",
    "agreement",
    "another_round",
    "assumed",
    "certify",
    "certify_by_class",
    "dawid_skene",
    "draw",
    "find_label_errors",
    "fit_label_model",
    "fit_temperature",
    "forecast",
    "hopeless",
    "hypergeometric_upper",
    "learned",
    "log_odds",
    "majority",
    "num_needed",
    "plan_second_draw",
    "power",
    "sentence_by_class",
    "smallest_audit",
    "softmax",
]
