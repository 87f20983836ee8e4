"""Requests over HTTP against botocore's model, in AWS's words."""

from __future__ import annotations

import json
from typing import Any

import pytest
from over_http import raw

from pipeline.errors import ServiceError
from pipeline.local.request_check import checked
from pipeline.local.server import LoopbackServer

ONE = "1 validation error detected:"


def said(operation: str, body: dict[str, Any], service: str = "sagemaker") -> tuple[str, str]:
    with pytest.raises(ServiceError) as caught:
        checked(service, operation, body)
    return caught.value.code, caught.value.message


# the forms are those of messages that users of AWS quote in their reports
@pytest.mark.parametrize(
    ("operation", "body", "message"),
    [
        (
            "DescribeModel",
            {},
            f"{ONE} Value null at 'modelName' failed to satisfy constraint: Member must not be null",
        ),
        (
            "DescribeModel",
            {"ModelName": "a_b"},
            f"{ONE} Value 'a_b' at 'modelName' failed to satisfy constraint: Member must satisfy"
            " regular expression pattern: [a-zA-Z0-9]([\\-a-zA-Z0-9]*[a-zA-Z0-9])?",
        ),
        (
            "ListModels",
            {"MaxResults": 101},
            f"{ONE} Value '101' at 'maxResults' failed to satisfy constraint: Member must have value"
            " less than or equal to 100",
        ),
        (
            "ListModels",
            {"SortOrder": "Up"},
            f"{ONE} Value 'Up' at 'sortOrder' failed to satisfy constraint: Member must satisfy enum"
            " value set: [Ascending, Descending]",
        ),
        (
            "AddTags",
            {"ResourceArn": "arn:aws:sagemaker:us-east-1:111122223333:model/m", "Tags": [{"Key": "a"}]},
            f"{ONE} Value null at 'tags.1.member.value' failed to satisfy constraint: Member must not be null",
        ),
    ],
)
def test_what_is_out_of_range_is_told_as_aws_tells_it(operation: str, body: dict[str, Any], message: str) -> None:
    assert said(operation, body) == ("ValidationException", message)


def test_everything_is_told_at_once() -> None:
    _, message = said("CreateEndpointConfig", {"EndpointConfigName": "x" * 64, "ProductionVariants": []})
    assert message.startswith("3 validation errors detected: ")  # a name that is too long does not match, either
    assert (
        "'endpointConfigName' failed to satisfy constraint: Member must have length less than or equal to 63" in message
    )
    assert (
        "'productionVariants' failed to satisfy constraint: Member must have length greater than or equal to 1"
        in message
    )


@pytest.mark.parametrize(
    ("operation", "body", "message"),
    [
        ("DescribeModel", {"ModelName": 5}, "NUMBER_VALUE can not be converted to String"),
        ("DescribeModel", {"ModelName": {}}, "Start of structure or map found where not expected."),
        ("ListModels", {"MaxResults": "5"}, "STRING_VALUE can not be converted to Integer"),
        ("ListModels", {"MaxResults": True}, "TRUE_VALUE can not be converted to Integer"),
        ("ListModels", {"MaxResults": 2**40}, "NUMBER_VALUE can not be converted to Integer"),
        ("ListModels", {"CreationTimeAfter": 10**400}, "NUMBER_VALUE can not be converted to Timestamp"),
        ("AddTags", {"Tags": "x"}, "Expected list or null"),
        ("DescribeModel", {"ModelName": "\ud800"}, "no Unicode text: surrogates not allowed"),
    ],
)
def test_what_has_another_type_cannot_be_parsed(operation: str, body: dict[str, Any], message: str) -> None:
    assert said(operation, body) == ("SerializationException", message)


def test_null_counts_as_left_out_and_whole_floats_as_integers() -> None:
    assert checked("sagemaker", "ListModels", {"NextToken": None, "MaxResults": 5.0}) == {"MaxResults": 5}


def test_members_that_the_model_does_not_know_are_named() -> None:
    code, message = said("DescribeModel", {"ModelName": "m", "ModelNmae": "m"})
    assert code == "ValidationException"
    assert message.endswith('Unknown parameter "ModelNmae", must be one of: ModelName')


def test_a_very_long_text_is_shown_by_its_beginning_and_not_matched() -> None:
    _, message = said("DescribeModel", {"ModelName": "a" * 100_000 + "!"})
    assert len(message) < 1000
    assert "pattern" not in message


def test_it_is_asked_of_every_request_over_http(server: LoopbackServer) -> None:
    body = json.dumps({"ModelName": "m", "ExecutionRoleArn": "x"}).encode()
    status, answer = raw(server, "POST", "/", body, X_Amz_Target="SageMaker.CreateModel")
    assert (status, json.loads(answer)["__type"]) == (400, "ValidationException")
    assert "at 'executionRoleArn'" in json.loads(answer)["message"]
