import asyncio
import io
import json

import httpx
import pytest
from PIL import Image

from raylabel.errors import StorageError
from raylabel.labeling.answers import collect
from raylabel.labeling.review.live import Live
from raylabel.labeling.review.server import Server

SITE = "http://127.0.0.1:8765"
PAGE = "page-0001"
SECRET = ("audit", "margin", "a secret reason", "purpose", "strategy", "score", "train", "gold")


class Client:
    """A browser of one annotator; each request runs a loop of its own, as nothing waits between them."""

    def __init__(self, server, name="ann"):
        self.server, self.cookies = server, {"raylabel-name": name} if name else {}

    def ask(self, path, body=None, *, method=None, **more):
        async def run():
            transport = httpx.ASGITransport(self.server.app)
            async with httpx.AsyncClient(transport=transport, base_url=SITE, cookies=self.cookies) as client:
                if body is not None:
                    more["content"] = json.dumps(body)
                    more.setdefault("headers", {"content-type": "application/json"})
                return await client.request(method or ("GET" if body is None else "POST"), path, **more)

        return asyncio.run(run())

    def next(self, **more):
        return self.ask("/api/next", {"page": PAGE, "single": True, "size": 4, "keep": [], **more}).json()

    def say(self, row, submission="submission-1", **more):
        item = {"row": row, "kind": "label", "label": 1, **more}
        message = {"page": PAGE, "round": 1, "submission": submission, "seconds": 3.0, "items": [item]}
        return self.ask("/api/answer", message)


@pytest.fixture
def asked(asking):
    return asking(num_train=6, num_audit=4, classes=("<b>0", *"123456789"), images={45: b"<svg onload=alert(1)>"})


@pytest.fixture
def server(asked):
    live = Live(asked.campaign)
    asyncio.run(live.look())
    yield Server(live, hosts=frozenset(["127.0.0.1"]))
    live.close()


@pytest.fixture
def client(server):
    return Client(server)


def test_whoever_has_no_name_is_asked_for_it(server):
    nobody = Client(server, name="")
    assert nobody.ask("/").headers["location"] == "/enter"
    assert nobody.ask("/api/status", {"page": PAGE}).status_code == 403
    form = nobody.ask("/enter", method="POST", content="name=J%C3%BCrgen+%3Cb%3E")
    assert (form.status_code, form.headers["location"]) == (303, "/")
    nobody.cookies = {"raylabel-name": form.headers["set-cookie"].partition("=")[2].partition(";")[0]}
    page = nobody.ask("/")
    assert "Jürgen &lt;b&gt;" in page.text and "<b>" not in page.text


@pytest.mark.parametrize("name", ["", "+", "x" * 65, "a%00b", "a%0Ab"])
def test_names_that_are_none(server, name):
    found = Client(server, name="").ask("/enter", method="POST", content=f"name={name}")
    assert found.status_code == 400
    assert "1 to 64 letters" in found.text


def test_a_wrong_token_is_told_and_the_right_one_is_kept(server):
    server.guard.token = "the-token"
    nobody = Client(server, name="")
    wrong = nobody.ask("/enter", method="POST", content="name=ann&token=nonsense")
    assert wrong.status_code == 403
    assert "That token is wrong" in wrong.text and "nonsense" not in wrong.text
    right = nobody.ask("/enter", method="POST", content="name=ann&token=the-token")
    assert right.status_code == 303
    assert any("raylabel-token=the-token" in cookie for cookie in right.headers.get_list("set-cookie"))
    assert "the-token" in nobody.ask("/enter?token=the-token").text


def test_pages_have_no_inline_script_or_style(server, client):
    for text in (client.ask("/").text, client.ask("/enter").text):
        assert "<style" not in text and "style=" not in text and "onclick" not in text
        assert text.count("<script") == text.count('<script type="module" src="/static/')


def test_what_goes_to_a_labeler_tells_nothing_of_what_it_is_for(asking):
    live = Live(asking(num_train=6, num_audit=4, num_gold=3).campaign)
    asyncio.run(live.look())
    client = Client(Server(live, hosts=frozenset(["127.0.0.1"])))
    for single in (True, False):
        for _ in range(6):
            text = json.dumps(client.next(single=single, size=20))
            assert not any(word in text for word in SECRET)
    assert not any(word in client.ask("/api/status", {"page": PAGE}).text for word in SECRET)
    live.close()


@pytest.mark.parametrize("each", [1, 2])
def test_no_figure_tells_what_an_item_is_for(asking, each):
    """Whatever somebody answers, the same figures change, and as many items are left."""
    live = Live(asking(num_train=6, num_audit=4, num_gold=3, answers_per_item=each).campaign)
    asyncio.run(live.look())
    server = Server(live, hosts=frozenset(["127.0.0.1"]))
    changed, told = [], 0
    for name in ("ann", "bob")[:each]:
        client = Client(server, name)
        before = client.ask("/api/status", {"page": PAGE}).json()
        for number in range(13):
            [item] = client.next(size=1)["items"]
            assert client.say(item["row"], submission=f"{name}-submission-{number}").json()["saved"] == [item["row"]]
            after = client.ask("/api/status", {"page": PAGE}).json()
            left = before["num_open"] - after["num_open"], before["num_open_to_me"] - after["num_open_to_me"]
            keys = {key for key in after if after[key] != before[key]}
            mine = {key for key in after["mine"] if before["mine"] and after["mine"][key] != before["mine"][key]}
            if number > 1:
                changed.append((name, left, keys - {"per_minute"}, mine - {"per_minute"}))
            told, before = told + (item["row"] >= 50), after
    assert told == 3 * each
    assert all(found[1:] == changed[0][1:] for found in changed if found[0] == "ann")
    assert all(found[1:] == changed[-1][1:] for found in changed if found[0] == "bob")
    live.close()


