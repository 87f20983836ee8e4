"""Follows an execution to its end; Ctrl-C stops it, a failure is explained."""

from __future__ import annotations

import signal
import sys
import time

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
INTERRUPTED, TERMINATED = 130, 143


class _Terminated(KeyboardInterrupt):
    """SIGTERM, as CI sends it when somebody cancels: stops the execution as Ctrl-C does."""


def follow(clients: Clients, arn: str, typed: Sequence[str]) -> int:
    """Exit code 0 when it succeeded, 1 when it did not, 130 after Ctrl-C, 143 after SIGTERM. `typed`: by the user."""
    before = signal.signal(signal.SIGTERM, _raise_terminated)
    identifier = executions.identifier(arn)
    try:
        with so_far(f"execution {identifier} goes on", hint=f"darkroom show {identifier}"), _view(clients) as view:
            execution = executions.wait(clients, arn, view, said_trouble)
    except KeyboardInterrupt as exc:
        _stop(clients, arn)
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
