"""What moto says of our calls and documents: S3, IAM, EventBridge, CloudWatch, autoscaling and the model registry.

moto is written by others, from AWS's documentation: where it and the local service agree, it is not because one hand
wrote both.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import lambda_champion
import lambda_deploy
import pytest
import sagemaker_events
from botocore.exceptions import ClientError
from cloudformation import Stack
from event_patterns import matches
from golden_roles import golden
from moto import mock_aws
from moto.events.models import EventPattern
from over_http import client as over_http
from rendered import ENTRYPOINTS, about, shipped

from pipeline.client import Clients, aws_client, aws_hosting
from pipeline.errors import ServiceError
from pipeline.infra import packaging
from pipeline.local.server import LoopbackServer

BUCKET = "moto-bucket"
SERVICES = ("sagemaker", "sagemaker-runtime", "application-autoscaling", "cloudwatch", "s3", "events")
MARKER = f"s3://{BUCKET}/none"
RULES = ("ApprovedModel", "WaitingModel", "FailedExecution", "EndpointTrouble", "EndpointChange")


@pytest.fixture(scope="module")
def account() -> Iterator[Clients]:
    """darkroom's own clients of AWS, real boto3 within; no address outside of this process is reached."""
    with mock_aws(), pytest.MonkeyPatch.context() as environment:
        for name, value in {"AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-east-1"}.items():
            environment.setenv(name, value)
        boto3.client("s3").create_bucket(Bucket=BUCKET)
        yield aws_client("nowhere")


def test_s3_puts_finds_lists_and_deletes(account: Clients) -> None:
    storage = account.storage
    for key in ("list/train/2", "list/train/1", "list/train-stats/x", "list/other"):
        storage.put_bytes(f"s3://{BUCKET}/{key}", b"12")
    found = [(each.uri, each.size) for each in storage.list(f"s3://{BUCKET}/list/train")]
    assert found == [(f"s3://{BUCKET}/list/{key}", 2) for key in ("train-stats/x", "train/1", "train/2")]
    assert storage.get_bytes(f"s3://{BUCKET}/list/other") == b"12"
    storage.delete(f"s3://{BUCKET}/list/other")
    assert not storage.exists(f"s3://{BUCKET}/list/other")


@pytest.mark.parametrize(("key", "bucket", "code"), [("absent", BUCKET, "NoSuchKey"), ("k", "absent", "NoSuchBucket")])
def test_s3_says_what_is_not_there(account: Clients, key: str, bucket: str, code: str) -> None:
    with pytest.raises(ServiceError) as caught:
        account.storage.get_bytes(f"s3://{bucket}/{key}")
    assert caught.value.code == code


def test_a_large_file_goes_up_in_parts_and_a_key_of_the_bucket_encrypts_it(account: Clients, tmp_path: Path) -> None:
    """No request names a key: the bucket's default does, as in the stack with DataKeyArn."""
    s3 = boto3.client("s3")
    rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": "alias/data"}}
    s3.put_bucket_encryption(Bucket=BUCKET, ServerSideEncryptionConfiguration={"Rules": [rule]})
    (tmp_path / "large").write_bytes(os.urandom(9_000_000))
    account.storage.put_file(f"s3://{BUCKET}/large", str(tmp_path / "large"))
    head = s3.head_object(Bucket=BUCKET, Key="large")
    assert head["ETag"].endswith('-2"')
    account.storage.put_bytes(f"s3://{BUCKET}/small", b"x")
    assert s3.head_object(Bucket=BUCKET, Key="small")["ServerSideEncryption"] == "aws:kms"
    s3.delete_bucket_encryption(Bucket=BUCKET)
    assert account.storage.get_bytes(f"s3://{BUCKET}/large") == (tmp_path / "large").read_bytes()


def test_a_listing_goes_over_pages(account: Clients, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "2")
    for number in range(5):
        account.storage.put_bytes(f"s3://{BUCKET}/pages/{number}", b"")
    assert boto3.client("s3").list_objects_v2(Bucket=BUCKET, Prefix="pages/")["IsTruncated"]
    assert len(list(account.storage.list(f"s3://{BUCKET}/pages/"))) == 5


