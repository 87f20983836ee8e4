"""One plain line per event on stderr: what CI logs and pipes get to see."""

from __future__ import annotations

import sys
import time

from pipeline.control.times import elapsed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pipeline.client import Clients

SPEAKING = ("Training", "Tuning", "Condition")  # step types that have something to say
ENDINGS = {"Succeeded": "succeeded", "Failed": "failed", "Stopped": "stopped"}
TRIALS_PAUSE_S = 1.0  # between two looks at a running tuning job


class PlainView:
    """Remembers what it has said; says each change once."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients
        self._said: dict[str, str] = {}
        self._looked: dict[str, float] = {}
        self._first: dict[str, int] = {}  # the attempt that was seen first: services count from 0 or from 1

    def __enter__(self) -> PlainView:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def __call__(self, execution: dict[str, Any], steps: list[dict[str, Any]]) -> None:
        for step in steps:
            name, status = step["StepName"], step["StepStatus"]
            if self._said.get(name) != f"{status} {step.get('AttemptCount', 0)}":
                event = self._event(step)  # may ask the service, which may not answer: then it is said at the next look
                self._said[name] = f"{status} {step.get('AttemptCount', 0)}"
                self._say(name, event)
            if status == "Executing" and step["StepType"] == "Tuning":
                self._progress(step)

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
        """A line whenever a trial has ended."""
        name = step["StepName"]
        if time.monotonic() - self._looked.get(name, 0.0) < TRIALS_PAUSE_S:
            return
        self._looked[name] = time.monotonic()
        phrase = self._phrase(step)
        if phrase and not phrase.startswith("0") and self._said.get(f"{name} trials") != phrase:
            self._said[f"{name} trials"] = phrase
            self._say(name, phrase)

    def _phrase(self, step: dict[str, Any]) -> str:
        from pipeline.control import outcome  # 2 ms that a chain of processing steps has no use for

        return outcome.now(self._clients, step)

    def _say(self, name: str, event: str) -> None:
        print(f"{name}: {event}", file=sys.stderr, flush=True)
