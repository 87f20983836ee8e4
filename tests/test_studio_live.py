"""Streams of what runs: what they tell, when they end, and what is left of them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from pathlib import Path

import pytest
from hosted import soon
from local_pipelines import Local, document, processing
from reported import Elements, words
from studios import EXECUTION, SECRET, Visitor, no_hosting, serving

from pipeline.client import Clients, local_session
from pipeline.errors import ServiceError, Unavailable
from pipeline.studio.asked import Asked, Studio
from pipeline.studio.live import Streams
from pipeline.studio.threads import Threads

ASKED = Asked({"pipeline": "digits", "execution": "abc123"})


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Local:
    return Local(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def visitor(local: Local) -> Iterator[Visitor]:
    with serving(partial(local_session, local.home)) as found:
        yield found


@contextmanager
def running(local: Local, gate: Path) -> Iterator[tuple[str, str]]:
    """ARN and page of an execution whose one step goes on when `gate` is there."""
    gated = processing("Gate", "say", "<b>before", "await", str(gate), "say", "after")
    definition = document(gated, processing("Then", DependsOn=["Gate"]))
    arn = local.start(definition, name="live")
    try:
        local.wait_for_step(arn, "Gate")
        yield arn, f"/pipelines/live/executions/{arn.rpartition('/')[2]}"
    finally:
        gate.touch()
        local.wait(arn)


def test_an_execution_is_told_until_it_has_ended(local: Local, visitor: Visitor, tmp_path: Path) -> None:
    with running(local, tmp_path / "gate") as (_, page), visitor.following(page) as events:
        kind, html = next(events)
        assert kind == "standing" and " Executing " in words(html).partition("Gate")[2]
        assert "Processing Then waits" in words(html) and "not run" not in words(html)
        (tmp_path / "gate").touch()
        *_, (last, html), end = events
        assert last == "standing" and "Gate Processing Succeeded" in words(html)
        assert end == ("ended", "")


def test_a_steps_log_is_told_as_it_grows(local: Local, visitor: Visitor, tmp_path: Path) -> None:
    with running(local, tmp_path / "gate") as (_, page), visitor.following(f"{page}/steps/Gate") as events:
        html = next(html for _, html in events if "before" in html)
        assert "<b>before" in words(html) and "b" not in Elements(html).tags
        (tmp_path / "gate").touch()
        *_, (_, html), end = events
        assert "<b>before after" in words(html) and end[0] == "ended"


def test_of_what_has_ended_all_is_told_at_once(local: Local, visitor: Visitor, tmp_path: Path) -> None:
    with running(local, tmp_path / "gate") as (_, page):
        (tmp_path / "gate").touch()
    with visitor.following(page) as events:
        assert [kind for kind, _ in events] == ["standing", "ended"]


def test_nothing_is_left_of_a_page_that_was_closed(local: Local, visitor: Visitor, tmp_path: Path) -> None:
    assert visitor.streams is not None
    with running(local, tmp_path / "gate") as (_, page):
        with visitor.following(page) as events:
            next(events)
            assert visitor.streams.open == 1
        assert soon(lambda: visitor.streams.open == 0)


def test_a_server_that_ends_waits_for_no_stream(
    local: Local, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with running(local, tmp_path / "gate") as (_, page), ExitStack() as stack:
        with serving(partial(local_session, local.home)) as short:
            events = stack.enter_context(short.following(page))
            next(events)
        assert {kind for kind, _ in events} <= {"standing"}
    assert capfd.readouterr().err == ""


def test_there_are_no_more_streams_than_the_server_can_bear(visitor: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    assert visitor.streams is not None
    monkeypatch.setattr(visitor.streams, "open", 32)
    assert visitor.get(f"{EXECUTION}/events").status == 503


def told(errors: Iterable[Exception], count: int) -> list[str]:
    """The first events of a stream whose service answers with errors, one at each look."""
    left = iter(errors)

    def connect() -> AbstractContextManager[Clients]:
        raise next(left)

    async def read() -> list[str]:
        stream = Streams(Threads(), troubled_s=0.0).events(Studio(connect, no_hosting, SECRET, 1), ASKED)
        found = [event async for event, _ in _counted(stream, count)]
        await stream.aclose()  # type: ignore[attr-defined]  # it is a generator
        return found

    return asyncio.run(read())


async def _counted(stream, count):  # type: ignore[no-untyped-def]
    for number in range(count):
        try:
            yield await anext(stream), number
        except StopAsyncIteration:
            return


def test_a_service_that_does_not_answer_now_is_asked_again() -> None:
    events = told((Unavailable("ThrottlingException", said) for said in ("Rate exceeded", "once more")), 2)
    assert events == [f'event: trouble\ndata: "{said}"\n\n' for said in ("Rate exceeded", "once more")]


def test_what_is_not_there_is_not_followed() -> None:
    events = told([ServiceError("ResourceNotFound", "there is no such execution")], 9)
    assert [event.partition("\n")[0] for event in events] == ["event: trouble", "event: closed"]


def test_a_defect_ends_a_stream_and_its_traceback_stays_in_the_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    events = told([KeyError("surprise")], 9)
    assert [event.partition("\n")[0] for event in events] == ["event: trouble", "event: closed"]
    assert "the studio broke: KeyError('surprise')" in events[0]
    assert "Traceback" in capfd.readouterr().err
