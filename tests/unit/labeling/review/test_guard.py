import asyncio

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse

from raylabel.labeling.review.guard import HEADERS, MAX_BODY, Guard

SITE = "http://127.0.0.1:8765"
GOOD, BAD = "the-token", "the-tokem"


async def inner(scope, receive, send):
    request = Request(scope, receive)
    body = await request.body()
    await PlainTextResponse(f"{scope['path']} {len(body)}")(scope, receive, send)


def ask(path="/api/x", *, method="GET", token="", base=SITE, guard=None, **more):
    app = guard or Guard(inner, hosts=frozenset(["127.0.0.1", "localhost", "::1"]), token=token, cookie="raylabel-1")

    async def run():
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=base) as client:
            return await client.request(method, path, **more)

    return asyncio.run(run())


def test_every_answer_carries_the_policy():
    for found in (ask(), ask(base="http://evil.example"), ask(token=GOOD)):
        assert {name: found.headers[name] for name in HEADERS} == HEADERS
        assert found.headers["cache-control"] == "no-store"
    policy = HEADERS["content-security-policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy and "script-src 'self';" in policy


@pytest.mark.parametrize(
    ("base", "status"),
    [
        (SITE, 200),
        ("http://localhost:1", 200),
        ("http://[::1]:8765", 200),
        ("http://LOCALHOST", 200),
        ("http://evil.example:8765", 400),
        ("http://127.0.0.1.evil.example", 400),
    ],
)
def test_the_host_is_one_of_its_own(base, status):
    assert ask(base=base).status_code == status


def test_no_host_is_no_host_of_its_own():
    assert ask(headers={"host": ""}).status_code == 400


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"origin": SITE, "sec-fetch-site": "same-origin"}, 200),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://127.0.0.1:9999"}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
    ],
)
def test_other_sites_pages_may_not_post(headers, status):
    assert ask(method="POST", headers=headers).status_code == status


def test_other_sites_pages_may_link_to_the_page_and_show_nothing_of_it():
    other = {"sec-fetch-site": "cross-site"}
    assert ask("/", headers=other).status_code == 200
    assert ask("/picture/1/small", headers=other).status_code == 403
    assert ask("/api/status", headers=other).status_code == 403


def test_bodies_are_bounded_told_or_not():
    assert ask(method="POST", content=b"x" * MAX_BODY).text == f"/api/x {MAX_BODY}"
    assert ask(method="POST", content=b"x" * (MAX_BODY + 1)).status_code == 413

    async def untold():
        for _ in range(40):
            yield b"x" * (MAX_BODY // 32)

    assert ask(method="POST", content=untold()).status_code == 413
    assert ask(method="POST", headers={"content-length": "-1"}, content=b"").status_code == 413


def test_methods_that_nothing_uses():
    assert ask(method="DELETE").status_code == 405
    assert ask(method="OPTIONS").status_code == 405


def test_without_the_token_only_the_door_is_open():
    assert ask(token=GOOD).status_code == 403
    for path in ("/enter", "/static/style.css"):
        assert ask(path, token=GOOD).status_code == 200
    found = ask(f"/?token={GOOD}", token=GOOD)
    assert (found.status_code, found.headers["location"]) == (303, f"/enter?token={GOOD}")


@pytest.mark.parametrize(("sent", "status"), [(GOOD, 200), (BAD, 403), ("", 403), (GOOD + "x", 403), ("tökén", 403)])
def test_the_token_is_a_cookie(sent, status):
    from urllib.parse import quote

    cookie = {"cookie": f"raylabel-1-token={quote(sent)}; other=1"}
    assert ask(token=GOOD, headers=cookie).status_code == status


def test_cookies_that_cannot_be_read_are_none():
    assert ask(token=GOOD, headers={"cookie": "=;;]["}).status_code == 403


def test_cookies_are_for_this_site_alone_and_not_for_scripts():
    guard = Guard(inner, hosts=frozenset(["127.0.0.1"]), token="", cookie="raylabel-1")

    async def named(scope, receive, send):
        response = JSONResponse({"name": guard.cookie_of(Request(scope).headers, "name")})
        guard.set_cookie(response, "name", "Jürgen; <b>")
        await response(scope, receive, send)

    guard.app = named
    found = ask("/", guard=guard)
    cookie = found.headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=strict" in cookie
    sent = cookie.partition(";")[0]
    assert ask("/", guard=guard, headers={"cookie": sent}).json() == {"name": "Jürgen; <b>"}


@pytest.mark.parametrize("other", ['a={"x":1}', "foo", "a=x y", "k@x=1"])
def test_cookies_of_other_servers_of_this_machine_hide_nothing(other):
    assert ask(token=GOOD, headers={"cookie": f"{other}; raylabel-1-token={GOOD}"}).status_code == 200
