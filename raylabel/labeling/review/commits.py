"""Group commit: answers that come while others are written are written together; nobody is told before they lie there.

Knows a ledger and asyncio; knows nothing of questions.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from raylabel.campaign import folder
from raylabel.errors import AnswersError
from raylabel.labeling.answers import Answer, Ledger, taken

GATHER_S = 0.004
"""Answers that come so shortly after one another share a commit."""


class Commits:
    """Appends to one round's ledger, one commit at a time; for one event loop.

    Args:
        ledger: of the round.
    """

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self._waiting: list[tuple[Sequence[Answer], asyncio.Future[list[dict[str, Any]]]]] = []
        self._at_work = asyncio.Lock()

    async def add(self, answers: Sequence[Answer]) -> list[dict[str, Any]]:
        """Append answers; returns the new ones, as rows of schema.ANSWERS, once they are in the workspace.

        Raises:
            StorageError: they are not.
            AnswersError: they are, but the round went on without them.
        """
        done: asyncio.Future[list[dict[str, Any]]] = asyncio.get_running_loop().create_future()
        self._waiting.append((answers, done))
        async with self._at_work:
            if not done.done():
                await asyncio.sleep(GATHER_S)
                await self._commit()
        return await done

    async def refresh(self) -> list[dict[str, Any]]:
        """What others have appended since the last look."""
        # Listed beside the commits, which need not wait for it.
        names = await asyncio.to_thread(taken, self.ledger.campaign, self.ledger.number)
        if self.ledger.names.issuperset(names):
            return []
        async with self._at_work:
            return await asyncio.to_thread(self.ledger.refresh)

    async def _commit(self) -> None:
        """Write all that waits."""
        waiting, self._waiting = self._waiting, []
        try:
            rows = await asyncio.to_thread(self._append, [answer for answers, _ in waiting for answer in answers])
        except Exception as error:  # noqa: BLE001 - each of those who wait gets it
            for _, done in waiting:
                done.set_exception(error)
            return
        new = {row["answer_id"]: row for row in rows}
        for answers, done in waiting:
            done.set_result([new[a.answer_id] for a in answers if a.answer_id in new])

    def _append(self, answers: Sequence[Answer]) -> list[dict[str, Any]]:
        """Append, and see that the round has not gone on without these answers; in a thread."""
        campaign, before = self.ledger.campaign, set(self.ledger.names)
        rows = self.ledger.append(answers)
        answered = f"{folder(self.ledger.number)}/answered"
        if rows and campaign.store.exists(f"{answered}.json"):
            record = campaign.records.require(answered, missing="it was there a moment ago")
            if not (self.ledger.names - before).issubset(record.facts["answers"]):
                raise AnswersError("the loop has gone on with the answers that it had; this one came too late")
        return rows
