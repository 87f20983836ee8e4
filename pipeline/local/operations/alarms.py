"""CloudWatch's metric alarms: those over endpoints change as their metrics do, all of them by SetAlarmState."""

from __future__ import annotations

import json

from pipeline.errors import ServiceError
from pipeline.local import alarm_states, names
from pipeline.local.clock import clock_of
from pipeline.local.operations.answers import answer, page, pick, remove_tags, save_tags
from pipeline.local.operations.metrics import Metrics

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from pipeline.local.store import Record

_ALARM = alarm_states.KIND
_LARGEST_PAGE, _DEFAULT_PAGE = 100, 50
_REQUIRED = ("ComparisonOperator", "EvaluationPeriods")
_OF_ONE_METRIC = ("MetricName", "Namespace", "Period")
_ACTIONS = ("OKActions", "AlarmActions", "InsufficientDataActions")
_STATE = ("StateValue", "StateReason", "StateReasonData", "StateUpdatedTimestamp", "StateTransitionedTimestamp")


class Alarms(Metrics):
    """boto3's `cloudwatch` client."""

    def put_metric_alarm(self, **request: Any) -> dict[str, Any]:
        """An alarm that is there is replaced, its state kept."""
        _check_alarm(request)
        name, now = request["AlarmName"], clock_of(self.store).now()
        arn = f"arn:aws:cloudwatch:{names.REGION}:{names.ACCOUNT}:alarm:{name}"
        with self.store.transaction():
            found = self.store.find(_ALARM, name)
            state: dict[str, Any] = {
                "StateValue": "INSUFFICIENT_DATA",
                "StateReason": "Unchecked: Initial alarm creation",
                **dict.fromkeys(("StateUpdatedTimestamp", "StateTransitionedTimestamp"), now),
            }
            body = {**(pick(found[0].body, *_STATE) if found else state)}
            body |= {key: value for key, value in request.items() if key != "Tags"}
            body.setdefault("ActionsEnabled", True)
            for actions in _ACTIONS:
                body.setdefault(actions, [])
            body |= {"evaluated": now, "AlarmArn": arn, "AlarmConfigurationUpdatedTimestamp": now}
            self.store.put(_ALARM, name, body, status=body["StateValue"], arn=arn)
            if not found:
                save_tags(self.store, arn, request.get("Tags", ()))
        return {}

    def describe_alarms(self, **request: Any) -> dict[str, Any]:
        """In the order of their names. Composite alarms are none of this service's."""
        operation = "DescribeAlarms"
        if "AlarmNames" in request and "AlarmNamePrefix" in request:
            message = "AlarmNames and AlarmNamePrefix are mutually exclusive"
            raise ServiceError("InvalidParameterCombination", message, operation)
        alarm_states.refresh(self.store, clock_of(self.store).now())
        asked = {**pick(request, "NextToken"), "MaxResults": request.get("MaxRecords", _DEFAULT_PAGE)}
        asked["Filters"] = {key: value for key, value in request.items() if key not in ("NextToken", "MaxRecords")}
        records = [record for record in self.store.list(_ALARM) if _wanted(record, request)]
        try:
            shown, more = page(operation, records, asked, by="Name", largest=_LARGEST_PAGE)
        except ServiceError as exc:
            raise ServiceError("InvalidNextToken", exc.message, operation) from exc
        return {"MetricAlarms": [answer(record.body) for record in shown], "CompositeAlarms": [], **more}

    def delete_alarms(self, **request: Any) -> dict[str, Any]:
        """All of them or none, as CloudWatch documents it."""
        with self.store.transaction():
            alarms = [self._alarm(name, "DeleteAlarms") for name in dict.fromkeys(request["AlarmNames"])]
            for alarm in alarms:
                self.store.remove(_ALARM, alarm.name)
                remove_tags(self.store, alarm.arn)
        return {}

    def set_alarm_state(self, **request: Any) -> dict[str, Any]:
        operation = "SetAlarmState"
        if "StateReasonData" in request:
            try:
                json.loads(request["StateReasonData"])
            except (ValueError, RecursionError) as exc:
                raise ServiceError("InvalidFormat", f"StateReasonData is not JSON: {exc}", operation) from exc
        now, state = clock_of(self.store).now(), request["StateValue"]
        with self.store.transaction():
            alarm = self._alarm(request["AlarmName"], operation)
            changes = {"StateReasonData": "", **pick(request, *_STATE), "StateUpdatedTimestamp": now, "evaluated": now}
            if state != alarm.status:
                changes["StateTransitionedTimestamp"] = now
            self.store.change(_ALARM, alarm.name, changes, status=state)
        return {}

    def _alarm(self, name: str, operation: str) -> Record:
        found = self.store.find(_ALARM, name)
        if not found:
            raise ServiceError("ResourceNotFound", f"there is no alarm {name!r}", operation)
        return found[0]


def _check_alarm(request: Mapping[str, Any]) -> None:
    """One metric with a statistic, or an expression over several."""
    operation = "PutMetricAlarm"
    needed = [*_REQUIRED] if "Metrics" in request else [*_REQUIRED, *_OF_ONE_METRIC]
    if missing := [member for member in needed if member not in request]:
        raise ServiceError("MissingParameter", f"The parameter {missing[0]} is required", operation)
    if "Metrics" in request and (both := [member for member in _OF_ONE_METRIC if member in request]):
        message = f"Metrics and {both[0]} exclude each other"
    elif "Metrics" not in request and ("Statistic" in request) == ("ExtendedStatistic" in request):
        message = "give either Statistic or ExtendedStatistic"
    elif ("Threshold" in request) == ("ThresholdMetricId" in request):
        message = "give either Threshold or ThresholdMetricId"
    elif request.get("DatapointsToAlarm", 1) > request["EvaluationPeriods"]:
        message = "DatapointsToAlarm must be less than or equal to EvaluationPeriods"
    else:
        return
    raise ServiceError("InvalidParameterCombination", message, operation)


def _wanted(record: Record, request: Mapping[str, Any]) -> bool:
    actions = [
        action for kind in ("OKActions", "AlarmActions", "InsufficientDataActions") for action in record.body[kind]
    ]
    return (
        record.name in request.get("AlarmNames", (record.name,))
        and record.name.startswith(request.get("AlarmNamePrefix", ""))
        and request.get("StateValue", record.status) == record.status
        and "MetricAlarm" in request.get("AlarmTypes", ("MetricAlarm",))
        and "ChildrenOfAlarmName" not in request
        and "ParentsOfAlarmName" not in request
        and ("ActionPrefix" not in request or any(action.startswith(request["ActionPrefix"]) for action in actions))
    )
