"""Application Auto Scaling over HTTP: boto3's own client against the local service's records."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError
from over_http import client, refusal

from pipeline.local.server import LoopbackServer

ROLE = "arn:aws:iam::111122223333:role/role"
DIMENSION = "sagemaker:variant:DesiredInstanceCount"
TRACKING = {
    "TargetValue": 70.0,
    "PredefinedMetricSpecification": {"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"},
    "ScaleInCooldown": 120,
    "ScaleOutCooldown": 30,
}


@pytest.fixture(scope="module")
def scaling(server: LoopbackServer) -> Any:
    """With three endpoints, each of one variant A."""
    sagemaker = client(server, "sagemaker")
    sagemaker.create_model(ModelName="m", PrimaryContainer={"Image": "image:1"}, ExecutionRoleArn=ROLE)
    variant = {"VariantName": "A", "ModelName": "m", "InitialInstanceCount": 1, "InstanceType": "ml.m5.large"}
    sagemaker.create_endpoint_config(EndpointConfigName="c", ProductionVariants=[variant])
    for name in ("e1", "e2", "e3"):
        sagemaker.create_endpoint(EndpointName=name, EndpointConfigName="c")
    return client(server, "application-autoscaling")


def of(endpoint: str, variant: str = "A") -> dict[str, str]:
    resource = f"endpoint/{endpoint}/variant/{variant}"
    return {"ServiceNamespace": "sagemaker", "ResourceId": resource, "ScalableDimension": DIMENSION}


@pytest.fixture(autouse=True)
def nothing_registered(scaling: Any) -> None:
    for target in scaling.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"]:
        names = ("ServiceNamespace", "ResourceId", "ScalableDimension")
        scaling.deregister_scalable_target(**{name: target[name] for name in names})


def test_a_target_is_registered_changed_and_described(scaling: Any) -> None:
    arn = scaling.register_scalable_target(**of("e1"), MinCapacity=1, MaxCapacity=4)["ScalableTargetARN"]
    suspended = {"DynamicScalingInSuspended": True}
    again = scaling.register_scalable_target(**of("e1"), MaxCapacity=8, SuspendedState=suspended)
    assert again["ScalableTargetARN"] == arn
    (target,) = scaling.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"]
    assert (target["MinCapacity"], target["MaxCapacity"], target["ScalableTargetARN"]) == (1, 8, arn)
    assert target["SuspendedState"] == {
        "DynamicScalingInSuspended": True,
        "DynamicScalingOutSuspended": False,
        "ScheduledScalingSuspended": False,
    }
    assert target["CreationTime"].tzinfo is not None
    assert target["RoleARN"].endswith("AWSServiceRoleForApplicationAutoScaling_SageMakerEndpoint")


@pytest.mark.parametrize(
    ("given", "word"),
    [
        ({**of("e1"), "MinCapacity": 1}, "required"),
        ({**of("e1"), "MinCapacity": 3, "MaxCapacity": 2}, "less than minimum"),
        ({**of("none"), "MinCapacity": 1, "MaxCapacity": 2}, "no variant of an endpoint"),
        ({**of("e1", "B"), "MinCapacity": 1, "MaxCapacity": 2}, "no variant of an endpoint"),
        ({**of("e1"), "ServiceNamespace": "lambda", "MinCapacity": 1, "MaxCapacity": 2}, "dimensions of"),
    ],
)
def test_a_target_that_cannot_be_scaled_is_refused(scaling: Any, given: dict[str, Any], word: str) -> None:
    with pytest.raises(scaling.exceptions.ValidationException, match=word):
        scaling.register_scalable_target(**given)


def test_a_policy_needs_a_target_and_its_own_configuration(scaling: Any) -> None:
    policy = {"PolicyName": "p", "PolicyType": "TargetTrackingScaling", **of("e1")}
    with pytest.raises(scaling.exceptions.ObjectNotFoundException, match="No scalable target registered"):
        scaling.put_scaling_policy(**policy, TargetTrackingScalingPolicyConfiguration=TRACKING)
    scaling.register_scalable_target(**of("e1"), MinCapacity=1, MaxCapacity=4)
    with pytest.raises(scaling.exceptions.ValidationException, match="is required"):
        scaling.put_scaling_policy(**policy)
    arn = scaling.put_scaling_policy(**policy, TargetTrackingScalingPolicyConfiguration=TRACKING)["PolicyARN"]
    (found,) = scaling.describe_scaling_policies(ServiceNamespace="sagemaker", PolicyNames=["p"])["ScalingPolicies"]
    assert (found["PolicyARN"], found["TargetTrackingScalingPolicyConfiguration"]) == (arn, TRACKING)
    with pytest.raises(scaling.exceptions.ValidationException, match="delete it first"):
        scaling.put_scaling_policy(**{**policy, "PolicyType": "StepScaling"})


def test_policies_go_alone_or_with_their_target(scaling: Any) -> None:
    scaling.register_scalable_target(**of("e1"), MinCapacity=1, MaxCapacity=4)
    configuration = {"PolicyType": "TargetTrackingScaling", "TargetTrackingScalingPolicyConfiguration": TRACKING}
    for name in ("p", "q"):
        scaling.put_scaling_policy(PolicyName=name, **of("e1"), **configuration)
    scaling.delete_scaling_policy(PolicyName="p", **of("e1"))
    with pytest.raises(scaling.exceptions.ObjectNotFoundException, match="policy name: p"):
        scaling.delete_scaling_policy(PolicyName="p", **of("e1"))
    scaling.deregister_scalable_target(**of("e1"))
    assert scaling.describe_scaling_policies(ServiceNamespace="sagemaker")["ScalingPolicies"] == []
    with pytest.raises(scaling.exceptions.ObjectNotFoundException):
        scaling.deregister_scalable_target(**of("e1"))


def test_targets_come_in_pages_and_a_foreign_token_is_refused(scaling: Any) -> None:
    for name in ("e1", "e2", "e3"):
        scaling.register_scalable_target(**of(name), MinCapacity=1, MaxCapacity=4)
    pages = scaling.get_paginator("describe_scalable_targets").paginate(
        ServiceNamespace="sagemaker", PaginationConfig={"PageSize": 2}
    )
    assert [[t["ResourceId"][9:11] for t in page["ScalableTargets"]] for page in pages] == [["e1", "e2"], ["e3"]]
    with pytest.raises(scaling.exceptions.InvalidNextTokenException):
        scaling.describe_scalable_targets(ServiceNamespace="sagemaker", NextToken="x")
    with refusal("ValidationException"):
        scaling.describe_scalable_targets(ServiceNamespace="sagemaker", ScalableDimension=DIMENSION)


def test_what_is_not_served_is_an_unknown_operation(scaling: Any) -> None:
    with pytest.raises(ClientError, match="UnknownOperationException.*RegisterScalableTarget"):
        scaling.describe_scheduled_actions(ServiceNamespace="sagemaker")
