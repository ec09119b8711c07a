"""People at the review page: a whole session alone, two who disagree, and a phone."""

from collections import Counter

import pyarrow as pa
from playwright.sync_api import expect

from raylabel import schema
from raylabel.labeling.answers import collect, latest_of
from raylabel.workspace import Record, write_part

KEYS = "1234567890"


def stored(asked):
    """What stands of each item, by row and annotator: the label, or the kind where there is none."""
    latest = latest_of(collect(asked.campaign, asked.number))
    return {
        (int(name.removeprefix("item-")), who): row["label"] or row["kind"]
        for (name, who), row in latest.items()
        if row["kind"] != "retract"
    }


def name_of(asked, row):
    return asked.campaign.config.classes[asked.truth[row]]


def answer_screen(someone, asked):
    """Say the truth of all that is on the screen; returns its rows."""
    rows, title = someone.rows(), someone.title()
    if title == "What is this?":
        someone.press(KEYS[asked.truth[rows[0]]])
        rows = rows[:1]
    else:
        for place, row in enumerate(rows):
            if name_of(asked, row) != title:
                someone.press(KEYS[asked.truth[row]])  # a class key goes on to the next tile
            elif place + 1 < len(rows):
                someone.press("ArrowRight")
        someone.press("Enter")
    wait_for_the_next(someone, rows[0])
    return rows


def wait_for_the_next(someone, row):
    """Until the picture of a row has gone from the screen."""
    someone.page.wait_for_function(f"() => !document.querySelector('main img[src*=\"/picture/{row}/\"]')")


def go_on(asked):
    """The loop takes the answers of the round, and asks in the next one."""
    campaign, number = asked.campaign, asked.number
    part = write_part(campaign.store, f"rounds/{number:04d}/answered", schema.RESOLVED.empty_table())
    facts = {"answers": [], "annotators": {"gold": {}}}
    campaign.records.commit(f"rounds/{number:04d}/answered", Record(facts=facts, parts={"resolved": [part]}))
    facts = {"round": number, "num_answers": 86, "cross_fitted_accuracy": 0.875, "num_auto": 12}
    campaign.records.commit(f"rounds/{number:04d}/round", Record(facts=facts))
    columns = {"row": [0, 1], "id": ["item-000000", "item-000001"], "position": [0, 1]}
    columns |= {"strategy": ["margin"] * 2, "score": [0.0] * 2, "reason": [""] * 2}
    part = write_part(campaign.store, "rounds/0002/shortlist", pa.table(columns, schema=schema.SHORTLIST))
    campaign.records.commit("rounds/0002/shortlist", Record(parts={"shortlist": [part]}))


def test_a_whole_session(serve, person):
    """Grid and single mode, search, comment, undo, "cannot tell", a restart in the middle, and the next round."""
    served = serve(environment={"RECLAIM_S": "1"})
    asked, ann = served.asked, person(served).enter()
    in_a_grid(ann, asked)
    one_by_one(ann, asked)
    unsure, skipped = not_told(ann, asked)
    before = through_a_crash(ann, served)
    ann.press("m")
    seen = answer_the_rest(ann, asked)
    assert not seen & {row for row, _ in before}
    truth = {row: name_of(asked, row) for row in range(40, 86)} | {unsure: "cannot_tell", skipped: "skip"}
    assert stored(asked) == {(row, "ann"): said for row, said in truth.items()}
    expect(ann.page.locator("main")).to_contain_text("1 item")
    second_person(person(served, "bob").enter(), asked, unsure)
    ann.press("p")
    expect(ann.page.locator("#people-table")).to_contain_text("bob")
    expect(ann.page.locator("#curve")).to_contain_text("round 0: 75 % right of 40 answers")
    ann.check()
    ann.shot("people")
    ann.press("Escape")
    expect(ann.page.locator("h1")).to_have_text("All answered")
    go_on(asked)
    expect(ann.page.locator("#round")).to_have_text("Round 3 of 3")
    assert sorted(ann.rows()) == [0, 1]


def in_a_grid(ann, asked):
    """A grid is answered and taken back, and answered again."""
    page = ann.page
    expect(page.locator("#count")).to_have_text("46 items left")
    rows = ann.rows()
    ann.shot("grid")
    ann.check()
    first = answer_screen(ann, asked)
    ann.saved()
    assert {row for row, _ in stored(asked)} >= set(first)
    ann.press("u")
    page.wait_for_selector(f'img[src*="/picture/{rows[0]}/"]')
    expect(page.locator("#count")).to_have_text("46 items left")
    assert stored(asked) == {}
    ann.shot("undone")
    ann.press("Enter")
    ann.saved()


def one_by_one(ann, asked):
    """One large picture: zoom, a comment, and its class by searching."""
    page = ann.page
    ann.press("m")
    page.wait_for_selector(".frame img")
    [row] = ann.rows()[:1]
    ann.press("z")
    assert page.get_attribute(".frame", "data-zoomed") == "true"
    ann.press("-")
    ann.press("c")
    page.fill("#comment-text", "<i>blurred</i>")
    page.click("#comment-box button[value=keep]")
    expect(page.locator(".note")).to_have_text("<i>blurred</i>")
    ann.shot("single")
    ann.check()
    ann.press("/")
    page.keyboard.type(name_of(asked, row)[:3])
    ann.check()
    ann.press("Enter")
    wait_for_the_next(ann, row)
    ann.saved()
    [said] = [r for r in collect(asked.campaign, 1).to_pylist() if r["id"] == f"item-{row:06d}"]
    assert (said["label"], said["comment"]) == (name_of(asked, row), "<i>blurred</i>")


