"""Who is asked and who answers: the audit draw, shortlists, and the labelers that answer them."""

from raylabel.labeling.answers import resolved_before
from raylabel.labeling.asking import ask
from raylabel.labeling.auditing import draw_audit, find_audit
from raylabel.labeling.second_draw import answers_of, asked_for_audit, audit_again, find_second
from raylabel.labeling.shortlist import Model, select

__all__ = [
    "Model",
    "answers_of",
    "ask",
    "asked_for_audit",
    "audit_again",
    "draw_audit",
    "find_audit",
    "find_second",
    "resolved_before",
    "select",
]
