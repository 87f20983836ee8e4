"""Metric definitions' regular expressions, following the logs of a job as they grow."""

from __future__ import annotations

import math
import re
import time

from pipeline.local.jobs import JobFailed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

HISTORY = "_MetricHistory"  # the record's key: {name: [[seconds since 1970, value], …]}; not described
LONGEST_HISTORY = 2000  # points a metric; beyond it every second one is dropped, so that a record stays small
_LONGEST_LINE = 64 << 10
_READ = 1 << 20


class Metrics:
    """Values found so far. `poll()` reads what the logs have gained; the last value of a metric is its final one."""

    __slots__ = ("_files", "_patterns", "_strides", "history", "last", "on_value")

    def __init__(
        self,
        definitions: Sequence[Mapping[str, str]],
        logs: Mapping[str, int],
        on_value: Callable[[str, float], None] | None = None,
    ) -> None:
        """`logs`: path → the size from which on it is this job's. Raises JobFailed for a bad regex."""
        self._patterns: list[tuple[str, re.Pattern[str]]] = []
        for definition in definitions:
            name, regex = definition["Name"], definition["Regex"]
            try:
                pattern = re.compile(regex)
            except re.error as exc:
                raise JobFailed(f"ClientError: MetricDefinition {name!r}: Regex {regex!r}: {exc}") from exc
            if not pattern.groups:
                raise JobFailed(f"ClientError: MetricDefinition {name!r}: Regex {regex!r} has no group for the value")
            self._patterns.append((name, pattern))
        self._files = {path: (offset, b"") for path, offset in logs.items()}
        self._strides: dict[str, list[int]] = {}
        self.history: dict[str, list[list[float]]] = {}
        self.last: dict[str, tuple[float, float]] = {}  # name → (time, value)
        self.on_value = on_value

    def poll(self, final: bool = False) -> bool:
        """Returns whether there was a new value; with `final` a last line without end counts too."""
        if not self._patterns:
            return False
        found = False
        for path in self._files:
            found |= self._read(path, final)
        return found

    def _read(self, path: str, final: bool) -> bool:
        found = False
        offset, rest = self._files[path]
        try:
            with open(path, "rb") as file:
                file.seek(offset)
                while data := file.read(_READ):
                    offset += len(data)
                    *lines, rest = (rest + data).replace(b"\r", b"\n").split(b"\n")
                    for line in lines:
                        found |= self._line(line)
                    if len(rest) > _LONGEST_LINE:
                        found |= self._line(rest)
                        rest = b""
        except FileNotFoundError:
            return False
        if final and rest:
            found |= self._line(rest)
            rest = b""
        self._files[path] = (offset, rest)
        return found

    def _line(self, line: bytes) -> bool:
        if not line:
            return False
        text = line[:_LONGEST_LINE].decode(errors="replace")
        found = False
        for name, pattern in self._patterns:
            match = pattern.search(text)
            if match is None:
                continue
            try:
                value = float(match.group(1))
            except (TypeError, ValueError):  # the group took no part, or is no number: the service passes over it, too
                continue
            self._add(name, value)
            found = True
        return found

    def _add(self, name: str, value: float) -> None:
        now = time.time()
        self.last[name] = (now, value)
        stride = self._strides.setdefault(name, [1, 0])  # keep every n-th, seen since the last kept
        points = self.history.setdefault(name, [])
        stride[1] += 1
        if stride[1] >= stride[0]:
            stride[1] = 0
            points.append([round(now, 3), value])
            if len(points) > LONGEST_HISTORY:
                del points[1::2]
                stride[0] *= 2
        if self.on_value is not None:
            self.on_value(name, value)

    def final(self) -> list[dict[str, Any]]:
        """FinalMetricDataList. A value that is not finite is left out: it can be neither compared nor sent as JSON."""
        return [
            {"MetricName": name, "Value": value, "Timestamp": when}
            for name, (when, value) in self.last.items()
            if math.isfinite(value)
        ]
