"""Who may speak to the server, and what browsers may do with its pages; in front of every route.

Knows HTTP; knows nothing of what is served.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import PlainTextResponse, RedirectResponse, Response

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

MAX_BODY = 1 << 20
"""Bytes of a request."""

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)

HEADERS = {
    "content-security-policy": POLICY,
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
}

OPEN = ("/enter", "/static/")
"""What is served without a token: the page that asks for it, and how it looks."""


class Guard:
    """Refuses what is not meant for this server, and sends every answer with its policy.

    Args:
        app: what is guarded.
        hosts: names that the server may be asked for by; a page of another site that resolves to this machine has
            another one.
        token: that every client must have shown; "" for none, on loopback.
        cookie: prefix of its cookies' names.
    """

    def __init__(self, app: App, *, hosts: frozenset[str], token: str, cookie: str) -> None:
        self.app, self.hosts, self.token, self.cookie = app, hosts, token, cookie

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def with_policy(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(raw=message["headers"])
                for name, value in HEADERS.items():
                    headers[name] = value
                headers.setdefault("cache-control", "no-store")
            await send(message)

        refusal = self._refusal(scope)
        if refusal is not None:
            await refusal(scope, receive, with_policy)
            return
        body = await _body(receive) if scope["method"] == "POST" else b""
        if body is None:
            await PlainTextResponse("too large", 413)(scope, receive, with_policy)
            return
        await self.app(scope, _replayed(body, receive), with_policy)

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if _name_of(host) not in self.hosts:
            return PlainTextResponse("this server does not go by that name; start it with --allow-host NAME", 400)
        if scope["method"] not in ("GET", "HEAD", "POST"):
            return PlainTextResponse("no such method", 405)
        if not _is_own(headers, host, scope["method"], scope["path"]):
            return PlainTextResponse("pages of other sites may not ask this server", 403)
        size = headers.get("content-length", "0")
        if not size.isdecimal() or int(size) > MAX_BODY:
            return PlainTextResponse("too large", 413)
        if self.token and not scope["path"].startswith(OPEN) and not self.fits(self.cookie_of(headers, "token")):
            if scope["path"] == "/":
                query = scope["query_string"].decode("latin-1")
                return RedirectResponse(f"/enter?{query}" if query else "/enter", 303)
            return PlainTextResponse("no or a wrong token: open the page that the server printed", 403)
        return None

    def fits(self, token: str) -> bool:
        """Whether this is the token; takes as long whatever is wrong with it."""
        return secrets.compare_digest(token.encode(), self.token.encode())

    def cookie_of(self, headers: Headers, name: str) -> str:
        """The value of one of the server's cookies; "" if it is not there."""
        # As browsers read cookies: one that another server of this machine set must not hide the others.
        found = cookie_parser(headers.get("cookie", "")).get(f"{self.cookie}-{name}", "")
        return unquote(found)

    def set_cookie(self, response: Response, name: str, value: str) -> None:
        """Give the browser a cookie that no script reads and no other site's page sends."""
        response.set_cookie(
            f"{self.cookie}-{name}", quote(value), max_age=30 * 24 * 3600, httponly=True, samesite="strict"
        )


def _name_of(host: str) -> str:
    """The name in a Host header, without its port."""
    if host.startswith("["):
        return host.partition("]")[0].removeprefix("[").lower()
    return host.partition(":")[0].lower()


def _is_own(headers: Headers, host: str, method: str, path: str) -> bool:
    """Whether a request comes from this server's own page, or from whoever typed its address."""
    site = headers.get("sec-fetch-site", "none")
    if method == "POST":
        origin = headers.get("origin")
        return site in ("same-origin", "none") and (origin is None or urlsplit(origin).netloc == host)
    return site in ("same-origin", "none") or path in ("/", "/enter")


async def _body(receive: Receive) -> bytes | None:
    """The whole body of a request; None if it is too large."""
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return b"".join(parts)
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > MAX_BODY:
            return None
        if not message.get("more_body", False):
            return b"".join(parts)


def _replayed(body: bytes, receive: Receive) -> Receive:
    """A body that was read, to be read again."""
    given = False

    async def once() -> MutableMapping[str, Any]:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return once
