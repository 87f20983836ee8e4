"""Caching and retries: which step types take them, and how they are written."""

from __future__ import annotations

import re

from pipeline.cache_keys import ATTRIBUTES as COMPARED
from pipeline.validate import limits
from pipeline.validate.document import Document, Step
from pipeline.validate.node import Node, duplicates, nearest, quote
from pipeline.validate.values import OPAQUE, placeholders, render

# The SDK also writes CacheConfig for these, which the guide ("Caching pipeline steps") does not list.
PERHAPS_CACHED = ("Callback", "EndpointConfig", "Endpoint")
EACH_RUN = frozenset(
    f"Execution.{name}"
    for name in (
        *("PipelineExecutionId", "PipelineExecutionArn", "StartDateTime", "CurrentDateTime"),
        *("TrainingJobName", "ProcessingJobName"),
    )
)

# ISO 8601, and the guide's own examples "30d", "T16m", "30dT5h", "P30D": the P may be missing, units in either case.
DURATION = re.compile(r"P?(?=.)(\d+Y)?(\d+M)?(\d+W)?(\d+D)?(T(?=\d)(\d+H)?(\d+M)?)?", re.IGNORECASE | re.ASCII)

STEP_ERRORS = ("Step.SERVICE_FAULT", "Step.THROTTLING")
JOB_ERRORS = ("SageMaker.JOB_INTERNAL_ERROR", "SageMaker.CAPACITY_ERROR", "SageMaker.RESOURCE_LIMIT")
RETRIED: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("Processing", "Training", "Transform", "Tuning"), STEP_ERRORS + JOB_ERRORS),
    "Model": STEP_ERRORS,
    "RegisterModel": STEP_ERRORS,
    "EndpointConfig": STEP_ERRORS,  # sagemaker.mlops.workflow.endpoint_step; the guide does not list it
}
RETRY_MEMBERS = ("ExceptionType", "IntervalSeconds", "BackoffRate", "MaxAttempts", "ExpireAfterMin")


def check_cache(document: Document, step: Step) -> None:
    cache = step.node["CacheConfig"]
    if "CacheConfig" not in step.node:
        return
    if step.type in PERHAPS_CACHED:
        cache.warning(f"the service's guide does not list {step.type} among the steps it caches", "remove CacheConfig")
    elif step.type not in COMPARED:
        cache.error(f"a {step.type} step is never cached", "remove CacheConfig: it runs every time")
    if not isinstance(cache.value, dict):
        cache.error(
            f"CacheConfig is an object, not {quote(cache.value)}", 'write {"Enabled": true, "ExpireAfter": "P30D"}'
        )
        return
    _check_cache_members(cache)
    if cache["Enabled"].value is True:
        _check_keys(step)
        _check_fixed_outputs(step)


def _check_cache_members(cache: Node) -> None:
    for key, member in cache.members():
        if key not in ("Enabled", "ExpireAfter"):
            member.error(f"CacheConfig has no {quote(key)}", nearest(key, ("Enabled", "ExpireAfter"), "remove it"))
    if not isinstance(cache["Enabled"].value, bool):
        cache["Enabled"].error(f"Enabled is true or false, not {quote(cache['Enabled'].value)}", "write true or false")
    expire = cache["ExpireAfter"]
    if not expire.there:
        return
    if expire.text is None or not DURATION.fullmatch(expire.text):
        expire.error(
            f"{quote(expire.value)} is no ISO 8601 duration that the service reads", "write P30D, PT12H or P4DT12H"
        )
    elif not any(int(digits) for digits in re.findall(r"\d+", expire.text)):
        expire.error(f"{quote(expire.value)} expires at once", "write P30D, or Enabled: false")


