"""The router of an endpoint over real sockets: whom it asks, what it makes of bad HTTP, what it asks twice."""

from __future__ import annotations

import asyncio
import json
import tracemalloc
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest

from pipeline.local.endpoint_http import CONTROL, KEY, PATIENCE, send
from pipeline.local.endpoint_router import Instance, Router
from pipeline.request_sizes import LARGEST_ASYNC_INPUT, LARGEST_BODY

SECRET = "secret"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s"


class Model:
    """An instance that answers with its name; `then` is what it does with a request instead."""

    def __init__(self, name: str, then: Callable[[Any, Any], Awaitable[None]] | None = None) -> None:
        self.name, self.then = name, then
        self.asked: list[bytes] = []
        self.writers: list[asyncio.StreamWriter] = []
        self.port = 0

    async def __aenter__(self) -> Model:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for writer in self.writers:
            await closed(writer)

    async def _serve(self, reader: Any, writer: Any) -> None:
        self.writers.append(writer)
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
                self.asked.append(head + await reader.readexactly(length))
                if self.then:
                    await self.then(reader, writer)
                    break
                writer.write(ANSWER % (len(self.name), self.name.encode()))
        except asyncio.IncompleteReadError:
            pass
        writer.close()


async def closed(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()


async def closing(_: Any, writer: Any) -> None:
    """Takes the request, and is gone."""


def routed(*fleets: tuple[float, list[int]], name: str = "A", weight: float = 1.0) -> dict[str, Any]:
    configs = [{"config": f"c{n}", "share": share, "ports": ports} for n, (share, ports) in enumerate(fleets)]
    return {"name": name, "weight": weight, "fleets": configs}


class Front:
    """The router on a port of its own."""

    async def __aenter__(self) -> Front:
        self.router = Router(SECRET)
        self._server = await asyncio.start_server(self.router.serve, "127.0.0.1", 0, limit=64 << 10)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        idle = [writer for each in self.router.routes.instances.values() for _, writer in each.idle]
        for writer in idle:
            await closed(writer)
        await asyncio.sleep(0.01)  # connections that the router closed meanwhile

    async def send(self, data: bytes) -> bytes:
        """All that comes back until the router closes, which `Connection: close` makes it do."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(data)
        answer = await asyncio.wait_for(reader.read(), 20)
        await closed(writer)
        return answer

    async def post(self, body: bytes = b"?", *headers: str) -> tuple[int, str]:
        lines = ["POST /invocations HTTP/1.1", "Host: localhost", "Connection: close", f"Content-Length: {len(body)}"]
        answer = await self.send("\r\n".join((*lines, *headers, "", "")).encode() + body)
        head, _, text = answer.partition(b"\r\n\r\n")
        return int(head.split()[1]), text.decode()


def test_variants_by_weight_fleets_by_share_and_the_variant_asked_for() -> None:
    async def main() -> None:
        async with Front() as front, Model("old") as old, Model("new") as new, Model("other") as other:
            variants = [
                routed((0.5, [old.port]), (0.5, [new.port])),
                routed((1.0, [other.port]), name="B", weight=0.0),
            ]
            front.router.routes.put(variants)
            counted = Counter([(await front.post())[1] for _ in range(60)])
            assert set(counted) == {"old", "new"} and min(counted.values()) > 10
            assert await front.post(b"?", "X-Amzn-SageMaker-Target-Variant: B") == (200, "other")
            status, text = await front.post(b"?", "X-Amzn-SageMaker-Target-Variant: C")
            assert (status, json.loads(text)["error"]) == (400, "no variant 'C'; there is: A, B")

    asyncio.run(main())


def test_the_least_busy_instance_is_asked() -> None:
    async def main() -> None:
        gate = asyncio.Event()

        async def waiting(_: Any, writer: Any) -> None:
            await gate.wait()
            writer.write(ANSWER % (4, b"slow"))

        async with Front() as front, Model("slow", waiting) as slow, Model("fast") as fast:
            front.router.routes.put([routed((1.0, [slow.port]))])
            waiting = [asyncio.create_task(front.post()) for _ in range(3)]
            while len(slow.asked) < 3:
                await asyncio.sleep(0.01)
            front.router.routes.put([routed((1.0, [slow.port, fast.port]))])
            assert {(await front.post())[1] for _ in range(10)} == {"fast"}
            gate.set()
            assert {text for _, text in await asyncio.gather(*waiting)} == {"slow"}

    asyncio.run(main())


def test_what_was_refused_goes_to_another_instance_or_waits_for_one() -> None:
    async def main() -> None:
        async with Front() as front, Model("left") as left:
            async with Model("dead") as dead:
                pass
            front.router.routes.put([routed((1.0, [dead.port, left.port]))])
            assert {(await front.post())[1] for _ in range(10)} == {"left"}
            front.router.routes.put([routed((1.0, [dead.port]))])
            waiting = asyncio.create_task(front.post())
            await asyncio.sleep(0.1)
            front.router.routes.put([routed((1.0, [left.port]))])
            assert await waiting == (200, "left")

    asyncio.run(main())


def test_what_an_instance_had_taken_when_it_died_is_not_sent_again() -> None:
    async def main() -> None:
        async with Front() as front, Model("dying", closing) as dying, Model("other") as other:
            front.router.routes.put([routed((1.0, [dying.port]), (0.0, [other.port]))])
            status, text = await front.post()
            assert (status, json.loads(text)["error"]) == (502, "the model broke off the connection")
            assert (len(dying.asked), len(other.asked)) == (1, 0)
            [[_, _, counted]] = front.router.tally.taken()
            assert counted["Invocation5XXErrors"]["sum"] == 1

    asyncio.run(main())


def test_connections_to_an_instance_are_kept_and_one_that_it_closed_is_no_failure() -> None:
    async def main() -> None:
        async with Front() as front, Model("kept") as kept:
            front.router.routes.put([routed((1.0, [kept.port]))])
            for _ in range(3):
                await front.post()
            assert len(kept.writers) == 1
            [(_, writer)] = front.router.routes.instances[kept.port].idle
            writer.close()
            assert await front.post() == (200, "kept")
            assert len(kept.writers) == 2

    asyncio.run(main())


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET http://elsewhere/ HTTP/1.1\r\n\r\n", 400),
        (b"POST /invocations HTTP/1.1\r\nbad header: x\r\nno colon\r\n\r\n", 400),
        (b"POST /invocations HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", 400),
        (b"POST /invocations HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
        (b"POST /invocations HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"POST /invocations HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n", 400),
        (b"POST /invocations HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
        (b"POST /invocations HTTP/1.1\r\nContent-Length: 6291457\r\n\r\n", 413),
        (b"POST /invocations HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFF\r\n", 413),
        (b"GET /ping HTTP/1.1\r\nX: " + b"x" * (65 << 10) + b"\r\n\r\n", 431),
        (b"HEAD /ping HTTP/1.1\r\nConnection: close\r\n\r\n", 405),
        (b"DELETE /ping HTTP/1.1\r\nConnection: close\r\n\r\n", 405),
        (b"GET /ping HTTP/1.1\r\nHost: evil.example:8080\r\n\r\n", 421),
        (b"GET /ping HTTP/1.1\r\nHost: 127.0.0.1.evil.example\r\n\r\n", 421),
        (b"GET /ping HTTP/1.1\r\nHost: localhost\r\nSec-Fetch-Site: cross-site\r\n\r\n", 403),
    ],
)
def test_what_is_no_request_of_an_endpoint_is_refused_and_reaches_no_model(request_: bytes, status: int) -> None:
    async def main() -> None:
        async with Front() as front, Model("model") as model:
            front.router.routes.put([routed((1.0, [model.port]))])
            answer = await front.send(request_)
            assert int(answer.split()[1]) == status
            assert b"Traceback" not in answer and model.asked == []

    asyncio.run(main())


def test_bodies_may_come_in_chunks_and_after_being_asked_for() -> None:
    async def main() -> None:
        async with Front() as front, Model("model") as model:
            front.router.routes.put([routed((1.0, [model.port]))])
            chunks = b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nTrailer: x\r\n\r\n"
            head = b"POST /invocations HTTP/1.1\r\nConnection: close\r\nExpect: 100-continue\r\n"
            answer = await front.send(head + b"Transfer-Encoding: chunked\r\n\r\n" + chunks)
            assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 ")
            assert model.asked[0].endswith(b"Content-Length: 5\r\n\r\nabcde")
            assert b"expect" not in model.asked[0].lower() and b"chunked" not in model.asked[0].lower()

    asyncio.run(main())


def test_an_answer_that_is_no_http_is_a_502() -> None:
    async def nonsense(_: Any, writer: Any) -> None:
        writer.write(b"hello\r\n\r\n")

    async def main() -> None:
        async with Front() as front, Model("model", nonsense) as model:
            front.router.routes.put([routed((1.0, [model.port]))])
            assert (await front.post())[0] == 502

    asyncio.run(main())


def test_how_much_and_how_late_follows_from_what_the_supervisor_says_and_from_no_header() -> None:
    async def main() -> None:
        async with Front() as front, Model("model") as model:
            front.router.routes.put([routed((1.0, [model.port]))])
            head = f"POST /invocations HTTP/1.1\r\n{PATIENCE}: 900\r\nContent-Length: {LARGEST_BODY + 1}\r\n\r\n"
            answer = await front.send(head.encode())
            assert answer.startswith(b"HTTP/1.1 413 ") and f"more than {LARGEST_BODY} bytes".encode() in answer
            assert await front.post(b"?", f"{PATIENCE}: forever") == (200, "model")  # it does not look at it
            front.router.most, front.router.patient = LARGEST_ASYNC_INPUT, True
            assert await front.post(bytes(LARGEST_BODY + 1)) == (200, "model")
            assert (await front.post(b"?", f"{PATIENCE}: forever"))[0] == 400

    asyncio.run(main())


def test_a_large_body_lies_in_the_routers_memory_once() -> None:
    body = bytes(24 << 20)

    async def dropping(reader: Any, writer: Any) -> None:
        await reader.readuntil(b"\r\n\r\n")
        left = len(body)
        while left:
            left -= len(await reader.read(left))
        writer.write(ANSWER % (4, b"done"))
        writer.close()

    async def main() -> int:
        server = await asyncio.start_server(dropping, "127.0.0.1", 0)
        async with Front() as front, server:
            front.router.most = LARGEST_ASYNC_INPUT
            front.router.routes.put([routed((1.0, [server.sockets[0].getsockname()[1]]))])
            reader, writer = await asyncio.open_connection("127.0.0.1", front.port)
            head = f"POST /invocations HTTP/1.1\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
            tracemalloc.start()
            await send(writer, (head.encode(), body))
            answer = await reader.read()
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            await closed(writer)
            assert answer.endswith(b"done")
            return peak

    assert asyncio.run(main()) < 1.5 * len(body)


def test_a_model_that_takes_no_more_of_a_body_is_given_no_more_time_than_one_that_does_not_answer() -> None:
    async def main() -> None:
        writers: list[asyncio.StreamWriter] = []

        async def deaf(_: Any, writer: asyncio.StreamWriter) -> None:
            writers.append(writer)

        server = await asyncio.start_server(deaf, "127.0.0.1", 0)
        async with server:
            instance = Instance(server.sockets[0].getsockname()[1])
            asking = asyncio.create_task(instance.ask((b"POST / HTTP/1.1\r\n\r\n", bytes(32 << 20)), 0.1))
            assert (await asyncio.wait([asking], timeout=20))[0]
            assert isinstance(asking.exception(), TimeoutError)
            await closed(writers[0])

    asyncio.run(main())


def test_routes_are_put_by_whoever_has_the_key() -> None:
    async def put(front: Front, key: str, body: bytes) -> bytes:
        head = f"PUT {CONTROL} HTTP/1.1\r\nConnection: close\r\n{KEY}: {key}\r\nContent-Length: {len(body)}\r\n\r\n"
        return await front.send(head.encode() + body)

    async def main() -> None:
        async with Front() as front, Model("model") as model:
            told = {"variants": [routed((1.0, [model.port]))], "most": 5, "patient": True}
            routes = json.dumps(told).encode()
            assert (await put(front, "guessed", routes)).startswith(b"HTTP/1.1 404")
            assert (await front.post())[0] == 503
            assert (await put(front, SECRET, routes)).startswith(b"HTTP/1.1 200")
            assert await front.post() == (200, "model")
            assert (await front.post(b"longer"))[0] == 413 and front.router.patient
            answer = await put(front, SECRET, b"")
            body = json.loads(answer.partition(b"\r\n\r\n")[2])
            assert body["busy"] == {str(model.port): 0}
            [[config, variant, counted]] = body["counted"]
            assert (config, variant, counted["Invocations"]["sum"]) == ("c0", "A", 1)

    asyncio.run(main())
