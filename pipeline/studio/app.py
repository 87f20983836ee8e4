"""The application: addresses → views, each on a thread with clients of its own; errors → pages with what to type."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any
from urllib.parse import parse_qsl

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from pipeline.client import Clients
from pipeline.control.remembering import remembering
from pipeline.errors import DarkroomError, ServiceError, Unavailable
from pipeline.studio import (
    acting,
    compared,
    endpoints,
    execution,
    live,
    logs,
    model,
    pages,
    pair,
    pipelines,
    plan,
    registry,
    starting,
    step,
)
from pipeline.studio.asked import Answer, Asked, Document, Go, HostingView, Page, PricedView, Studio, View, broken
from pipeline.studio.security import TOKEN, TOKEN_HEADER, Guard, may_act
from pipeline.studio.threads import Ended, Threads

_EXECUTION = "/pipelines/{pipeline}/executions/{execution}"
_MODEL = "/models/{group}/{version}"
VIEWS: Mapping[str, View] = {
    "/": pipelines.all_of_them,
    "/pipelines/{pipeline}": pipelines.one,
    "/pipelines/{pipeline}/start": starting.view,
    "/pipelines/{pipeline}/compare": pair.view,
    _EXECUTION: execution.view,
    f"{_EXECUTION}/steps/{{step}}": step.view,
    f"{_EXECUTION}/steps/{{step}}/log": logs.view,
    "/models": registry.groups,
    "/models/{group}": registry.group,
    _MODEL: model.view,
    f"{_MODEL}/page": model.own_page,
    f"{_MODEL}/compare": compared.view,
    "/endpoints": endpoints.all_of_them,
}
HOSTED: Mapping[str, HostingView] = {"/endpoints/{endpoint}": endpoints.one}
PRICED: Mapping[str, PricedView] = {
    "/pipelines/{pipeline}/plan": plan.of_version,
    f"{_EXECUTION}/report": execution.report,
}
FORMS = (starting.view,)
ACTS: Mapping[str, View] = {
    "/pipelines/{pipeline}/start": starting.start,
    f"{_EXECUTION}/stop": acting.stop,
    f"{_EXECUTION}/resume": acting.resume,
    f"{_MODEL}/decide": model.decide,
}
FOLLOWED = (f"{_EXECUTION}/events", f"{_EXECUTION}/steps/{{step}}/events")
# the page of a stranger may do nothing; the report's own script is let in by its own policy
SANDBOX = "sandbox{}; default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'{}"
LARGEST_FORM = 1 << 20  # bytes: 200 parameters of 1,024 characters
_ABSENT = ("ResourceNotFound", "ResourceNotFoundException", "NoSuchKey", "NoSuchBucket")
_DENIED = ("AccessDenied", "AccessDeniedException", "UnauthorizedOperation")


def application(studio: Studio) -> Starlette:
    async def asset(request: Request) -> Response:
        found = pages.static(request.path_params["name"])
        if found is None:
            raise HTTPException(404)
        return Response(found[0], media_type=found[1])

    threads = Threads()
    streams = live.Streams(threads)

    async def events(request: Request) -> Response:
        if streams.open >= live.MOST:
            raise HTTPException(503, f"{live.MOST} pages are followed already")
        return StreamingResponse(streams.events(studio, Asked(request.path_params)), media_type="text/event-stream")

    routes = [Route("/static/{name}", asset, methods=["GET"])]
    routes += [Route(path, _endpoint(studio, threads, view), methods=["GET"]) for path, view in views(studio).items()]
    routes += [Route("/endpoints/{endpoint}/predict", _predicting(studio, threads), methods=["POST"])]
    routes += [Route(path, _acting(studio, threads, act), methods=["POST"]) for path, act in ACTS.items()]
    routes += [Route(path, events, methods=["GET"]) for path in FOLLOWED]
    guard = Middleware(Guard, secret=studio.secret, port=studio.port)
    handlers: Mapping[Any, Any] = {HTTPException: _http_error(studio), Ended: _ended(studio)}
    made = Starlette(routes=routes, middleware=[guard], exception_handlers=handlers)
    made.state.streams, made.state.threads = streams, threads
    return made


def views(studio: Studio) -> dict[str, View]:
    """All that only look, by their addresses."""
    hosted = {path: _hosted(studio, view) for path, view in HOSTED.items()}
    priced = {path: partial(view, studio.money) for path, view in PRICED.items()}
    return {**VIEWS, **hosted, **priced, "/plan": partial(plan.of_config, studio.planned)}


def _endpoint(studio: Studio, threads: Threads, view: View) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        if view in FORMS:
            _check_writes(studio)
        asked = Asked(request.path_params, dict(request.query_params))
        return await threads.run(partial(_answer, studio, view, asked))

    return answer


def _acting(studio: Studio, threads: Threads, act: View) -> Callable[[Request], Awaitable[Response]]:
    """For what changes something: of a form that one of the studio's own pages had."""

    async def answer(request: Request) -> Response:
        _check_writes(studio)
        form = dict(parse_qsl((await _body(request, LARGEST_FORM)).decode("utf-8", "replace"), keep_blank_values=True))
        if not may_act(studio.secret, form.get(TOKEN, "")):
            raise HTTPException(403, "the form has no token of this server: load its page again")
        asked = Asked(request.path_params, dict(request.query_params), form)
        return await threads.run(partial(_answer, studio, act, asked))

    return answer


