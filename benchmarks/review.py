"""The review page: how fast one person answers by keyboard, and how quick it stays for twenty at a queue of 100,000.

A real browser draws the first page of the long queue, and confirms some 300 items in grid mode by scripted keys: on
every screen the wrong tiles are corrected, and the next screen is waited for as a person would; once with workspace and
pool on this disk, once with both in an object store. Twenty annotators then ask for batches and answer them over HTTP,
as fast as they can, while every answer is committed to the workspace.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
from asked_campaign import AskedCampaign, write_campaign
from browser import launch
from playwright.sync_api import Page, sync_playwright
from record import Outcome, arguments, finish

from raylabel.labeling.answers import Ledger

CONFIRMED, PEOPLE, BATCH = 300, 20, 12


@contextmanager
def served(asked: AskedCampaign) -> Iterator[str]:
    """The page of a campaign, in a process of its own: its address."""
    command = [sys.executable, "-m", "raylabel", "review", str(asked.toml), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None, "it is a pipe"
        found = re.search(r"http://\S+", process.stdout.readline())
        if found is None:
            raise SystemExit("the server did not start")
        try:
            yield found[0]
        finally:
            process.send_signal(signal.SIGINT)


def entered(browser: Any, address: str) -> tuple[Page, float]:
    """A page on which somebody has given a name, and how long its first screen took with all pictures."""
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    page.goto(address)
    page.fill("input[name=name]", "ann")
    page.click("button[type=submit]")
    page.wait_for_selector(".tile")
    # The page again, as whoever comes back to it sees it.
    start = time.perf_counter()
    page.goto(address)
    drawn(page)
    return page, time.perf_counter() - start


def drawn(page: Page) -> None:
    """Wait until a screen and all of its pictures are there."""
    page.wait_for_function(
        "() => { const i = [...document.querySelectorAll('.tile img, .frame img')];"
        " return i.length && i.every((e) => e.complete && e.naturalWidth > 1); }",
        polling=20,
    )


def confirm(page: Page, asked: AskedCampaign, wanted: int) -> tuple[int, float, float]:
    """Answer in grid mode, without a mistake; returns how many, the seconds, and the longest wait for a screen."""
    done, longest, start = 0, 0.0, time.perf_counter()
    while done < wanted:
        rows = [
            int(r) for r in page.eval_on_selector_all(".tile img, .frame img", "e => e.map(i => i.src.split('/')[4])")
        ]
        title = page.text_content("h1") or ""
        if title == "What is this?":
            page.keyboard.press(_key(asked, rows[0]))
            done += 1
        else:
            for place, row in enumerate(rows):
                right = list(asked.campaign.config.classes)[int(asked.truth[row])]
                if right != title:
                    page.keyboard.press(_key(asked, row))
                elif place + 1 < len(rows):
                    page.keyboard.press("ArrowRight")
            page.keyboard.press("Enter")
            done += len(rows)
        waited = time.perf_counter()
        page.wait_for_function(f"() => !document.querySelector('img[src*=\"/picture/{rows[0]}/\"]')", polling=10)
        drawn(page)
        longest = max(longest, time.perf_counter() - waited)
    page.wait_for_function("() => document.querySelector('#saved').dataset.open === '0'")
    return done, time.perf_counter() - start, longest


def _key(asked: AskedCampaign, row: int) -> str:
    return "1234567890"[int(asked.truth[row])]


async def annotate(address: str, number: int, times: dict[str, list[float]], given: list[int], until: float) -> None:
    """One annotator: the next batch, an answer for each of its items, and again."""
    cookies = {f"raylabel-{address.rsplit(':', 1)[1].strip('/')}-name": f"person-{number}"}
    # Not httpx: on two cores its own time would be most of what is measured.
    async with aiohttp.ClientSession(address, headers={"cookie": "; ".join(map("=".join, cookies.items()))}) as client:
        turn = 0
        while time.perf_counter() < until:
            message = {"page": f"page-{number:04d}", "single": bool(number % 2), "size": BATCH, "keep": []}
            screen = await _timed(client, "/api/next", message, times["next batch"])
            given += (rows := [item["row"] for item in screen["items"]])
            for row in rows:
                turn += 1
                items = [{"row": row, "kind": "label", "label": row % 10}]
                answer = {"page": message["page"], "round": screen["round"], "items": items}
                submission = {"submission": f"person-{number:04d}-{turn:06d}", **answer}
                done = await _timed(client, "/api/answer", submission, times["answer"])
                if done["saved"] != [row]:
                    raise SystemExit(f"an answer was not taken: {done}")


async def _timed(client: aiohttp.ClientSession, path: str, message: dict[str, Any], times: list[float]) -> Any:
    start = time.perf_counter()
    async with client.post(path, json=message) as response:
        response.raise_for_status()
        found = await response.json()
    times.append(time.perf_counter() - start)
    return found


async def crowd(address: str, seconds: float) -> tuple[dict[str, list[float]], list[int]]:
    """Twenty annotators at once, for so long: how long requests took, and every row that was given out."""
    times: dict[str, list[float]] = {"next batch": [], "answer": []}
    given: list[int] = []
    until = time.perf_counter() + seconds
    await asyncio.gather(*(annotate(address, number, times, given, until) for number in range(PEOPLE)))
    return times, given


def long_queue(place: Path, outcome: Outcome, *, num: int, seconds: float) -> None:
    """First page, and twenty annotators, at a queue of so many items."""
    asked = write_campaign(place / "long", num_train=num, num_audit=num // 100, num_gold=num // 20)
    with served(asked) as address:
        with sync_playwright() as playwright:
            browser = launch(playwright)
            _, first = entered(browser, address)
            browser.close()
        times, given = asyncio.run(crowd(address, seconds))
    stored = len(Ledger(asked.campaign, asked.number).latest)
    first_gold = len(asked.truth) - num // 20
    num_gold = sum(row >= first_gold for row in given)
    outcome.rows.append((f"first page of {num:,} items, drawn with its pictures", f"{first:.2f} s", "1 s"))
    outcome.limits |= {"first page, s": first}
    for name, found in times.items():
        middle, late = np.percentile(found, [50, 95]) * 1000
        said = f"{late:.0f} ms (median {middle:.0f} ms, {len(found):,} requests)"
        outcome.rows.append((f"{name}, {PEOPLE} annotators at once, 95th percentile", said, "100 ms"))
        outcome.limits |= {f"{name}, p95 in ms": float(late)}
    rate = len(times["answer"]) / seconds
    outcome.rows.append(("answers committed a second", f"{rate:,.0f}", ""))
    outcome.notes.append(
        f"{stored:,} answers lie in the workspace, {len(times['answer']):,} were told saved; "
        f"{len(given) - len(set(given)):,} items were given out twice; "
        f"{num_gold:,} of the {len(given):,} given out are gold."
    )


def by_keyboard(place: Path, outcome: Outcome, *, wanted: int, bucket: str = "") -> None:
    """One person in grid mode, with workspace and pool on this disk or in a bucket."""
    there: dict[str, Any] = {"workspace": f"{bucket}/workspace", "pool": f"{bucket}/pool"} if bucket else {}
    where = "s3://" if bucket else "disk"
    asked = write_campaign(place / f"grid-{len(where)}", num_train=2 * wanted, num_audit=wanted // 10, **there)
    with served(asked) as address, sync_playwright() as playwright:
        browser = launch(playwright)
        page, _ = entered(browser, address)
        done, spent, longest = confirm(page, asked, wanted)
        browser.close()
    labels = Ledger(asked.campaign, asked.number).latest
    classes = asked.campaign.config.classes
    right = [row["label"] == classes[asked.truth[int(name[5:])]] for (name, _), row in labels.items()]
    what = f"{done} answers by keyboard in grid mode, guesses 90 % right, {where}"
    outcome.rows.append((what, f"{spent:.1f} s", "60 s for 300"))
    outcome.rows.append(
        (f"longest wait for the next screen with its pictures, {where}", f"{longest * 1000:.0f} ms", "")
    )
    outcome.notes.append(f"{len(labels)} answers by keyboard are saved ({where}), {sum(right)} of them right.")
    outcome.limits |= {f"300 by keyboard, {where}, s": 300 * spent / done, f"longest wait, {where}, s": longest}


@contextmanager
def object_store(place: Path) -> Iterator[str]:
    """A real S3 server on loopback, as the tests have it: a bucket of it."""
    command = Path(__file__).resolve().parent.parent / ".venv" / "s3-server" / "bin" / "ministack"
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}
    os.environ.update({"AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}", **keys})
    server = {"BIND_HOST": "127.0.0.1", "GATEWAY_PORT": str(port), "SERVICES": "s3", "S3_DATA_DIR": str(place)}
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen([str(command)], env={**os.environ, **server}, **quiet) as process:  # type: ignore[call-overload]
        try:
            while True:
                with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                    break
                time.sleep(0.1)
            import s3fs

            s3fs.S3FileSystem().mkdir("review")
            yield "s3://review"
        finally:
            process.terminate()


def main() -> None:
    """Measure, print, save."""
    options = arguments(__doc__ or "")
    outcome = Outcome("review", ("what", "measured", "wanted"))
    with tempfile.TemporaryDirectory() as folder:
        place = options.work or Path(folder)
        by_keyboard(place, outcome, wanted=60 if options.quick else CONFIRMED)
        with object_store(place / "s3") as bucket:
            by_keyboard(place, outcome, wanted=60 if options.quick else CONFIRMED, bucket=bucket)
        long_queue(place, outcome, num=2_000 if options.quick else 100_000, seconds=5 if options.quick else 30)
    finish(outcome, save=options.save)


if __name__ == "__main__":
    main()