def not_told(ann, asked):
    """What nobody can tell, and what nobody wants to: the rows."""
    unsure = ann.rows()[0]
    ann.press("t")
    wait_for_the_next(ann, unsure)
    skipped = ann.rows()[0]
    ann.press("s")
    ann.saved()
    assert (stored(asked)[unsure, "ann"], stored(asked)[skipped, "ann"]) == ("cannot_tell", "skip")
    wait_for_the_next(ann, skipped)
    return unsure, skipped


def through_a_crash(ann, served):
    """The server dies while an answer is on its way; the page keeps it, and goes on with the next server."""
    asked, late = served.asked, ann.rows()[0]
    ann.is_away = True
    served.kill()
    ann.press(KEYS[asked.truth[late]])
    expect(ann.page.locator("#trouble")).to_contain_text("trying again")
    ann.shot("away")
    before = stored(asked)
    served.start()
    ann.saved()
    ann.is_away = False
    after = before | {(late, "ann"): name_of(asked, late)}
    assert stored(asked) == after
    expect(ann.page.locator("#trouble")).to_be_hidden()
    return after


def answer_the_rest(ann, asked):
    """All that is left, in grids; nothing is asked twice."""
    seen = []
    while True:
        ann.page.wait_for_selector(".tile img, .frame img, h1:has-text('Nothing is left')")
        if ann.title() == "Nothing is left for you":
            assert len(seen) == len(set(seen))
            return set(seen)
        seen += answer_screen(ann, asked)
        ann.saved()


def second_person(bob, asked, unsure):
    """What somebody could not tell goes to somebody else, who sees no guess."""
    assert bob.rows() == [unsure]
    assert bob.page.locator(".guesses").count() == 0
    answer_screen(bob, asked)
    bob.saved()
    expect(bob.page.locator("h1")).to_have_text("All answered")
    assert stored(asked)[unsure, "bob"] == name_of(asked, unsure)
    bob.page.close()


def test_two_who_disagree_and_a_third_who_decides(serve, person):
    served = serve(num_train=2, num_audit=0, has_model=False, answers_per_item=2)
    asked = served.asked
    for name, keys in (("ann", "11"), ("bob", "12")):
        someone = person(served, name).enter()
        someone.rows()
        someone.press("m")
        for key in keys:
            someone.page.wait_for_selector(".frame img")
            row = someone.rows()[0]
            someone.press(key)
            wait_for_the_next(someone, row)
        someone.saved()
    told = stored(asked)
    split = [row for row in (0, 1) if told[row, "ann"] != told[row, "bob"]]
    assert len(told) == 4 and len(split) == 1
    eve = person(served, "eve").enter()
    assert eve.rows() == split
    eve.press("2")
    eve.press("Enter")
    eve.saved()
    expect(eve.page.locator("h1")).to_have_text("All answered")
    expect(eve.page.locator("#rate")).to_contain_text("% agree")


def test_train_now_goes_on_with_what_must_be_answered(serve, person):
    served = serve(num_train=40, num_audit=2)
    ann = person(served).enter()
    ann.rows()
    ann.press("p")
    ann.page.click("#enough")
    expect(ann.page.locator("#count")).to_have_text("4 items left")
    ann.rows()
    expect(ann.page.locator("h1")).to_have_text("What are these?")
    assert len(answer_screen(ann, served.asked)) == 4
    expect(ann.page.locator("h1")).to_have_text("All answered")


def test_gold_items_are_questions_like_any_other(serve, person):
    """They are shown bare, and how right somebody was is told of the rounds before alone."""
    served = serve(num_train=8, num_audit=2, num_gold=2)
    asked, ann = served.asked, person(served).enter()
    expect(ann.page.locator("#count")).to_have_text("12 items left")
    while ann.title() != "All answered":
        answer_screen(ann, asked)
        ann.saved()
        ann.page.wait_for_selector(".tile img, .frame img, h1:has-text('All answered')")
    assert {row for row, _ in stored(asked)} == set(range(40, 52))
    purposes = [row["purpose"] for row in collect(asked.campaign, asked.number).to_pylist()]
    assert Counter(purposes) == {"train": 8, "audit": 2, "gold": 2}
    ann.press("p")
    expect(ann.page.locator("#people-table tr", has_text="ann")).to_contain_text("75 % of 8")


def test_on_a_phone_by_touch_in_the_dark(serve, person):
    served = serve(num_train=30, num_audit=0)
    phone = {"viewport": {"width": 390, "height": 780}, "has_touch": True, "color_scheme": "dark"}
    ann = person(served, **phone).enter()
    rows = ann.rows()
    ann.check()
    ann.shot("phone-grid")
    wrong = ann.page.locator(".tile").first
    wrong.tap()
    expect(wrong).to_have_attribute("aria-pressed", "true")
    ann.page.get_by_role("button", name="confirm").tap()
    ann.page.wait_for_selector(".frame img")
    assert ann.rows() == rows[:1]
    ann.check()
    ann.shot("phone-single")
    ann.page.locator(".guesses button").nth(1).tap()
    ann.saved()
    said = stored(served.asked)
    assert {row for row, _ in said} == set(rows)
    assert said[rows[0], "ann"] != said[rows[1], "ann"]
    for key, box in (("?", "help"), ("/", "search"), ("p", "people")):
        ann.press(key)
        ann.check()
        ann.shot(f"phone-{box}")
        ann.press("Escape")
    ann.press("d")
    ann.check()
