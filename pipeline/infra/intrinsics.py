"""CloudFormation's own functions and IAM's statements, as objects."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]
NOTHING: Json = {"Ref": "AWS::NoValue"}


def ref(name: str) -> Json:
    return {"Ref": name}


def arn(resource: str) -> Json:
    return {"Fn::GetAtt": [resource, "Arn"]}


def sub(text: str) -> Json:
    return {"Fn::Sub": text}


def either(condition: str, yes: Any, no: Any = NOTHING) -> Json:
    """`yes` where the condition holds; without `no`, a member (or an element of a list) that is left out otherwise."""
    return {"Fn::If": [condition, yes, no]}


def statement(sid: str, actions: Any, resource: Any, condition: Json | None = None) -> Json:
    """An Allow of a role's policy."""
    found = {"Sid": sid, "Effect": "Allow", "Action": actions, "Resource": resource}
    return found | ({"Condition": condition} if condition else {})


def admission(principal: Any, *statement_of: Any) -> Json:
    """An Allow of a resource's own policy."""
    return {**statement(*statement_of), "Principal": principal}


def over_tls(actions: str, resource: Any) -> Json:
    """A Deny for everybody who speaks in the clear."""
    plain = {"Bool": {"aws:SecureTransport": "false"}}
    return admission("*", "OverTlsOnly", actions, resource, plain) | {"Effect": "Deny"}


def policy(*statements: Json) -> Json:
    return {"Version": "2012-10-17", "Statement": list(statements)}


def service(name: str) -> Json:
    """A principal."""
    return {"Service": f"{name}.amazonaws.com"}
