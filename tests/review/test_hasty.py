"""Whoever is faster than the server, or looks elsewhere in between: each answer is of what was on the screen."""

import json

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
