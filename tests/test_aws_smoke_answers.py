"""scripts/aws-smoke by answers of AWS's form: each check of an endpoint and its functions, right and otherwise."""

from __future__ import annotations

import io
import json
import runpy
import sys
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import botocore.session
import pytest
from botocore import xform_name
from botocore.exceptions import ClientError, ReadTimeoutError
from botocore.validate import ParamValidator

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "scripts/aws-smoke"
sys.path.insert(0, str(FOLDER))

from smoke import rows  # noqa: E402  (as in test_aws_smoke.py)

ARN = "arn:aws:sagemaker:us-east-1:111122223333"
PACKAGE = f"{ARN}:model-package/darkroom-digits/2"
OLD, NEW = "e-v1-0123456789", "e-v2-0123456789"
MADE = datetime(2026, 12, 1, 12, tzinfo=UTC)
HIGH = "SageMakerVariantConcurrentRequestsPerModelHighResolution"
GPU = "al2023-ami-sagemaker-inference-gpu-4-1"
Capture = pytest.CaptureFixture[str]


class Session:
    """Answers as they are given, `service.operation` → answer, error code, or one that answers by the request."""

    region_name = "us-east-1"

    def __init__(self, answers: dict[str, Any]) -> None:
        self.answers = answers

    def client(self, service: str, config: object) -> Any:
        return _Client(service, self.answers)


class _Client:
    meta = SimpleNamespace(endpoint_url="http://127.0.0.1:1")

    def __init__(self, service: str, answers: dict[str, Any]) -> None:
        self._service, self._answers = service, answers

    def __getattr__(self, method: str) -> Any:
        return lambda **request: self._answer(method, request)

    def _answer(self, method: str, request: dict[str, Any]) -> Any:
        found = self._answers[f"{self._service}.{method}"]
        found = found(request) if callable(found) else found
        if isinstance(found, ClientError):
            raise found
        problems = ParamValidator().validate(found, _operations(self._service)[method].output_shape)
        assert not problems.has_errors(), problems.generate_report()
        return found


@cache
def _operations(service: str) -> dict[str, Any]:
    model = botocore.session.get_session().get_service_model(service)
    return {xform_name(name): model.operation_model(name) for name in model.operation_names}


def refused(code: str, **more: object) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "no"}, **more}, "InvokeEndpoint")  # type: ignore[typeddict-item]  # a member of ModelError


def endpoint(
    serves: str = NEW,
    status: str = "InService",
    image: str = "111122223333.dkr.ecr.us-east-1.amazonaws.com/darkroom-serve:2.12",
    machines: tuple[str, str] = ("ml.m5.large", "ml.m5.large"),
    variant: dict[str, Any] | None = None,
    last: dict[str, Any] | None = None,
    system: str = "",
    **record: str,
) -> dict[str, Any]:
    """Of an endpoint that went from OLD to NEW; `record`: what its tags say besides."""
    tags = {"phase": "good", "asked": NEW, "good": NEW, "before": OLD, "reason": "", "stage": "production"}
    tags |= {"smoke_test": "true", "at": "2026-12-01T12:00:00Z"} | record
    described = {
        "EndpointName": "e",
        "EndpointArn": f"{ARN}:endpoint/e",
        "EndpointConfigName": serves,
        "EndpointStatus": status,
        "CreationTime": MADE,
        "LastModifiedTime": MADE,
        "ProductionVariants": [variant or {"VariantName": "AllTraffic", "DesiredInstanceCount": 2}],
        **({"LastDeploymentConfig": last} if last else {}),
    }

    def config(request: dict[str, Any]) -> dict[str, Any]:
        name = request["EndpointConfigName"]
        machine = machines[0] if name == OLD else machines[1]
        own = {"VariantName": "AllTraffic", "ModelName": "m", "InstanceType": machine, "InitialInstanceCount": 1}
        own |= {"InferenceAmiVersion": system} if system else {}
        arn = f"{ARN}:endpoint-config/{name}"
        return {"EndpointConfigName": name, "EndpointConfigArn": arn, "ProductionVariants": [own], "CreationTime": MADE}

    package = {
        "ModelPackageName": "p",
        "ModelPackageArn": PACKAGE,
        "CreationTime": MADE,
        "ModelPackageStatus": "Completed",
        "ModelPackageStatusDetails": {"ValidationStatuses": []},
        "InferenceSpecification": {"Containers": [{"Image": image}]},
    }
    model = {"ModelName": "m", "ModelArn": f"{ARN}:model/m", "CreationTime": MADE, "ExecutionRoleArn": f"{ARN}:r/role1"}
    return {
        "sagemaker.describe_endpoint": described,
        "sagemaker.list_tags": {"Tags": [{"Key": f"darkroom:{name}", "Value": value} for name, value in tags.items()]},
        "sagemaker.describe_endpoint_config": config,
        "sagemaker.describe_model": {**model, "PrimaryContainer": {"ModelPackageName": PACKAGE}},
        "sagemaker.describe_model_package": package,
    }


