"""Whoever is faster than the server, or looks elsewhere in between: each answer is of what was on the screen."""

import json

from playwright.sync_api import expect

from raylabel.labeling.answers import collect


def sent_by(page):
    """What the page sends from now on: of each submission its items."""
    found = []

    def look_at(request):
        if request.url.endswith("/api/answer"):
            found.append(json.loads(request.post_data)["items"])

    page.on("request", look_at)
    return found


def answered(asked):
    return {
        int(row["id"].removeprefix("item-")): row["label"] for row in collect(asked.campaign, asked.number).to_pylist()
    }


class Gate:
    """Lets the page ask for a few screens, and holds back what it asks after those."""

    def __init__(self, page, free=0):
        self.held, self.free = [], free
        page.route("**/api/next", self._come)

    def _come(self, route):
        self.free -= 1
        if self.free >= 0:
            route.continue_()
        else:
            self.held.append(route)

    def open(self):
        self.free = 1000
        for route in self.held:
            route.continue_()


def test_two_quick_keys_answer_one_item(serve, person):
    """The second key comes while the next item is fetched: it is said of nothing, and overwrites nothing."""
    served = serve(num_train=1, num_audit=0, has_model=False)
    ann = person(served).enter()
    page, asked = ann.page, served.asked
    ann.rows()
    ann.press("m")
    page.wait_for_selector(".frame img")
    gate = Gate(page)
    sent, row = sent_by(page), ann.rows()[0]
    ann.press("2", "3")
    ann.saved()
    gate.open()
    page.wait_for_function("() => document.querySelector('h1').textContent === 'All answered'")
    assert sent == [[{"row": row, "kind": "label", "label": 1, "comment": None}]]
    assert answered(asked)[row] == asked.campaign.config.classes[1]


def test_enter_twice_sends_a_grid_once(serve, person):
    served = serve(num_train=40, num_audit=0)
    ann = person(served).enter()
    page = ann.page
    ann.rows()
    gate = Gate(page, free=1)
    page.reload()
    page.wait_for_selector(".grid")
    rows, sent = ann.rows(), sent_by(page)
    ann.press("Enter", "Enter")
    ann.saved()
    gate.open()
    assert [sorted(item["row"] for item in items) for items in sent] == [sorted(rows)]
    assert set(answered(served.asked)) == set(rows)


def test_marks_outlive_a_look_at_one_and_an_undo(serve, person):
    """Two are marked, one is named; a third is enlarged and answered, which is then taken back."""
    served = serve(num_train=40, num_audit=0)
    ann = person(served).enter()
    page, asked = ann.page, served.asked
    rows = ann.rows()
    assert len(rows) > 5
    guess, sent = asked.campaign.config.classes.index(ann.title()), sent_by(page)
    page.locator(".tile").nth(0).click()
    page.locator(".tile").nth(1).click()
    page.locator(".tile").nth(2).click()
    ann.press("1", "c")  # a class key moves on: the comment is of the fourth
    page.fill("#comment-text", "blurred")
    page.click("#comment-box button[value=keep]")
    page.locator(".tile").nth(4).dblclick()
    page.wait_for_selector(".frame img")
    assert ann.rows() == [rows[4]]
    ann.press("2")
    page.wait_for_selector(".grid")
    ann.saved()
    states = [tile.get_attribute("data-state") for tile in page.locator(".tile").all()]
    assert states == ["wrong", "wrong", "said"] + [""] * (len(rows) - 4)
    ann.press("u")
    page.wait_for_selector(".frame img")
    assert ann.rows() == [rows[4]]
    ann.press("2")
    page.wait_for_selector(".grid")
    ann.saved()
    assert ann.rows() == rows[:4] + rows[5:]
    ann.press("Enter")
    page.wait_for_selector(".frame img")
    ann.saved()
    assert [item["row"] for item in sent[-1]] == rows[2:4] + rows[5:]
    assert [item["label"] for item in sent[-1]] == [0] + [guess] * (len(rows) - 4)
    assert sent[-1][1]["comment"] == "blurred"
    assert ann.title() == "What is this?"
    assert ann.rows() == [rows[0]]


def test_a_double_click_says_nothing(serve, person):
    served = serve(num_train=40, num_audit=0)
    ann = person(served).enter()
    page, rows = ann.page, ann.rows()
    ann.press("1")  # said of the first
    page.locator(".tile").nth(0).dblclick()
    page.wait_for_selector(".frame img")
    assert ann.rows() == [rows[0]]
    said = served.asked.campaign.config.classes[0]
    assert f"You said: {said}." in page.text_content(".about")