def _check_keys(step: Step) -> None:
    for attribute, members in COMPARED.get(step.type, {}).items():
        holder = step.arguments[attribute]
        parts = [part[name] for part in (holder, *holder) for name in members] if members else [holder]
        for node in (node for part in parts for node in placeholders(part)):
            if isinstance(node.value.get("Get"), str) and node.value["Get"] in EACH_RUN:
                node.warning(
                    f"{node.value['Get']} differs in every execution and {attribute} is compared: never a cache hit",
                    "take it out, or switch caching off",
                )


def _check_fixed_outputs(step: Step) -> None:
    """A hit hands on the address of an earlier run's data: later runs must not overwrite it."""
    for output in step.arguments.at("ProcessingOutputConfig", "Outputs"):
        address = output.at("S3Output", "S3Uri")
        text = render(address.value)
        if text is not None and f"{OPAQUE}Execution." not in text and f"{OPAQUE}Steps." not in text:
            address.warning(
                "every execution writes to this one folder: a cache hit may hand on what a later run has overwritten",
                "put Execution.PipelineExecutionId into the address",
            )


def check_retries(document: Document, step: Step) -> None:
    policies = step.node["RetryPolicies"]
    if "RetryPolicies" not in step.node:
        return
    allowed = RETRIED.get(step.type)
    if allowed is None:
        policies.error(f"a {step.type} step takes no RetryPolicies", "remove them")
        return
    if not isinstance(policies.value, list):
        policies.error(f"RetryPolicies is a list, not {quote(policies.value)}", "write [{…}]")
    for policy in policies:
        _check_policy(policy, step, allowed)
    for later, _ in duplicates(item for policy in policies for item in policy["ExceptionType"]):
        later.warning(f"{later.value} is retried by two policies", "name each exception once")


def _check_policy(policy: Node, step: Step, allowed: tuple[str, ...]) -> None:
    if not isinstance(policy.value, dict):
        policy.error(
            f"a retry policy is an object, not {quote(policy.value)}",
            'write {"ExceptionType": [...], "MaxAttempts": 3}',
        )
        return
    for key, member in policy.members():
        if key not in RETRY_MEMBERS:
            member.error(f"a retry policy has no {quote(key)}", nearest(key, RETRY_MEMBERS, "remove it"))
    _check_exceptions(policy["ExceptionType"], step, allowed)
    if ("MaxAttempts" in policy) == ("ExpireAfterMin" in policy):
        policy.error("a retry policy has either MaxAttempts or ExpireAfterMin", "keep exactly one of the two")
    _check_range(policy["MaxAttempts"], 1, limits.RETRY_ATTEMPTS.value)
    _check_range(policy["ExpireAfterMin"], 1, limits.RETRY_EXPIRE_MINUTES.value)
    _check_range(policy["IntervalSeconds"], 0, limits.RETRY_INTERVAL_SECONDS.value)
    rate = policy["BackoffRate"]
    if rate.there and (isinstance(rate.value, bool) or not isinstance(rate.value, (int, float)) or not rate.value >= 0):
        rate.error(f"BackoffRate is a number of at least 0, not {quote(rate.value)}", "write 2.0")


def _check_exceptions(types: Node, step: Step, allowed: tuple[str, ...]) -> None:
    if not isinstance(types.value, list) or not types.value:
        types.error("ExceptionType is a list of at least one exception", "write " + ", ".join(allowed))
    for item in types:
        if item.text not in allowed:
            text = f"{quote(item.value)} is not an exception that a {step.type} step retries"
            item.error(text, nearest(item.text or "", allowed, "use one of " + ", ".join(allowed)))
        elif step.type == "Tuning" and item.text == JOB_ERRORS[0]:
            item.warning(
                f"a tuning ignores {item.text}: its jobs retry by themselves",
                "remove it, and set RetryStrategy in the TrainingJobDefinition",
            )


def _check_range(node: Node, lowest: int, highest: int) -> None:
    if not node.there:
        return
    if isinstance(node.value, bool) or not isinstance(node.value, int) or not lowest <= node.value <= highest:
        node.error(f"{node.key} is {quote(node.value)}", f"write a whole number from {lowest} to {highest}")
