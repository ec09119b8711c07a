"""Who is asked and who answers: the audit draw, shortlists, and the labelers that answer them."""

from raylabel.labeling.answers import resolved_before
from raylabel.labeling.asking import ask
from raylabel.labeling.auditing import draw_audit, find_audit
from raylabel.labeling.shortlist import Model, select

__all__ = ["Model", "ask", "draw_audit", "find_audit", "resolved_before", "select"]
