"""Statements of policies, the ARNs in them, and how they are packed into documents that IAM takes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pipeline.errors import DarkroomError

VERSION = "2012-10-17"
# Characters without blanks; https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
MANAGED_SIZE = 6144  # of one managed policy
INLINE_SIZE = 10240  # of all inline policies of a role together
TRUST_SIZE = 2048  # of a trust policy, unless AWS has raised it
MOST_POLICIES = 10  # managed policies of one role, unless AWS has raised it

Conditions = Mapping[str, Mapping[str, Any]]
Document = dict[str, Any]


@dataclass(frozen=True)
class Statement:
    """An Allow; there are no others. `sid` says in one word what it is for."""

    sid: str
    actions: tuple[str, ...]
    resources: tuple[str, ...]
    conditions: Conditions = field(default_factory=dict)

    def document(self) -> Document:
        found = {"Sid": self.sid, "Effect": "Allow", "Action": _one_or_all(self.actions)}
        found["Resource"] = _one_or_all(self.resources)
        return {**found, "Condition": self.conditions} if self.conditions else found


def _one_or_all(values: tuple[str, ...]) -> str | list[str]:
    return values[0] if len(values) == 1 else list(values)


@dataclass(frozen=True)
class Place:
    """Where ARNs lie."""

    partition: str
    region: str
    account: str

    def arn(self, service: str, resource: str) -> str:
        return f"arn:{self.partition}:{service}:{self.region}:{self.account}:{resource}"

    def sagemaker(self, kind: str, *names: str) -> tuple[str, ...]:
        """Each name as it is and in small letters: SageMaker's ARNs had those alone, and newer ones keep capitals."""
        spelled = dict.fromkeys(spelling for name in names for spelling in (name, name.lower()))
        return tuple(self.arn("sagemaker", f"{kind}/{name}") for name in spelled)

    def objects(self, bucket_and_key: str) -> str:
        return f"arn:{self.partition}:s3:::{bucket_and_key}"


def size(document: Document) -> int:
    """As IAM counts: without blanks."""
    return len("".join(json.dumps(document, ensure_ascii=False, separators=(",", ":")).split()))


def policy(statements: Iterable[Statement]) -> Document:
    return {"Version": VERSION, "Statement": [statement.document() for statement in statements]}


def packed(statements: Sequence[Statement], most: int = MANAGED_SIZE) -> list[Document]:
    """As few documents as their order allows, none above `most` characters; a statement too long for one is parted."""
    documents: list[list[Statement]] = [[]]
    for statement in (part for whole in statements for part in _parts(whole, most)):
        if documents[-1] and size(policy([*documents[-1], statement])) > most:
            documents.append([])
        documents[-1].append(statement)
    return [policy(each) for each in documents if each]


def _parts(statement: Statement, most: int) -> Iterator[Statement]:
    """The statement, or halves of its resources, under names of their own."""
    if size(policy([statement])) <= most:
        yield statement
        return
    if len(statement.resources) == 1:
        raise DarkroomError(
            f"the statement {statement.sid} has {size(policy([statement])):,} characters, and IAM takes {most:,}",
            "take shorter names in pipeline.yaml, or fewer of them",
        )
    middle = len(statement.resources) // 2
    for suffix, resources in (("A", statement.resources[:middle]), ("B", statement.resources[middle:])):
        yield from _parts(replace(statement, sid=statement.sid + suffix, resources=resources), most)
