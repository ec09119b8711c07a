"""Verify a workspace: every check in turn, and what all of them come to.

Starts no Ray; needs neither the pool nor a config. Reads; never writes.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from pydantic import ValidationError

from raylabel.acceptance.differences import differences
from raylabel.campaign import Campaign, find_labels
from raylabel.config import Config
from raylabel.errors import ConfigError, FileChanged, RaylabelError, StorageError
from raylabel.opening import find_campaign
from raylabel.planned import find_plan
from raylabel.pool import Plan
from raylabel.reporting.committed import Committed, find_round
from raylabel.reporting.people import people_facts
from raylabel.reporting.report import REPORT, compose
from raylabel.verify.files import as_kept, check_files
from raylabel.verify.people import check_answers, check_asked, check_draws
from raylabel.verify.verdicts import check_labels, check_verdicts
from raylabel.workspace import Record, Store

Look = Callable[[], tuple[int, list[str]]]


@dataclass(frozen=True)
class Check:
    """One thing that was verified.

    Args:
        name: what was looked at.
        num: how much of it.
        differs: one sentence for each thing that is not as it was, or not as it comes out again; empty if all agrees.
    """

    name: str
    num: int
    differs: tuple[str, ...]


def open_workspace(root: str) -> Campaign:
    """Open a workspace by what lies in it, wherever it was copied to; no config file is needed.

    Args:
        root: a local folder or an s3:// prefix.

    Raises:
        ConfigError: no campaign was begun there, or its campaign.json can no longer be read.
    """
    store = Store(root)
    try:
        tree = json.loads(store.read("campaign.json"))["config"]
        config = Config.model_validate({**tree, "workspace": root})
    except FileNotFoundError:
        raise ConfigError(f"{root}: nothing was begun there; give a campaign's TOML or its workspace") from None
    except (ValueError, KeyError, TypeError, ValidationError) as error:
        raise ConfigError(f"{store.uri('campaign.json')}: cannot be read ({error}); restore it") from error
    return find_campaign(config)


def verify(campaign: Campaign) -> dict[str, Any]:
    """Work out a campaign's verdicts and labels again from its workspace, and say what differs.

    The audit is drawn again from its seed and compared; no strategy may have picked from it. Answers are joined again
    as the protocol says, the pool's confidences are counted again, every round is certified again and every item
    labeled again. Every file that a record names must have the bytes that it names.

    What stays out: pictures, embeddings and models are taken as they were recorded; nothing is embedded or fitted
    again. Whoever rewrites predictions, answers and all that follows from them, records included, makes another
    campaign, which verifies.

    Returns:
        Facts: `verified`, `checks` (of each its name, num and differs), `finished`, and of the last round its verdict,
        sentence, num_auto, round.

    Raises:
        StorageError: the store itself failed.

    Cost: one read of everything that the records name, and a pass over the predictions of each round.
    """
    checks = [_checked("files", lambda: check_files(campaign))]
    plans: list[Plan] = []
    rounds: list[Committed] = []
    labels: list[Record] = []

    def open_records() -> tuple[int, list[str]]:
        plans.append(find_plan(campaign))
        for number in range(campaign.config.budget.rounds):
            if found := find_round(campaign, number):
                rounds.append(found)
        if found_labels := find_labels(campaign):
            labels.append(found_labels)
        return len(rounds), []

    checks.append(_checked("records", open_records))
    if plans and not checks[-1].differs:
        checks.append(_checked("audit draw", lambda: check_draws(campaign, plans[0], rounds)))
        checks.append(_checked("shortlists", lambda: check_asked(campaign, rounds)))
        checks.append(_checked("answers", lambda: check_answers(campaign, rounds)))
        checks.append(_checked("verdicts", lambda: check_verdicts(campaign, rounds)))
    if labels and rounds and not checks[1].differs:
        checks.append(_checked("labels", lambda: check_labels(campaign, labels[0], rounds, plans[0])))
        checks.append(_checked("report", lambda: _check_report(campaign, rounds, labels[0])))
    last = rounds[-1].verdict.facts if rounds else {}
    return {
        "workspace": campaign.store.root,
        "verified": not any(check.differs for check in checks),
        "finished": bool(labels),
        "round": rounds[-1].number if rounds else None,
        **{name: last.get(name) for name in ("verdict", "num_auto", "sentence")},
        "checks": [{**asdict(check), "differs": list(check.differs)} for check in checks],
    }


def _checked(name: str, look: Look) -> Check:
    """Run a check; what it cannot read because it was changed is a difference, a store that fails is an error."""
    try:
        num, differs = look()
    except StorageError as error:
        if not isinstance(error, FileChanged):
            raise
        num, differs = 0, [str(error)]
    except RaylabelError as error:
        num, differs = 0, [str(error)]
    except (KeyError, TypeError, ValueError, AssertionError) as error:
        # Records are read as they were written: one without a field, or with another kind of value in it, was changed.
        num, differs = 0, [f"a record or table is not as it was written ({type(error).__name__}: {error})"]
    return Check(name, num, tuple(differs))


def _check_report(campaign: Campaign, rounds: list[Committed], labels: Record) -> tuple[int, list[str]]:
    """Compare report.json with the rounds and labels that it tells of; places may be others in a copy."""
    try:
        kept = json.loads(campaign.store.read(REPORT))
    except FileNotFoundError:
        return 0, [f"{campaign.store.uri(REPORT)}: is gone; `raylabel run` writes it again"]
    told = [dict(done.facts.facts) for done in rounds]
    people = people_facts(campaign, told[-1])
    found = as_kept(compose(campaign, told, labels, pool=kept["pool"], people=people, stopped=kept["stopped"]))
    for tree in (kept, found):
        del tree["workspace"], tree["labels"]["folder"]
    return 1, differences(kept, found)
