"""The Lambda functions of the pipeline: there, ready, with the code that this checkout would package."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

from pipeline.errors import ServiceError
from pipeline.infra.functions import SECONDS
from pipeline.infra.packaging import CHAMPION, DEPLOY, INVOKE, Package
from pipeline.preflight import rights
from pipeline.preflight.finding import Finding, error, ok, warning
from pipeline.preflight.setting import Setting

ABSENT = "ResourceNotFoundException"
_KINDS = {DEPLOY: "deploy-lambda", CHAMPION: "champion-lambda", INVOKE: "invoke-lambda"}


def there(setting: Setting) -> Iterator[Finding]:
    own = {setting.arn("lambda", f"function:{each.function}"): each for each in setting.packages}
    for arn in _invoked(setting):
        found = _configuration(setting, arn)
        if found is None:
            yield error(arn, "there is no such function", _brought(setting) if arn in own else "mend the ARN")
        else:
            yield from _ready(arn, found)
            if arn in own:
                yield from _as_packaged(setting, arn, found, own[arn])


def rights_of(setting: Setting) -> Iterator[Finding]:
    """What each handler calls, asked of the role that its function really has."""
    for package in setting.packages:
        arn = setting.arn("lambda", f"function:{package.function}")
        found = _configuration(setting, arn)
        if found is not None:
            for role in setting.roles_of(_KINDS[package.program]):
                yield from rights.covers(setting, str(found["Role"]), role.statements, package.function)


def _invoked(setting: Setting) -> list[str]:
    found = [str(step.body["FunctionArn"]) for step in setting.definition.steps.values() if step.type == "Lambda"]
    return list(dict.fromkeys(found))


def _configuration(setting: Setting, arn: str) -> Mapping[str, Any] | None:
    try:
        answer: Mapping[str, Any] = setting.service("lambda").ask("get_function_configuration", arn, FunctionName=arn)
    except ServiceError as exc:
        if exc.code != ABSENT:
            raise
        return None
    return answer


def _ready(arn: str, found: Mapping[str, Any]) -> Iterator[Finding]:
    state, update = str(found.get("State", "Active")), str(found.get("LastUpdateStatus", "Successful"))
    if state == "Inactive":  # Lambda took its resources back after weeks without a call; the next one wakes it
        yield warning(
            arn, "it sleeps, and its first call may take a minute", f"aws lambda invoke --function-name {arn} -"
        )
    elif state != "Active" or update == "Failed":
        reason = found.get("StateReason") or found.get("LastUpdateStatusReason") or "no reason was given"
        yield error(
            arn, f"it is {state}, its last update {update}: {reason}", f"aws lambda get-function --function-name {arn}"
        )
    else:
        yield ok(arn, f"it is {state}")


def _as_packaged(setting: Setting, arn: str, found: Mapping[str, Any], package: Package) -> Iterator[Finding]:
    if found.get("Handler") != package.handler:
        yield error(arn, f"its handler is {found.get('Handler')}, not {package.handler}", _brought(setting))
    seconds = SECONDS[package.program]
    if int(found.get("Timeout", 0)) < seconds:
        longer = f"aws lambda update-function-configuration --function-name {package.function} --timeout {seconds}"
        yield warning(arn, f"it is cut off after {found.get('Timeout')} s; the handler needs up to {seconds}", longer)
    digest = base64.b64encode(hashlib.sha256(package.body).digest()).decode()
    if found.get("CodeSha256") == digest:
        yield ok(arn, f"it has the code of this checkout ({package.file})")
    else:
        yield error(arn, f"it has other code than this checkout ({package.file})", _brought(setting))


def _brought(setting: Setting) -> str:
    place = setting.config.pipeline.address("functions")
    return (
        f"make package && aws s3 cp --recursive build/functions {place} && "
        f"{setting.deploy_stack} --parameter-overrides Functions=present"
    )
