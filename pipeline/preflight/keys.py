"""The key of disks, outputs and models, where pipeline.yaml names one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from pipeline.errors import ServiceError
from pipeline.preflight.assumed import listed
from pipeline.preflight.finding import Finding, error, ok, unknown
from pipeline.preflight.setting import Setting


def usable(setting: Setting) -> Iterator[Finding]:
    key = setting.config.security.kms_key
    if key is None:
        return
    try:
        found = setting.service("kms").ask("describe_key", key, KeyId=key)["KeyMetadata"]
    except ServiceError as exc:
        if exc.code != "NotFoundException":
            raise
        yield error(key, "there is no such key", "name one that is there in security.kms_key, or null")
        return
    state, usage, spec = (str(found.get(name)) for name in ("KeyState", "KeyUsage", "KeySpec"))
    if state == "PendingDeletion":
        yield error(key, "it is to be deleted", f"aws kms cancel-key-deletion --key-id {key}; then enable it")
    elif state != "Enabled":
        yield error(key, f"it is {state}", f"aws kms enable-key --key-id {key}")
    elif (usage, spec) != ("ENCRYPT_DECRYPT", "SYMMETRIC_DEFAULT"):
        yield error(key, f"it is a key for {usage} ({spec})", "name a symmetric key for encryption")
    else:
        yield ok(key, "it is enabled")


def policy(setting: Setting) -> Iterator[Finding]:
    """GetKeyPolicy takes no alias; a policy that leaves it to the account's own policies is what the roles need."""
    key = setting.config.security.kms_key
    if key is None:
        return
    if ":alias/" in key:
        key = str(setting.service("kms").ask("describe_key", key, KeyId=key)["KeyMetadata"]["Arn"])
    answer = setting.service("kms").ask("get_key_policy", key, KeyId=key, PolicyName="default")
    statements = listed(json.loads(answer["Policy"]).get("Statement"))
    role = setting.config.pipeline.role_arn
    account = (f"arn:{setting.partition}:iam::{setting.account}:root", setting.account, "*")
    if any(each.get("Effect") == "Deny" and _names(each, (*account, role)) for each in statements):
        yield unknown(key, "its policy denies something to this account", f"look at it: {_shown(key)}")
    elif any(each.get("Effect") == "Allow" and _names(each, (*account, role)) for each in statements):
        yield ok(key, "its policy admits this account")
    else:
        yield error(
            key,
            f"its policy names neither account {setting.account} nor {role}",
            f"have its owner add one: {_shown(key)}",
        )


def _names(statement: dict[str, Any], principals: tuple[str, ...]) -> bool:
    principal = statement.get("Principal")
    found = [principal] if isinstance(principal, str) else listed((principal or {}).get("AWS"))
    return bool(set(map(str, found)) & set(principals))


def _shown(key: str) -> str:
    return f"aws kms get-key-policy --key-id {key} --policy-name default --query Policy --output text"
