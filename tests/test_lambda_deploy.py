"""What the deploying handler asks of SageMaker for an event, and which events it refuses."""

from __future__ import annotations

import re
from typing import Any

import lambda_deploy
import pytest
from botocore.exceptions import ClientError
from hosting import Client, Hosting, refused
from lambda_deploy import handler
from rollout import made, updating
from rollout.account import SERVICES, DeployRefused

ROLE = "arn:aws:iam::111122223333:role/darkroom-serving"
EVENT = {
    "action": "start",
    "stage": "staging",
    "endpoint_name": "digits-staging",
    "instance_type": "ml.m5.large",
    "instance_count": "1",
    "role_arn": ROLE,
}
VPC = {"subnets": "subnet-1,subnet-2", "security_groups": "sg-1"}
KEY = "arn:aws:kms:eu-central-1:111122223333:key/0"


def started(aws: Hosting, status: str = "PendingManualApproval", **changes: str) -> dict[str, Any]:
    return handler({**EVENT, "model_package_arn": aws.register(7, status), **changes}, None, aws.clients())


def only(kind: dict[str, Any]) -> Any:
    (value,) = kind.values()
    return value


@pytest.fixture
def aws() -> Hosting:
    return Hosting()


def test_staging_is_built_from_the_packages_image_and_archive(aws: Hosting) -> None:
    answer = started(aws)
    container = only(aws.models)["PrimaryContainer"]
    assert container == only(aws.packages)["InferenceSpecification"]["Containers"][0]
    assert (only(aws.models)["ExecutionRoleArn"], only(aws.models)["EnableNetworkIsolation"]) == (ROLE, True)
    assert re.fullmatch(r"digits-staging-v7-[0-9a-f]{10}", answer["endpoint_config_name"])
    assert only(aws.configs)["ProductionVariants"] == [
        {
            "VariantName": "AllTraffic",
            "ModelName": answer["model_name"],
            "InstanceType": "ml.m5.large",
            "InitialInstanceCount": 1,
        }
    ]


def test_all_that_is_made_is_labelled(aws: Hosting) -> None:
    started(aws)
    labels = [{tags["darkroom:stage"] for tags in aws.tags.values()}, len(aws.tags)]
    assert labels == [{"staging"}, 3]  # model, configuration, endpoint


def test_production_uses_the_approved_packages_name(aws: Hosting) -> None:
    started(aws, "Approved", stage="production")
    assert only(aws.models)["PrimaryContainer"] == {"ModelPackageName": [*aws.packages][0]}


@pytest.mark.parametrize("status", ["PendingManualApproval", "Rejected"])
def test_production_refuses_what_is_not_approved(aws: Hosting, status: str) -> None:
    with pytest.raises(DeployRefused, match=f"is '{status}', and production takes only Approved"):
        started(aws, status, stage="production")
    assert not aws.models


def test_what_the_security_section_asks_for_reaches_model_and_configuration(aws: Hosting) -> None:
    started(aws, **VPC, kms_key=KEY, network_isolation="false")
    assert only(aws.models)["VpcConfig"] == {"SecurityGroupIds": ["sg-1"], "Subnets": ["subnet-1", "subnet-2"]}
    assert only(aws.models)["EnableNetworkIsolation"] is False
    assert only(aws.configs)["KmsKeyId"] == KEY


def test_another_key_or_vpc_is_another_configuration_or_model() -> None:
    def names(**changes: str) -> tuple[str, str]:
        answer = started(Hosting(), **changes)
        return answer["model_name"], answer["endpoint_config_name"]

    plain = names()
    assert names(network_isolation="true", subnets="", kms_key="") == plain
    assert names(scaling="min=1 max=2 target=5", update="bake_s=60", alarms="errors=0.5") == plain
    assert names(kms_key=KEY)[1] != plain[1]
    assert len({plain, names(**VPC), names(network_isolation="false")}) == 3


def test_a_machine_with_gpus_starts_with_the_driver_that_the_image_needs(aws: Hosting) -> None:
    started(aws, instance_type="ml.g5.xlarge", inference_ami="al2023-ami-sagemaker-inference-gpu-4-1")
    variant = only(aws.configs)["ProductionVariants"][0]
    assert variant["InferenceAmiVersion"] == "al2023-ami-sagemaker-inference-gpu-4-1"


class Racing(Client):
    """Somebody else makes the model between looking for it and making it."""

    def __getattr__(self, method: str) -> Any:
        call = super().__getattr__(method)
        if method != "create_model":
            return call

        def twice(**request: Any) -> Any:
            call(**request)
            return call(**request)

        return twice


def test_the_loser_of_two_deployments_at_once_goes_on_with_the_winners_model(aws: Hosting) -> None:
    clients = {**aws.clients(), "sagemaker": Racing(aws, "sagemaker")}
    answer = handler({**EVENT, "model_package_arn": aws.register(7)}, None, clients)
    assert answer["status"] == "Creating"


def test_a_refused_creation_is_not_swallowed(aws: Hosting) -> None:
    def faults(number: int, operation: str) -> str:
        if operation == "CreateModel":
            raise refused("ResourceLimitExceeded", "too many", operation)
        return ""

    aws.faults = faults
    with pytest.raises(ClientError, match="ResourceLimitExceeded"):
        started(aws)


