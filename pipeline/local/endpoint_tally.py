"""What an endpoint's router counts of its invocations, to be taken away by the supervisor again and again."""

from __future__ import annotations

import math
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# microseconds, as CloudWatch has latencies, in classes 2 % wide: what percentiles are read from
_WIDTH = math.log(1.02)


class Tally:
    """(endpoint configuration, variant) → metric → its values as `summary` has them."""

    def __init__(self) -> None:
        self._counted: dict[tuple[str, str], dict[str, dict[str, Any]]] = {}

    def count(self, whose: tuple[str, str], status: int, instances: int, began: float, sent: float) -> None:
        """One invocation that is over now; times are monotonic seconds, `instances` those of its variant."""
        now = time.monotonic()
        metrics = self._counted.setdefault(whose, {})
        values = {
            "Invocations": 1.0,
            "InvocationsPerInstance": 1.0 / instances,
            "Invocation4XXErrors": float(400 <= status < 500),
            "Invocation5XXErrors": float(status >= 500),
            "ModelLatency": (now - sent) * 1e6,
            "OverheadLatency": (sent - began) * 1e6,
        }
        for name, number in values.items():
            add(metrics.setdefault(name, {}), summary(number, classes=name.endswith("Latency")))

    def taken(self) -> list[list[Any]]:
        """[[configuration, variant, {metric: summary}], …] since it was last taken."""
        counted, self._counted = self._counted, {}
        return [[*whose, metrics] for whose, metrics in counted.items()]


def summary(number: float, classes: bool = False) -> dict[str, Any]:
    """One value: how many, sum, least, most and, for latencies, how many of each class."""
    found: dict[str, Any] = {"n": 1, "sum": number, "min": number, "max": number}
    return found | {"classes": {str(_class(number)): 1}} if classes else found


def add(total: dict[str, Any], more: dict[str, Any]) -> None:
    """`more` into `total`, which may be empty."""
    total["n"] = total.get("n", 0) + more["n"]
    total["sum"] = total.get("sum", 0.0) + more["sum"]
    total["min"] = min(total.get("min", more["min"]), more["min"])
    total["max"] = max(total.get("max", more["max"]), more["max"])
    if "classes" in more:
        classes = total.setdefault("classes", {})
        for name, count in more["classes"].items():
            classes[name] = classes.get(name, 0) + count


def percentile(total: dict[str, Any], percent: float) -> float:
    """Of what has classes: to within 2 %. Of other values, which are 0 or 1 here, by how many there are of each."""
    if "classes" not in total:
        return float(total["max"] if total["sum"] > total["n"] * (1 - percent / 100) else total["min"])
    left = total["n"] * percent / 100
    for name in sorted(total["classes"], key=int):
        left -= total["classes"][name]
        if left <= 0:
            break
    return float(min(max(math.exp(int(name) * _WIDTH), total["min"]), total["max"]))


def _class(number: float) -> int:
    return round(math.log(max(number, 1.0)) / _WIDTH)
