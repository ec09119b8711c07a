import numpy as np
import pytest

from raylabel.errors import RaylabelError
from raylabel.reporting.touched import refuse_touched, touched

AUDIT = np.array([3, 8, 20])


def test_a_shortlist_without_audit_items_is_fine(tiny):
    tiny.publish(0, [1, 2, 4], strategy="margin")
    assert touched(tiny.campaign, 0, AUDIT) == []
    assert touched(tiny.campaign, 1, AUDIT) == []  # that round has not asked
    refuse_touched(tiny.campaign, range(2), AUDIT)


def test_an_audit_item_that_a_strategy_picked_is_refused_by_name(tiny):
    tiny.publish(0, [1, 8, 3], strategy="margin")
    assert touched(tiny.campaign, 0, AUDIT) == [
        f"round 0: the strategy margin picked {tiny.ids[8]} (row 8) of the audit sample",
        f"round 0: the strategy margin picked {tiny.ids[3]} (row 3) of the audit sample",
    ]
    with pytest.raises(RaylabelError, match="picked digit-56 \\(row 8\\) of the audit sample, and 1 more"):
        refuse_touched(tiny.campaign, range(3), AUDIT)


def test_an_item_that_was_never_drawn_is_no_audit_item(tiny):
    tiny.publish(0, [3, 5], strategy="audit")
    assert touched(tiny.campaign, 0, AUDIT) == [
        f"round 0: {tiny.ids[5]} (row 5) was asked as an audit item, but was never drawn"
    ]
