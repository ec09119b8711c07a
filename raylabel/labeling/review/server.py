"""The review page's server: routes, and the loop that keeps it in step with the workspace.

Nothing but HTTP is here: who is shown what is the queue's, what is saved the ledger's.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qs

from jinja2 import Environment, FileSystemLoader
from pydantic import BaseModel, ValidationError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from raylabel.errors import RaylabelError
from raylabel.labeling.review.asked import AskedRound
from raylabel.labeling.review.guard import App, Guard
from raylabel.labeling.review.live import AHEAD, Live
from raylabel.labeling.review.messages import Next, Page, Submission, item_of, screen_of
from raylabel.labeling.review.pictures import SIDES, Picture
from raylabel.labeling.review.queue import Screen

M = TypeVar("M", bound=BaseModel)

HERE = Path(__file__).parent
MAX_NAME = 64
PICTURE_S = 30.0
"""So long a browser waits for a picture."""


class Server:
    """The routes of one campaign's page.

    Args:
        live: the campaign.
        hosts: as `Guard`.
        token: as `Guard`.
        cookie: as `Guard`.
    """

    def __init__(self, live: Live, *, hosts: frozenset[str], token: str = "", cookie: str = "raylabel") -> None:
        self.live = live
        pages = Environment(loader=FileSystemLoader(HERE / "templates"), autoescape=True)
        self._review, self._enter = pages.get_template("review.html"), pages.get_template("enter.html")
        routes = [
            Route("/", self.page),
            Route("/enter", self.enter, methods=["GET", "POST"]),
            Route("/api/campaign", self.campaign),
            Route("/api/status", self.status, methods=["POST"]),
            Route("/api/next", self.next, methods=["POST"]),
            Route("/api/answer", self.answer, methods=["POST"]),
            Route("/api/undo", self.undo, methods=["POST"]),
            Route("/api/leave", self.leave, methods=["POST"]),
            Route("/api/enough", self.enough, methods=["POST"]),
            Route("/picture/{row:int}/{side}", self.picture),
            Route("/problem/{row:int}", self.problem),
            Mount("/static", StaticFiles(directory=HERE / "static")),
        ]
        errors: dict[Any, Any] = {RaylabelError: _failed}
        inner = Starlette(routes=routes, lifespan=self._lifespan, exception_handlers=errors)
        self.guard = Guard(inner, hosts=hosts, token=token, cookie=cookie)
        self.app: App = self.guard

    @contextlib.asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        await self.live.try_to_look()
        self.live.open()
        looking = asyncio.create_task(self.live.keep_looking())
        yield
        looking.cancel()
        # Whatever ended it before is raised here, not lost with the task.
        with contextlib.suppress(asyncio.CancelledError):
            await looking
        self.live.close()

    async def page(self, request: Request) -> Response:
        """The review page; whoever has not said who they are is asked first."""
        if not self._name(request):
            return RedirectResponse("/enter", 303)
        return HTMLResponse(self._review.render(name=self._name(request)))

    async def enter(self, request: Request) -> Response:
        """Ask for a name, and for the token where one is wanted."""
        fields = request.query_params
        if request.method == "POST":
            found = parse_qs((await request.body()).decode("utf-8", "replace"), max_num_fields=8)
            return self._entered(found.get("name", [""])[0].strip(), found.get("token", [""])[0].strip())
        return HTMLResponse(self._enter.render(wants_token=bool(self.guard.token), token=fields.get("token", "")))

    def _entered(self, name: str, token: str) -> Response:
        problem = ""
        if not name or len(name) > MAX_NAME or not name.isprintable():
            problem = f"Give a name of 1 to {MAX_NAME} letters."
        if self.guard.token and not self.guard.fits(token):
            problem = "That token is wrong: copy the whole address that the server printed."
        if problem:
            page = self._enter.render(wants_token=bool(self.guard.token), name=name, problem=problem)
            return HTMLResponse(page, 403 if "token" in problem else 400)
        response = RedirectResponse("/", 303)
        self.guard.set_cookie(response, "name", name)
        if self.guard.token:
            self.guard.set_cookie(response, "token", token)
        return response

    async def campaign(self, request: Request) -> Response:
        """What does not change: classes, and who asks."""
        config = self.live.campaign.config
        return JSONResponse(
            {"classes": config.classes, "name": self._someone(request), "each": config.labeling.answers_per_item}
        )

    async def status(self, request: Request) -> Response:
        """How far things are; a page that asks is open."""
        name, message = self._someone(request), await _read(request, Page)
        if self.live.asked is not None:
            self.live.asked.beat(name, message.page, message.rows)
        return JSONResponse(self.live.status(name))

    async def next(self, request: Request) -> Response:
        """The next screen."""
        name, message = self._someone(request), await _read(request, Next)
        asked = self.live.asked
        if asked is None or not self.live.gives:
            return JSONResponse(screen_of(Screen("empty"), None))
        screen = asked.next(name, message.page, size=message.size, single=message.single, keep=message.keep)
        self._fetch_ahead(asked, screen)
        return JSONResponse(screen_of(screen, asked.number))

    def _fetch_ahead(self, asked: AskedRound, screen: Screen) -> None:
        assert self.live.pictures is not None, "there is a round"
        rows = [question.row for question in screen.questions]
        self.live.pictures.fetch(rows, "large" if screen.kind == "single" else "small")
        if screen.kind == "single":
            near = [row for question in screen.questions for row, _ in question.neighbours]
            self.live.pictures.fetch(near, "small")
        # After a few that are shown one by one a grid may come.
        self.live.pictures.fetch(asked.queue.coming(AHEAD), "small")

    async def answer(self, request: Request) -> Response:
        """Take answers; whoever is told that they are saved may rely on it."""
        name, message = self._someone(request), await _read(request, Submission)
        asked = self._asked(message.round)
        try:
            said = message.said(len(self.live.campaign.config.classes))
        except ValueError as error:
            raise HTTPException(400, str(error)) from error
        seconds = None if message.seconds is None else message.seconds / len(said)
        taken = await asked.answer(name, message.page, message.submission, said, seconds=seconds)
        return JSONResponse({"saved": taken.saved, "refused": [list(each) for each in taken.refused.items()]})

    async def undo(self, request: Request) -> Response:
        """Take back the last submission; its items are shown again, with what was said."""
        name, message = self._someone(request), await _read(request, Page)
        asked, classes = self._asked(None), self.live.campaign.config.classes
        items = [
            {
                **item_of(question),
                "said": {
                    "kind": said["kind"],
                    "label": None if said["label"] is None else classes.index(said["label"]),
                },
                "comment": said["comment"],
            }
            for question, said in await asked.undo(name, message.page)
        ]
        return JSONResponse({"round": asked.number, "items": items})

    async def leave(self, request: Request) -> Response:
        """A page is closed: what it showed is open to others at once."""
        self._someone(request)
        message = await _read(request, Page)
        if self.live.asked is not None:
            self.live.asked.queue.give_back(message.page)
        return JSONResponse({})

    async def enough(self, request: Request) -> Response:
        """Train now: go on without the answers that are not needed."""
        self._someone(request)
        await _read(request, Page)
        await self.live.go_on()
        return JSONResponse({})

    async def picture(self, request: Request) -> Response:
        """A picture as JPEG; one pixel where there is none."""
        found = await self._picture(request, request.path_params["side"])
        kept = "private, max-age=3600" if found.problem is None else "no-store"
        return Response(found.jpeg, media_type="image/jpeg", headers={"cache-control": kept})

    async def problem(self, request: Request) -> Response:
        """Why there is no picture; nulls where there is one."""
        code, message = (await self._picture(request, "small")).problem or (None, None)
        return JSONResponse({"code": code, "message": message})

    async def _picture(self, request: Request, side: str) -> Picture:
        row, asked, pictures = request.path_params["row"], self.live.asked, self.live.pictures
        if side not in SIDES or asked is None or pictures is None or not asked.shows(row):
            raise HTTPException(404, "no such picture")
        # Shielded: others may wait for the same picture.
        coming = asyncio.shield(asyncio.wrap_future(pictures.get(row, side)))
        return await asyncio.wait_for(coming, PICTURE_S)

    def _asked(self, number: int | None) -> AskedRound:
        """The round that is asked, if it is this one."""
        asked = self.live.asked
        if asked is None or self.live.state != "asking" or number not in (None, asked.number):
            raise HTTPException(409, "the loop has gone on with the answers that it had; this one was not taken")
        self.live.check()
        return asked

    def _name(self, request: Request) -> str:
        return self.guard.cookie_of(request.headers, "name")

    def _someone(self, request: Request) -> str:
        name = self._name(request)
        if not name or len(name) > MAX_NAME or not name.isprintable():
            raise HTTPException(403, "say who you are first: load the page again")
        return name


async def _read(request: Request, kind: type[M]) -> M:
    """The message of a request."""
    if request.headers.get("content-type", "").partition(";")[0] != "application/json":
        raise HTTPException(415, "expected JSON")
    try:
        return kind.model_validate_json(await request.body())
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise HTTPException(400, f"{where}: {first['msg']}") from None


async def _failed(request: Request, error: Exception) -> Response:
    """The store failed, or there is nothing to do: in words, for the page to show."""
    assert isinstance(error, RaylabelError)
    return JSONResponse({"error": str(error)}, 503 if error.exit_code == 4 else 409)
