"""CloudWatch's alarms over HTTP, in the three protocols that clients speak with it."""

from __future__ import annotations

import http.client
import json
from typing import Any
from urllib.parse import urlencode
from xml.etree import ElementTree

import pytest
from over_http import client, raw, refusal

from pipeline.local.server import LoopbackServer

ALARM: dict[str, Any] = {
    "MetricName": "Invocation5XXErrors",
    "Namespace": "AWS/SageMaker",
    "Statistic": "Sum",
    "Period": 60,
    "EvaluationPeriods": 2,
    "Threshold": 1.0,
    "ComparisonOperator": "GreaterThanOrEqualToThreshold",
    "Dimensions": [{"Name": "EndpointName", "Value": "e"}],
}


@pytest.fixture
def alarms(server: LoopbackServer) -> Any:
    cloudwatch = client(server, "cloudwatch")
    names = [alarm["AlarmName"] for alarm in cloudwatch.describe_alarms()["MetricAlarms"]]
    if names:
        cloudwatch.delete_alarms(AlarmNames=names)
    return cloudwatch


def named(alarms: Any, **request: Any) -> list[str]:
    return [alarm["AlarmName"] for alarm in alarms.describe_alarms(**request)["MetricAlarms"]]


def test_an_alarm_is_put_described_and_keeps_its_state_when_it_is_replaced(alarms: Any) -> None:
    alarms.put_metric_alarm(AlarmName="a", **ALARM, AlarmActions=["arn:aws:sns:us-east-1:111122223333:t"])
    (alarm,) = alarms.describe_alarms(AlarmNames=["a"])["MetricAlarms"]
    assert {key: alarm[key] for key in ALARM} == ALARM
    assert (alarm["StateValue"], alarm["ActionsEnabled"]) == ("INSUFFICIENT_DATA", True)
    assert alarm["StateUpdatedTimestamp"].tzinfo is not None
    alarms.set_alarm_state(AlarmName="a", StateValue="ALARM", StateReason="tried", StateReasonData='{"a": 1}')
    alarms.put_metric_alarm(AlarmName="a", **{**ALARM, "Threshold": 2.0})
    (alarm,) = alarms.describe_alarms(StateValue="ALARM")["MetricAlarms"]
    assert (alarm["StateReason"], alarm["Threshold"], alarm["AlarmActions"]) == ("tried", 2.0, [])


def test_alarms_are_found_by_prefix_state_action_and_in_pages(alarms: Any) -> None:
    for name in ("x-1", "x-2", "y-1"):
        alarms.put_metric_alarm(AlarmName=name, **ALARM, OKActions=[f"arn:aws:sns:us-east-1:111122223333:{name}"])
    assert named(alarms, AlarmNamePrefix="x-") == ["x-1", "x-2"]
    assert named(alarms, ActionPrefix="arn:aws:sns:us-east-1:111122223333:y") == ["y-1"]
    assert named(alarms, StateValue="OK") == []
    assert named(alarms, AlarmTypes=["CompositeAlarm"]) == []
    pages = alarms.get_paginator("describe_alarms").paginate(PaginationConfig={"PageSize": 2})
    assert [len(page["MetricAlarms"]) for page in pages] == [2, 1]
    token = alarms.describe_alarms(MaxRecords=1)["NextToken"]
    with pytest.raises(alarms.exceptions.InvalidNextToken):  # other filters
        alarms.describe_alarms(MaxRecords=1, NextToken=token, AlarmNamePrefix="x-")


def test_none_is_deleted_where_one_is_not_there(alarms: Any) -> None:
    alarms.put_metric_alarm(AlarmName="a", **ALARM)
    with pytest.raises(alarms.exceptions.ResourceNotFound):
        alarms.delete_alarms(AlarmNames=["a", "none"])
    assert named(alarms) == ["a"]
    alarms.delete_alarms(AlarmNames=["a"])
    assert named(alarms) == []


def test_states_of_no_alarm_and_reasons_that_are_no_json_are_refused(alarms: Any) -> None:
    with pytest.raises(alarms.exceptions.ResourceNotFound):
        alarms.set_alarm_state(AlarmName="none", StateValue="OK", StateReason="")
    with pytest.raises(alarms.exceptions.InvalidFormatFault):
        alarms.set_alarm_state(AlarmName="none", StateValue="OK", StateReason="", StateReasonData="{")


@pytest.mark.parametrize(
    ("changes", "without", "code"),
    [
        ({}, "ComparisonOperator", "MissingParameter"),
        ({}, "Period", "MissingParameter"),
        ({}, "Threshold", "InvalidParameterCombination"),
        ({"ExtendedStatistic": "p90"}, "", "InvalidParameterCombination"),
        ({"DatapointsToAlarm": 3}, "", "InvalidParameterCombination"),
        ({"Metrics": [{"Id": "a", "Expression": "1"}]}, "", "InvalidParameterCombination"),
        ({"Unit": "Parsec"}, "", "ValidationError"),
    ],
)
def test_an_alarm_that_cannot_be_is_refused(alarms: Any, changes: dict[str, Any], without: str, code: str) -> None:
    request = {key: value for key, value in (ALARM | changes).items() if key != without}
    with refusal(code):
        alarms.put_metric_alarm(AlarmName="a", **request)
    assert named(alarms) == []


def test_older_clients_speak_json(alarms: Any, server: LoopbackServer) -> None:
    alarms.put_metric_alarm(AlarmName="a", **ALARM)
    target = {"X-Amz-Target": "GraniteServiceVersion20100801.DescribeAlarms"}
    connection = http.client.HTTPConnection(*server.server_address[:2], timeout=10)
    connection.request("POST", "/", b'{"AlarmNames": ["a"]}', target)
    (alarm,) = json.loads(connection.getresponse().read())["MetricAlarms"]
    connection.close()
    assert isinstance(alarm["StateUpdatedTimestamp"], float)


def test_the_oldest_clients_speak_forms_and_xml(alarms: Any, server: LoopbackServer) -> None:
    signed = {"Authorization": "AWS4-HMAC-SHA256 Credential=k/20261120/us-east-1/monitoring/aws4_request, Signature=x"}
    headers = {"Content_Type": "application/x-www-form-urlencoded; charset=utf-8", **signed}
    flat = {key: value for key, value in ALARM.items() if key != "Dimensions"}
    dimension = {"Dimensions.member.1.Name": "EndpointName", "Dimensions.member.1.Value": "e"}
    form = {"Action": "PutMetricAlarm", "Version": "2010-08-01", "AlarmName": "a & b", **flat, **dimension}
    assert raw(server, "POST", "/", urlencode(form).encode(), **headers)[0] == 200
    (alarm,) = alarms.describe_alarms()["MetricAlarms"]
    assert (alarm["AlarmName"], alarm["Dimensions"], alarm["Period"]) == ("a & b", ALARM["Dimensions"], 60)
    _, answer = raw(server, "POST", "/", b"Action=DescribeAlarms&AlarmNames.member.1=a+%26+b", **headers)
    names = ElementTree.fromstring(answer).iter("{http://monitoring.amazonaws.com/doc/2010-08-01/}AlarmName")
    assert [element.text for element in names] == ["a & b"]
    status, answer = raw(server, "POST", "/", b"Action=DescribeAlarmHistory", **headers)
    assert (status, ElementTree.fromstring(answer).findtext("Error/Code")) == (400, "InvalidAction")
