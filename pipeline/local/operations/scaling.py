"""Application Auto Scaling: scalable targets and policies, by which the supervisors of endpoints scale variants."""

from __future__ import annotations

from pipeline.errors import ServiceError
from pipeline.local import alarm_states, autoscaling, names
from pipeline.local.autoscaling import ACTIVITY
from pipeline.local.autoscaling import POLICY as _POLICY
from pipeline.local.autoscaling import TARGET as _TARGET
from pipeline.local.operations.alarms import Alarms
from pipeline.local.operations.answers import Operations, answer, page, pick, save_tags

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from pipeline.local.store import Record

_KEY = ("ServiceNamespace", "ResourceId", "ScalableDimension")
_SERVED = (
    "sagemaker",
    "lambda",
)  # what the handlers scale: variants of endpoints, functions' concurrency
_CONFIGURATION = {
    "StepScaling": "StepScalingPolicyConfiguration",
    "TargetTrackingScaling": "TargetTrackingScalingPolicyConfiguration",
    "PredictiveScaling": "PredictiveScalingPolicyConfiguration",
}
_SUSPENDED = ("DynamicScalingInSuspended", "DynamicScalingOutSuspended", "ScheduledScalingSuspended")
_LARGEST_PAGE = 50
_ROLES = "role/aws-service-role/{0}.application-autoscaling.amazonaws.com/AWSServiceRoleForApplicationAutoScaling_{1}"
_ROLE_ENDS = {"sagemaker": "SageMakerEndpoint", "lambda": "LambdaConcurrency"}


class Scaling(Operations):
    """boto3's `application-autoscaling` client."""

    def register_scalable_target(self, **request: Any) -> dict[str, Any]:
        """Registered again, it is changed: members that are left out stay as they were."""
        operation = "RegisterScalableTarget"
        self._check_resource(operation, request)
        with self.store.transaction():
            found = self.store.find(_TARGET, _name(request))
            before = found[0].body if found else {}
            after = {**before, **pick(request, *_KEY, "MinCapacity", "MaxCapacity", "RoleARN")}
            suspended = {**dict.fromkeys(_SUSPENDED, False), **before.get("SuspendedState", {})}
            after["SuspendedState"] = suspended | request.get("SuspendedState", {})
            _check_capacity(operation, after)
            after.setdefault("RoleARN", _service_role(request["ServiceNamespace"]))
            arn = found[0].arn if found else _arn(f"scalable-target/{names.random_id(28)}")
            self.store.put(_TARGET, _name(request), after, arn=arn)
            save_tags(self.store, arn, [{"Key": k, "Value": v} for k, v in request.get("Tags", {}).items()])
        return {"ScalableTargetARN": arn}

    def describe_scalable_targets(self, **request: Any) -> dict[str, Any]:
        operation = "DescribeScalableTargets"
        wanted = request.get("ResourceIds")
        if "ScalableDimension" in request and not wanted:
            message = "If you specify a scalable dimension, you must also specify a resource ID."
            raise ServiceError("ValidationException", message, operation)
        records = [
            record
            for record in self.store.list(_TARGET)
            if _matches(record, request, "ServiceNamespace", "ScalableDimension")
            and (not wanted or record.body["ResourceId"] in wanted)
        ]
        shown, more = _page(operation, records, request)
        described = [
            {"CreationTime": record.created, **record.body, "ScalableTargetARN": record.arn} for record in shown
        ]
        return {"ScalableTargets": [answer(target) for target in described], **more}

    def deregister_scalable_target(self, **request: Any) -> dict[str, Any]:
        """With its policies, as on AWS."""
        with self.store.transaction():
            target = self._target("DeregisterScalableTarget", request)
            for policy in self.store.list(_POLICY, f"{target.name} "):
                self._forget_alarms(policy.body)
                self.store.remove(_POLICY, policy.name)
            self.store.remove(_TARGET, target.name)
        return {}

    def put_scaling_policy(self, **request: Any) -> dict[str, Any]:
        operation = "PutScalingPolicy"
        kind = request.get("PolicyType", "StepScaling")
        with self.store.transaction():
            target = self._target(operation, request)
            name = f"{target.name} {request['PolicyName']}"
            found = self.store.find(_POLICY, name)
            _check_policy(operation, request, kind, found)
            body = {**pick(request, *_KEY, "PolicyName", *_CONFIGURATION.values()), "PolicyType": kind}
            if found and _CONFIGURATION[kind] not in body:
                body |= pick(found[0].body, _CONFIGURATION[kind])
            where = f"resource/{request['ServiceNamespace']}/{request['ResourceId']}"
            arn = found[0].arn if found else f"{_policy_arn()}:{where}:policyName/{request['PolicyName']}"
            if found:
                self._forget_alarms(found[0].body)
            alarms = self._alarms(body, arn)
            self.store.put(_POLICY, name, {**body, "Alarms": alarms}, arn=arn)
        return {"PolicyARN": arn, "Alarms": alarms}

    def describe_scaling_policies(self, **request: Any) -> dict[str, Any]:
        operation = "DescribeScalingPolicies"
        wanted = request.get("PolicyNames")
        records = [
            record
            for record in self.store.list(_POLICY)
            if _matches(record, request, *_KEY) and (not wanted or record.body["PolicyName"] in wanted)
        ]
        shown, more = _page(operation, records, request)
        described = [answer({"CreationTime": r.created, **r.body, "PolicyARN": r.arn}) for r in shown]
        return {"ScalingPolicies": described, **more}

    def delete_scaling_policy(self, **request: Any) -> dict[str, Any]:
        name = f"{_name(request)} {request['PolicyName']}"
        with self.store.transaction():
            found = self.store.find(_POLICY, name)
            if not found:
                raise _absent("DeleteScalingPolicy", "No scaling policy found", request)
            self._forget_alarms(found[0].body)
            self.store.remove(_POLICY, name)
        return {}

    def describe_scaling_activities(self, **request: Any) -> dict[str, Any]:
        """The newest first. What was not scaled is not kept."""
        records = [record for record in self.store.list(ACTIVITY) if _matches(record, request, *_KEY)]
        shown, more = _page("DescribeScalingActivities", records, {"SortOrder": "Descending", **request})
        return {"ScalingActivities": [answer({**r.body, "StatusCode": r.status}) for r in shown], **more}

    def _alarms(self, policy: Mapping[str, Any], arn: str) -> list[dict[str, str]]:
        """Those of a target tracking policy of a variant, made."""
        if policy["ServiceNamespace"] != "sagemaker":
            return []
        made = autoscaling.alarms(policy, arn)
        for alarm in made:
            Alarms(self.store, self.storage).put_metric_alarm(**alarm)
        found = [self.store.get(alarm_states.KIND, alarm["AlarmName"]) for alarm in made]
        return [{"AlarmName": alarm.name, "AlarmARN": alarm.arn} for alarm in found]

    def _forget_alarms(self, policy: Mapping[str, Any]) -> None:
        for alarm in policy["Alarms"]:
            if self.store.find(alarm_states.KIND, alarm["AlarmName"]):
                self.store.remove(alarm_states.KIND, alarm["AlarmName"])

    def _target(self, operation: str, request: Mapping[str, Any]) -> Record:
        found = self.store.find(_TARGET, _name(request))
        if not found:
            raise _absent(operation, "No scalable target registered", request)
        return found[0]

    def _check_resource(self, operation: str, request: Mapping[str, Any]) -> None:
        namespace, resource, dimension = (request[key] for key in _KEY)
        if namespace not in _SERVED or not dimension.startswith(f"{namespace}:"):
            message = f"{dimension} of {namespace}: the local service takes dimensions of {' and '.join(_SERVED)} alone"
            raise ServiceError("ValidationException", message, operation)
        if namespace != "sagemaker":
            return
        parts = resource.split("/")
        endpoints = self.store.find("endpoint", parts[1]) if parts[::2] == ["endpoint", "variant"] else []
        variants = [v["VariantName"] for endpoint in endpoints for v in endpoint.body["variants"]]
        if len(parts) != 4 or parts[3] not in variants:
            message = f"{resource} is no variant of an endpoint that is here: endpoint/NAME/variant/VARIANT"
            raise ServiceError("ValidationException", message, operation)


