"""What the server counts, as Prometheus reads it (text format 0.0.4); written and read by one thread."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
PICTURES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Histogram:
    """How many observations were at most so large, their sum and number."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def add(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    def lines(self, name: str) -> Iterator[str]:
        total = 0
        for bound, count in zip(self.bounds, self.counts, strict=False):
            total += count
            yield f'{name}_bucket{{le="{bound:g}"}} {total}'
        total += self.counts[-1]
        yield f'{name}_bucket{{le="+Inf"}} {total}'
        yield f"{name}_sum {self.sum:.6f}"
        yield f"{name}_count {total}"


class Metrics:
    """Requests by status, their time, batches, classes, and what was captured."""

    def __init__(self) -> None:
        self.requests: Counter[int] = Counter()
        self.classes: Counter[str] = Counter()
        self.unsure = 0
        self.latency = Histogram(SECONDS)
        self.waiting = Histogram(SECONDS)
        self.batches = Histogram(PICTURES)

    def text(self, gauges: dict[str, tuple[str, float]]) -> str:
        """`gauges`: names, each with what it means and its value now."""
        return "\n".join((*self._lines(), *_gauges(gauges), ""))

    def _lines(self) -> Iterator[str]:
        yield from _head("darkroom_requests_total", "counter", "Answered invocations by HTTP status")
        for status, count in sorted(self.requests.items()):
            yield f'darkroom_requests_total{{status="{status}"}} {count}'
        yield from _head("darkroom_predictions_total", "counter", "Pictures by predicted class")
        for name, count in sorted(self.classes.items()):
            yield f'darkroom_predictions_total{{class="{_escaped(name)}"}} {count}'
        yield from _head("darkroom_unsure_total", "counter", "Pictures whose best class is below the threshold")
        yield f"darkroom_unsure_total {self.unsure}"
        for name, words, histogram in (
            ("darkroom_request_seconds", "Whole time of an invocation that was answered with 200", self.latency),
            ("darkroom_waiting_seconds", "Of it, waiting for the model", self.waiting),
            ("darkroom_batch_pictures", "Pictures in the forward pass that a request was part of", self.batches),
        ):
            yield from _head(name, "histogram", words)
            yield from histogram.lines(name)


def _gauges(gauges: dict[str, tuple[str, float]]) -> Iterator[str]:
    for name, (words, value) in gauges.items():
        yield from _head(name, "counter" if name.endswith("_total") else "gauge", words)
        yield f"{name} {value:g}"


def _head(name: str, kind: str, words: str) -> tuple[str, str]:
    return f"# HELP {name} {words}", f"# TYPE {name} {kind}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
