"""SageMaker's hosting as its documentation has it, in memory and on a clock that tests move: for the deployment.

Requests are checked against botocore's models. Nothing is quicker than there: a fleet takes five minutes to start, and
a deployment of several instances about twenty-five. Traffic, alarms and answers are the test's to say.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from typing import Any

from botocore.exceptions import ClientError, ReadTimeoutError
from botocore.loaders import Loader
from botocore.model import ServiceModel
from botocore.validate import ParamValidator

PLACE = "eu-central-1:111122223333"
FLEET_S, ROLLBACK_S = 300, 120  # how long instances start, and how long the way back takes
BUSY = ("Creating", "Updating", "RollingBack", "Deleting")


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2026, 12, 1, 8, tzinfo=UTC).timestamp()

    def time(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class Killed(BaseException):
    """The process ended behind the call: by the function's time limit, or for its memory."""


class Client:
    """boto3's client of one service: its requests are checked, counted, and may fail before or after they are done."""

    def __init__(self, hosting: Hosting, service: str) -> None:
        self.hosting, self.service = hosting, service

    def __getattr__(self, method: str) -> Callable[..., Any]:
        operation = _operations(self.service)[method]
        work = getattr(self.hosting, method)

        def call(**request: Any) -> Any:
            hosting = self.hosting
            if hosting.checks:
                _check(self.service, operation, request)
            hosting.settle()
            hosting.calls.append(operation)
            fault = hosting.faults(len(hosting.calls), operation)
            if fault == "lost":
                raise refused("ThrottlingException", "Rate exceeded", operation)
            if fault == "silent":
                raise ReadTimeoutError(endpoint_url="https://aws")
            answer = work(**request)
            if fault == "unheard":
                raise refused("InternalFailure", "nobody heard the answer", operation)
            if fault == "killed":
                raise Killed
            return answer

        return call