def deployment(routing: str = "ALL_AT_ONCE", wait: int = 300, alarms: int = 2) -> dict[str, Any]:
    traffic = {"Type": routing, "WaitIntervalInSeconds": 0}
    watched = {"Alarms": [{"AlarmName": f"a{number}"} for number in range(alarms)]}
    policy = {"TrafficRoutingConfiguration": traffic, "TerminationWaitInSeconds": wait}
    return {"BlueGreenUpdatePolicy": policy, **({"AutoRollbackConfiguration": watched} if alarms else {})}


def scaled(*counts: int, since: int = 0) -> dict[str, Any]:
    """Activities before the configuration was made, the newest first; `since`: one more after it."""
    when = {count: MADE - timedelta(hours=index + 1) for index, count in enumerate(counts)}
    times = [*([(MADE + timedelta(hours=1), since)] if since else []), *((when[count], count) for count in counts)]
    rows = [
        {
            "ActivityId": str(number),
            "ServiceNamespace": "sagemaker",
            "ResourceId": "endpoint/e/variant/AllTraffic",
            "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
            "Description": f"Setting desired instance count to {count}.",
            "Cause": "an alarm",
            "StartTime": time,
            "StatusCode": "Successful",
        }
        for number, (time, count) in enumerate(times)
    ]
    return {"application-autoscaling.describe_scaling_activities": {"ScalingActivities": rows}}


def targets(count: int) -> dict[str, Any]:
    row = {
        "ServiceNamespace": "sagemaker",
        "ResourceId": "endpoint/e/variant/AllTraffic",
        "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
        "MinCapacity": 1,
        "MaxCapacity": 3,
        "RoleARN": "arn:aws:iam::111122223333:role/aws-service-role/x",
        "CreationTime": MADE,
    }
    return {"application-autoscaling.describe_scalable_targets": {"ScalableTargets": [row] * count}}


def policy(metric: str, period: int) -> dict[str, Any]:
    row = {
        "PolicyARN": "arn:p",
        "PolicyName": "darkroom",
        "ServiceNamespace": "sagemaker",
        "ResourceId": "endpoint/e/variant/AllTraffic",
        "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
        "PolicyType": "TargetTrackingScaling",
        "TargetTrackingScalingPolicyConfiguration": {
            "TargetValue": 2.0,
            "PredefinedMetricSpecification": {"PredefinedMetricType": metric},
        },
        "Alarms": [{"AlarmName": "high", "AlarmARN": "arn:h"}],
        "CreationTime": MADE,
    }
    return {
        "application-autoscaling.describe_scaling_policies": {"ScalingPolicies": [row]},
        "cloudwatch.describe_alarms": {"MetricAlarms": [{"AlarmName": "high", "Period": period}]},
    }


def updated(*statuses: str) -> dict[str, Any]:
    """An endpoint while a fleet comes whose variant has had these statuses."""
    told = [{"Status": status, "StatusMessage": f"{status} 1 instance", "StartTime": MADE} for status in statuses]
    coming = {"VariantName": "AllTraffic", "VariantStatus": told}
    found = endpoint(status="Updating")
    found["sagemaker.describe_endpoint"]["PendingDeploymentSummary"] = {
        "EndpointConfigName": NEW,
        "ProductionVariants": [coming],
    }
    return found


