"""How a deployment shifts traffic: a DeploymentConfig as stages, and what of it SageMaker refuses.

https://docs.aws.amazon.com/sagemaker/latest/dg/deployment-guardrails.html: traffic moves to the new fleet at once, in
two steps (canary) or in equal ones (linear); a rolling update starts and ends instances along with it.
"""

from __future__ import annotations

from collections import namedtuple

from pipeline.errors import ServiceError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

MOST_ALARMS = 10
DEFAULT_LIMIT_S = 28_800  # MaximumExecutionTimeoutInSeconds at most
# variant → instances of the new fleet that get traffic; seconds to bake; what they are called while baking
Stage = namedtuple("Stage", "active bake words")
Plan = namedtuple("Plan", "stages rolling limit alarms")


def plan(deployment: Mapping[str, Any], counts: Mapping[str, int], operation: str) -> Plan:
    """`counts`: instances of the new fleet, by variant. Raises ServiceError ValidationException."""
    rolling = deployment.get("RollingUpdatePolicy")
    policy = deployment.get("BlueGreenUpdatePolicy", {})
    if rolling and policy:
        raise _refused(operation, "BlueGreenUpdatePolicy and RollingUpdatePolicy exclude each other")
    alarms = [alarm["AlarmName"] for alarm in deployment.get("AutoRollbackConfiguration", {}).get("Alarms", ())]
    if len(alarms) > MOST_ALARMS:
        raise _refused(operation, f"{len(alarms)} alarms; AutoRollbackConfiguration takes {MOST_ALARMS}")
    stages = _rolling(rolling, counts, operation) if rolling else _shifting(policy, counts, operation)
    limit = (rolling or policy).get("MaximumExecutionTimeoutInSeconds", DEFAULT_LIMIT_S)
    if sum(stage.bake for stage in stages) >= limit:
        raise _refused(operation, f"MaximumExecutionTimeoutInSeconds {limit} does not exceed the waiting times")
    return Plan(stages, bool(rolling), limit, alarms)


def _shifting(policy: Mapping[str, Any], counts: Mapping[str, int], operation: str) -> list[Stage]:
    routing = policy.get("TrafficRoutingConfiguration", {"Type": "ALL_AT_ONCE"})
    kind, pause = routing["Type"], routing.get("WaitIntervalInSeconds", 0)
    _check_members(routing, operation)
    last = Stage(dict(counts), policy.get("TerminationWaitInSeconds", 0), "TerminationWaitInSeconds")
    match kind:
        case "ALL_AT_ONCE":
            return [last]
        case "CANARY":
            canary = _sizes(routing["CanarySize"], counts, (1, 50), "CanarySize", operation)
            return [Stage(canary, pause, "WaitIntervalInSeconds"), last]
        case "LINEAR":
            sizes = _sizes(routing["LinearStepSize"], counts, (10, 50), "LinearStepSize", operation)
            return [*_steps(sizes, counts, pause)[:-1], last]
    raise _refused(operation, f"TrafficRoutingConfiguration Type {kind!r} is unknown")


def _check_members(routing: Mapping[str, Any], operation: str) -> None:
    for kind, member in (("CANARY", "CanarySize"), ("LINEAR", "LinearStepSize")):
        if (routing["Type"] == kind) != (member in routing):
            raise _refused(operation, f"{member} belongs to TrafficRoutingConfiguration of Type {kind}, which needs it")


def _rolling(policy: Mapping[str, Any], counts: Mapping[str, int], operation: str) -> list[Stage]:
    sizes = _sizes(policy["MaximumBatchSize"], counts, (5, 50), "MaximumBatchSize", operation)
    return _steps(sizes, counts, policy["WaitIntervalInSeconds"])


def _steps(sizes: Mapping[str, int], counts: Mapping[str, int], pause: int) -> list[Stage]:
    number = max(-(-counts[name] // size) for name, size in sizes.items())
    return [
        Stage({n: min(counts[n], size * step) for n, size in sizes.items()}, pause, "WaitIntervalInSeconds")
        for step in range(1, number + 1)
    ]


def _sizes(
    size: Mapping[str, Any], counts: Mapping[str, int], percents: tuple[int, int], member: str, operation: str
) -> dict[str, int]:
    """Instances of each variant: at least one, and at most half of them."""
    least, most = percents
    value, found = size["Value"], {}
    if size["Type"] == "CAPACITY_PERCENT" and not least <= value <= most:
        raise _refused(operation, f"{member} {value} % must be from {least} to {most} percent")
    for name, count in counts.items():
        found[name] = max(1, count * value // 100) if size["Type"] == "CAPACITY_PERCENT" else value
        if 2 * found[name] > count:
            message = (
                f"{member} is {found[name]} of {count} instance(s) of variant {name}; it must be less than or equal to"
                " 50% of the variant's instance count"
            )
            raise _refused(operation, message)
    return found


def _refused(operation: str, message: str) -> ServiceError:
    return ServiceError("ValidationException", f"Invalid DeploymentConfig: {message}", operation)
