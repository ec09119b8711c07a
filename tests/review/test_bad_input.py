"""What goes wrong at the review page, as people see it in the browser."""

import io
import re
import subprocess
import sys

import httpx
from PIL import Image
from playwright.sync_api import expect

from raylabel.labeling.answers import collect
from raylabel.workspace import Store, hold

HOSTILE = (
    "<img src=x onerror=alert(1)>",
    '"><script>alert(2)</script>',
    "' onmouseover='alert(3)",
    "{{ 7 * 7 }}",
    "a\u202eb \U0001f98a",
    "&lt;b&gt;",
    *(f"class {number} of many, with a name that is longer than any button should be wide" for number in range(300)),
)
SVG = b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(4)"><script>alert(5)</script></svg>'


def cut():
    sink = io.BytesIO()
    Image.effect_noise((64, 64), 50).save(sink, "JPEG")
    return sink.getvalue()[:700]


def test_names_are_text_whatever_they_hold(serve, person):
    """Class names with HTML and quotes, 300 of them, and a person's name; no script runs (a dialog would fail it)."""
    served = serve(num_train=12, num_audit=0, classes=HOSTILE, has_model=False)
    ann = person(served, "<b>Ann</b>").enter()
    page = ann.page
    expect(page.locator("#me")).to_have_text("<b>Ann</b>")
    ann.rows()
    for place, name in enumerate(HOSTILE[:6]):
        expect(page.locator("#foot .classes button").nth(place).locator("span")).to_have_text(name)
    ann.press("/")
    page.keyboard.type("script")
    expect(page.locator("#search-list div")).to_have_text([HOSTILE[1]])
    ann.press("Enter")
    ann.press("/")
    page.keyboard.type("class 299 of")
    ann.press("Enter")
    expect(page.locator(".tile").nth(0)).to_contain_text(HOSTILE[1])
    ann.press("Enter")
    ann.saved()
    assert sorted(row["label"] for row in collect(served.asked.campaign, 0).to_pylist()) == [HOSTILE[1], HOSTILE[-1]]
    ann.check()
    ann.shot("hostile-names")
    page.set_viewport_size({"width": 390, "height": 780})
    ann.check()


def test_pictures_that_cannot_be_shown_say_so_and_can_be_skipped(serve, person):
    served = serve(num_train=3, num_audit=3, has_model=False, images={0: SVG, 1: cut(), 4: b""})
    ann = person(served).enter()
    page = ann.page
    ann.rows()
    expect(page.locator(".broken")).to_have_count(3)
    words = sorted(page.locator(".broken").all_text_contents())
    assert words == [f"cannot be shown ({code})" for code in ("cut", "empty", "not_an_image")]
    ann.check()
    ann.shot("broken")
    ann.press("m")
    for left in range(5, -1, -1):
        page.wait_for_selector(".frame img, .frame .broken")
        ann.press("z")  # where there is nothing to enlarge, nothing breaks
        ann.press("s")
        expect(page.locator("#count")).to_have_text(f"{left} item{'' if left == 1 else 's'} left")
    assert {row["kind"] for row in collect(served.asked.campaign, 0).to_pylist()} == {"skip"}


def test_somebody_else_has_answered_it_already(serve, person):
    """Two on one item: the first laptop slept until its item was given on."""
    served = serve(num_train=1, num_audit=0, has_model=False)
    ann, bob = person(served, "ann").enter(), person(served, "bob").enter()
    assert ann.rows() == [0]
    expect(bob.page.locator("h1")).to_have_text("Nothing is left for you")
    ann.is_away = True
    shown = ann.page.evaluate("sessionStorage.getItem('page')")
    ann.context.set_offline(True)
    cookies = {f"raylabel-{served.port}-name": "ann"}
    left = httpx.post(f"http://127.0.0.1:{served.port}/api/leave", json={"page": shown}, cookies=cookies)
    assert left.status_code == 200
    assert bob.rows() == [0]
    ann.context.set_offline(False)
    ann.press("1", "Enter")
    expect(ann.page.locator("#trouble")).to_contain_text("1 answer not taken: bob has that item now")
    bob.press("2", "Enter")
    bob.saved()
    expect(bob.page.locator("h1")).to_have_text("All answered")
    assert [row["annotator"] for row in collect(served.asked.campaign, 0).to_pylist()] == ["bob"]