@pytest.mark.parametrize("name", ["shipped", "imagefolder_secure", "managed"])
def test_iam_takes_every_policy_and_every_trust(account: Clients, name: str) -> None:
    """moto reads their grammar as IAM does, and refuses what IAM would."""
    iam = boto3.client("iam")
    for other in iam.list_roles()["Roles"]:  # names are the account's, whatever their path
        for policy in iam.list_attached_role_policies(RoleName=other["RoleName"])["AttachedPolicies"]:
            iam.detach_role_policy(RoleName=other["RoleName"], PolicyArn=policy["PolicyArn"])
        iam.delete_role(RoleName=other["RoleName"])
    for role in golden(name).roles:
        if role.trust is not None:  # a role that nobody takes is a policy for people
            iam.create_role(RoleName=role.name, Path=f"/{name}/", AssumeRolePolicyDocument=json.dumps(role.trust))
        for title, document in role.policies().items():
            arn = iam.create_policy(PolicyName=f"{name}-{title}", PolicyDocument=json.dumps(document))["Policy"]["Arn"]
            version = iam.get_policy_version(PolicyArn=arn, VersionId="v1")["PolicyVersion"]
            assert version["Document"] == document
            if role.trust is not None:
                iam.attach_role_policy(RoleName=role.name, PolicyArn=arn)


