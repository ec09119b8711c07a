"""raylabel labels millions of images with a few thousand human answers, and proves how right the labels are."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Any

from raylabel.config import Config
from raylabel.toml import load

__all__ = ["Config", "__version__", "load", "run"]

__version__ = version("raylabel")


def run(config: Config | str | Path, *, until: str = "", grow: bool = False) -> dict[str, Any] | None:
    """Run a campaign from wherever its workspace stands, on the Ray session that is there or one started for it.

    Args:
        config: the campaign, or its TOML.
        until: "embed", "select", "train" or "accept" to stop after that step of the round that is due.
        grow: first take in what has come into the pool since it was planned.

    Returns:
        The report, as it lies in the workspace's report.json; None if the run was stopped by `until`.

    Raises:
        RaylabelError: see raylabel.errors; WaitingForPeople when answers are missing.
    """
    # The engines are imported when they are needed: `raylabel --help` should not wait for them.
    from raylabel import loop, runtime
    from raylabel.opening import open_campaign
    from raylabel.workspace import Store, hold

    settings = config if isinstance(config, Config) else load(config)
    with hold(Store(settings.workspace)) as lease, runtime.session(settings.compute):
        return loop.run(open_campaign(settings), lease, until=until, grow=grow)
