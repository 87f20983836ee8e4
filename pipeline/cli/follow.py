"""Follows an execution to its end; Ctrl-C stops it, or only ends the looking; a failure is explained."""

from __future__ import annotations

import signal
import sys
import time
from collections import namedtuple

from pipeline.cli import INTERRUPTED
from pipeline.cli.home import darkroom
from pipeline.cli.partial import so_far
from pipeline.cli.plain import PlainView
from pipeline.control import executions
from pipeline.errors import ServiceError, Unavailable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType
    from typing import Any

    from pipeline.cli.live import LiveView
    from pipeline.client import Clients

STOP_PATIENCE_S = 20.0
TERMINATED = 143


class _Terminated(KeyboardInterrupt):
    """SIGTERM, as CI sends it when somebody cancels: stops the execution as Ctrl-C does."""


# `view(execution, steps)` at each look · `interrupted(clients, arn)` after Ctrl-C and SIGTERM
Manner = namedtuple("Manner", "view interrupted clock", defaults=(time.monotonic,))


def follow(clients: Clients, arn: str, typed: Sequence[str]) -> int:
    """Exit code 0 when it succeeded, 1 when it did not, 130 after Ctrl-C, 143 after SIGTERM. `typed`: by the user.

    The execution is whoever's this is: both signals stop it.
    """
    return to_its_end(clients, arn, typed, Manner(_view(clients), _stop))


def watch(clients: Clients, arn: str, typed: Sequence[str], lines: int) -> int:
    """The same codes, with the last `lines` of logs at each look; signals end the watching alone."""
    from pipeline.control.tails import Tails

    tails = Tails(clients, lines)
    if sys.stdout.isatty() and sys.stderr.isatty():
        from pipeline.cli.live import LiveView

        return to_its_end(clients, arn, typed, Manner(LiveView(clients, tails), _leave))
    return to_its_end(clients, arn, typed, Manner(PlainView(clients, tails, sys.stdout), _leave))


def to_its_end(clients: Clients, arn: str, typed: Sequence[str], manner: Manner) -> int:
    """Whatever the service does meanwhile, what is told of the end is how the execution ended."""
    before = signal.signal(signal.SIGTERM, _raise_terminated)
    identifier = executions.identifier(arn)
    try:
        with so_far(f"execution {identifier} goes on", hint=f"darkroom show {identifier}"), manner.view as view:
            execution = executions.wait(clients, arn, view, said_trouble, manner.clock)
    except KeyboardInterrupt as exc:
        manner.interrupted(clients, arn)
        return TERMINATED if isinstance(exc, _Terminated) else INTERRUPTED
    finally:
        signal.signal(signal.SIGTERM, before)
    if execution["PipelineExecutionStatus"] == "Succeeded":
        return 0
    from pipeline.cli.failure import explain

    with so_far(
        f"execution {identifier} is {execution['PipelineExecutionStatus']}", hint=f"darkroom show {identifier}"
    ):
        explain(clients, execution, typed)
    return 1


def said_trouble(trouble: Unavailable | None) -> None:
    """Once when the service does not answer any more, once when it does again."""
    words = f"{trouble.message}; the execution goes on, and so does this" if trouble else "SageMaker answers again"
    print(words, file=sys.stderr, flush=True)


def _view(clients: Clients) -> PlainView | LiveView:
    if not sys.stderr.isatty():
        return PlainView(clients)
    from pipeline.cli.live import LiveView

    return LiveView(clients)


def _raise_terminated(_signal: int, _frame: FrameType | None) -> None:
    raise _Terminated


def _leave(clients: Clients, arn: str) -> None:
    identifier = executions.identifier(arn)
    print(f"\n{identifier} goes on; stop it with: {darkroom()} stop {identifier}{clients.options}", file=sys.stderr)


def _stop(clients: Clients, arn: str) -> None:
    """Asks to stop and waits a while; a second Ctrl-C leaves at once."""
    identifier = executions.identifier(arn)
    print("\nstopping …", file=sys.stderr)
    try:
        with so_far(f"execution {identifier} goes on", "it may be stopping, or not", f"darkroom stop {identifier}"):
            executions.stop(clients, arn)
    except ServiceError as exc:
        if exc.code != "ConflictException":
            raise
    until = time.monotonic() + STOP_PATIENCE_S
    while _status(clients, arn) not in executions.ENDED:
        if time.monotonic() > until:
            print(
                f"{identifier} is still stopping; see: {darkroom()} show {identifier}{clients.options}", file=sys.stderr
            )
            return
        time.sleep(executions.LONGEST_PAUSE_S)
    status = _status(clients, arn)
    print(f"{identifier} is {status}; go on with: {darkroom()} resume {identifier}{clients.options}", file=sys.stderr)


def _status(clients: Clients, arn: str) -> str:
    execution: dict[str, Any] = executions.describe(clients, arn)
    return str(execution["PipelineExecutionStatus"])
