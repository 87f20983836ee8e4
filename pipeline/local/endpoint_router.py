"""The front of one endpoint: python -m pipeline.local.endpoint_router PORT, a child of the endpoint's supervisor.

It gives each request to the least busy instance of a fleet, and fleets and variants their share of the requests; counts
what CloudWatch would; and is told by the supervisor what there is, how large requests may be, and whether they may take
their time (PUT of CONTROL, with the key DARKROOM_ROUTER_KEY).

What an instance refused to take (no connection) goes to another one, or waits for one. What it had taken when it died
is not sent again: it may be this very request that it died of.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import os
import random
import sys
import time
from asyncio import IncompleteReadError, LimitOverrunError, StreamReader, StreamWriter

from pipeline.local.endpoint_http import (
    ANSWER_LIMIT_S,
    BROKEN,
    CONTROL,
    KEY,
    LARGEST_HEAD,
    NO_VARIANT,
    NOBODY,
    PATIENCE,
    PROBLEM,
    SILENT,
    TARGET,
    VARIANT,
    Malformed,
    Message,
    head,
    read_answer,
    read_request,
    send,
    value,
)
from pipeline.local.endpoint_tally import Tally
from pipeline.request_sizes import LARGEST_BODY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pipeline.local.endpoint_http import Parts

HOST = "127.0.0.1"
_NAMES = (HOST, "localhost")
MOST_PATIENT_S = 3600
WAIT_LIMIT_S = 20.0  # for an instance, where none is there: a crashed one is being started again
_IDLE_S = 75.0
_CONNECT_LIMIT_S = 5.0
_STATUS = {BROKEN: 502, SILENT: 504, NOBODY: 503, NO_VARIANT: 400}


class Refused(Exception):
    """Nothing was sent: another instance may be asked."""


class Failed(Exception):
    """No answer of a model. `problem` is one of the words, `words` a sentence."""

    def __init__(self, problem: str, words: str) -> None:
        super().__init__(words)
        self.problem = problem
        self.words = words


class Instance:
    """One model server, and connections to it that wait for the next request."""

    __slots__ = ("busy", "idle", "port")

    def __init__(self, port: int) -> None:
        self.port = port
        self.busy = 0
        self.idle: list[tuple[StreamReader, StreamWriter]] = []

    async def ask(self, request: Parts, limit_s: float) -> Message:
        """Raises Refused, Failed BROKEN, TimeoutError."""
        while self.idle:
            reader, writer = self.idle.pop()
            if reader.at_eof() or writer.is_closing():
                writer.close()
                continue
            try:
                return await self._exchange(reader, writer, request, limit_s)
            except Failed as exc:  # it may only have closed a connection that was idle; if it lives, it is asked anew
                try:
                    fresh = await self._connect()
                except Refused:
                    raise exc from None
                return await self._exchange(*fresh, request, limit_s)
        return await self._exchange(*await self._connect(), request, limit_s)

    async def _connect(self) -> tuple[StreamReader, StreamWriter]:
        try:
            opening = asyncio.open_connection(HOST, self.port, limit=LARGEST_HEAD)
            return await asyncio.wait_for(opening, _CONNECT_LIMIT_S)
        except (OSError, TimeoutError) as exc:
            raise Refused from exc

    async def _exchange(self, reader: StreamReader, writer: StreamWriter, request: Parts, limit_s: float) -> Message:
        async def exchange() -> Message:
            await send(writer, request)
            return await read_answer(reader)

        kept = False
        try:
            answer = await asyncio.wait_for(exchange(), limit_s)
            kept = answer.keep
            if kept:
                self.idle.append((reader, writer))
            return answer
        except (ConnectionError, IncompleteReadError, LimitOverrunError, Malformed) as exc:
            raise Failed(BROKEN, "the model broke off the connection") from exc
        finally:
            if not kept:
                writer.close()

    def close(self) -> None:
        for _, writer in self.idle:
            writer.close()
        self.idle.clear()


class Routes:
    """What the supervisor last said: variants with their weights, each with fleets and their shares and ports."""

    def __init__(self) -> None:
        self.instances: dict[int, Instance] = {}
        self._variants: list[dict[str, Any]] = []
        self._changed = asyncio.Event()

    def put(self, variants: list[dict[str, Any]]) -> None:
        self._variants = variants
        ports = {port for variant in variants for fleet in variant["fleets"] for port in fleet["ports"]}
        for port in ports - self.instances.keys():
            self.instances[port] = Instance(port)
        for port, instance in list(self.instances.items()):
            if port not in ports:
                instance.close()
                if not instance.busy:
                    del self.instances[port]
        self._changed.set()
        self._changed = asyncio.Event()

    async def take(self, wanted: str, asked: set[int]) -> tuple[str, dict[str, Any], Instance]:
        """Variant, fleet and instance for one request, none of those that were asked and refused. Raises Failed."""
        deadline = time.monotonic() + WAIT_LIMIT_S
        while True:
            variant = self._variant(wanted)
            fleets = [fleet for fleet in variant["fleets"] if set(fleet["ports"]) - asked]
            if fleets:
                shares = [fleet["share"] for fleet in fleets]
                fleet = random.choices(fleets, shares)[0] if any(shares) else fleets[0]
                ports = [port for port in fleet["ports"] if port not in asked]
                random.shuffle(ports)
                return variant["name"], fleet, min((self.instances[port] for port in ports), key=lambda i: i.busy)
            left = deadline - time.monotonic()
            try:
                await asyncio.wait_for(self._changed.wait(), max(0.0, left))
            except TimeoutError:
                raise Failed(NOBODY, f"no instance of variant {variant['name']} answers") from None
            asked.clear()

    def _variant(self, wanted: str) -> dict[str, Any]:
        if wanted:
            for variant in self._variants:
                if variant["name"] == wanted:
                    return variant
            known = ", ".join(variant["name"] for variant in self._variants)
            raise Failed(NO_VARIANT, f"no variant {wanted!r}; there is: {known}")
        if not self._variants:
            raise Failed(NOBODY, "nothing is served")
        weights = [variant["weight"] for variant in self._variants]
        return random.choices(self._variants, weights)[0] if any(weights) else self._variants[0]


class Router:
    def __init__(self, key: str) -> None:
        self.key = key
        self.most = LARGEST_BODY  # bytes of a request; this and the next until the supervisor says otherwise
        self.patient = False  # as an asynchronous endpoint is
        self.routes = Routes()
        self.tally = Tally()

    async def serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        """One connection, as long as its caller keeps it."""

        def go_on() -> None:
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")

        try:
            while True:
                request = await asyncio.wait_for(read_request(reader, go_on, self.most), _IDLE_S)
                await send(writer, await self.answer(request))
                if not request.keep:
                    break
        except Malformed as exc:
            writer.write(b"".join(_plain(exc.status, str(exc), close=True)))
        except (IncompleteReadError, LimitOverrunError, ConnectionError, TimeoutError):
            pass  # the caller has gone, or says nothing
        finally:
            writer.close()

    async def answer(self, request: Message) -> Parts:
        """Raises Malformed."""
        _refuse_pages(request)
        if request.first[1] == CONTROL:
            return self._control(request)
        if request.first[0] not in ("GET", "POST"):
            return _plain(405, f"{request.first[0]} is no method of a model server")
        began = time.monotonic()
        counted = request.first[:2] == ["POST", "/invocations"]
        try:
            return await self._passed_on(request, began, counted)
        except Failed as exc:
            return _plain(_STATUS[exc.problem], exc.words, problem=exc.problem)

    async def _passed_on(self, request: Message, began: float, counted: bool) -> Parts:
        wanted, asked = value(request.headers, TARGET.lower()), set[int]()
        limit_s = _limit(request) if self.patient else ANSWER_LIMIT_S
        first = " ".join((*request.first[:2], "HTTP/1.1"))
        text = head(first, request.headers, len(request.body), f"Host: {HOST}")
        while True:
            name, fleet, instance = await self.routes.take(wanted, asked)
            sent, status = time.monotonic(), 500
            instance.busy += 1
            try:
                answer = await instance.ask((text, request.body), limit_s)
                status = int(answer.first[1])
            except Refused:
                asked.add(instance.port)
                continue
            except TimeoutError as exc:
                raise Failed(SILENT, f"the model did not answer within {limit_s:.0f} s") from exc
            finally:
                instance.busy -= 1
                if counted and instance.port not in asked:
                    self.tally.count((fleet["config"], name), status, len(fleet["ports"]), began, sent)
            first = " ".join(("HTTP/1.1", *answer.first[1:]))
            return head(first, [*answer.headers, (VARIANT, name)], len(answer.body)), answer.body

    def _control(self, request: Message) -> Parts:
        if not hmac.compare_digest(value(request.headers, KEY.lower()).encode(), self.key.encode()):
            return _plain(404, "there is nothing here")
        if request.body:
            told = json.loads(request.body)
            self.most, self.patient = told["most"], told["patient"]
            self.routes.put(told["variants"])
        busy = {port: instance.busy for port, instance in self.routes.instances.items()}
        body = json.dumps({"busy": busy, "counted": self.tally.taken()}).encode()
        return head("HTTP/1.1 200 OK", [("Content-Type", "application/json")], len(body)), body


def _refuse_pages(request: Message) -> None:
    """A web page may not ask a model of this machine, whatever name it gives the address (DNS rebinding)."""
    name = value(request.headers, "host")
    if name and name.lower().partition(":")[0] not in _NAMES:
        raise Malformed(421, f"Host {name[:100]!r}: this endpoint answers as {' and '.join(_NAMES)} alone")
    if value(request.headers, "sec-fetch-site") not in ("", "none"):
        raise Malformed(403, "web pages may not ask this endpoint")


def _limit(request: Message) -> float:
    """Seconds. Raises Malformed."""
    patience = value(request.headers, PATIENCE.lower())
    if patience and not (patience.isdecimal() and 0 < int(patience) <= MOST_PATIENT_S):
        raise Malformed(400, f"{PATIENCE} is a number of seconds, up to {MOST_PATIENT_S}")
    return float(patience or ANSWER_LIMIT_S)


def _plain(status: int, words: str, problem: str = "", close: bool = False) -> Parts:
    body = json.dumps({"error": words}).encode()
    headers = [("Content-Type", "application/json"), *([(PROBLEM, problem)] if problem else [])]
    own = ("Connection: close",) if close else ()
    return head(f"HTTP/1.1 {status} Error", headers, len(body), *own), body


async def route(port: int, key: str) -> None:
    """Until it is killed."""
    server = await asyncio.start_server(Router(key).serve, HOST, port, limit=LARGEST_HEAD, backlog=1024)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(route(int(sys.argv[1]), os.environ.pop("DARKROOM_ROUTER_KEY")))