def transformed(status: str, *answers: str, reason: str = "", machine: str = "ml.m5.large") -> dict[str, Any]:
    """One job with these objects in its output, and a stream of its log."""
    name = "darkroom-digits-transform-0"
    about = {"TransformJobName": name, "TransformJobArn": f"{ARN}:transform-job/{name}", "CreationTime": MADE}
    data = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://b/in/"}}
    described = {
        **about,
        "TransformJobStatus": status,
        "ModelName": "m",
        "TransformInput": {"DataSource": data},
        "TransformOutput": {"S3OutputPath": "s3://b/out/"},
        "TransformResources": {"InstanceType": machine, "InstanceCount": 1},
        **({"FailureReason": reason} if reason else {}),
    }
    return {
        "sagemaker.list_transform_jobs": {"TransformJobSummaries": [{**about, "TransformJobStatus": status}]},
        "sagemaker.describe_transform_job": described,
        "s3.list_objects_v2": {"Contents": [{"Key": key} for key in answers]},
        "logs.describe_log_streams": {"logStreams": [{"logStreamName": f"{name}/i-0"}]},
    }


def built_by(status: str) -> dict[str, Any]:
    phase = {"phaseType": "BUILD", "contexts": [{"message": "exit status 125"}] if status == "FAILED" else []}
    build = {"id": "darkroom-serve:1", "buildStatus": status, "phases": [phase]}
    return {
        "codebuild.list_builds_for_project": {"ids": ["darkroom-serve:1"]},
        "codebuild.batch_get_builds": {"builds": [build]},
    }


def called(said: dict[str, str], **more: str) -> dict[str, Any]:
    answer = {"StatusCode": 200, "Payload": io.BytesIO(json.dumps(said).encode()), **more}
    return {"lambda.invoke": lambda request: answer}


def unheard(request: dict[str, Any]) -> Any:
    raise ReadTimeoutError(endpoint_url="https://lambda")


def tagged(*, late: bool) -> dict[str, Any]:
    """Tags as they were written, or as they were before."""
    kept: list[Any] = [[]]

    def written(request: dict[str, Any]) -> dict[str, Any]:
        kept.append(request["Tags"])
        return {"Tags": request["Tags"]}

    def read(request: dict[str, Any]) -> dict[str, Any]:
        return {"Tags": kept[-2 if late else -1]}

    answers = {"sagemaker.add_tags": written, "sagemaker.list_tags": read, "sagemaker.delete_tags": {}}
    return endpoint() | answers


def metrics(*names: str) -> dict[str, Any]:
    dimensions = [{"Name": name, "Value": "v"} for name in names]
    return {"cloudwatch.list_metrics": {"Metrics": [{"Dimensions": dimensions}] if names else []}}


def counted(**values: list[float]) -> dict[str, Any]:
    """Datapoints by the metric's name; a stack whose resources are called like their logical names."""

    def points(request: dict[str, Any]) -> dict[str, Any]:
        [statistic] = request["Statistics"]
        return {"Datapoints": [{statistic: value} for value in values.get(request["MetricName"], [])]}

    def resource(request: dict[str, Any]) -> dict[str, Any]:
        name = request["LogicalResourceId"]
        about = {"LogicalResourceId": name, "PhysicalResourceId": name, "ResourceType": "t", "ResourceStatus": "s"}
        return {"StackResourceDetail": {**about, "LastUpdatedTimestamp": MADE - timedelta(days=600)}}

    return {"cloudwatch.get_metric_statistics": points, "cloudformation.describe_stack_resource": resource}


def trail(*errors: str) -> dict[str, Any]:
    def event(error: str) -> dict[str, Any]:
        issuer = {"sessionContext": {"sessionIssuer": {"userName": "DeployFunctionRole"}}}
        more = {"errorCode": error, "errorMessage": "no"} if error else {}
        return {"eventSource": "monitoring", "eventName": "PutMetricAlarm", "userIdentity": issuer, **more}

    events = [{"CloudTrailEvent": json.dumps(event(error))} for error in errors]
    return {"cloudtrail.lookup_events": {"Events": events}, **counted()}


