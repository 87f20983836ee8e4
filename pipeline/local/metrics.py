"""What CloudWatch has of endpoints, gathered by their supervisors: values of ten seconds and of a minute, in the store.

https://docs.aws.amazon.com/sagemaker/latest/dg/monitoring-cloudwatch.html has the metrics and their dimensions; what is
kept for how long is as in CloudWatch: three hours of values below a minute, 15 days of minutes.
"""

from __future__ import annotations

from collections import namedtuple

from pipeline.errors import ServiceError
from pipeline.local.endpoint_tally import add, percentile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import Any

    from pipeline.local.store import Store

NAMESPACE = "AWS/SageMaker"
UNITS = {
    "Invocations": "None",
    "InvocationsPerInstance": "None",
    "Invocation4XXErrors": "None",
    "Invocation5XXErrors": "None",
    "ModelLatency": "Microseconds",
    "OverheadLatency": "Microseconds",
    "ConcurrentRequestsPerModel": "Count",
}
STATISTICS = ("SampleCount", "Average", "Sum", "Minimum", "Maximum")
_KIND = "metric"
_KEPT_S = {10: 3 * 3600, 60: 15 * 86_400}

# one series of values; an empty `config` is that of all configurations together
Series = namedtuple("Series", "metric endpoint variant config")


def series(metric: str, dimensions: Iterable[Mapping[str, str]]) -> Series | None:
    """None where there can be no such metric: SageMaker publishes them with these dimensions and no others."""
    given = {each["Name"]: each["Value"] for each in dimensions}
    needed = {"EndpointName", "VariantName"}
    if metric not in UNITS or not needed <= set(given) <= {*needed, "EndpointConfigName"}:
        return None
    return Series(metric, given["EndpointName"], given["VariantName"], given.get("EndpointConfigName", ""))


def record(store: Store, endpoint: str, now: float, counted: Iterable[tuple[str, str, Mapping[str, Any]]]) -> None:
    """Adds what a router counted: (configuration, variant, {metric: summary})."""
    with store.transaction():
        for config, variant, metrics in counted:
            for width in _KEPT_S:
                _add(store, f"{_place(width, endpoint, now // width * width)} {config} {variant}", metrics)
        _forget(store, endpoint, now)


def _add(store: Store, name: str, metrics: Mapping[str, Any]) -> None:
    found = store.find(_KIND, name)
    body = found[0].body if found else {}
    for metric, more in metrics.items():
        add(body.setdefault(metric, {}), more)
    store.put(_KIND, name, body)


def _forget(store: Store, endpoint: str, now: float) -> None:
    for width, kept in _KEPT_S.items():
        first, last = f"{width} {endpoint} ", _place(width, endpoint, now - kept)
        store.execute("DELETE FROM records WHERE kind=? AND name>=? AND name<?", _KIND, first, last)


def _place(width: int, endpoint: str, moment: float) -> str:
    """Beginning of a record's name: names are in the order of time. Names of endpoints hold no blanks."""
    return f"{width} {endpoint} {max(0, int(moment)):012d}"


def windows(store: Store, wanted: Series, start: float, end: float, period: int) -> list[tuple[float, dict[str, Any]]]:
    """(beginning, summary) of each period from `start` that ends by `end` and has values, the oldest first."""
    found: dict[int, dict[str, Any]] = {}
    for moment, summary in _values(store, wanted, start, end, 60 if period % 60 == 0 else 10):
        number = int((moment - start) // period)
        if start + (number + 1) * period <= end:
            add(found.setdefault(number, {}), summary)
    return [(start + number * period, found[number]) for number in sorted(found)]


def _values(
    store: Store, wanted: Series, start: float, end: float, width: int
) -> Iterator[tuple[float, dict[str, Any]]]:
    import json

    rows = store.query(
        "SELECT name, body FROM records WHERE kind=? AND name>=? AND name<? ORDER BY name",
        *(_KIND, _place(width, wanted.endpoint, start), _place(width, wanted.endpoint, end)),
    )
    for row in rows:
        _, _, moment, config, variant = row["name"].split(" ")
        if variant == wanted.variant and wanted.config in ("", config):
            summary = json.loads(row["body"]).get(wanted.metric)
            if summary:
                yield float(moment), summary


def known(store: Store) -> list[tuple[str, dict[str, str]]]:
    """(metric, dimensions) of all that has values."""
    found: dict[tuple[str, ...], set[str]] = {}
    for row in store.list(_KIND, "60 "):
        _, endpoint, _, config, variant = row.name.split(" ")
        for key in ((endpoint, variant), (endpoint, variant, config)):
            found.setdefault(key, set()).update(row.body)
    names = ("EndpointName", "VariantName", "EndpointConfigName")
    return [(metric, dict(zip(names, key, strict=False))) for key in sorted(found) for metric in sorted(found[key])]


def statistic(summary: dict[str, Any], name: str) -> float:
    """Raises ServiceError for what is none: the five, and percentiles as p99 or p99.9."""
    match name:
        case "SampleCount":
            return float(summary["n"])
        case "Average":
            return float(summary["sum"] / summary["n"])
        case "Sum":
            return float(summary["sum"])
        case "Minimum":
            return float(summary["min"])
        case "Maximum":
            return float(summary["max"])
    try:
        percent = float(name.removeprefix("p")) if name.startswith("p") else -1.0
    except ValueError:
        percent = -1.0
    if not 0 <= percent <= 100:
        message = f"the local service has the statistics {', '.join(STATISTICS)} and p0 to p100, not {name!r}"
        raise ServiceError("InvalidParameterValue", message)
    return percentile(summary, percent)
