"""Campaigns that ask: 40 digits answered before, then 60 that a strategy picked and 20 of the audit."""

import pytest
from asked_campaign import write_campaign


@pytest.fixture
def asking(tmp_path):
    """Write a campaign that asks; keyword arguments as `write_campaign`."""

    def make(**more):
        return write_campaign(tmp_path / "campaign", **{"num_train": 60, "num_audit": 20, **more})

    return make
