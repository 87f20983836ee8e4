"""The ends of running steps' logs, look by look: a bounded number of lines, streams, calls and bytes."""

from __future__ import annotations

import time
from collections import namedtuple

from pipeline.control import executions, logs
from pipeline.errors import ServiceError, Unavailable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from pipeline.client import Clients

MOST_STREAMS = 8  # asked at one look; with more, each has its turn: an account may ask for 25 in a second
LONGEST_LINE = 4096  # characters that are kept of one
AGAIN_S = 10.0  # between two looks for further hosts and trials of a step that has some

_ABSENT = "ResourceNotFoundException"

# `source`: the step, with host or trial where it has several · `left_out`: whether lines before these are not shown
Excerpt = namedtuple("Excerpt", "step source lines left_out", defaults=(False,))


class Tails:
    """Asks for logs of steps that run, and once more of those that have ended since.

    What cannot be read now is read at a later look, and never keeps anybody from learning how an execution stands: in
    place of the lines stands why, once.
    """

    def __init__(self, clients: Clients, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        """At most `most` lines of each log at one look; none with 0."""
        self._clients = clients
        self._most = most
        self._clock = clock
        self._jobs: dict[str, _Job] = {}
        self._turn = 0
        self._trouble = ""  # what was said last of logs that cannot be read

    def look(self, steps: list[dict[str, Any]]) -> Iterator[Excerpt]:
        """What running steps have written since the last look."""
        if not self._most:
            return
        self._keep(steps)
        try:
            streams = [(job, path) for job in self._jobs.values() for path in self._paths(job)]
            for job, path in self._turned(streams):
                lines, left_out = self._fresh(job, path)
                if lines:
                    yield Excerpt(job.name, job.source(path), [line[:LONGEST_LINE] for line in lines], left_out)
            self._trouble = ""
        except ServiceError as exc:
            yield from self._told(exc)
        self._jobs = {name: job for name, job in self._jobs.items() if not job.done()}

    def _keep(self, steps: list[dict[str, Any]]) -> None:
        """A step that is tried again, or resumed, has a new job, and that has logs of its own."""
        for step in steps:
            name, ended = step["StepName"], step["StepStatus"] in executions.ENDED
            job = self._jobs.get(name)
            if job is not None and job.same(step):
                if ended and not job.ended:
                    job.end()
            elif not ended and step.get("Metadata"):
                self._jobs[name] = _Job(step, job)

    def _paths(self, job: _Job) -> list[str]:
        """Logs appear late, one after the other: some time after a job began, or after another host's."""
        now = self._clock()
        if not job.paths or now - job.looked >= AGAIN_S:
            job.find(logs.paths(self._clients, job.step), now)
        return job.paths

    def _fresh(self, job: _Job, path: str) -> tuple[list[str], bool]:
        try:
            lines, position, left_out = logs.fresh(self._clients, path, job.positions.get(path), self._most)
        except ServiceError as exc:
            if exc.code != _ABSENT:
                raise
            return [], False  # somebody deleted it meanwhile
        job.positions[path] = position
        job.asked.add(path)
        return lines, left_out

    def _turned(self, streams: list[tuple[_Job, str]]) -> list[tuple[_Job, str]]:
        if len(streams) <= MOST_STREAMS:
            return streams
        begin = self._turn % len(streams)
        self._turn = begin + MOST_STREAMS
        return [*streams[begin:], *streams[:begin]][:MOST_STREAMS]

    def _told(self, exc: ServiceError) -> Iterator[Excerpt]:
        """Once for each thing that is wrong; denied once, they are not asked for again."""
        said = f"the log cannot be read{' now' if isinstance(exc, Unavailable) else ''}: {exc.message}"
        kind = exc.code
        if not isinstance(exc, Unavailable):
            self._most = 0
            said += f"; {exc.hint}" if exc.hint else ""
        if kind != self._trouble:
            self._trouble = kind
            yield Excerpt("", "", [said])


class _Job:
    """One job of a step, its logs and how far they were read."""

    __slots__ = ("asked", "ended", "looked", "name", "paths", "positions", "step")

    def __init__(self, step: dict[str, Any], before: _Job | None) -> None:
        """`before`: the job of the attempt before. Here it may have written into the same files."""
        self.name = str(step["StepName"])
        self.step = step
        self.ended = False
        self.asked: set[str] = set()
        self.looked = 0.0
        self.paths: list[str] = []
        self.positions: dict[str, Any] = dict(before.positions) if before else {}

    def same(self, step: dict[str, Any]) -> bool:
        return bool(step.get("Metadata") == self.step.get("Metadata"))

    def find(self, paths: list[str], now: float) -> None:
        """Of a tuning job the newest trials: those that run are among them."""
        self.paths = paths[-MOST_STREAMS:] if self.step["StepType"] == "Tuning" else paths
        self.positions = {path: self.positions[path] for path in self.paths if path in self.positions} or self.positions
        self.looked = now

    def end(self) -> None:
        """Its last lines are still to be read, also of hosts that wrote since its logs were looked for."""
        self.ended = True
        self.looked = -AGAIN_S
        self.asked.clear()

    def done(self) -> bool:
        return self.ended and self.asked >= set(self.paths)

    def source(self, path: str) -> str:
        """The step alone where it writes only one log."""
        return self.name if len(self.paths) == 1 else f"{self.name}/{logs.part(path) or 1}"
