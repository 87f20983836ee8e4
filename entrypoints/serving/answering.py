"""One invocation, from its headers to its answer: the same behind uvicorn and in Ray Serve."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any, NamedTuple

from payload import BadRequest, kind, too_large
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from serving import accepting, answers, journal
from serving.bad_request import Busy
from serving.capture import Record
from serving.queueing import Outcome
from serving.service import MOST_HELD, READY, Service

RETRY_AFTER = "1"  # seconds
HEADERS = {503: {"Retry-After": RETRY_AFTER}, 408: {"Connection": "close"}}  # what is left of a late body is not read
TOO_MANY = "too many requests at once: ask again in a second"


class Answer(NamedTuple):
    """What came of it, for the caller and for the log."""

    status: int
    content: bytes
    content_type: str = answers.JSON
    outcome: Outcome | None = None
    message: str = ""


async def answered(request: Request, service: Service) -> Response:
    """Whatever happens is an answer here; the log has what it says nothing of."""
    began, body = time.perf_counter(), bytearray()
    service.in_flight += 1
    try:
        answer = await _answer(request, service, body)
    finally:
        service.in_flight -= 1
        service.held -= len(body)
    _note(service, request, body, answer, time.perf_counter() - began)
    return Response(answer.content, answer.status, HEADERS.get(answer.status), answer.content_type)


async def _answer(request: Request, service: Service, body: bytearray) -> Answer:
    try:
        _refuse_unready(service)
        accepted = accepting.chosen(request.headers.get("accept"))
        await _read(request, service, body)
        return await _predicted(service, bytes(body), accepted)
    except BadRequest as error:
        return _error(error.status, str(error))
    except Busy as error:
        return _error(503, str(error))
    except Exception as error:  # ours or the model's: the caller hears that it is so, the log why
        message = f"{type(error).__name__}: {error}"
        return _error(500, "the prediction failed; the log has the reason")._replace(message=message)


def _refuse_unready(service: Service) -> None:
    if service.state != READY:
        raise Busy(service.reason)
    if service.in_flight > service.settings.queue or service.held > MOST_HELD:
        raise Busy(TOO_MANY)


async def _read(request: Request, service: Service, body: bytearray) -> None:
    """In pieces: a declared or real length above the limit ends the request before it fills the memory."""
    most, seconds = service.settings.max_body, service.settings.body_seconds
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared[:20]) > most:
        raise too_large(most)
    try:
        async with asyncio.timeout(seconds):
            async for piece in request.stream():
                if len(body) + len(piece) > most:
                    raise too_large(most)
                body += piece
                service.held += len(piece)
    except ClientDisconnect:
        raise BadRequest("the connection ended before the body did") from None
    except TimeoutError:
        raise BadRequest(f"the body did not arrive within {seconds:g} seconds", 408) from None


async def _predicted(service: Service, body: bytes, accepted: str) -> Answer:
    import inference

    outcome = await service.predict(body)
    predictions = inference.predictions(service.predictor, outcome.rows)
    return Answer(200, answers.body(predictions, accepted), accepted, outcome)


def _error(status: int, message: str) -> Answer:
    return Answer(status, json.dumps({"error": message}, ensure_ascii=False).encode(errors="replace"), message=message)


def _note(service: Service, request: Request, body: bytearray, answer: Answer, seconds: float) -> None:
    metrics, outcome = service.metrics, answer.outcome
    metrics.requests[answer.status] += 1
    if outcome is not None:
        metrics.latency.add(seconds)
        metrics.waiting.add(outcome.waited)
        metrics.batches.add(outcome.batch)
        classes, below = service.predictor.classes, service.predictor.unsure_below
        best = outcome.rows.argmax(1)
        metrics.classes.update(classes[index] for index in best)
        metrics.unsure += int((outcome.rows.max(1) < below).sum()) if below else 0
        if service.capture is not None:
            given = request.headers.get("content-type", "application/octet-stream")
            service.capture.offer(Record(bytes(body), given, answer.content, answer.content_type))
    log = service.settings.log
    if log == "all" or answer.status >= 500 or (log == "refused" and answer.status >= 400):
        _log(body, answer, seconds)


def _log(body: bytearray, answer: Answer, seconds: float) -> None:
    level = "error" if answer.status >= 500 and answer.status != 503 else "info"
    figures: dict[str, Any] = {"status": answer.status, "ms": round(1000 * seconds, 1), "bytes": len(body)}
    if body:
        figures["kind"] = kind(bytes(body[:16])) or "unknown"
    if answer.outcome is not None:
        figures |= {"pictures": len(answer.outcome.rows), "batch": answer.outcome.batch}
        figures["waited_ms"] = round(1000 * answer.outcome.waited, 1)
    journal.say(level, answer.message or "answered", **figures)
