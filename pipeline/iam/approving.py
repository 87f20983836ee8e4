"""The policy of whoever approves and rejects models of this pipeline: reads all that was made of them, and decides."""

from __future__ import annotations

from pipeline.iam import ci, clauses
from pipeline.iam.execution import group_of, packages_of
from pipeline.iam.scope import Scope
from pipeline.iam.statements import Statement


def approving(scope: Scope) -> list[Statement]:
    """`darkroom models`, `approve`, `reject`; what `show-model` tells but of jobs, code and endpoints.

    UpdateModelPackage knows no condition on what it updates: who may approve may also change other metadata.
    """
    executions = scope.place.sagemaker("pipeline", f"{scope.config.pipeline.name}/execution/*")
    return [
        Statement(
            "DecideAboutModels", ("sagemaker:DescribeModelPackage", "sagemaker:UpdateModelPackage"), packages_of(scope)
        ),
        Statement("LookAtPackageGroup", ("sagemaker:DescribeModelPackageGroup",), group_of(scope)),
        Statement("ListOfAccount", ("sagemaker:ListModelPackageGroups", "sagemaker:ListModelPackages"), clauses.ALL),
        Statement("LookAtExecutions", ci.sagemaker(ci.EXECUTION), executions),
        *clauses.reading(scope.place, (f"{scope.folder('runs')}*",)),
        *clauses.keys(scope, ("kms:Decrypt",), "ReadEncrypted", clauses.through_s3(scope)),
    ]