def warm(status: str, there: int) -> dict[str, Any]:
    found = {"Status": status, "RequestedProvisionedConcurrentExecutions": 2}
    answer = {**found, "AvailableProvisionedConcurrentExecutions": there}
    return {"lambda.get_provisioned_concurrency_config": answer}


def answering(kind: str, text: str) -> dict[str, Any]:
    def answer(request: dict[str, Any]) -> Any:
        return {"Body": io.BytesIO(text.encode()), "ContentType": kind}

    return {"sagemaker-runtime.invoke_endpoint": answer}


def busy(code: str, status: int) -> dict[str, Any]:
    """Every other request is refused."""
    asked: list[object] = []

    def answer(request: dict[str, Any]) -> Any:
        asked.append(request)
        return {"Body": io.BytesIO(b"{}")} if len(asked) % 2 else refused(code, OriginalStatusCode=status)

    return {"sagemaker-runtime.invoke_endpoint": answer}


def built(*digests: str) -> dict[str, Any]:
    rows = [{"imageDigest": digest, "imageSizeInBytes": 1} for digest in digests]
    return {"ecr.describe_images": {"imageDetails": rows} if rows else refused("ImageNotFoundException")}


def asynchronous(code: str) -> dict[str, Any]:
    """An endpoint that refuses to be asked at once by this code."""
    found = endpoint()
    config = {"OutputConfig": {"S3OutputPath": "s3://b/o/"}}
    return found | {
        "sagemaker.describe_endpoint": found["sagemaker.describe_endpoint"] | {"AsyncInferenceConfig": config},
        "sagemaker-runtime.invoke_endpoint": refused(code),
        "sagemaker-runtime.invoke_endpoint_async": {"InferenceId": "1", "OutputLocation": "s3://b/o/1.out"},
    }


