"""Metric alarms over endpoints, evaluated: at each minute (each ten seconds, where the period is below one).

https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarms-and-missing-data.html. Nobody has to run for that:
whoever asks for alarms has those evaluated whose moment has passed, and so has the supervisor of an endpoint.
"""

from __future__ import annotations

import operator

from pipeline.errors import ServiceError
from pipeline.local import metrics

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from pipeline.local.store import Record, Store

KIND = "metric-alarm"
OK, ALARM, NO_DATA = "OK", "ALARM", "INSUFFICIENT_DATA"
_EXTRA = 2  # periods before the evaluated ones that are looked at where some of those have no value
_COMPARE: dict[str, tuple[Callable[[float, float], bool], str]] = {
    "GreaterThanOrEqualToThreshold": (operator.ge, "greater than or equal to"),
    "GreaterThanThreshold": (operator.gt, "greater than"),
    "LessThanThreshold": (operator.lt, "less than"),
    "LessThanOrEqualToThreshold": (operator.le, "less than or equal to"),
}


def refresh(store: Store, now: float) -> None:
    """Evaluates alarms over endpoints that are here, where a moment has come since they were evaluated or set."""
    for record in store.list(KIND):
        wanted = _series(record.body)
        if wanted is None or not _is_due(record, now) or not store.find("endpoint", wanted.endpoint):
            continue
        with store.transaction():
            found = store.find(KIND, record.name)
            if found and _is_due(found[0], now):
                _evaluate(store, found[0], wanted, now)


def _series(alarm: Mapping[str, Any]) -> metrics.Series | None:
    """None for alarms that are not evaluated here: of other metrics, of expressions, of anomaly detection."""
    if alarm.get("Namespace") != metrics.NAMESPACE or alarm["ComparisonOperator"] not in _COMPARE:
        return None
    return metrics.series(alarm.get("MetricName", ""), alarm.get("Dimensions", ()))


def _is_due(record: Record, now: float) -> bool:
    return _moment(record.body, now) > float(record.body.get("evaluated", 0.0))


def _moment(alarm: Mapping[str, Any], now: float) -> float:
    step = 10 if alarm["Period"] < 60 else 60
    return now // step * step


def _evaluate(store: Store, record: Record, wanted: metrics.Series, now: float) -> None:
    alarm, moment = record.body, _moment(record.body, now)
    points = _points(store, alarm, wanted, moment)
    state = judged(points, alarm, record.status)
    changes: dict[str, Any] = {"evaluated": moment}
    if state != record.status:
        changes |= {"StateValue": state, "StateReason": _words(points, alarm, state), "StateReasonData": ""}
        changes |= dict.fromkeys(("StateUpdatedTimestamp", "StateTransitionedTimestamp"), now)
    store.change(KIND, record.name, changes, status=state)


def _points(store: Store, alarm: Mapping[str, Any], wanted: metrics.Series, end: float) -> list[float | None]:
    """The oldest first; None for a period without values."""
    period, count = alarm["Period"], alarm["EvaluationPeriods"] + _EXTRA
    start = end - period * count
    name = alarm.get("Statistic") or alarm["ExtendedStatistic"]
    found = dict(metrics.windows(store, wanted, start, end, period))
    try:
        return [
            metrics.statistic(found[begins], name) if (begins := start + period * number) in found else None
            for number in range(count)
        ]
    except ServiceError:  # a trimmed mean or the like: no value that we could compare
        return [None] * count


def judged(points: Sequence[float | None], alarm: Mapping[str, Any], state: str) -> str:
    """The alarm's next state; `points`: the evaluated periods and a few before them, the oldest first."""
    periods = alarm["EvaluationPeriods"]
    needed = alarm.get("DatapointsToAlarm", periods)
    breaches = [_breaches(point, alarm) for point in points if point is not None][-periods:]
    missing, breaching = periods - len(breaches), sum(breaches)
    match alarm.get("TreatMissingData", "missing") if missing else "":
        case "breaching":
            return ALARM if breaching + missing >= needed else OK
        case "notBreaching" | "":
            return ALARM if breaching >= needed else OK
        case "ignore":
            return ALARM if breaching >= needed else OK if periods - needed < len(breaches) - breaching else state
    if not breaches:
        return NO_DATA
    if breaching >= needed or (all(breaches) and _oldest(points) >= needed):
        return ALARM
    return state if all(breaches) else OK


def _breaches(point: float, alarm: Mapping[str, Any]) -> bool:
    return _COMPARE[alarm["ComparisonOperator"]][0](point, alarm["Threshold"])


def _oldest(points: Sequence[float | None]) -> int:
    """How many periods ago the first value was, the last period being 1."""
    return next((len(points) - number for number, point in enumerate(points) if point is not None), 0)


def _words(points: Sequence[float | None], alarm: Mapping[str, Any], state: str) -> str:
    values = [point for point in points if point is not None][-alarm["EvaluationPeriods"] :]
    if state == NO_DATA:
        return "Insufficient Data: no datapoints were received in the evaluated periods."
    shown = ", ".join(f"{value:.6g}" for value in values)
    was = "was" if state == ALARM else "was not"
    compared = f"{was} {_COMPARE[alarm['ComparisonOperator']][1]} the threshold ({alarm['Threshold']:.6g})"
    return f"Threshold Crossed: {len(values)} datapoint(s) [{shown}] {compared}."