def test_an_error_other_than_absence_is_not_taken_for_it(aws: Hosting) -> None:
    def faults(number: int, operation: str) -> str:
        raise refused("AccessDeniedException", "no", operation)

    aws.faults = faults
    with pytest.raises(ClientError, match="AccessDenied"):
        started(aws)


def test_a_package_that_does_not_exist_is_named(aws: Hosting) -> None:
    with pytest.raises(DeployRefused, match="digits/9' does not exist"):
        handler({**EVENT, "model_package_arn": "arn:aws:sagemaker:…:model-package/digits/9"}, None, aws.clients())


def test_a_package_of_two_containers_is_refused(aws: Hosting) -> None:
    arn = aws.register(7, InferenceSpecification={"Containers": [{}, {}]})
    with pytest.raises(DeployRefused, match="has 2 containers"):
        handler({**EVENT, "model_package_arn": arn}, None, aws.clients())


@pytest.mark.parametrize("status", [*updating.BROKEN, *updating.BUSY, "Deleting"])
def test_an_endpoint_that_cannot_be_updated_now_is_refused(aws: Hosting, status: str) -> None:
    started(aws)
    live = aws.endpoints["digits-staging"]
    aws.plans.clear()
    live |= {"EndpointStatus": status, "EndpointConfigName": "older", "FailureReason": "out of capacity."}
    aws.clock.now += 1
    words = "is being deleted" if status == "Deleting" else f"is {status}"
    with pytest.raises(DeployRefused, match=f"'digits-staging' {words}"):
        started(aws)


REFUSED = {
    "action": ({"action": "destroy"}, "take one of start, advance, rollback, undeploy"),
    "stage": ({"stage": "test"}, "staging, production"),
    "empty": ({"role_arn": ""}, "lacks role_arn"),
    "no machine": ({"instance_type": ""}, "lacks instance_type"),
    "count": ({"instance_count": "many"}, "whole number"),
    "no instance": ({"instance_count": "0"}, "from 1 on"),
    "name": ({"endpoint_name": "digits_1"}, "letters, digits"),
    "long name": ({"endpoint_name": "d" * 64}, "at most 63"),
    "isolation": ({"network_isolation": "yes"}, "take true or false"),
    "half a VPC": ({"subnets": "subnet-1"}, "both or neither"),
    "edge": ({"endpoint_name": "digits-"}, "inner hyphens"),
    "time": ({"asked_at": "yesterday"}, "take a time such as"),
    "no zone": ({"asked_at": "2026-12-01T12:00:00"}, "in which time zone"),
    "unknown setting": ({"scaling": "min=1 max=2 target=1 colour=red"}, "'colour=red' is none of min, max"),
    "a word": ({"scaling": "min=few max=2 target=1"}, "min takes a number"),
    "half a setting": ({"scaling": "min=1"}, "give min, max, target"),
    "to zero": ({"scaling": "min=0 max=2 target=1"}, "min is 1 or more"),
    "upside down": ({"scaling": "min=3 max=2 target=1"}, "not above max"),
    "no target": ({"scaling": "min=1 max=2 target=0"}, "target is above 0"),
    "metric": ({"scaling": "min=1 max=2 target=1 metric=mood"}, "metric is one of invocations"),
    "canary": ({"update": "canary=51"}, "canary is 1 to 50"),
    "short": ({"update": "bake_s=3000 wait_s=600"}, "more than bake_s and wait_s together"),
    "many alarms": ({"alarms": "also=a+b+c+d+e+f+g+h+i"}, "SageMaker takes 10"),
    "share": ({"alarms": "errors=5"}, "a share above 0"),
    "memory": ({"serverless": "memory=3000 concurrency=1"}, "in steps of 1024"),
    "both": ({"serverless": "memory=2048 concurrency=1", "scaling": "min=1 max=2 target=1"}, "scales by itself"),
    "unasked": ({"asynchronous": "output=s3://b/"}, "answers into S3 alone"),
    "nowhere": ({"asynchronous": "output=b", "smoke_test": "false"}, "s3:// addresses"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_an_event_that_asks_for_nothing_sensible_is_refused(aws: Hosting, case: str) -> None:
    changes, words = REFUSED[case]
    with pytest.raises(DeployRefused, match=words):
        started(aws, **changes)
    assert not aws.models


@pytest.mark.parametrize("endpoint_name", ["d", "d" * 63, "a-" * 31 + "b"])
def test_names_stay_within_what_sagemaker_takes(endpoint_name: str) -> None:
    name = made.name(endpoint_name, "12345", {"a": 1})
    assert re.fullmatch(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}", name)


def test_each_setting_has_a_name_of_its_own() -> None:
    names = {made.name("e", "1", {"type": kind, "count": n}) for kind in "ab" for n in range(3)}
    assert len(names) == 6


def test_alone_the_handler_makes_clients_of_its_region(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    found = lambda_deploy._clients()
    assert [*found] == [*SERVICES]
    assert {client.meta.region_name for client in found.values()} == {"eu-central-1"}
    assert [client.meta.service_model.service_name for client in found.values()] == [*SERVICES]