RAY = "763104351884.dkr.ecr.us-east-1.amazonaws.com/ray:serve-ml-sagemaker-cpu"
JSON = answering("application/json", '{"predictions": [{"class": "1", "probability": 0.9}]}')
NOT_SAID = "the smoke test failed: golden picture 0.png: 1 at 0.8 where the evaluation had 0.9"
ROLLED = "SageMaker rolled back to e-v1-0123456789: alarm e-v2-errors"
SERVERLESS = {"VariantName": "AllTraffic", "CurrentServerlessConfig": {"MemorySizeInMB": 2048, "MaxConcurrency": 5}}
ABSENT = {"sagemaker.describe_endpoint": refused("ValidationException")}
RULES = {"Invocations": [3.0]}
# name → answers by which it is confirmed, refuted (None: nothing that could be looked at does), not to be told
ANSWERS: dict[str, tuple[dict[str, Any], dict[str, Any] | None, dict[str, Any]]] = {
    "golden-pictures": (
        endpoint(),
        endpoint(phase="failed", reason=NOT_SAID),
        endpoint(phase="failed", reason=ROLLED),
    ),
    "guarded-update": (
        endpoint(last=deployment()),
        endpoint(phase="asking", last=deployment()),
        endpoint(last=deployment("CANARY")),
    ),
    "kept-count": (
        endpoint() | scaled(2, 1),
        endpoint(variant={"VariantName": "AllTraffic", "DesiredInstanceCount": 1}) | scaled(2, 1),
        endpoint() | scaled(2, 1, since=3),
    ),
    "machine-change": (
        endpoint(machines=("ml.m5.large", "ml.m5.xlarge")) | targets(1),
        endpoint(machines=("ml.m5.large", "ml.m5.xlarge"), phase="asking", good=OLD, before="") | targets(0),
        endpoint() | targets(1),
    ),
    "silent-rollback": (
        endpoint(serves=OLD, phase="failed", reason=ROLLED, good=OLD),
        endpoint(serves=OLD, phase="good"),
        endpoint(),
    ),
    "alarm-dimensions": (
        endpoint() | metrics("EndpointName", "VariantName", "EndpointConfigName"),
        endpoint() | metrics("EndpointName", "VariantName"),
        endpoint() | metrics(),
    ),
    "concurrency-alarm": (
        endpoint() | policy(HIGH, 10),
        endpoint() | policy(HIGH, 60),
        endpoint() | policy("SageMakerVariantInvocationsPerInstance", 60),
    ),
    "scaled-to-nothing": (endpoint() | scaled(1, 0), None, endpoint() | scaled(0, 1)),
    "serverless-update": (
        endpoint(variant=SERVERLESS),
        endpoint(variant=SERVERLESS, phase="failed", reason="no"),
        endpoint(variant=SERVERLESS, before=""),
    ),
    "plain-user": (endpoint(), endpoint(status="Failed"), endpoint(image=RAY)),
    "ray-image": (endpoint(image=RAY) | JSON, endpoint(image=RAY, status="Failed"), endpoint() | JSON),
    "asynchronous-calls": (asynchronous("ValidationError"), asynchronous("ModelError"), endpoint()),
    "gpu-system": (endpoint(system=GPU), endpoint(system=GPU, status="Failed"), endpoint()),
    "accept-header": (endpoint() | answering("text/csv", "1,0.9,false"), endpoint() | JSON, ABSENT),
    "busy-status": (endpoint() | busy("ModelError", 503), endpoint() | busy("ModelError", 500), endpoint() | JSON),
    "image-builds": (built("sha256:1"), None, built()),
    "schedule": (
        counted(Invocations=[1.0] * 12),
        counted(Invocations=[1.0] * 4),
        {
            "cloudformation.describe_stack_resource": {
                "StackResourceDetail": {
                    "LogicalResourceId": "EndpointChange",
                    "ResourceType": "t",
                    "ResourceStatus": "s",
                    "LastUpdatedTimestamp": datetime.now(UTC),
                }
            }
        },
    ),
    "function-time": (counted(Duration=[12_000.0]), counted(Duration=[480_000.0]), counted()),
    "approval-input": (
        endpoint() | counted(**RULES),
        endpoint() | counted(**RULES, FailedInvocations=[3.0]),
        endpoint() | counted(),
    ),
    "undelivered": (
        counted(Errors=[1.0], NumberOfMessagesSent=[1.0]),
        counted(Errors=[1.0], DestinationDeliveryFailures=[1.0]),
        counted(Errors=[0.0]),
    ),
    "fleet-messages": (updated("Launching", "Baking"), updated(), endpoint()),
    "tags-at-once": (tagged(late=False), tagged(late=True), ABSENT),
    "function-answers": (
        called({"phase": "absent"}),
        {"lambda.invoke": unheard},
        called({"errorMessage": "no"}, FunctionError="Unhandled"),
    ),
    "image-project": (built_by("SUCCEEDED"), built_by("FAILED"), built_by("IN_PROGRESS")),
    "transform-rights": (
        transformed("Completed", "out/a.png.out"),
        transformed("Failed", reason="AccessDenied: s3:PutObject"),
        transformed("Failed", "out/a.png.out", reason="a.txt is no picture"),
    ),
    "transform-system": (
        transformed("Completed", machine="ml.g5.xlarge"),
        transformed("Failed", machine="ml.g5.xlarge", reason="no CUDA driver"),
        transformed("Completed"),
    ),
    "refused-object": (
        transformed("Failed", "out/a.png.out", reason="a.txt is no picture"),
        transformed("Failed", reason="a.txt is no picture"),
        transformed("Completed", "out/a.png.out"),
    ),
    "warm-invoke": (warm("READY", 2), warm("FAILED", 0), warm("IN_PROGRESS", 1)),
    "deploy-denials": (trail("", ""), trail("", "AccessDenied"), trail()),
}
CODES = (0, 1, 3)
MAIN = runpy.run_path(str(FOLDER / "__main__.py"))["main"]


@pytest.mark.parametrize(("name", "way"), [(name, way) for name in ANSWERS for way in range(3) if ANSWERS[name][way]])
def test_each_verdict_follows_from_what_aws_answers(name: str, way: int, capsys: Capture) -> None:
    answers = ANSWERS[name][way]
    assert answers is not None
    identity = {"sts.get_caller_identity": {"Account": "111122223333"}}
    code = MAIN([name], Session(answers | identity))
    last = capsys.readouterr().out.splitlines()[-1]
    assert code == CODES[way], last
    if way == 1:
        assert last == f"REFUTED: {rows.by_name()[name].otherwise}"
