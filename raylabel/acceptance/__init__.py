"""How far machine labels can be accepted, and the proof: audit, certificate, calibration.

Pure: NumPy, SciPy and scikit-learn in, numbers out; no Ray, no torch, no storage, no config.
"""

from raylabel.acceptance.agreement import Agreement, agreement
from raylabel.acceptance.audit import draw, num_needed, power, smallest_audit
from raylabel.acceptance.bounds import hypergeometric_upper
from raylabel.acceptance.calibrate import MonotoneCalibration
from raylabel.acceptance.certificate import Certificate, Withheld
from raylabel.acceptance.certify import certify
from raylabel.acceptance.confidence import fit_temperature, softmax
from raylabel.acceptance.consensus import Consensus, dawid_skene, majority
from raylabel.acceptance.histogram import ConfidenceHistogram
from raylabel.acceptance.label_errors import LabelErrors, find_label_errors
from raylabel.acceptance.label_model import ABSTAIN, LabelModel, VoteCounts, fit_label_model
from raylabel.acceptance.votes import Votes

__all__ = [
    "ABSTAIN",
    "Agreement",
    "Certificate",
    "ConfidenceHistogram",
    "Consensus",
    "LabelErrors",
    "LabelModel",
    "MonotoneCalibration",
    "VoteCounts",
    "Votes",
    "Withheld",
    "agreement",
    "certify",
    "dawid_skene",
    "draw",
    "find_label_errors",
    "fit_label_model",
    "fit_temperature",
    "hypergeometric_upper",
    "majority",
    "num_needed",
    "power",
    "smallest_audit",
    "softmax",
]
