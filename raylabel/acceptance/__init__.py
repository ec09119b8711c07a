"""How far machine labels can be accepted, and the proof: audit, certificate, calibration.

Pure: NumPy, SciPy and scikit-learn in, numbers out; no Ray, no torch, no storage, no config.
"""

from raylabel.acceptance.audit import draw, num_needed, power, smallest_audit
from raylabel.acceptance.bounds import hypergeometric_upper
from raylabel.acceptance.calibrate import MonotoneCalibration
from raylabel.acceptance.certificate import Certificate, Withheld
from raylabel.acceptance.certify import certify
from raylabel.acceptance.classes import certify_by_class
from raylabel.acceptance.confidence import fit_temperature, softmax
from raylabel.acceptance.histogram import ConfidenceHistogram
from raylabel.acceptance.targeted import SecondDraw, plan_second_draw

__all__ = [
    "Certificate",
    "ConfidenceHistogram",
    "MonotoneCalibration",
    "SecondDraw",
    "Withheld",
    "certify",
    "certify_by_class",
    "draw",
    "fit_temperature",
    "hypergeometric_upper",
    "num_needed",
    "plan_second_draw",
    "power",
    "smallest_audit",
    "softmax",
]
