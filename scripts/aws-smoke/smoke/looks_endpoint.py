"""What an endpoint in service answers."""

from __future__ import annotations

import json
import struct
import zlib

from smoke.account import Account
from smoke.stages import ENDPOINT
from smoke.verdict import CannotTell, Check, Verdict, judged


def serving(account: Account) -> Verdict:
    name = account.options.endpoint or account.pipeline.endpoint_name
    code, message = account.refusal("sagemaker", "describe_endpoint", EndpointName=name)
    if code:
        raise CannotTell(f"{name}: {message}", "darkroom start --target aws --wait deploys one")
    status = account.ask("sagemaker", "describe_endpoint", EndpointName=name)["EndpointStatus"]
    if status != "InService":
        raise CannotTell(f"{name} is {status}", "look again some minutes later")
    answer = account.ask(
        "sagemaker-runtime", "invoke_endpoint", EndpointName=name, ContentType="image/png", Body=grey_picture()
    )
    found = json.loads(answer["Body"].read())
    return judged(bool(found), f"{name} says of a grey picture: {json.dumps(found)[:300]}")


def served_package(account: Account) -> Verdict:
    """The production endpoint, or the one that is named: its model names a package, which names who decided."""
    name = account.options.endpoint or account.pipeline.endpoint_name
    code, message = account.refusal("sagemaker", "describe_endpoint", EndpointName=name)
    if code:
        raise CannotTell(f"{name}: {message}", "--endpoint NAME, of one that an approval deployed")
    config = account.ask("sagemaker", "describe_endpoint", EndpointName=name)["EndpointConfigName"]
    [variant, *_] = account.ask("sagemaker", "describe_endpoint_config", EndpointConfigName=config)[
        "ProductionVariants"
    ]
    container = account.ask("sagemaker", "describe_model", ModelName=variant["ModelName"]).get("PrimaryContainer", {})
    arn = container.get("ModelPackageName")
    if not arn:
        return judged(bool(container.get("ModelDataUrl")), f"{name} serves {container.get('ModelDataUrl')}")
    package = account.ask("sagemaker", "describe_model_package", ModelPackageName=arn)
    return judged(
        bool(package.get("LastModifiedBy")), f"{name} serves {arn}, changed by {package.get('LastModifiedBy')}"
    )


def rolled_back(account: Account) -> Verdict:
    """Of an endpoint whose last update was brought back, by an alarm or by a model that never was healthy."""
    name = account.options.endpoint
    if not name:
        raise CannotTell("no endpoint was named", "--endpoint NAME, of one whose last update was rolled back")
    found = account.ask("sagemaker", "describe_endpoint", EndpointName=name)
    status, reason = found["EndpointStatus"], found.get("FailureReason", "")
    if status not in ("InService", "Failed", "UpdateRollbackFailed"):
        raise CannotTell(f"{name} is {status}", "look again some minutes later")
    kept = found.get("EndpointConfigName", "")
    return judged(status == "InService" and bool(reason), f"{name} is {status} by {kept}: {reason or 'no reason'}")


def scaling_alarms(account: Account) -> Verdict:
    """Seconds that the two alarms of each policy look back, and the share of the target that the lower one asks for."""
    name = account.options.endpoint or account.pipeline.endpoint_name
    policies = [
        policy
        for policy in account.pages(
            "application-autoscaling", "describe_scaling_policies", "ScalingPolicies", ServiceNamespace="sagemaker"
        )
        if policy["ResourceId"].startswith(f"endpoint/{name}/") and policy["PolicyType"] == "TargetTrackingScaling"
    ]
    if not policies:
        raise CannotTell(f"no variant of {name} has a target tracking policy", "--endpoint NAME, of one that has")
    saw = []
    for policy in policies:
        target = policy["TargetTrackingScalingPolicyConfiguration"]["TargetValue"]
        alarms = account.ask(
            "cloudwatch", "describe_alarms", AlarmNames=[each["AlarmName"] for each in policy["Alarms"]]
        )
        for alarm in alarms["MetricAlarms"]:
            saw.append((alarm["EvaluationPeriods"], alarm["Period"], round(alarm["Threshold"] / target, 3)))
    right = all((count, share) == (3, 1.0) or (count * period, share) == (900, 0.9) for count, period, share in saw)
    return judged(bool(saw) and right, f"periods, seconds of each, share of the target: {saw}")


def grey_picture(side: int = 32) -> bytes:
    """A PNG, written by hand, so that nothing but this command's own imports are needed."""
    rows = (b"\0" + b"\x80" * side) * side
    chunks = ((b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)), (b"IDAT", zlib.compress(rows)))
    body = b"".join(map(_chunk, (*chunks, (b"IEND", b""))))
    return b"\x89PNG\r\n\x1a\n" + body


def _chunk(named: tuple[bytes, bytes]) -> bytes:
    name, data = named
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


CHECKS = (
    Check("serving", ENDPOINT, serving, "InService, and an answer to a picture"),
    Check("served-package", ENDPOINT, served_package, "its model names package or archive; the package, who decided"),
    Check("scaling-alarms", ENDPOINT, scaling_alarms, "3 periods above the target; 15 minutes below 0.9 of it"),
    Check("rolled-back", ENDPOINT, rolled_back, "InService by the old configuration, and a FailureReason"),
)