def test_what_nobody_saw_is_not_confirmed(serve, person):
    """One picture is broken, one fails, one is on its way: these are asked alone, the others are confirmed."""
    served = serve(num_train=40, num_audit=0, images={51: b""})
    ann = person(served)
    page = ann.page

    def come(route):
        row = route.request.url.split("/")[4]
        if row == "50":
            route.abort("failed")
        elif row != "77":
            route.continue_()

    page.route("**/picture/**", come)
    ann.is_away = True  # a browser notes what it cannot load
    ann.enter()
    page.wait_for_selector(".grid")
    expect(page.locator(".broken").filter(has_text="cannot be shown (empty)")).to_have_count(1)
    expect(page.locator(".broken").filter(has_text="did not load, trying again …")).to_have_count(1)
    page.wait_for_timeout(500)
    sent = sent_by(page)
    ann.press("Enter")
    page.wait_for_selector(".frame")
    ann.saved()
    assert [item["row"] for item in sent[-1]] == [57, 75, 54]
    asked_alone = []
    for _ in range(3):
        asked_alone.append(page.text_content(".about .id"))
        before = len(sent)
        ann.press("Enter")  # confirms nothing where there is nothing to see
        expect(page.locator("#trouble")).to_contain_text("there is no picture to see")
        assert len(sent) == before
        ann.press("1")
        page.wait_for_function(f"() => document.querySelector('.about .id')?.textContent !== '{asked_alone[-1]}'")
    assert asked_alone == ["item-000051", "item-000050", "item-000077"]
    ann.saved()


def test_a_picture_that_failed_is_asked_for_again(serve, person):
    served = serve(num_train=40, num_audit=0)
    ann = person(served)
    page, tries = ann.page, []

    def come(route):
        tries.append(route.request.url)
        if len(tries) <= 2:
            route.abort("failed")
        else:
            route.continue_()

    page.route("**/picture/50/small", come)
    ann.is_away = True
    ann.enter()
    expect(page.locator(".broken")).to_have_text("did not load, trying again …")
    expect(page.locator(".broken")).to_have_count(0)
    assert 50 in ann.rows()
    assert len(tries) > 2


def sign_in(page, name):
    page.wait_for_url("**/enter")
    page.fill("input[name=name]", name)
    page.click("button[type=submit]")


def test_answers_that_the_server_let_nobody_give_are_sent_after_signing_in(serve, person):
    """The server knows the page no more (403): the answers stay, are sent as nobody else's, and arrive at last."""
    served = serve(num_train=40, num_audit=0)
    ann = person(served).enter()
    page, rows = ann.page, ann.rows()
    ann.is_away = True  # a browser notes every answer that is no success
    page.route("**/api/answer", lambda route: route.fulfill(status=403, body="no or a wrong token"))
    ann.press("Enter")
    page.wait_for_url("**/enter")
    page.unroute("**/api/answer")
    sign_in(page, "bob")
    assert not set(ann.rows()) & set(rows)
    sent = sent_by(page)
    page.wait_for_timeout(1000)
    assert sent == [] and answered(served.asked) == {}
    page.click("#me")
    sign_in(page, "ann")
    page.wait_for_selector(".grid")
    page.wait_for_function("() => sessionStorage.getItem('unsent') === '{}'")
    stored = collect(served.asked.campaign, served.asked.number).to_pylist()
    assert {(int(row["id"].removeprefix("item-")), row["annotator"]) for row in stored} == {(r, "ann") for r in rows}


def test_undo_that_fails_says_so_and_two_take_back_one(serve, person):
    served = serve(num_train=40, num_audit=0)
    ann = person(served).enter()
    page, rows, tries = ann.page, ann.rows(), []
    ann.press("Enter")
    page.wait_for_selector(f'img[src*="/picture/{rows[0]}/"]', state="detached")
    ann.saved()
    after = ann.rows()

    def come(route):
        tries.append(route)
        if len(tries) == 1:
            route.fulfill(status=503, json={"error": "the disk is full"})

    errors = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.route("**/api/undo", come)
    ann.is_away = True  # a browser notes every answer that is no success
    ann.press("u")
    expect(page.locator("#trouble")).to_have_text("the disk is full")
    assert ann.rows() == after
    assert errors == []
    sent = sent_by(page)
    ann.press("u", "u", "Enter")  # said while the undo is under way: it would be taken back in its place
    page.wait_for_timeout(300)
    assert len(tries) == 2 and sent == []
    tries[1].continue_()
    page.wait_for_selector(f'img[src*="/picture/{rows[0]}/"]')
    assert ann.rows() == rows
    ann.press("Enter")
    page.wait_for_selector(f'img[src*="/picture/{rows[0]}/"]', state="detached")
    ann.saved()
    assert ann.rows() == after
