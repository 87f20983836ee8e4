"""The model package group that RegisterModel adds to."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.errors import ServiceError
from pipeline.preflight.finding import Finding, error, ok, warning
from pipeline.preflight.setting import Setting

ABSENT = ("ResourceNotFound", "ValidationException")  # describing what does not exist: ValidationException in AWS


def group(setting: Setting) -> Iterator[Finding]:
    name = setting.config.package_group
    arn = setting.arn("sagemaker", f"model-package-group/{name}")
    try:
        found = setting.service("sagemaker").ask("describe_model_package_group", arn, ModelPackageGroupName=name)
    except ServiceError as exc:
        if exc.code not in ABSENT:
            raise
        yield warning(
            name,
            "there is no such model package group: RegisterModel makes one, without the stack's tags",
            f"aws sagemaker create-model-package-group --model-package-group-name {name}",
        )
        return
    status = str(found.get("ModelPackageGroupStatus", "Completed"))
    if status == "Completed":
        yield ok(name, "the model package group is there")
    else:
        yield error(name, f"the model package group is {status}", "make another, and name it in registry.group")