class Hosting:
    """`said`: archive → picture → (class, probability), or a text: the error that the model answers with."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.checks = True
        self.calls: list[str] = []
        self.faults: Callable[[int, str], str] = lambda number, operation: ""
        self.packages: dict[str, dict[str, Any]] = {}
        self.models: dict[str, dict[str, Any]] = {}
        self.configs: dict[str, dict[str, Any]] = {}
        self.endpoints: dict[str, dict[str, Any]] = {}
        self.tags: dict[str, dict[str, str]] = {}
        self.alarms: dict[str, dict[str, Any]] = {}
        self.targets: dict[str, dict[str, Any]] = {}
        self.policies: dict[str, dict[str, Any]] = {}
        self.objects: dict[str, bytes] = {}
        self.said: dict[str, Any] = {}
        self.plans: dict[str, list[tuple[float, str, dict[str, Any]]]] = {}
        self.events: list[dict[str, Any]] = []

    def clients(self) -> dict[str, Any]:
        services = ("sagemaker", "sagemaker-runtime", "s3", "cloudwatch", "application-autoscaling")
        return {**{service: Client(self, service) for service in services}, "clock": self.clock}

    # what a test does

    def register(self, version: int, status: str = "Approved", **more: Any) -> str:
        """A package whose golden pictures are those of its archive's answers."""
        arn, archive = _arn(f"model-package/digits/{version}"), f"s3://bucket/runs/{version}/model.tar.gz"
        evaluation = f"s3://bucket/runs/{version}/evaluation/evaluation.json"
        container = {"Image": "111122223333.dkr.ecr.eu-central-1.amazonaws.com/darkroom-serve:1"}
        self.packages[arn] = {
            "ModelPackageArn": arn,
            "ModelPackageVersion": version,
            "ModelApprovalStatus": status,
            "ModelMetrics": {"ModelQuality": {"Statistics": {"S3Uri": evaluation}}},
            "InferenceSpecification": {"Containers": [{**container, "ModelDataUrl": archive}]},
            **more,
        }
        self.said[archive] = {"zero": ("0", 0.91), "one": ("1", 0.87)}
        pictures = [
            {"name": name, "content_type": "image/png", "body": _base64(name), "class": top, "probability": chance}
            for name, (top, chance) in self.said[archive].items()
        ]
        self.objects[evaluation.replace("evaluation.json", "golden.json")] = json.dumps({"pictures": pictures}).encode()
        return arn

    def alarm(self, name: str, reason: str = "Threshold Crossed") -> None:
        self.alarms[name] |= {"StateValue": "ALARM", "StateReason": reason}
        self.settle()

    def settle(self) -> None:
        """Lets everything happen whose time has come."""
        for name, plan in list(self.plans.items()):
            self._watch(name)
            while plan and plan[0][0] <= self.clock.now:
                moment, status, changes = plan.pop(0)
                self._become(name, status, changes, moment)
            if not plan:
                self.plans.pop(name, None)

    def _watch(self, name: str) -> None:
        """An alarm of the deployment: the rest of the plan is the way back."""
        live = self.endpoints.get(name)
        if live is None or live["EndpointStatus"] != "Updating":
            return
        watched = live["deploying"].get("AutoRollbackConfiguration", {}).get("Alarms", [])
        raised = [each["AlarmName"] for each in watched if self.alarms[each["AlarmName"]]["StateValue"] == "ALARM"]
        ends = self.plans[name][-1][0]
        if raised and self.clock.now < ends:
            self._become(name, "RollingBack", {}, self.clock.now)
            self.plans[name][:] = [(self.clock.now + ROLLBACK_S, "InService", {"pending": None})]

    def _become(self, name: str, status: str, changes: dict[str, Any], moment: float) -> None:
        live = self.endpoints[name]
        if status == "Deleted":
            del self.endpoints[name]
            self.tags.pop(live["EndpointArn"], None)
            return
        live |= {"EndpointStatus": status, "LastModifiedTime": _time(moment), **changes}
        detail = {"EndpointName": name, "EndpointStatus": status}
        self.events.append(
            {"source": "aws.sagemaker", "detail-type": "SageMaker Endpoint State Change"} | {"detail": detail}
        )

    # sagemaker

    def describe_model_package(self, ModelPackageName: str) -> dict[str, Any]:
        return self._of(self.packages, ModelPackageName, "DescribeModelPackage")

    def create_model(self, ModelName: str, Tags: list[dict[str, str]], **request: Any) -> dict[str, Any]:
        package = request["PrimaryContainer"].get("ModelPackageName")
        if package and self.packages[package]["ModelApprovalStatus"] != "Approved":
            raise refused("ValidationException", "the package is not approved", "CreateModel")
        return self._add(self.models, "model", ModelName, {"ModelName": ModelName, **request}, Tags)

    def describe_model(self, ModelName: str) -> dict[str, Any]:
        return self._of(self.models, ModelName, "DescribeModel")

    def delete_model(self, ModelName: str) -> dict[str, Any]:
        self._remove(self.models, ModelName, "DeleteModel")
        return {}

    def list_models(self, NameContains: str, MaxResults: int) -> dict[str, Any]:
        return {"Models": _listed(self.models, "Model", NameContains)}

    def create_endpoint_config(
        self, EndpointConfigName: str, Tags: list[dict[str, str]], **request: Any
    ) -> dict[str, Any]:
        for variant in request["ProductionVariants"]:
            self._of(self.models, variant["ModelName"], "CreateEndpointConfig")
        body = {"EndpointConfigName": EndpointConfigName, **request}
        return self._add(self.configs, "endpoint-config", EndpointConfigName, body, Tags)

    def describe_endpoint_config(self, EndpointConfigName: str) -> dict[str, Any]:
        return self._of(self.configs, EndpointConfigName, "DescribeEndpointConfig")

    def delete_endpoint_config(self, EndpointConfigName: str) -> dict[str, Any]:
        for live in self.endpoints.values():
            used = EndpointConfigName in (live["EndpointConfigName"], (live["pending"] or {}).get("EndpointConfigName"))
            if used and live["EndpointStatus"] != "Deleting":
                raise refused("ValidationException", "a live endpoint uses it", "DeleteEndpointConfig")
        self._remove(self.configs, EndpointConfigName, "DeleteEndpointConfig")
        return {}

    def list_endpoint_configs(self, NameContains: str, MaxResults: int) -> dict[str, Any]:
        return {"EndpointConfigs": _listed(self.configs, "EndpointConfig", NameContains)}

    def create_endpoint(self, EndpointName: str, EndpointConfigName: str, Tags: list[dict[str, str]]) -> dict[str, Any]:
        self._of(self.configs, EndpointConfigName, "CreateEndpoint")
        body = {"EndpointName": EndpointName, "EndpointConfigName": EndpointConfigName, "pending": None}
        body |= {"EndpointStatus": "Creating", "LastModifiedTime": _time(self.clock.now), "deploying": {}}
        answer = self._add(self.endpoints, "endpoint", EndpointName, body, Tags)
        self.endpoints[EndpointName]["count"] = self._variant(EndpointConfigName).get("InitialInstanceCount", 0)
        self.plans[EndpointName] = [(self.clock.now + FLEET_S, "InService", {})]
        return answer

    def update_endpoint(self, EndpointName: str, EndpointConfigName: str, **request: Any) -> dict[str, Any]:
        live = self._of(self.endpoints, EndpointName, "UpdateEndpoint")
        self._check_update(live, EndpointConfigName, request)
        before, after = self._variant(live["EndpointConfigName"]), self._variant(EndpointConfigName)
        retained = request.get("RetainAllVariantProperties", False)
        count = live["count"] if retained else after.get("InitialInstanceCount", 0)
        deployment = request.get("DeploymentConfig", {})
        pending = {"EndpointConfigName": EndpointConfigName, "StartTime": _time(self.clock.now)}
        self._become(EndpointName, "Updating", {"pending": pending, "deploying": deployment}, self.clock.now)
        policy = deployment.get("BlueGreenUpdatePolicy", {})
        routing = policy.get("TrafficRoutingConfiguration", {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": 0})
        if routing["Type"] == "CANARY" and routing["CanarySize"]["Value"] * 2 > count:
            raise refused("ValidationException", "the canary is more than half of the fleet", "UpdateEndpoint")
        seconds = FLEET_S * (2 if routing["Type"] == "CANARY" else 1) + policy.get("TerminationWaitInSeconds", 0)
        seconds += routing["WaitIntervalInSeconds"]
        done = {"EndpointConfigName": EndpointConfigName, "pending": None, "count": count}
        self.plans[EndpointName] = [(self.clock.now + seconds, "InService", done)]
        assert before["VariantName"] == after["VariantName"], "blue/green needs the same variant's name"
        return {"EndpointArn": live["EndpointArn"]}

    def _check_update(self, live: dict[str, Any], config: str, request: dict[str, Any]) -> None:
        if live["EndpointStatus"] in BUSY:
            raise refused("ValidationException", "Cannot update in-progress endpoint", "UpdateEndpoint")
        before, after = self._variant(live["EndpointConfigName"]), self._variant(config)
        resource = f"endpoint/{live['EndpointName']}/variant/{after['VariantName']}"
        if resource in self.targets and before.get("InstanceType") != after.get("InstanceType"):
            raise refused("ValidationException", "the variant has a scaling policy: deregister it", "UpdateEndpoint")
        if ("ServerlessConfig" in before) != ("ServerlessConfig" in after):
            raise refused("ValidationException", "cannot convert the endpoint", "UpdateEndpoint")
        if "ServerlessConfig" in after and "DeploymentConfig" in request:
            raise refused("ValidationException", "no guardrails for serverless endpoints", "UpdateEndpoint")
        for each in request.get("DeploymentConfig", {}).get("AutoRollbackConfiguration", {}).get("Alarms", []):
            if each["AlarmName"] not in self.alarms:
                raise refused("ValidationException", f"no alarm {each['AlarmName']}", "UpdateEndpoint")

    def describe_endpoint(self, EndpointName: str) -> dict[str, Any]:
        live = self._of(self.endpoints, EndpointName, "DescribeEndpoint")
        shown = {key: value for key, value in live.items() if key not in ("pending", "deploying", "count")}
        if live["EndpointStatus"] == "Creating":
            return shown
        variant = {"VariantName": self._variant_name(live["EndpointConfigName"]), "CurrentInstanceCount": live["count"]}
        shown["ProductionVariants"] = [variant]
        return shown | ({"PendingDeploymentSummary": live["pending"]} if live["pending"] else {})

    def delete_endpoint(self, EndpointName: str) -> dict[str, Any]:
        live = self._of(self.endpoints, EndpointName, "DeleteEndpoint")
        if live["EndpointStatus"] in BUSY:
            raise refused("ValidationException", "Cannot delete in-progress endpoint", "DeleteEndpoint")
        self._become(EndpointName, "Deleting", {}, self.clock.now)
        self.plans[EndpointName] = [(self.clock.now + 60, "Deleted", {})]
        return {}

    def list_tags(self, ResourceArn: str) -> dict[str, Any]:
        return {"Tags": [{"Key": key, "Value": value} for key, value in self.tags.get(ResourceArn, {}).items()]}

    def add_tags(self, ResourceArn: str, Tags: list[dict[str, str]]) -> dict[str, Any]:
        self.tags.setdefault(ResourceArn, {}).update({tag["Key"]: tag["Value"] for tag in Tags})
        return {"Tags": Tags}

    # the other services

    def invoke_endpoint(self, EndpointName: str, Body: bytes, **_: Any) -> dict[str, Any]:
        live = self._of(self.endpoints, EndpointName, "InvokeEndpoint")
        container = self.models[self._variant(live["EndpointConfigName"])["ModelName"]]["PrimaryContainer"]
        if "ModelPackageName" in container:
            container = self.packages[container["ModelPackageName"]]["InferenceSpecification"]["Containers"][0]
        said = self.said[container["ModelDataUrl"]]
        if isinstance(said, str):
            raise refused("ModelError", said, "InvokeEndpoint")
        top, chance = said[Body.decode()]
        return {"Body": io.BytesIO(json.dumps({"predictions": [{"class": top, "probability": chance}]}).encode())}

    def get_object(self, Bucket: str, Key: str) -> dict[str, Any]:
        address = f"s3://{Bucket}/{Key}"
        if address not in self.objects:
            raise refused("NoSuchKey", "The specified key does not exist.", "GetObject")
        return {"Body": io.BytesIO(self.objects[address])}

    def put_metric_alarm(self, AlarmName: str, **request: Any) -> dict[str, Any]:
        state = {"StateValue": "INSUFFICIENT_DATA", "StateReason": "Unchecked: Initial alarm creation"}
        known = self.alarms.get(AlarmName, state)
        kept = {key: known[key] for key in ("StateValue", "StateReason")}
        self.alarms[AlarmName] = {"AlarmName": AlarmName, **kept, **request}
        return {}

    def describe_alarms(self, AlarmNames: list[str]) -> dict[str, Any]:
        return {"MetricAlarms": [self.alarms[name] for name in AlarmNames if name in self.alarms]}

    def delete_alarms(self, AlarmNames: list[str]) -> dict[str, Any]:
        for name in AlarmNames:
            self._of(self.alarms, name, "DeleteAlarms")
        for name in AlarmNames:
            del self.alarms[name]
        return {}

    def register_scalable_target(self, ResourceId: str, **request: Any) -> dict[str, Any]:
        name = ResourceId.split("/")[1]
        if name not in self.endpoints or self.endpoints[name]["EndpointStatus"] != "InService":
            raise refused("ValidationException", "no such variant in service", "RegisterScalableTarget")
        self.targets[ResourceId] = request
        return {}

    def deregister_scalable_target(self, ResourceId: str, **_: Any) -> dict[str, Any]:
        if ResourceId not in self.targets:
            raise refused("ObjectNotFoundException", "No scalable target registered", "DeregisterScalableTarget")
        del self.targets[ResourceId]
        self.policies.pop(ResourceId, None)
        return {}

    def put_scaling_policy(self, ResourceId: str, **request: Any) -> dict[str, Any]:
        self._of(self.targets, ResourceId, "PutScalingPolicy", "ObjectNotFoundException")
        self.policies[ResourceId] = request
        return {}

    # what these share

    def _variant(self, config: str) -> dict[str, Any]:
        return dict(self._of(self.configs, config, "DescribeEndpointConfig")["ProductionVariants"][0])

    def _variant_name(self, config: str) -> str:
        return str(self._variant(config)["VariantName"]) if config in self.configs else ""

    def _of(
        self, kind: dict[str, dict[str, Any]], name: str, operation: str, code: str = "ValidationException"
    ) -> dict[str, Any]:
        if name not in kind:
            raise refused(code, f"Could not find {name}", operation)
        return kind[name]

    def _add(
        self, kind: dict[str, dict[str, Any]], word: str, name: str, body: dict[str, Any], tags: list[dict[str, str]]
    ) -> dict[str, Any]:
        operation = "Create" + word.title().replace("-", "")
        if name in kind:
            raise refused("ValidationException", f"Cannot create already existing {word} {name}", operation)
        member = f"{operation.removeprefix('Create')}Arn"
        kind[name] = {**body, member: _arn(f"{word}/{name}"), "CreationTime": _time(self.clock.now)}
        self.add_tags(kind[name][member], tags)
        return {member: kind[name][member]}

    def _remove(self, kind: dict[str, dict[str, Any]], name: str, operation: str) -> None:
        body = self._of(kind, name, operation)
        del kind[name]
        for member in ("ModelArn", "EndpointConfigArn"):
            self.tags.pop(body.get(member, ""), None)


def refused(code: str, message: str, operation: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, operation)


def _listed(kind: dict[str, dict[str, Any]], word: str, contained: str) -> list[dict[str, Any]]:
    members = (f"{word}Name", f"{word}Arn", "CreationTime")
    return [{member: each[member] for member in members} for name, each in kind.items() if contained in name]


def _arn(rest: str) -> str:
    return f"arn:aws:sagemaker:{PLACE}:{rest}"


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _base64(name: str) -> str:
    import base64

    return base64.b64encode(name.encode()).decode()


@cache
def _model(service: str) -> ServiceModel:
    return ServiceModel(Loader().load_service_model(service, "service-2"))


@cache
def _operations(service: str) -> dict[str, str]:
    from botocore import xform_name

    return {xform_name(operation): operation for operation in _model(service).operation_names}


def _check(service: str, operation: str, request: dict[str, Any]) -> None:
    """Members and their types, and the lengths and patterns of tags, as the service takes them."""
    report = ParamValidator().validate(request, _model(service).operation_model(operation).input_shape)
    assert not report.has_errors(), f"{operation}: {report.generate_report()}"
    for tag in request.get("Tags", []) if service == "sagemaker" else []:
        assert len(tag["Value"]) <= 256 and all(c.isalnum() or c in " _.:/=+-@" for c in tag["Value"]), tag
