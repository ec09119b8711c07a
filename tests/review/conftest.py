"""The review page as people meet it: its server in a process of its own, and a real browser."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from asked_campaign import write_campaign
from axe_playwright_python.sync_playwright import Axe
from browser import launch
from campaigns import free_port
from playwright.sync_api import Error, expect, sync_playwright

SHOTS = Path(__file__).resolve().parent.parent.parent / "build" / "review"
"""Screenshots are kept there, for a look."""

PROGRAM = """
import os
from raylabel.cli import main
from raylabel.labeling.review import live
live.RECLAIM_S = float(os.environ.get("RECLAIM_S", live.RECLAIM_S))
main()
"""
"""The command line, but for how long pages have to say what they show after a crash."""

expect.set_options(timeout=20_000)


@pytest.fixture(scope="module")
def browser():
    """Chromium.

    It ends with its module: while it is there, an event loop runs in this thread and no other can.
    """
    with sync_playwright() as playwright:
        try:
            chromium = launch(playwright)
        except Error as error:
            pytest.fail(f"no browser can be started; `make test` installs one ({error.message.splitlines()[0]})")
        yield chromium
        chromium.close()


class Served:
    """The server of a campaign, which can be killed and started again on the same port."""

    def __init__(self, asked, *options, **environment):
        self.asked, self.options, self.environment = asked, options, environment
        self.port, self.address = free_port(), ""
        self.start()

    def start(self):
        command = [sys.executable, "-c", PROGRAM, "review", str(self.asked.toml), "--port", str(self.port)]
        env = {**os.environ, **self.environment}
        self.process = subprocess.Popen(
            [*command, *self.options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env
        )
        found = re.search(r"http://\S+", self.process.stdout.readline())
        if found is None:
            pytest.fail(self.process.stderr.read())
        self.address = found[0]
        # Read to the end, so that a full pipe never holds the server up.
        threading.Thread(target=self.process.stderr.read, daemon=True).start()

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.kill()


@pytest.fixture
def serve(tmp_path):
    """Serve a campaign; keyword arguments as `write_campaign`."""
    with contextlib.ExitStack() as stack:

        def make(*options, environment=None, **more):
            asked = write_campaign(tmp_path / "campaign", **{"num_train": 40, "num_audit": 6, **more})
            served = Served(asked, *options, **(environment or {}))
            stack.callback(served.stop)
            return served

        yield make


class Person:
    """Somebody at a browser; whatever their page complains of is kept."""

    def __init__(self, browser, served, name, **context):
        self.served, self.name = served, name
        self.context = browser.new_context(**{"viewport": {"width": 1280, "height": 800}, **context})
        self.page = self.context.new_page()
        self.faults, self.is_away = [], False
        self.page.on("console", lambda message: self._note(message.type, message.text))
        self.page.on("pageerror", lambda error: self._note("error", str(error)))
        self.page.on("request", self._look_at)
        self.page.on("dialog", lambda dialog: self._note("error", f"a script asked: {dialog.message}"))

    def _note(self, kind, text):
        if kind in ("error", "warning") and not self.is_away:
            self.faults.append(text)

    def _look_at(self, request):
        if not request.url.startswith(
            (f"http://127.0.0.1:{self.served.port}/", f"http://localhost:{self.served.port}/")
        ):
            self.faults.append(f"asked {request.url}")

    def enter(self):
        self.page.goto(self.served.address)
        self.page.fill("input[name=name]", self.name)
        self.page.click("button[type=submit]")
        self.page.wait_for_url(f"**:{self.served.port}/")
        return self

    def press(self, *keys):
        for key in keys:
            self.page.keyboard.press(key)

    def rows(self):
        """Rows of the pool that are on the screen, once all of its pictures are."""
        # Waited for and read at once: the next screen may come in between.
        found = self.page.wait_for_function(
            "() => { const tiles = [...document.querySelectorAll('.tile, .frame')];"
            "const ready = tiles.length && !document.getElementById('work').inert && tiles.every((e) =>"
            " e.querySelector('.broken') || e.querySelector('img')?.complete"
            " && e.querySelector('img').naturalWidth > 1);"
            "return ready && tiles.flatMap((e) => [...e.querySelectorAll('img')].map((image) => image.src)); }"
        )
        return [int(source.split("/")[4]) for source in found.json_value()]

    def title(self):
        return self.page.text_content("h1")

    def saved(self):
        """Wait until all that was said is saved."""
        self.page.wait_for_function("() => document.querySelector('#saved').dataset.open === '0'")

    def shot(self, name):
        SHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=SHOTS / f"{name}.png")

    def check(self):
        """Nothing that keeps people out, as axe sees it; and nothing wider than the screen."""
        found = Axe().run(self.page).response["violations"]
        serious = [f"{v['id']}: {v['nodes'][0]['html']}" for v in found if v["impact"] in ("serious", "critical")]
        assert serious == []
        assert self.page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.fixture
def person(browser):
    """Open a browser for somebody; at the end of the test their page must have had nothing to complain of."""
    people = []

    def make(served, name="ann", **context):
        people.append(Person(browser, served, name, **context))
        return people[-1]

    yield make
    faults = {each.name: each.faults for each in people if each.faults}
    for each in people:
        each.context.close()
    assert faults == {}