def test_iam_of_moto_refuses_a_policy_that_is_none(account: Clients) -> None:
    """Else the test above could not fail."""
    statement = {"Effect": "Allow", "Action": "s3GetObject", "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    with pytest.raises(ClientError, match="MalformedPolicyDocument"):
        boto3.client("iam").create_policy(PolicyName="none", PolicyDocument=document)


def samples() -> list[dict[str, Any]]:
    updated = (None, ["ModelApprovalStatus"], ["CustomerMetadataProperties"], ["a", "ModelApprovalStatus"])
    packages = [
        sagemaker_events.package(status, fields, group)
        for status in ("Approved", "Rejected", "PendingManualApproval")
        for fields in updated
        for group in (sagemaker_events.GROUP, "another")
    ]
    runs = [sagemaker_events.execution(status) for status in ("Failed", "Succeeded", "Executing")]
    ends = [
        sagemaker_events.endpoint(status, f"{sagemaker_events.GROUP}-{stage}")
        for status in ("FAILED", "Failed", "IN_SERVICE", "ROLLING_BACK")
        for stage in ("staging", "production", "other")
    ]
    return packages + runs + ends


@pytest.mark.parametrize("rule", RULES)
def test_eventbridge_takes_the_rules_and_matches_as_our_tests_say(account: Clients, rule: str) -> None:
    pattern = Stack(shipped(), Functions="present").of("AWS::Events::Rule")[rule]["EventPattern"]
    events = boto3.client("events")
    events.put_rule(Name=rule, EventPattern=json.dumps(pattern))
    assert json.loads(events.describe_rule(Name=rule)["EventPattern"]) == pattern
    theirs = [alternative for alternative in alternatives(pattern)]
    found = [any(EventPattern.load(json.dumps(each)).matches_event(event) for each in theirs) for event in samples()]
    assert found == [matches(pattern, event) for event in samples()]
    assert True in found and False in found


def alternatives(pattern: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """moto knows no $or: one pattern for each of its alternatives."""
    detail = {key: each for key, each in pattern["detail"].items() if key != "$or"}
    for each in pattern["detail"].get("$or", [{}]):
        yield {**pattern, "detail": {**detail, **each}}


def test_cloudwatch_takes_the_alarms_of_the_stack(account: Clients) -> None:
    """A template's properties are the members of PutMetricAlarm; references stand for what will be there."""
    alarms = Stack(shipped(), Functions="present").of("AWS::CloudWatch::Alarm")
    cloudwatch = boto3.client("cloudwatch")
    names = []
    for properties in alarms.values():
        request = flat(properties)
        cloudwatch.put_metric_alarm(**request)
        names.append(request["AlarmName"])
    found = cloudwatch.describe_alarms(AlarmNames=names)["MetricAlarms"]
    assert sorted(each["AlarmName"] for each in found) == sorted(names)
    assert len(names) > 4


def flat(value: Any) -> Any:
    """With a text in place of each reference."""
    match value:
        case {"Ref": str(name)} | {"Fn::GetAtt": [str(name), _]}:
            return f"arn:aws:sns:us-east-1:123456789012:{name}"
        case {"Fn::Sub": str(text)}:
            return text.replace("${AWS::StackName}", "darkroom")
        case dict():
            return {key: flat(each) for key, each in value.items()}
        case list():
            return [flat(each) for each in value]
    return value


TARGET = {
    "ServiceNamespace": "sagemaker",
    "ResourceId": "endpoint/scaled/variant/AllTraffic",
    "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
}
POLICY = {
    "PolicyName": "invocations",
    "PolicyType": "TargetTrackingScaling",
    "TargetTrackingScalingPolicyConfiguration": {
        "TargetValue": 10.0,
        "PredefinedMetricSpecification": {"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"},
        "ScaleOutCooldown": 30,
        "ScaleInCooldown": 120,
    },
}


def scaled(client: Any) -> tuple[Any, ...]:
    """What is told of a target and a policy that were registered, of both once more, and when they are gone."""
    for _ in range(2):
        client.register_scalable_target(**TARGET, MinCapacity=1, MaxCapacity=3)
        client.put_scaling_policy(**TARGET, **POLICY)
    [target] = client.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"]
    [policy] = client.describe_scaling_policies(ServiceNamespace="sagemaker")["ScalingPolicies"]
    client.deregister_scalable_target(**TARGET)
    left = client.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"]
    kept = ("ResourceId", "ScalableDimension", "MinCapacity", "MaxCapacity")
    configuration = policy["TargetTrackingScalingPolicyConfiguration"]
    return {name: target[name] for name in kept}, policy["PolicyName"], configuration, left


def test_autoscaling_answers_as_the_local_service(account: Clients, server: LoopbackServer) -> None:
    arn = "arn:aws:iam::123456789012:role/endpoint"
    everywhere = (boto3.client("sagemaker"), over_http(server, "sagemaker"))
    for sagemaker in everywhere:
        sagemaker.create_model(ModelName="m", ExecutionRoleArn=arn, PrimaryContainer={"Image": "i:1"})
        variant = {"VariantName": "AllTraffic", "ModelName": "m", "InitialInstanceCount": 1}
        variants = [{**variant, "InstanceType": "ml.m5.large"}]
        sagemaker.create_endpoint_config(EndpointConfigName="c", ProductionVariants=variants)
        sagemaker.create_endpoint(EndpointName="scaled", EndpointConfigName="c")
    theirs = scaled(boto3.client("application-autoscaling"))
    assert theirs == scaled(over_http(server, "application-autoscaling"))


CONTAINER = {"Image": "123456789012.dkr.ecr.us-east-1.amazonaws.com/serve:1", "ModelDataUrl": f"s3://{BUCKET}/m.tar.gz"}


@pytest.fixture
def package(account: Clients, request: pytest.FixtureRequest) -> str:
    """ARN of one that waits, in a group of its own."""
    sagemaker, group = boto3.client("sagemaker"), f"g-{abs(hash(request.node.name))}"
    sagemaker.create_model_package_group(ModelPackageGroupName=group)
    specification = {"Containers": [CONTAINER], "SupportedContentTypes": [], "SupportedResponseMIMETypes": []}
    answer = sagemaker.create_model_package(
        ModelPackageGroupName=group,
        InferenceSpecification=specification,
        ModelApprovalStatus="PendingManualApproval",
    )
    return str(answer["ModelPackageArn"])


def test_the_champion_is_the_package_that_was_approved(package: str) -> None:
    sagemaker = boto3.client("sagemaker")
    event = {"model_package_group": package.split("/")[1], "without_champion": MARKER}
    clients = {"sagemaker": sagemaker}
    assert lambda_champion.handler(event, None, clients) == {"archive": MARKER, "model_package_arn": "none"}
    sagemaker.update_model_package(ModelPackageArn=package, ModelApprovalStatus="Approved")
    found = lambda_champion.handler(event, None, clients)
    assert found == {"archive": CONTAINER["ModelDataUrl"], "model_package_arn": package}


def test_a_deployment_makes_model_config_and_endpoint(package: str) -> None:
    sagemaker = boto3.client("sagemaker")
    event = {
        "action": "start",
        "stage": "staging",
        "model_package_arn": package,
        "endpoint_name": "moto-staging",
        "instance_type": "ml.m5.large",
        "instance_count": "1",
        "role_arn": "arn:aws:iam::123456789012:role/serving",
        "smoke_test": "false",  # this package holds no model
    }
    told = lambda_deploy.handler(event, None, {name: boto3.client(name) for name in SERVICES})
    assert told["endpoint_name"] == "moto-staging"
    config = sagemaker.describe_endpoint_config(EndpointConfigName=told["endpoint_config_name"])
    [variant] = config["ProductionVariants"]
    model = sagemaker.describe_model(ModelName=variant["ModelName"])
    assert model["PrimaryContainer"]["ModelDataUrl"] == CONTAINER["ModelDataUrl"]
    assert (
        sagemaker.describe_endpoint(EndpointName="moto-staging")["EndpointConfigName"] == told["endpoint_config_name"]
    )


def test_what_a_deployment_makes_beside_its_endpoint_is_there_and_goes_with_it(account: Clients, package: str) -> None:
    """Alarms of the new fleet and scaling, by the members that CloudWatch's and autoscaling's models take."""
    clients = {name: boto3.client(name) for name in SERVICES}
    cloudwatch, scaling = clients["cloudwatch"], clients["application-autoscaling"]
    event = {
        "action": "start",
        "stage": "staging",
        "model_package_arn": package,
        "endpoint_name": "moto-scaled",
        "instance_type": "ml.m5.large",
        "instance_count": "1",
        "smoke_test": "false",
        "role_arn": "arn:aws:iam::123456789012:role/serving",
        "scaling": "min=1 max=3 target=10",
    }
    config = lambda_deploy.handler(event, None, clients)["endpoint_config_name"]
    told = lambda_deploy.handler({"action": "advance", "endpoint_name": "moto-scaled"}, None, clients)
    assert (told["phase"], told["reason"]) == ("good", "")
    alarms = {each["AlarmName"]: each for each in cloudwatch.describe_alarms(AlarmNamePrefix=config)["MetricAlarms"]}
    assert set(alarms) == {f"{config}-errors", f"{config}-latency"}
    fleet = {"Name": "EndpointConfigName", "Value": config}
    assert all(fleet in each["Dimensions"] and each["Namespace"] == "AWS/SageMaker" for each in alarms.values())
    assert alarms[f"{config}-latency"]["ExtendedStatistic"] == "p99"
    variant = {"ServiceNamespace": "sagemaker", "ResourceIds": ["endpoint/moto-scaled/variant/AllTraffic"]}
    [target] = scaling.describe_scalable_targets(**variant)["ScalableTargets"]
    assert (target["MinCapacity"], target["MaxCapacity"]) == (1, 3)
    [policy] = scaling.describe_scaling_policies(ServiceNamespace="sagemaker", ResourceId=variant["ResourceIds"][0])[
        "ScalingPolicies"
    ]
    tracked = policy["TargetTrackingScalingPolicyConfiguration"]
    assert (tracked["TargetValue"], tracked["ScaleOutCooldown"], tracked["ScaleInCooldown"]) == (10.0, 30, 120)

    told = lambda_deploy.handler({"action": "undeploy", "endpoint_name": "moto-scaled"}, None, clients)
    assert told["phase"] == "absent"
    assert cloudwatch.describe_alarms(AlarmNamePrefix=config)["MetricAlarms"] == []
    assert scaling.describe_scalable_targets(**variant)["ScalableTargets"] == []
    sagemaker = clients["sagemaker"]
    assert not [each for each in sagemaker.list_models()["Models"] if "moto-scaled" in each["ModelName"]]
    configs = sagemaker.list_endpoint_configs()["EndpointConfigs"]
    assert not [each for each in configs if "moto-scaled" in each["EndpointConfigName"]]


def test_eventbridge_has_one_rule_for_changes_and_for_the_schedule(account: Clients) -> None:
    """With the function as its target: EventBridge takes a pattern and a schedule in one rule."""
    properties = Stack(shipped(), Functions="present").of("AWS::Events::Rule")["EndpointChange"]
    events, pattern = boto3.client("events"), json.dumps(properties["EventPattern"])
    events.put_rule(Name="both", EventPattern=pattern, ScheduleExpression=properties["ScheduleExpression"])
    targets = [
        {
            "Id": each["Id"],
            "Arn": "arn:aws:lambda:us-east-1:123456789012:function:darkroom-deploy",
            "RetryPolicy": each["RetryPolicy"],
        }
        for each in properties["Targets"]
    ]
    assert events.put_targets(Rule="both", Targets=targets)["FailedEntryCount"] == 0
    found = events.describe_rule(Name="both")
    assert (found["EventPattern"], found["ScheduleExpression"]) == (pattern, "rate(5 minutes)")
    assert events.list_targets_by_rule(Rule="both")["Targets"] == targets


def test_lambda_takes_the_function_as_the_stack_describes_it(account: Clients) -> None:
    """The zip file of the deploying function; moto runs none without Docker, so it only keeps and describes it."""
    (packed,) = [each for each in packaging.packages(about().config, ENTRYPOINTS) if each.program == packaging.DEPLOY]
    trust = {"Version": "2012-10-17", "Statement": [trusted("lambda.amazonaws.com")]}
    role = boto3.client("iam").create_role(RoleName="moto-deploy", AssumeRolePolicyDocument=json.dumps(trust))
    properties = Stack(shipped(), Functions="present").of("AWS::Lambda::Function")["DeployFunction"]
    kept = ("FunctionName", "Runtime", "Handler", "Timeout", "MemorySize", "Environment", "Architectures")
    functions = boto3.client("lambda")
    request = {name: properties[name] for name in kept}
    functions.create_function(**request, Role=role["Role"]["Arn"], Code={"ZipFile": packed.body})
    found = functions.get_function_configuration(FunctionName=request["FunctionName"])
    assert {name: found[name] for name in kept} == request
    assert found["CodeSize"] == len(packed.body)
    with pytest.raises(ServiceError) as caught:
        aws_hosting().functions.invoke(FunctionName="darkroom-elsewhere", Payload=b"{}")
    assert caught.value.code == "ResourceNotFoundException"


def trusted(service: str) -> dict[str, Any]:
    return {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}
