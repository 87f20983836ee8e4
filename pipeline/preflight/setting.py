"""What all checks look at: the pipeline, its parameters, what its roles need, and the services of the account."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.config import Config
from pipeline.config.names import partition
from pipeline.definition import Definition
from pipeline.iam.policies import Role
from pipeline.infra.packaging import Package

NOBODY = "111122223333"  # the account of pipeline.yaml as it is shipped
Service = Any  # pipeline.aws.calls.Calls: ask(method, resource, **request) raises ServiceError


@dataclass(frozen=True)
class Setting:
    """`values`: every parameter as an execution has it; `service("iam")` asks that service, in the
    region of pipeline.yaml. `region`: where other commands would go; empty where nobody said.
    """

    config: Config
    definition: Definition
    values: Mapping[str, Any]
    roles: tuple[Role, ...]
    packages: tuple[Package, ...]
    service: Callable[[str], Service]
    region: str
    file: str = "pipeline.yaml"

    @property
    def account(self) -> str:
        return self.config.pipeline.account

    @property
    def bucket(self) -> str:
        return self.config.pipeline.bucket_name

    @property
    def partition(self) -> str:
        return partition(self.config.pipeline.region)

    def arn(self, service: str, resource: str) -> str:
        where = self.config.pipeline
        return f"arn:{self.partition}:{service}:{where.region}:{where.account}:{resource}"

    def bucket_arn(self, bucket: str = "") -> str:
        return f"arn:{self.partition}:s3:::{bucket or self.bucket}"

    @property
    def stack(self) -> str:
        """docs/aws.md names the stack after the pipeline."""
        return self.config.pipeline.name

    @property
    def deploy_stack(self) -> str:
        """The command that makes what the stack holds."""
        return (
            f"darkroom infra -c {self.file} -o template.yaml && aws cloudformation deploy --stack-name {self.stack} "
            f"--template-file template.yaml --capabilities CAPABILITY_NAMED_IAM --region {self.config.pipeline.region}"
        )

    def roles_of(self, *kinds: str) -> list[Role]:
        return [role for role in self.roles if role.kind in kinds]