def test_answers_are_saved_before_the_page_is_told(client, asked):
    rows = [item["row"] for item in client.next()["items"]]
    done = client.say(rows[0], comment="blurred")
    assert done.json() == {"saved": [rows[0]], "refused": []}
    [stored] = collect(asked.campaign, 1).to_pylist()
    assert (stored["annotator"], stored["label"], stored["seconds"], stored["comment"]) == ("ann", "1", 3.0, "blurred")
    assert client.ask("/api/status", {"page": PAGE}).json()["num_open"] == 9


def test_another_persons_item_is_refused_in_words(server, client):
    [item] = client.next(size=1)["items"]
    found = Client(server, "bob").say(item["row"]).json()
    assert found["saved"] == []
    assert found["refused"][0][1].startswith("ann has that item now")


def test_undo_shows_the_items_with_what_was_said(client, asked):
    client.say(46, comment="hm")
    found = client.ask("/api/undo", {"page": PAGE}).json()
    assert [(item["row"], item["said"], item["comment"]) for item in found["items"]] == [
        (46, {"kind": "label", "label": 1}, "hm")
    ]
    assert client.ask("/api/undo", {"page": PAGE}).json()["items"] == []


def message(number, item):
    return json.dumps({"page": PAGE, "round": number, "submission": "submission-1", "items": [item]})


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ("{", 400, "JSON"),
        ("[]", 400, "object"),
        ('{"page": "page-0001"}', 400, "Field required"),
        (message(1, {"row": 45, "kind": "label", "label": 99}), 400, "unknown class"),
        (message(0, {"row": 45, "kind": "skip"}), 409, "has gone on"),
    ],
)
def test_what_is_no_answer_is_refused_in_words(client, asked, body, status, words):
    found = client.ask("/api/answer", method="POST", content=body, headers={"content-type": "application/json"})
    assert found.status_code == status
    assert words in found.text
    assert collect(asked.campaign, 1).num_rows == 0


def test_forms_of_other_sites_are_no_answers(client):
    found = client.ask("/api/answer", method="POST", content="{}", headers={"content-type": "text/plain"})
    assert found.status_code == 415


def test_a_store_that_fails_is_told_and_nothing_counts_as_saved(client, server, monkeypatch):
    def broken(_):
        raise StorageError("the disk is full; free some space")

    monkeypatch.setattr(server.live.asked.ledger, "append", broken)
    found = client.say(46)
    assert (found.status_code, found.json()) == (503, {"error": "the disk is full; free some space"})
    assert client.ask("/api/status", {"page": PAGE}).json()["num_open"] == 10
    monkeypatch.undo()
    assert client.say(46).json()["saved"] == [46]


def test_pictures_are_jpegs_of_asked_items_alone(client):
    found = client.ask("/picture/46/small")
    assert (found.status_code, found.headers["content-type"]) == (200, "image/jpeg")
    assert Image.open(io.BytesIO(found.content)).format == "JPEG"
    broken = client.ask("/picture/45/small")
    assert Image.open(io.BytesIO(broken.content)).size == (1, 1)
    assert client.ask("/problem/45").json()["code"] == "not_an_image"
    assert client.ask("/problem/46").json() == {"code": None, "message": None}
    for path in (
        "/picture/46/huge",
        "/picture/39/small",
        "/picture/99999/small",
        "/picture/-1/small",
        "/problem/99999",
    ):
        assert client.ask(path).status_code == 404


def test_the_campaign_is_its_classes(client):
    assert client.ask("/api/campaign").json() == {"classes": ["<b>0", *"123456789"], "name": "ann", "each": 1}


def test_a_page_that_is_closed_gives_its_items_back(server, client):
    assert len(client.next(size=10)["items"]) == 10
    other = Client(server, "bob")
    message = {"page": "page-0002", "single": True, "size": 4, "keep": []}
    assert other.ask("/api/next", message).json()["kind"] == "empty"
    client.ask("/api/leave", {"page": PAGE})
    assert len(other.ask("/api/next", message).json()["items"]) == 4


def test_train_now(client, server):
    client.say(46)
    assert client.ask("/api/enough", {"page": PAGE}).json() == {}
    status = client.ask("/api/status", {"page": PAGE}).json()
    assert status["is_enough"]
    server.live.state = "working"
    refused = client.ask("/api/enough", {"page": PAGE})
    assert (refused.status_code, refused.json()["error"]) == (409, "no round is being asked")
    assert client.next()["kind"] == "empty"
    assert client.say(47).status_code == 409


def test_static_files_and_nothing_beside_them(client):
    assert client.ask("/static/main.js").status_code == 200
    assert client.ask("/static/../server.py").status_code == 404
    assert client.ask("/static/%2e%2e/server.py").status_code == 404


def test_pictures_of_the_next_screen_are_fetched_before_it_is_asked_for(client, server):
    pictures = server.live.pictures
    shown = []
    for _ in range(3):
        screen = client.next(single=False, size=2, keep=shown)
        rows = [item["row"] for item in screen["items"]]
        if shown:
            assert all((row, "small") in pictures._kept for row in rows)
        shown += rows
        for future in list(pictures._under_way.values()):
            future.result(20)
    assert len(set(shown)) == 6
