"""The steps of the loop that are labeling's: draw the audit, select, ask, resolve.

Imported by what runs a campaign; whoever only reads questions or writes answers imports the file that does it, and
waits for no engine.
"""

from raylabel.labeling.answers import resolved_before
from raylabel.labeling.asking import ask
from raylabel.labeling.auditing import draw_audit
from raylabel.labeling.gold import know_gold
from raylabel.labeling.second_draw import audit_again
from raylabel.labeling.shortlist import Model, select

__all__ = [
    "Model",
    "ask",
    "audit_again",
    "draw_audit",
    "know_gold",
    "resolved_before",
    "select",
]
