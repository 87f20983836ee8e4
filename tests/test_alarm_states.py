"""Alarms over endpoints' metrics: what is evaluated, when, and what missing data does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.local import alarm_states, metrics
from pipeline.local.endpoint_tally import Tally, summary
from pipeline.local.store import Store

BEGIN = 1_800_000_000.0  # a full minute
ALARM: dict[str, Any] = {
    "MetricName": "Invocation5XXErrors",
    "Namespace": "AWS/SageMaker",
    "Statistic": "Average",
    "Dimensions": [{"Name": "EndpointName", "Value": "e"}, {"Name": "VariantName", "Value": "A"}],
    "Period": 60,
    "EvaluationPeriods": 3,
    "DatapointsToAlarm": 2,
    "Threshold": 0.5,
    "ComparisonOperator": "GreaterThanThreshold",
}


def points(text: str) -> list[float | None]:
    """X breaches, 0 does not, - is missing; the oldest first."""
    return [{"X": 1.0, "0": 0.0, "-": None}[letter] for letter in text]


@pytest.mark.parametrize(
    ("values", "needed", "missing", "expected"),
    [
        ("--0XX", 2, "missing", "ALARM"),
        ("--0X0", 2, "missing", "OK"),
        ("XX0-0", 2, "missing", "OK"),  # an older value takes the place of the missing one
        ("0XX-X", 3, "missing", "ALARM"),
        ("-----", 2, "missing", "INSUFFICIENT_DATA"),
        ("-----", 2, "breaching", "ALARM"),
        ("-----", 2, "notBreaching", "OK"),
        ("-----", 2, "ignore", "before"),
        ("--X--", 3, "missing", "ALARM"),  # old enough, and nothing says otherwise
        ("----X", 3, "missing", "before"),  # AWS waits for more
        ("--X--", 3, "notBreaching", "OK"),
        ("--X--", 3, "ignore", "before"),
        ("----X", 2, "breaching", "ALARM"),
        ("---00", 2, "ignore", "OK"),
    ],
)
def test_missing_data_is_treated_as_cloudwatch_documents_it(
    values: str, needed: int, missing: str, expected: str
) -> None:
    alarm = ALARM | {"DatapointsToAlarm": needed, "TreatMissingData": missing}
    assert alarm_states.judged(points(values), alarm, "before") == expected


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """With an endpoint and one alarm, which nobody has evaluated."""
    found = Store(str(tmp_path))
    found.add("endpoint", "e", {}, status="InService")
    put(found, ALARM)
    return found


def put(store: Store, alarm: dict[str, Any]) -> None:
    store.put("metric-alarm", "a", {**alarm, "evaluated": BEGIN}, status="INSUFFICIENT_DATA")


def answered(store: Store, minute: int, *statuses: int, config: str = "c", variant: str = "A") -> None:
    """So many invocations with these statuses in that minute."""
    tally = Tally()
    for status in statuses:
        tally.count((config, variant), status, 2, 0.0, 0.0)
    metrics.record(store, "e", BEGIN + 60 * minute + 1, tally.taken())


def state(store: Store, minute: float) -> str:
    alarm_states.refresh(store, BEGIN + 60 * minute)
    return store.get("metric-alarm", "a").status


def test_an_alarm_changes_by_itself_as_minutes_pass(store: Store) -> None:
    for minute, statuses in enumerate([(200, 200), (500, 500, 200), (500, 200, 500), (200,), (200,)]):
        answered(store, minute, *statuses)
    assert [state(store, minute) for minute in (1, 2, 3, 4, 5)] == ["OK", "OK", "ALARM", "ALARM", "OK"]
    reason = store.get("metric-alarm", "a").body["StateReason"]
    assert reason == "Threshold Crossed: 3 datapoint(s) [0.666667, 0, 0] was not greater than the threshold (0.5)."


def test_what_was_set_by_hand_holds_until_the_next_minute(store: Store) -> None:
    answered(store, 0, 200)
    assert state(store, 1) == "OK"
    store.change("metric-alarm", "a", {}, status="ALARM")
    assert state(store, 1.9) == "ALARM"
    assert state(store, 2) == "OK"


@pytest.mark.parametrize(
    "changes",
    [
        {"Namespace": "AWS/Lambda"},
        {"Dimensions": ALARM["Dimensions"][:1]},
        {"Dimensions": [{"Name": "EndpointName", "Value": "other"}, {"Name": "VariantName", "Value": "A"}]},
        {"ComparisonOperator": "GreaterThanUpperThreshold"},
    ],
)
def test_alarms_over_what_nobody_gathers_stay_as_they_are(store: Store, changes: dict[str, Any]) -> None:
    put(store, ALARM | changes | {"TreatMissingData": "breaching"})
    assert state(store, 5) == "INSUFFICIENT_DATA"


def test_an_alarm_may_look_at_one_configuration_alone(store: Store) -> None:
    answered(store, 0, 500, config="new")
    answered(store, 0, 200, 200, 200, config="old")
    of = {"Name": "EndpointConfigName", "Value": "new"}
    alarm = ALARM | {"EvaluationPeriods": 1, "DatapointsToAlarm": 1}
    put(store, alarm)
    assert state(store, 1) == "OK"
    put(store, alarm | {"Dimensions": [*ALARM["Dimensions"], of]})
    assert state(store, 1) == "ALARM"


def test_statistics_are_those_of_cloudwatch() -> None:
    tally = Tally()
    for status in (200, 400, 500, 200):
        tally.count(("c", "A"), status, 2, 0.0, 0.0)
    [[config, variant, counted]] = tally.taken()
    assert (config, variant) == ("c", "A") and tally.taken() == []
    assert metrics.statistic(counted["Invocations"], "Sum") == 4
    assert metrics.statistic(counted["InvocationsPerInstance"], "Sum") == 2
    assert metrics.statistic(counted["Invocation4XXErrors"], "Average") == 0.25
    assert metrics.statistic(counted["Invocation5XXErrors"], "Maximum") == 1


def test_percentiles_are_right_to_two_percent() -> None:
    total: dict[str, Any] = {}
    for number in range(1, 1001):
        metrics.add(total, summary(number * 1000.0, classes=True))
    for percent in (1, 50, 90, 99.9):
        assert metrics.statistic(total, f"p{percent}") == pytest.approx(percent * 10_000, rel=0.02)
    assert metrics.statistic(total, "p100") == 1_000_000
