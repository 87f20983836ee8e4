"""What IAM lets through, and how denials are worded: asked by a role that may do next to nothing."""

from __future__ import annotations

import json
from typing import Any

import boto3
from botocore.exceptions import ClientError

from pipeline.aws import denied
from smoke.account import Account
from smoke.stages import FREE
from smoke.verdict import CannotTell, Check, Verdict, judged

_MAKES = "a role that may do next to nothing, deleted again"
_DENIED = ("AccessDenied", "AccessDeniedException")
_POLICY = "smoke"


def denial_words(account: Account) -> Verdict:
    ask = _as_nobody(account, "sagemaker:ListTrials", "*")
    name, bucket = account.pipeline.pipeline.name, account.pipeline.pipeline.bucket_name
    messages = {
        "sagemaker:DescribePipeline": ask("sagemaker", "describe_pipeline", PipelineName=name)[1],
        "s3:ListBucket": ask("s3", "list_objects_v2", Bucket=bucket)[1],
        "logs:DescribeLogGroups": ask("logs", "describe_log_groups")[1],
    }
    read = {action: denied.explain(message, "", "", "") for action, message in messages.items()}
    right = all(found.action == action and "policy of whoever calls" in found.hint for action, found in read.items())
    return judged(right, json.dumps(messages))


def listing_arn(account: Account) -> Verdict:
    """ListModelPackages, granted on the ARNs of one group's packages alone."""
    group = account.pipeline.package_group
    number = account.identity["Account"]
    ask = _as_nobody(
        account, "sagemaker:ListModelPackages", f"arn:aws:sagemaker:{account.region}:{number}:model-package/{group}/*"
    )
    code, message = ask("sagemaker", "list_model_packages", ModelPackageGroupName=group)
    return judged(code in _DENIED, f"{code or 'done'} {message}".strip())


def rules_arn(account: Account) -> Verdict:
    """ListRuleNamesByTarget, granted on the ARNs of rules alone."""
    number = account.identity["Account"]
    ask = _as_nobody(account, "events:ListRuleNamesByTarget", f"arn:aws:events:{account.region}:{number}:rule/*")
    code, message = ask("events", "list_rule_names_by_target", TargetArn=account.pipeline.deploy_function)
    return judged(code in _DENIED, f"{code or 'done'} {message}".strip())


def _as_nobody(account: Account, action: str, resource: str) -> Any:
    """Calls with the rights of a new role: code and message of the refusal."""
    arn = _role(account, {"Effect": "Allow", "Action": action, "Resource": resource})
    keys: dict[str, str] = {}

    def taken() -> bool:
        """A new role is known everywhere after some seconds."""
        try:
            keys.update(account.ask("sts", "assume_role", RoleArn=arn, RoleSessionName="smoke")["Credentials"])
        except ClientError as exc:
            if exc.response["Error"]["Code"] not in _DENIED:
                raise
        return bool(keys)

    if not account.until(taken):
        raise CannotTell(f"{arn} could not be taken", "your own policies have to allow sts:AssumeRole on it")
    session = boto3.Session(keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"], account.region)

    def ask(service: str, operation: str, **request: Any) -> tuple[str, str]:
        try:
            getattr(session.client(service), operation)(**request)
        except ClientError as exc:
            return str(exc.response["Error"]["Code"]), str(exc.response["Error"].get("Message", ""))
        return "", ""

    return ask


def _role(account: Account, statement: dict[str, str]) -> str:
    name = account.name()
    own = f"arn:aws:iam::{account.identity['Account']}:root"
    trust = {"Effect": "Allow", "Principal": {"AWS": own}, "Action": "sts:AssumeRole"}
    account.tell(f"makes the role {name}")
    arn = account.ask("iam", "create_role", RoleName=name, AssumeRolePolicyDocument=_policy(trust))["Role"]["Arn"]
    account.later(f"the role {name}", lambda: account.ask("iam", "delete_role", RoleName=name))
    account.ask("iam", "put_role_policy", RoleName=name, PolicyName=_POLICY, PolicyDocument=_policy(statement))
    account.later(
        f"its policy {_POLICY}",
        lambda: account.ask("iam", "delete_role_policy", RoleName=name, PolicyName=_POLICY),
    )
    return str(arn)


def _policy(statement: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


CHECKS = (
    Check("denial-words", FREE, denial_words, "each denial names its action, as darkroom's hint reads it", _MAKES),
    Check("listing-arn", FREE, listing_arn, "AccessDeniedException in spite of the statement", _MAKES),
    Check("rules-arn", FREE, rules_arn, "AccessDeniedException in spite of the statement", _MAKES),
)
