"""The studio over the account: its pages, found by their own links, as `darkroom studio --target aws` answers them."""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter
from contextlib import nullcontext
from html import unescape
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import unquote, urlsplit

from starlette.applications import Starlette
from starlette.routing import compile_path

from pipeline.client import aws_client, aws_hosting
from pipeline.studio import places
from pipeline.studio.app import application, views
from pipeline.studio.asked import Studio
from smoke.account import Account
from smoke.execution import execution
from smoke.stages import EXECUTION
from smoke.verdict import Check, Verdict, judged

_SECRET, _PORT = "smoke", 1
_OF_EACH = 2  # pages of one kind that are asked for
_LONGEST_S = 30.0  # of a page: whoever waits longer takes it for dead


def studio_pages(account: Account) -> Verdict:
    """Begins at the execution; what only shows has no buttons, so that no link changes anything."""
    session = account.session
    with TemporaryDirectory(prefix="darkroom-smoke-") as home:
        clients, hosting = (
            aws_client(home, account.region, session=session),
            aws_hosting(account.region, session=session),
        )
        studio = Studio(
            lambda: nullcontext(clients), lambda: nullcontext(hosting), _SECRET, _PORT, clients.place, writes=False
        )
        first = places.execution(execution(account).arn)
        kinds = {path: compile_path(path)[0] for path in views(studio)}
        looks = asyncio.run(_walked(application(studio), kinds, first))  # one server has one loop
    wrong = [f"{path}: {status}" for path, status, _ in looks if status != 200]
    slowest, seconds = max(((path, seconds) for path, _, seconds in looks), key=lambda each: each[1])
    told = f"{len(looks)} pages, the slowest in {seconds:.1f} s ({slowest}); refused: {', '.join(wrong) or 'none'}"
    return judged(not wrong and seconds < _LONGEST_S, told)


async def _walked(made: Starlette, kinds: dict[str, re.Pattern[str]], first: str) -> list[tuple[str, int, float]]:
    """(address, status, seconds) of every page that links lead to, at most two of a kind."""
    waiting, seen, looked = [first, "/"], set[str](), Counter[str]()
    looks = []
    while waiting:
        path = waiting.pop(0)
        kind = next((name for name, pattern in kinds.items() if pattern.match(unquote(urlsplit(path).path))), "")
        if path in seen or not kind or looked[kind] >= _OF_EACH:
            continue
        seen.add(path)
        looked[kind] += 1
        began = time.monotonic()
        status, html = await _asked(made, path)
        looks.append((path, status, time.monotonic() - began))
        waiting += [unescape(link) for link in re.findall(r'href="(/[^"#]*)"', html)]
    return looks


async def _asked(made: Starlette, path: str) -> tuple[int, str]:
    """As a server asks an application for a page: nothing listens on a port."""
    parts = urlsplit(path)
    headers = {"host": f"127.0.0.1:{_PORT}", "cookie": f"darkroom-studio-{_PORT}={_SECRET}"}
    scope = {
        "type": "http",
        "method": "GET",
        "path": unquote(parts.path),
        "query_string": parts.query.encode(),
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b""}

    async def send(message: Any) -> None:
        sent.append(message)

    await made(scope, receive, send)
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent[1:]).decode("utf-8", "replace")


CHECKS = (
    Check(
        "studio-pages",
        EXECUTION,
        studio_pages,
        "each page that links lead to is answered, within seconds, and none refused",
    ),
)
