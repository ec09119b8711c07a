"""The page's view of a campaign, kept in step with its workspace: the round that is asked, and what the loop does.

Nobody tells the page that the loop has gone on: it looks. Knows a campaign; knows nothing of HTTP.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from raylabel.campaign import Campaign, find_labels, folder, newest_plan
from raylabel.errors import AnswersError, LeaseHeld, RaylabelError
from raylabel.labeling.answers import enough
from raylabel.labeling.asked import newest_asked
from raylabel.labeling.drawn import asked_for_audit
from raylabel.labeling.review.asked import AskedRound
from raylabel.labeling.review.pictures import Pictures
from raylabel.pool import Plan
from raylabel.progress import say
from raylabel.workspace import Record
from raylabel.workspace.lease import holder_of

LOOK_S, LOOK_FAR_S = 1.0, 5.0
"""Seconds between two looks at a workspace on this machine, and at one in an object store."""

RECLAIM_S = 6.0
"""After a crash nothing is given out for so long: pages that are still open say first what they show."""

AHEAD = 72
"""Pictures that are fetched ahead of what is shown."""

State = Literal["waiting", "asking", "working", "done"]


@dataclass(frozen=True)
class _Seen:
    """What a look found, as `Live` has it; `found` is the newest round and its pictures where it is a new one."""

    driver: dict[str, Any] | None
    curve: list[dict[str, Any]]
    is_enough: bool
    state: State
    gold: tuple[int, dict[str, Any]]
    found: tuple[AskedRound, Pictures] | None = None


class Live:
    """A campaign that is reviewed.

    Args:
        campaign: begun, its pool planned.
        after_loss: whether the server before was killed.
        check: raises LeaseHeld once another server holds the workspace.
    """

    def __init__(
        self, campaign: Campaign, *, after_loss: bool = False, check: Callable[[], None] = lambda: None
    ) -> None:
        self.campaign, self.check = campaign, check
        self.lost: LeaseHeld | None = None
        """That this server must stop."""
        self._after_loss, self._gives_from = after_loss, 0.0
        self.state: State = "waiting"
        self.asked: AskedRound | None = None
        self.pictures: Pictures | None = None
        self.driver: dict[str, Any] | None = None
        self.is_enough = False
        self.curve: list[dict[str, Any]] = []
        self.gold: tuple[int, dict[str, Any]] = (-1, {})
        """The last answered round, and how often people were right where the label is known, up to it.

        Of the round that is asked nothing is told: whoever watched the figure would know the gold items."""
        self.trouble = ""
        """Why the last look failed; "" if it did not."""

    def open(self) -> None:
        """Pages can speak to the server from now on."""
        self._gives_from = time.monotonic() + (RECLAIM_S if self._after_loss else 0.0)

    def close(self) -> None:
        """Let go of what reads ahead."""
        if self.pictures is not None:
            self.pictures.close()

    @property
    def gives(self) -> bool:
        """Whether items are given out now."""
        return self.state == "asking" and time.monotonic() >= self._gives_from

    async def keep_looking(self) -> None:
        """Look again and again, until cancelled."""
        pause = LOOK_S if self.campaign.store.is_local else LOOK_FAR_S
        while True:
            await self.try_to_look()
            await asyncio.sleep(pause)

    async def try_to_look(self) -> None:
        """Look; what fails is told on the page until the next look."""
        try:
            await self.look()
            self.trouble = ""
        except RaylabelError as error:
            if str(error) != self.trouble:
                say(f"review: {error}")
            self.trouble = str(error)
            if isinstance(error, LeaseHeld):
                self.lost = error

    async def look(self) -> None:
        """Read what has become of the campaign."""
        self.check()
        seen = await asyncio.to_thread(self._read)
        # All at once: a page must not meet the new round's state and the old one's items.
        self.driver, self.curve, self.is_enough, self.state = seen.driver, seen.curve, seen.is_enough, seen.state
        self.gold = seen.gold
        if seen.found is not None:
            asked, pictures = seen.found
            self.close()
            self.asked, self.pictures = asked, pictures
            self.pictures.fetch(asked.queue.coming(AHEAD), "small")
            still_open = asked.queue.num_open
            say(f"review: round {asked.number} asks about {asked.num_items:,} items, {still_open:,} still open")
        elif self.asked is not None:
            await self.asked.look()
        if self.asked is not None and self.is_enough and not self.asked.queue.is_short:
            self.asked.queue.shorten()

    def _read(self) -> _Seen:
        """How things stand, with the newest round and its pictures where it is another one than that in hand."""
        campaign, curve = self.campaign, list(self.curve)
        driver = holder_of(campaign.store)
        while (done := campaign.records.find(f"{folder(len(curve))}/round")) is not None:
            curve.append(_point(done))
        number = -1 if self.asked is None else self.asked.number
        asked = newest_asked(campaign, after=number)
        newest = number if asked is None else asked[0]
        is_enough = newest >= 0 and campaign.records.find(enough(newest)) is not None
        is_answered = newest >= 0 and campaign.records.find(f"{folder(newest)}/answered") is not None
        state: State = "working" if is_answered else "asking" if newest >= 0 else "waiting"
        state = "done" if find_labels(campaign) is not None else state
        gold = self._gold_until(max(newest if is_answered else newest - 1, -1))
        if asked is None:
            return _Seen(driver, curve, is_enough, state, gold)
        plan = newest_plan(campaign)
        assert plan is not None, "a shortlist is made of a plan"
        found = AskedRound(campaign, *asked, asked_for_audit(campaign))
        return _Seen(driver, curve, is_enough, state, gold, (found, Pictures(campaign, Plan.from_json(plan.facts))))

    def _gold_until(self, number: int) -> tuple[int, dict[str, Any]]:
        if number == self.gold[0]:
            return self.gold
        record = self.campaign.records.require(f"{folder(number)}/answered", missing=f"round {number} has no answers")
        return number, record.facts["annotators"]["gold"]

    async def go_on(self) -> None:
        """Say that the round has answers enough: the loop goes on once its audit is answered.

        Raises:
            AnswersError: there is nothing yet that a model could learn from.
            StorageError: it could not be said.
        """
        asked = self.asked
        if asked is None or self.state != "asking":
            raise AnswersError("no round is being asked")
        if not asked.has_training_label() and not self.curve:
            raise AnswersError("no training item has a label yet: there is nothing to train on")
        await asyncio.to_thread(self.campaign.records.commit, enough(asked.number), Record())
        self.is_enough = True
        asked.queue.shorten()

    def status(self, annotator: str) -> dict[str, Any]:
        """What the page's head shows."""
        asked, campaign = self.asked, self.campaign
        facts: dict[str, Any] = {
            "state": self.state,
            "gives": self.gives,
            "trouble": self.trouble,
            "driver": self.driver,
            "num_rounds": campaign.config.budget.rounds,
            "curve": self.curve,
            "is_enough": self.is_enough,
            "round": None,
        }
        if asked is not None:
            summary = asked.figures.summary(time.monotonic())
            for person in summary["people"]:
                person["known"] = self.gold[1].get(person["name"])
            mine = next((person for person in summary["people"] if person["name"] == annotator), None)
            facts |= {
                "round": asked.number,
                "num_items": asked.num_items,
                "num_open": asked.queue.num_open,
                "num_open_to_me": asked.queue.num_open_to(annotator),
                "mine": mine,
                **summary,
            }
        return facts


def _point(done: Record) -> dict[str, Any]:
    """A round's point of the curve, of what is judged on training answers alone, and how much the machine labels."""
    facts = done.facts
    return {
        "round": facts["round"],
        "num_answers": facts["num_answers"],
        "accuracy": facts["cross_fitted_accuracy"],
        "num_auto": facts["num_auto"],
    }