def _name(request: Mapping[str, Any]) -> str:
    """Resource ids hold no blanks."""
    return " ".join(request[key] for key in _KEY)


def _matches(record: Record, request: Mapping[str, Any], *members: str) -> bool:
    return all(request.get(member, record.body[member]) == record.body[member] for member in members)


def _page(operation: str, records: list[Record], request: Mapping[str, Any]) -> tuple[list[Record], dict[str, str]]:
    try:
        return page(operation, records, {"MaxResults": _LARGEST_PAGE, **request}, largest=_LARGEST_PAGE)
    except ServiceError as exc:
        code = "InvalidNextTokenException" if "NextToken" in exc.message else exc.code
        raise ServiceError(code, exc.message, operation) from exc


def _check_capacity(operation: str, target: Mapping[str, Any]) -> None:
    least, most = target.get("MinCapacity"), target.get("MaxCapacity")
    if least is None or most is None:
        message = "MinCapacity and MaxCapacity are required to register a new scalable target"
    elif least > most:
        message = f"Maximum capacity {most} cannot be less than minimum capacity {least}"
    elif least < 0:
        message = f"Minimum capacity {least} cannot be less than 0"
    else:
        return
    raise ServiceError("ValidationException", message, operation)


def _check_policy(operation: str, request: Mapping[str, Any], kind: str, found: list[Record]) -> None:
    if found and found[0].body["PolicyType"] != kind:
        message = f"the policy {request['PolicyName']} is there as {found[0].body['PolicyType']}: delete it first"
    elif others := [member for other, member in _CONFIGURATION.items() if other != kind and member in request]:
        message = f"{others[0]} does not belong to a policy of type {kind}"
    elif not found and _CONFIGURATION[kind] not in request:
        message = f"{_CONFIGURATION[kind]} is required for a policy of type {kind}"
    else:
        return
    raise ServiceError("ValidationException", message, operation)


def _absent(operation: str, what: str, request: Mapping[str, Any]) -> ServiceError:
    namespace, resource, dimension = (request[key] for key in _KEY)
    where = f"service namespace: {namespace}, resource ID: {resource}, scalable dimension: {dimension}"
    name = f", policy name: {request['PolicyName']}" if what.startswith("No scaling policy") else ""
    return ServiceError("ObjectNotFoundException", f"{what} for {where}{name}", operation)


def _arn(rest: str) -> str:
    return f"arn:aws:application-autoscaling:{names.REGION}:{names.ACCOUNT}:{rest}"


def _policy_arn() -> str:
    return f"arn:aws:autoscaling:{names.REGION}:{names.ACCOUNT}:scalingPolicy:{names.random_id(36)}"


def _service_role(namespace: str) -> str:
    return f"arn:aws:iam::{names.ACCOUNT}:{_ROLES.format(namespace, _ROLE_ENDS[namespace])}"