def _hosted(studio: Studio, view: HostingView) -> View:
    def answer(clients: Clients, asked: Asked) -> Answer:
        with studio.hosting() as hosting:
            return view(clients, hosting, asked)

    return answer


def _predicting(studio: Studio, threads: Threads) -> Callable[[Request], Awaitable[Response]]:
    """A picture as it is; the token stands in a header, which no form of another page can send."""

    async def answer(request: Request) -> Response:
        _check_writes(studio)
        if not may_act(studio.secret, request.headers.get(TOKEN_HEADER, "")):
            raise HTTPException(403, "the page has no token of this server: load it again")
        asked = Asked(request.path_params, body=await _body(request, endpoints.LARGEST_PICTURE))
        return await threads.run(partial(_predicted, studio, asked))

    return answer


def _predicted(studio: Studio, asked: Asked) -> Response:
    try:
        with studio.connect() as clients:
            return JSONResponse(endpoints.predict(clients, asked))
    except DarkroomError as exc:
        return _told(exc, _status(exc))
    except Exception as exc:  # the edge of the process, as in _answer
        return _told(broken(exc), 500)


def _told(error: DarkroomError, status: int) -> Response:
    return JSONResponse({"error": error.message, "hint": error.hint}, status)


def _check_writes(studio: Studio) -> None:
    if not studio.writes:
        raise HTTPException(403, "these pages only show; darkroom studio --write lets them change something, too")


async def _body(request: Request, most: int) -> bytes:
    """Raises HTTPException 413 before more than that is kept."""
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > most:
            raise HTTPException(413, f"more than {most:,} bytes were sent")
    return bytes(body)


def _answer(studio: Studio, view: View, asked: Asked) -> Response:
    try:
        with studio.connect() as clients:
            return _response(view(clients if asked.form else remembering(clients), asked), studio)
    except DarkroomError as exc:
        return _response(refusal(exc), studio)
    except Exception as exc:  # the edge of the process: a defect becomes a page
        return _response(refusal(broken(exc), 500), studio)


def _response(answer: Answer, studio: Studio) -> Response:
    match answer:
        case Page():
            return HTMLResponse(pages.render(answer, studio), answer.status)
        case Document(html, scripts):
            policy = SANDBOX.format(*((" allow-scripts", "; script-src 'unsafe-inline'") if scripts else ("", "")))
            return HTMLResponse(html, headers={"Content-Security-Policy": policy})
        case Go(place):
            return RedirectResponse(place, 303)


def refusal(error: DarkroomError, status: int = 0) -> Page:
    return Page("error.html", {"message": error.message, "hint": error.hint}, status or _status(error))


def _status(error: DarkroomError) -> int:
    match error:
        case Unavailable():
            return 503
        case ServiceError(code=code) if code in _ABSENT:
            return 404
        case ServiceError(code=code) if code in _DENIED:
            return 403
    return 400


def _http_error(studio: Studio) -> Callable[[Request, HTTPException], Awaitable[Response]]:
    async def answer(request: Request, error: HTTPException) -> Response:
        said = DarkroomError(f"{request.method} {request.url.path[:200]!r}: {error.detail}")
        return _response(refusal(said, error.status_code), studio)

    return answer


def _ended(studio: Studio) -> Callable[[Request, Ended], Awaitable[Response]]:
    async def answer(_: Request, error: Ended) -> Response:
        return _response(refusal(error), studio)

    return answer
