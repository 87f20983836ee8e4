"""The deployment's first phase, against boto3's own client with stubbed answers; botocore checks each request."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import boto3
import lambda_deploy
import pytest
from botocore.exceptions import ClientError
from botocore.stub import ANY, Stubber
from lambda_deploy import DeployRefused, handler

ARN = "arn:aws:sagemaker:eu-central-1:111122223333:model-package/digits/7"
ROLE = "arn:aws:iam::111122223333:role/darkroom-serving"
NOW = datetime(2026, 11, 20, tzinfo=UTC)
IMAGE = "111122223333.dkr.ecr.eu-central-1.amazonaws.com/darkroom-serve:1"
CONTAINER = {"Image": IMAGE, "ModelDataUrl": "s3://b/model.tar.gz", "Environment": {"A": "1"}}
EVENT = {
    "action": "start",
    "stage": "staging",
    "model_package_arn": ARN,
    "endpoint_name": "digits-staging",
    "instance_type": "ml.m5.large",
    "instance_count": "1",
    "role_arn": ROLE,
}


def package(status: str = "PendingManualApproval", containers: int = 1) -> dict[str, Any]:
    return {
        "ModelPackageName": "digits",
        "ModelPackageArn": ARN,
        "ModelPackageVersion": 7,
        "ModelPackageStatus": "Completed",
        "ModelPackageStatusDetails": {"ValidationStatuses": []},
        "CreationTime": NOW,
        "ModelApprovalStatus": status,
        "InferenceSpecification": {"Containers": [{**CONTAINER, "ImageDigest": "sha256:1"}] * containers},
    }


def endpoint(config: str, status: str = "InService", **more: str) -> dict[str, Any]:
    arn = "arn:aws:sagemaker:eu-central-1:111122223333:endpoint/digits-staging"
    times = {"CreationTime": NOW, "LastModifiedTime": NOW}
    return {"EndpointName": "digits-staging", "EndpointArn": arn, "EndpointStatus": status, **times, **more} | {
        "EndpointConfigName": config
    }


def config(count: int = 1) -> dict[str, Any]:
    variant = {"VariantName": "AllTraffic", "ModelName": "m", "InitialInstanceCount": count}
    arn = "arn:aws:sagemaker:eu-central-1:111122223333:endpoint-config/c"
    return {
        "EndpointConfigName": "c",
        "EndpointConfigArn": arn,
        "CreationTime": NOW,
        "ProductionVariants": [{**variant, "InstanceType": "ml.m5.large"}],
    }


class Aws:
    """Answers in the order in which they are queued; anything else fails the test."""

    def __init__(self) -> None:
        keys = {"aws_access_key_id": "x", "aws_secret_access_key": "x"}
        self.client = boto3.client("sagemaker", region_name="eu-central-1", **keys)
        self.stub = Stubber(self.client)
        self.stub.activate()

    def answer(self, operation: str, body: dict[str, Any], expected: dict[str, Any] | None = None) -> None:
        self.stub.add_response(operation, body, expected)

    def absent(self, operation: str, code: str = "ValidationException") -> None:
        self.stub.add_client_error(operation, code, "Could not find it", 400)

    def run(self, **changes: str) -> dict[str, str]:
        return handler({**EVENT, **changes}, None, {"sagemaker": self.client})

    def model_and_config_exist(self) -> None:
        arn = "arn:aws:sagemaker:eu-central-1:111122223333:model/m"
        self.answer("describe_model", {"ModelName": "m", "ModelArn": arn, "CreationTime": NOW})
        self.answer("describe_endpoint_config", config())


@pytest.fixture
def aws() -> Iterator[Aws]:
    stubbed = Aws()
    yield stubbed
    stubbed.stub.assert_no_pending_responses()


def test_staging_is_built_from_the_packages_image_and_archive(aws: Aws) -> None:
    aws.answer("describe_model_package", package(), {"ModelPackageName": ARN})
    aws.absent("describe_model")
    created = {
        "ModelName": ANY,
        "PrimaryContainer": CONTAINER,
        "ExecutionRoleArn": ROLE,
        "EnableNetworkIsolation": True,
    }
    aws.answer("create_model", {"ModelArn": "arn:aws:sagemaker:eu-central-1:111122223333:model/m"}, created)
    aws.absent("describe_endpoint_config")
    arn = "arn:aws:sagemaker:eu-central-1:111122223333:endpoint-config/c"
    aws.answer("create_endpoint_config", {"EndpointConfigArn": arn})
    aws.absent("describe_endpoint", "ResourceNotFound")
    asked = {"EndpointName": "digits-staging", "EndpointConfigName": ANY}
    aws.answer("create_endpoint", {"EndpointArn": endpoint("c")["EndpointArn"]}, asked)
    result = aws.run()
    assert result["status"] == "Creating"
    assert result["endpoint_name"] == "digits-staging"
    assert re.fullmatch(r"digits-staging-v7-[0-9a-f]{10}", result["endpoint_config_name"])


def deployed_config() -> str:
    """The name that EVENT leads to, learnt from a first deployment."""
    aws = Aws()
    aws.answer("describe_model_package", package())
    aws.model_and_config_exist()
    aws.absent("describe_endpoint")
    aws.answer("create_endpoint", {"EndpointArn": endpoint("c")["EndpointArn"]})
    return aws.run()["endpoint_config_name"]


@pytest.mark.parametrize("status", ["InService", "Creating", "Updating"])
def test_repeating_a_deployment_changes_nothing(aws: Aws, status: str) -> None:
    aws.answer("describe_model_package", package())
    aws.model_and_config_exist()
    aws.answer("describe_endpoint", endpoint(deployed_config(), status))
    assert aws.run()["status"] == status


@pytest.mark.parametrize(("live_count", "retained"), [(1, True), (3, False)])
def test_another_configuration_updates_the_endpoint(aws: Aws, live_count: int, retained: bool) -> None:
    aws.answer("describe_model_package", package())
    aws.model_and_config_exist()
    aws.answer("describe_endpoint", endpoint("older"))
    aws.answer("describe_endpoint_config", config(live_count), {"EndpointConfigName": "older"})
    asked = {
        "EndpointName": "digits-staging",
        "EndpointConfigName": deployed_config(),
        "RetainAllVariantProperties": retained,
    }
    aws.answer("update_endpoint", {"EndpointArn": endpoint("c")["EndpointArn"]}, asked)
    assert aws.run()["status"] == "Updating"


def test_production_uses_the_approved_packages_name(aws: Aws) -> None:
    aws.answer("describe_model_package", package("Approved"))
    aws.absent("describe_model")
    created = {
        "ModelName": ANY,
        "PrimaryContainer": {"ModelPackageName": ARN},
        "ExecutionRoleArn": ROLE,
        "EnableNetworkIsolation": True,
    }
    aws.answer("create_model", {"ModelArn": "arn:aws:sagemaker:eu-central-1:111122223333:model/m"}, created)
    aws.answer("describe_endpoint_config", config())
    aws.absent("describe_endpoint")
    aws.answer("create_endpoint", {"EndpointArn": endpoint("c")["EndpointArn"]})
    assert aws.run(stage="production")["status"] == "Creating"


VPC = {"subnets": "subnet-1,subnet-2", "security_groups": "sg-1"}
KEY = "arn:aws:kms:eu-central-1:111122223333:key/0"


def test_what_the_security_section_asks_for_reaches_model_and_configuration(aws: Aws) -> None:
    aws.answer("describe_model_package", package())
    aws.absent("describe_model")
    created = {
        "ModelName": ANY,
        "PrimaryContainer": CONTAINER,
        "ExecutionRoleArn": ROLE,
        "EnableNetworkIsolation": False,
        "VpcConfig": {"SecurityGroupIds": ["sg-1"], "Subnets": ["subnet-1", "subnet-2"]},
    }
    aws.answer("create_model", {"ModelArn": "arn:aws:sagemaker:eu-central-1:111122223333:model/m"}, created)
    aws.absent("describe_endpoint_config")
    arn = "arn:aws:sagemaker:eu-central-1:111122223333:endpoint-config/c"
    asked = {"EndpointConfigName": ANY, "ProductionVariants": ANY, "KmsKeyId": KEY}
    aws.answer("create_endpoint_config", {"EndpointConfigArn": arn}, asked)
    aws.absent("describe_endpoint")
    aws.answer("create_endpoint", {"EndpointArn": endpoint("c")["EndpointArn"]})
    assert aws.run(**VPC, kms_key=KEY, network_isolation="false")["status"] == "Creating"


def test_another_key_or_vpc_is_another_configuration_or_model() -> None:
    def names(**changes: str) -> tuple[str, str]:
        aws = Aws()
        aws.answer("describe_model_package", package())
        aws.model_and_config_exist()
        aws.absent("describe_endpoint")
        aws.answer("create_endpoint", {"EndpointArn": endpoint("c")["EndpointArn"]})
        answer = aws.run(**changes)
        return answer["model_name"], answer["endpoint_config_name"]

    plain = names()
    assert names(network_isolation="true", subnets="", kms_key="") == plain
    assert names(kms_key=KEY)[1] != plain[1]
    assert len({plain, names(**VPC), names(network_isolation="false")}) == 3


@pytest.mark.parametrize("status", ["PendingManualApproval", "Rejected"])
def test_production_refuses_what_is_not_approved(aws: Aws, status: str) -> None:
    aws.answer("describe_model_package", package(status))
    with pytest.raises(DeployRefused, match=f"is '{status}', and production takes only Approved"):
        aws.run(stage="production")


def test_the_loser_of_two_deployments_at_once_goes_on_with_the_winners_model(aws: Aws) -> None:
    aws.answer("describe_model_package", package())
    aws.absent("describe_model")
    aws.absent("create_model")
    aws.model_and_config_exist()
    aws.absent("describe_endpoint")
    aws.answer("create_endpoint", {"EndpointArn": endpoint("c")["EndpointArn"]})
    assert aws.run()["status"] == "Creating"


def test_a_refused_creation_is_not_swallowed(aws: Aws) -> None:
    aws.answer("describe_model_package", package())
    aws.absent("describe_model")
    aws.absent("create_model", "ResourceLimitExceeded")
    aws.absent("describe_model")
    with pytest.raises(ClientError, match="ResourceLimitExceeded"):
        aws.run()


def test_an_error_other_than_absence_is_not_taken_for_it(aws: Aws) -> None:
    aws.absent("describe_model_package", "AccessDeniedException")
    with pytest.raises(ClientError, match="AccessDenied"):
        aws.run()


def test_a_package_that_does_not_exist_is_named(aws: Aws) -> None:
    aws.absent("describe_model_package")
    with pytest.raises(DeployRefused, match="digits/7' does not exist"):
        aws.run()


def test_a_package_of_two_containers_is_refused(aws: Aws) -> None:
    aws.answer("describe_model_package", package(containers=2))
    with pytest.raises(DeployRefused, match="has 2 containers"):
        aws.run()


@pytest.mark.parametrize("status", [*lambda_deploy.BROKEN, *lambda_deploy.BUSY])
def test_an_endpoint_that_cannot_be_updated_now_is_refused(aws: Aws, status: str) -> None:
    aws.answer("describe_model_package", package())
    aws.model_and_config_exist()
    aws.answer("describe_endpoint", endpoint("older", status, FailureReason="out of capacity."))
    with pytest.raises(DeployRefused, match=f"'digits-staging' is {status}"):
        aws.run()


REFUSED = {
    "action": ({"action": "destroy"}, "take one of start"),
    "stage": ({"stage": "test"}, "staging, production"),
    "empty": ({"role_arn": ""}, "lacks role_arn"),
    "count": ({"instance_count": "many"}, "whole number"),
    "no instance": ({"instance_count": "0"}, "from 1 on"),
    "name": ({"endpoint_name": "digits_1"}, "letters, digits"),
    "long name": ({"endpoint_name": "d" * 64}, "at most 63"),
    "isolation": ({"network_isolation": "yes"}, "take true or false"),
    "half a VPC": ({"subnets": "subnet-1"}, "both or neither"),
    "edge": ({"endpoint_name": "digits-"}, "inner hyphens"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_an_event_that_asks_for_nothing_sensible_is_refused(aws: Aws, case: str) -> None:
    changes, words = REFUSED[case]
    with pytest.raises(DeployRefused, match=words):
        aws.run(**changes)


@pytest.mark.parametrize("endpoint_name", ["d", "d" * 63, "a-" * 31 + "b"])
def test_names_stay_within_what_sagemaker_takes(endpoint_name: str) -> None:
    name = lambda_deploy._name(endpoint_name, "12345", {"a": 1})
    assert re.fullmatch(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}", name)


def test_each_setting_has_a_name_of_its_own() -> None:
    names = {lambda_deploy._name("e", "1", {"type": kind, "count": n}) for kind in "ab" for n in range(3)}
    assert len(names) == 6
