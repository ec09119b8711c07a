"""The server is killed again and again while people answer: no item is given twice at once, no answer is lost."""

import asyncio
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx

from raylabel.labeling.answers import collect

PEOPLE, KILLS = 8, 10


class Annotator:
    """What a page does: asks, shows, answers, and tries again whatever fails, saying now and then what it shows."""

    def __init__(self, served, name, log):
        self.name, self.log = name, log
        self.page, self.shown, self.turn = f"page-{name}", [], 0
        self.rng = random.Random(name)
        address, cookies = f"http://127.0.0.1:{served.port}", {f"raylabel-{served.port}-name": name}
        self.client = httpx.AsyncClient(base_url=address, cookies=cookies, timeout=10)

    async def ask(self, path, **message):
        while True:
            try:
                response = await self.client.post(path, json={"page": self.page, **message})
            except httpx.TransportError:
                await asyncio.sleep(0.02)
                continue
            assert response.status_code == 200, response.text
            return response.json()

    async def beat(self):
        while True:
            await self.ask("/api/status", rows=list(self.shown))
            await asyncio.sleep(0.1)

    async def work(self, stop):
        beating = asyncio.create_task(self.beat())
        while not stop.is_set():
            screen = await self.ask("/api/next", single=self.rng.random() < 0.5, size=self.rng.randint(1, 6), keep=[])
            self.shown = [item["row"] for item in screen["items"]]
            self.log.given(self.name, self.shown)
            if not self.shown:
                await asyncio.sleep(0.05)
                continue
            await asyncio.sleep(self.rng.random() * 0.1)
            items = [{"row": row, "kind": "label", "label": row % 10} for row in self.shown]
            self.turn += 1
            done = await self.ask("/api/answer", round=1, submission=f"{self.name}-{self.turn:06d}", items=items)
            self.log.saved(self.name, self.shown, done["saved"])
            self.shown = []
        beating.cancel()
        await self.client.aclose()


class Log:
    """Who shows what, and what they were told is saved."""

    def __init__(self):
        self.told: dict[int, str] = {}
        self.held: dict[int, str] = {}
        self.twice: list[tuple[int, str]] = []

    def given(self, name, rows):
        self.twice += [(row, name) for row in rows if row in self.told or row in self.held]
        self.held.update(dict.fromkeys(rows, name))

    def saved(self, name, shown, saved):
        for row in shown:
            del self.held[row]
        self.told.update(dict.fromkeys(saved, name))


def test_ten_kills(serve):
    served = serve(num_train=4000, num_audit=40, environment={"RECLAIM_S": "1"})
    log, stop, killed = Log(), threading.Event(), []

    async def everybody():
        people = [Annotator(served, f"person-{number}", log) for number in range(PEOPLE)]
        await asyncio.gather(*(someone.work(stop) for someone in people))

    # In a thread: the browser's loop may run in this one.
    with ThreadPoolExecutor(1) as beside:
        working = beside.submit(asyncio.run, everybody())
        for _ in range(KILLS):
            before = len(log.told)
            while len(log.told) < before + 20 and not working.done():
                time.sleep(0.02)
            served.kill()
            killed.append(len(log.told))
            served.start()
        stop.set()
        working.result(60)
    assert len(killed) == KILLS and killed[-1] >= 20 * KILLS
    assert log.twice == []
    stored: dict[int, list[tuple[str, str]]] = {}
    for row in collect(served.asked.campaign, 1).to_pylist():
        stored.setdefault(int(row["id"].removeprefix("item-")), []).append((row["annotator"], row["label"]))
    classes = served.asked.campaign.config.classes
    assert stored == {row: [(who, classes[row % 10])] for row, who in log.told.items()}
