"""The server of a study: one page, its clips, and five calls; it knows raters only by their token."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from videojam.study import assign, raters, votes
from videojam.study.config import Study
from videojam.study.database import Database
from videojam.study.limit import JoinLimit
from videojam.study.refusal import RefusedError

MAX_BODY_BYTES = 16 * 1024
HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "media-src 'self' blob:; img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "cross-origin-resource-policy": "same-origin",
}
PAGE = {
    "/": ("page.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    "/page.js": ("page.js", "text/javascript"),
}


@dataclass(frozen=True)
class Service:
    """What the calls work on.

    Attributes:
        folder: Of the study.
        study: The study.
        database: Its votes.
        is_open: Whether anyone may join, or only who has a link.
        limit: How often one address may join.
    """

    folder: Path
    study: Study
    database: Database
    is_open: bool
    limit: JoinLimit


def build_app(service: Service) -> Starlette:
    """Return the application."""
    clips = {name for pair in assign.pairs_by_id(service.study).values() for name in pair.clips or ()}

    async def clip(request: Request) -> Response:
        name = request.path_params["name"].removesuffix(".mp4")
        if name not in clips:  # a set of random names: no part of a path is ever built from what was asked
            raise RefusedError(404, "No such clip.")
        path = service.folder / "clips" / f"{name}.mp4"
        if not path.is_file():
            raise RefusedError(404, "This clip is missing from the study's folder.")
        return FileResponse(path, media_type="video/mp4", headers={"cache-control": "private, max-age=86400"})

    routes = [Route(path, _page(*what)) for path, what in PAGE.items()]
    routes += [
        Route("/clips/{name}", clip),
        Route("/api/study", _call(service, _study), methods=["POST"]),
        Route("/api/join", _call(service, _join), methods=["POST"]),
        Route("/api/consent", _call(service, _consent), methods=["POST"]),
        Route("/api/next", _call(service, _next), methods=["POST"]),
        Route("/api/vote", _call(service, _vote), methods=["POST"]),
        Route("/api/delete", _call(service, _delete), methods=["POST"]),
    ]
    app = Starlette(routes=routes, exception_handlers={RefusedError: _refused})
    app.add_middleware(_Headers, headers=HEADERS)
    return app


class _Headers:
    """Adds the same headers to every answer."""

    def __init__(self, app: ASGIApp, headers: dict[str, str]) -> None:
        self._app = app
        self._headers = [(name.encode(), value.encode()) for name, value in headers.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *self._headers]
            await send(message)

        await self._app(scope, receive, with_headers)


def _page(name: str, media_type: str) -> Callable[[Request], Awaitable[Response]]:
    content = (files("videojam.study.web") / name).read_bytes()

    async def page(request: Request) -> Response:
        return Response(content, media_type=media_type, headers={"cache-control": "no-cache"})

    return page


def _call(
    service: Service, action: Callable[[Service, Request, dict[str, Any]], dict[str, Any]]
) -> Callable[[Request], Awaitable[Response]]:
    """Turn an action on a JSON object into an endpoint."""

    async def endpoint(request: Request) -> Response:
        content = await _body(request)
        try:
            answer = await run_in_threadpool(action, service, request, content)
        except UnicodeError:  # half a character, which JSON can hold and no database
            raise RefusedError(400, "The request holds text that is none.") from None
        return JSONResponse(answer, headers={"cache-control": "no-store"})

    return endpoint


async def _body(request: Request) -> dict[str, Any]:
    """Read a small JSON object."""
    if int(request.headers.get("content-length") or 0) > MAX_BODY_BYTES:
        raise RefusedError(413, "The request is too large.")
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise RefusedError(413, "The request is too large.")
    try:
        content = json.loads(body or b"{}")
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise RefusedError(400, "The request is not a JSON object.")
    return content


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, RefusedError)
    return JSONResponse({"error": error.message}, error.status, headers={"cache-control": "no-store"})


def _token(request: Request) -> str:
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    if kind.lower() != "bearer" or not token:
        raise RefusedError(401, "Open the link that you were given.")
    return token


def _study(service: Service, request: Request, content: dict[str, Any]) -> dict[str, Any]:
    """What the first pages show; with a token also whether its rater has agreed."""
    config = service.study.config
    answer: dict[str, Any] = {
        "id": service.study.id,
        "title": config.title,
        "consent": config.consent,
        "instructions": config.instructions,
        "contact": config.contact,
        "open": service.is_open,
        "questions": [
            {"name": q.name, "text": q.text, "about_prompt": q.about_prompt} for q in config.questions
        ],
        "consented": False,
    }
    if request.headers.get("authorization"):
        with service.database.read() as connection:
            rater = raters.rater_of(connection, _token(request))
            answer["consented"] = rater.consented
            answer["progress"] = vars(assign.progress(connection, service.study, rater))
    return answer


def _join(service: Service, request: Request, content: dict[str, Any]) -> dict[str, Any]:
    if not service.is_open:
        raise RefusedError(
            403, "This study is for people with a link of their own. Open the link that you were given."
        )
    query = content.get("query", {})
    if not isinstance(query, dict) or not all(isinstance(value, str) for value in query.values()):
        raise RefusedError(400, "The link's parameters are not text.")
    if not service.limit.allows(request.client.host if request.client else ""):
        raise RefusedError(429, "Too many people joined from your network. Try again in an hour.")
    with service.database.write() as connection:
        token = raters.join(connection, query)
        raters.consent(connection, raters.rater_of(connection, token))
    return {"token": token}


def _consent(service: Service, request: Request, content: dict[str, Any]) -> dict[str, Any]:
    with service.database.write() as connection:
        raters.consent(connection, raters.rater_of(connection, _token(request)))
    return {"consented": True}


def _next(service: Service, request: Request, content: dict[str, Any]) -> dict[str, Any]:
    study = service.study
    with service.database.write() as connection:
        rater = _consented(connection, request)
        given = assign.next_assignment(connection, study, rater)
        progress = assign.progress(connection, study, rater)
    answer: dict[str, Any] = {"progress": vars(progress), "assignment": None}
    if given is None:
        code, url = raters.completion(study, rater)
        answer["completion"] = {"code": code, "url": url} if progress.done else None
        return answer
    clips = given.pair.clips or ("", "")
    left, right = clips if given.first_is_left else clips[::-1]
    answer["assignment"] = {
        "id": given.id,
        "prompt": given.pair.prompt,
        "left": f"/clips/{left}.mp4",
        "right": f"/clips/{right}.mp4",
        "practice": given.kind == "practice",
    }
    return answer


def _vote(service: Service, request: Request, content: dict[str, Any]) -> dict[str, Any]:
    name, answers = content.get("assignment"), content.get("answers")
    texts = isinstance(answers, dict) and all(isinstance(side, str) for side in answers.values())
    if not isinstance(name, str) or not isinstance(answers, dict) or not texts:
        raise RefusedError(400, "The vote is incomplete.")
    with service.database.write() as connection:
        rater = _consented(connection, request)
        kind = votes.take_vote(connection, service.study, rater, name, answers)
        true_side = _explanation(service.study, connection, name) if kind == "practice" else None
    return {"taken": True, "true_side": true_side}


def _delete(service: Service, request: Request, content: dict[str, Any]) -> dict[str, Any]:
    with service.database.write() as connection:
        raters.delete(connection, raters.rater_of(connection, _token(request)))
    service.database.forget()
    return {"deleted": True}


def _consented(connection: Any, request: Request) -> raters.Rater:
    rater = raters.rater_of(connection, _token(request))
    if not rater.consented:
        raise RefusedError(403, "Agree to take part first.")
    return rater


def _explanation(study: Study, connection: Any, assignment: str) -> str | None:
    """Return on which side the clip in its true order was, where the practice pair has one."""
    if study.practice is None or study.practice.arms[1] != "shuffled":
        return None
    left = connection.execute("SELECT first_is_left FROM assignments WHERE id = ?", (assignment,)).fetchone()[
        0
    ]
    return "left" if left else "right"
