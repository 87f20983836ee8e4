"""Server-sent events: how an execution or a step stands, as long as it runs. Between two looks no thread is held."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial

from pipeline.client import Clients
from pipeline.control import executions, logs
from pipeline.control.remembering import remembering
from pipeline.definition import Definition
from pipeline.errors import DarkroomError, Unavailable
from pipeline.studio import execution, places, step
from pipeline.studio.asked import Asked, Page, Studio, broken
from pipeline.studio.pages import render
from pipeline.studio.threads import Threads

MOST = 32  # streams at once; a browser keeps six connections to one server, whatever is open in it
LOOK_S, AWS_LOOK_S = 0.5, 5.0  # an account's Describe operations are throttled
COSTS = 4  # looking takes at most a fifth of a thread
TROUBLED_S = 5.0
STANDING, ENDED, TROUBLE, CLOSED = "standing", "ended", "trouble", "closed"


@dataclass(frozen=True)
class Look:
    """`html`: what stands in the page in place of what stood there."""

    html: str
    ended: bool


class Streams:
    """Those of one server: how many there are, and that they have to end because it does."""

    def __init__(self, threads: Threads, troubled_s: float = TROUBLED_S) -> None:
        """`threads` look; `troubled_s`: until a service that does not answer now is asked again."""
        self.open = 0
        self._threads = threads
        self.troubled_s = troubled_s
        self._closing = asyncio.Event()

    def close(self) -> None:
        self._closing.set()

    async def pause(self, seconds: float) -> bool:
        """Whether to go on."""
        try:
            await asyncio.wait_for(self._closing.wait(), seconds)
        except TimeoutError:
            return True
        return False

    async def events(self, studio: Studio, asked: Asked) -> AsyncIterator[str]:
        """One of each kind of news; whoever comes back after a lost connection begins with how it stands then."""
        self.open += 1
        try:
            async for kind, data in self._news(studio, asked):
                yield f"event: {kind}\ndata: {json.dumps(data)}\n\n"
        finally:
            self.open -= 1

    async def _news(self, studio: Studio, asked: Asked) -> AsyncIterator[tuple[str, str]]:
        shown, going = "", True
        while going:
            began, least = time.monotonic(), AWS_LOOK_S if studio.place else LOOK_S
            try:
                look = await self._threads.run(partial(_look, studio, asked))
            except DarkroomError as exc:
                yield TROUBLE, exc.message
                if not isinstance(exc, Unavailable):
                    yield CLOSED, ""
                    return
                shown, least = "", self.troubled_s  # the next look takes the trouble off the page
            except Exception as exc:  # the edge of the process: a browser would come back, and meet it again, for ever
                yield TROUBLE, broken(exc).message
                yield CLOSED, ""
                return
            else:
                if look.html != shown:
                    yield STANDING, look.html
                if look.ended:
                    yield ENDED, ""
                    return
                shown = look.html
            going = await self.pause(max(least, COSTS * (time.monotonic() - began)))


def _look(studio: Studio, asked: Asked) -> Look:
    with studio.connect() as clients:
        page = _page(remembering(clients), asked)
    return Look(render(page, studio), page.values["ended"])


def _page(clients: Clients, asked: Asked) -> Page:
    arn = places.arn(clients, asked.path["pipeline"], asked.path["execution"])
    if "step" in asked.path:
        row = logs.step_named(executions.steps(clients, arn), asked.path["step"])
        return Page("step_standing.html", step.standing(clients, arn, row))
    definition = Definition.parse(executions.definition(clients, arn))
    return Page("execution_standing.html", execution.standing(clients, arn, definition))