def test_a_token_that_is_wrong(serve, person):
    served = serve("--host", "0.0.0.0", environment={"RAYLABEL_REVIEW_TOKEN": "the-token"})
    assert served.address.endswith("/?token=the-token")
    ann = person(served)
    page, local = ann.page, f"http://127.0.0.1:{served.port}"
    ann.is_away = True  # a browser notes every answer that is no success
    page.goto(f"{local}/?token=wrong")
    page.fill("input[name=name]", "ann")
    page.click("button[type=submit]")
    expect(page.locator(".problem")).to_contain_text("That token is wrong")
    ann.check()
    ann.shot("wrong-token")
    assert page.request.get(f"{local}/api/next").status == 403
    assert page.request.get(f"{local}/picture/46/small").status == 403
    assert page.request.get(f"{local}/", headers={"host": "evil.example"}).status == 400
    page.fill("input[name=token]", "the-token")
    page.click("button[type=submit]")
    ann.is_away = False
    ann.rows()
    assert page.evaluate("document.cookie") == ""
    assert "token" not in page.url


def test_another_site_can_neither_read_nor_write(serve, person):
    """A page of another origin asks with all that a browser lets it send: nothing arrives, and it reads nothing."""
    served = serve(num_train=3, num_audit=0)
    ann = person(served).enter()
    ann.rows()
    other = person(served, "other")
    other.is_away = True
    other.context.add_cookies(ann.context.cookies())
    page = other.page
    page.goto(f"http://localhost:{served.port}/enter")  # another origin than 127.0.0.1
    site = f"http://127.0.0.1:{served.port}"
    tried = page.evaluate(
        """async (site) => {
          const said = [];
          for (const path of ["/api/status?page=page-0001", "/api/undo", "/picture/40/small"]) {
            for (const mode of ["cors", "no-cors"]) {
              const more = path === "/api/undo" ? { method: "POST", body: "{}" } : {};
              try { said.push((await fetch(site + path, { mode, credentials: "include", ...more })).type); }
              catch (error) { said.push("refused"); }
            }
          }
          return said;
        }""",
        site,
    )
    assert set(tried) == {"refused"}


def test_another_server_and_another_driver(serve, person):
    """A second server is sent away with code 5; a driver beside the page is told of on it."""
    served = serve()
    command = [sys.executable, "-m", "raylabel", "review", str(served.asked.toml), "--port", "0"]
    second = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert second.returncode == 5
    assert re.search(rf"another review server holds it \(process {served.process.pid} on ", second.stderr)
    ann = person(served).enter()
    ann.rows()
    with hold(Store(served.asked.campaign.store.root)) as lease:
        assert lease.number == 1
        ann.press("p")
        expect(ann.page.locator("#loop")).to_contain_text("A run is at work (process ")
    expect(ann.page.locator("#loop")).to_contain_text("No run is at work")


def test_a_port_that_is_taken_and_a_workspace_that_was_not_begun(serve, tmp_path):
    served = serve()
    served.asked.campaign.store.remove("review.lease/000001.json")  # so that the port is what it fails at
    command = [sys.executable, "-m", "raylabel", "review", str(served.asked.toml)]
    taken = subprocess.run(
        [*command, "--port", str(served.port)], capture_output=True, text=True, timeout=60, check=False
    )
    assert (taken.returncode, "cannot be listened on" in taken.stderr) == (2, True)
    nowhere = ["--set", f"workspace={tmp_path / 'nowhere'}"]
    missing = subprocess.run([*command, *nowhere], capture_output=True, text=True, timeout=60, check=False)
    assert (missing.returncode, "start with `raylabel run`" in missing.stderr) == (2, True)
