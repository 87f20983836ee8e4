"""One plain line per event: what CI logs and pipes get to see; where it is asked for, with the steps' logs."""

from __future__ import annotations

import sys
import time

from pipeline.control.times import elapsed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TextIO

    from pipeline.client import Clients
    from pipeline.control.tails import Excerpt, Tails

SPEAKING = ("Training", "Tuning", "Condition")  # step types that have something to say
PROGRESSING = ("Tuning", "Training")  # such as say something while they run
ENDINGS = {"Succeeded": "succeeded", "Failed": "failed", "Stopped": "stopped"}
TRIALS_PAUSE_S = 1.0  # between two looks at a running job

MOST_KEPT = 8  # excerpts of a step's log, while the service does not say how the step stands


class PlainView:
    """Remembers what it has said; says each change once."""

    def __init__(
        self,
        clients: Clients,
        tails: Tails | None = None,
        out: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """With `tails` also lines of logs, and what a training measures meanwhile. `out`: stderr."""
        self._clients = clients
        self._tails = tails
        self._out = out or sys.stderr
        self._clock = clock
        self._excerpts: dict[str, list[Excerpt]] = {}  # read, and not yet told
        self._said: dict[str, str] = {}
        self._looked: dict[str, float] = {}
        self._first: dict[str, int] = {}  # the attempt that was seen first: services count from 0 or from 1

    def __enter__(self) -> PlainView:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def __call__(self, execution: dict[str, Any], steps: list[dict[str, Any]]) -> None:
        self._read(steps)
        for step in steps:
            name, status = step["StepName"], step["StepStatus"]
            if status in ENDINGS:
                self._say_log(name)
            if self._said.get(name) != f"{status} {step.get('AttemptCount', 0)}":
                event = self._event(step)  # may ask the service, which may not answer: then it is said at the next look
                self._said[name] = f"{status} {step.get('AttemptCount', 0)}"
                self._say(name, event)
            self._say_log(name)
            if status == "Executing" and step["StepType"] in (PROGRESSING if self._tails else PROGRESSING[:1]):
                self._progress(step)

    def _read(self, steps: list[dict[str, Any]]) -> None:
        for excerpt in self._tails.look(steps) if self._tails else ():
            self._excerpts[excerpt.step] = [*self._excerpts.get(excerpt.step, ()), excerpt][-MOST_KEPT:]
        self._say_log("")

    def _say_log(self, name: str) -> None:
        """Each line behind what wrote it: no line of a log is one of this program's, nor a command to a CI system."""
        if not self._excerpts:
            return
        from pipeline.cli.text import print_line

        for excerpt in self._excerpts.pop(name, ()):
            mark = f"{excerpt.source} | " if excerpt.source else ""
            if excerpt.left_out:
                print_line(f"{mark}… lines left out", self._out)
            for line in excerpt.lines:
                print_line(f"{mark}{line}", self._out)

    def _event(self, step: dict[str, Any]) -> str:
        status = step["StepStatus"]
        if status not in ENDINGS:
            attempt = step.get("AttemptCount", 1)
            return "started" if status == "Executing" and attempt < 2 else f"{status.lower()} (attempt {attempt})"
        if "CacheHitResult" in step:
            return "cache hit"
        words = [f"{ENDINGS[status]} after {elapsed(step)}"]
        if status == "Succeeded" and step["StepType"] in SPEAKING:
            words.append(self._phrase(step))
        return ": ".join(filter(None, words))

    def _progress(self, step: dict[str, Any]) -> None:
        """A line whenever a trial has ended, or a metric has a new value."""
        name = step["StepName"]
        if self._clock() - self._looked.get(name, -TRIALS_PAUSE_S) < TRIALS_PAUSE_S:
            return
        self._looked[name] = self._clock()
        phrase = self._phrase(step)
        if phrase and not phrase.startswith(("0/", "0 ")) and self._said.get(f"{name} trials") != phrase:
            self._said[f"{name} trials"] = phrase
            self._say(name, phrase)

    def _phrase(self, step: dict[str, Any]) -> str:
        from pipeline.control import outcome  # 2 ms that a chain of processing steps has no use for

        return outcome.now(self._clients, step)

    def _say(self, name: str, event: str) -> None:
        print(f"{name}: {event}", file=self._out, flush=True)
