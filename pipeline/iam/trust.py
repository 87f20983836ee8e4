"""Trust policies: which service, or whose CI, may take a role."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.errors import DarkroomError
from pipeline.iam.statements import VERSION, Document, Place

ISSUER = "token.actions.githubusercontent.com"
# Of a subject: its text, or whatever a template puts in its place, such as {"Ref": "PlanSubject"}.
Subject = str | Mapping[str, Any]


def of_sagemaker(place: Place) -> Document:
    """For work in this account and region alone: nobody else's job may be given the role (confused deputy).

    https://docs.aws.amazon.com/sagemaker/latest/dg/security-confused-deputy-prevention.html
    """
    conditions = {
        "StringEquals": {"aws:SourceAccount": place.account},
        "ArnLike": {"aws:SourceArn": place.arn("sagemaker", "*")},
    }
    return _trust({"Service": "sagemaker.amazonaws.com"}, "sts:AssumeRole", conditions)


def of_codebuild(place: Place, project: str) -> Document:
    """For the builds of one project: https://docs.aws.amazon.com/codebuild/latest/userguide/cross-service-confused-deputy-prevention.html"""
    conditions = {
        "StringEquals": {"aws:SourceAccount": place.account},
        "ArnLike": {"aws:SourceArn": place.arn("codebuild", f"project/{project}")},
    }
    return _trust({"Service": "codebuild.amazonaws.com"}, "sts:AssumeRole", conditions)


def of_lambda() -> Document:
    """Lambda takes no role of another account, and says nothing of a source when it takes one."""
    return _trust({"Service": "lambda.amazonaws.com"}, "sts:AssumeRole", {})


def of_github(place: Place, subject: Subject) -> Document:
    """For the workflow runs whose token has exactly this subject. Raises DarkroomError for a pattern.

    https://docs.github.com/en/actions/how-tos/secure-your-work/security-harden-deployments/oidc-in-aws
    """
    if isinstance(subject, str):
        _check(subject)
    audience = "sts.amazonaws.com.cn" if place.partition == "aws-cn" else "sts.amazonaws.com"
    provider = f"arn:{place.partition}:iam::{place.account}:oidc-provider/{ISSUER}"
    conditions = {"StringEquals": {f"{ISSUER}:aud": audience, f"{ISSUER}:sub": subject}}
    return _trust({"Federated": provider}, "sts:AssumeRoleWithWebIdentity", conditions)


def _check(subject: str) -> None:
    if set(subject) & set("*?"):
        raise DarkroomError(
            f"the subject {subject!r} is a pattern; it is compared letter by letter",
            "name one, such as repo:OWNER/NAME:pull_request or repo:OWNER/NAME:ref:refs/heads/main",
        )
    if not subject.startswith("repo:") or subject.count(":") < 2 or not subject.isprintable() or " " in subject:
        raise DarkroomError(
            f"the subject {subject!r} is none of GitHub's",
            "repo:OWNER/NAME:ref:refs/heads/main; a run prints its own: docs/aws.md says how",
        )


def _trust(principal: dict[str, str], action: str, conditions: dict[str, Any]) -> Document:
    statement: dict[str, Any] = {"Effect": "Allow", "Principal": principal, "Action": action}
    if conditions:
        statement["Condition"] = conditions
    return {"Version": VERSION, "Statement": [statement]}
