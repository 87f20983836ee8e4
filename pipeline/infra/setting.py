"""What a template is rendered from: names that pipeline.yaml gives, and what of them the stack may own."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from pipeline.config import Config
from pipeline.config.deployment import production_name
from pipeline.config.names import partition, registry_host
from pipeline.definition import Definition
from pipeline.errors import DarkroomError
from pipeline.iam.trust import ISSUER
from pipeline.infra.packaging import Package, packages

GITHUB = ISSUER
_HOST = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)+(/[A-Za-z0-9._/-]+)?")


@dataclass(frozen=True)
class Setting:
    """`reads`: what jobs read beside the definition's own addresses; `issuer`: the host that vouches for CI jobs."""

    config: Config
    definition: Definition
    packages: tuple[Package, ...]
    reads: tuple[str, ...]
    issuer: str

    @property
    def folder(self) -> str:
        return self.config.pipeline.folder

    @property
    def suffix(self) -> str:
        """Behind the names of services as keys and tokens know them."""
        return ".cn" if self.config.pipeline.region.startswith("cn-") else ""

    @property
    def bucket_arn(self) -> str:
        where = self.config.pipeline
        return f"arn:{partition(where.region)}:s3:::{where.bucket_name}"

    @property
    def pipeline_arn(self) -> str:
        where = self.config.pipeline
        return f"arn:{partition(where.region)}:sagemaker:{where.region}:{where.account}:pipeline/{where.name}"

    @property
    def production(self) -> str:
        """The endpoint that approved models go to."""
        return production_name(self.config)

    @property
    def endpoints(self) -> tuple[str, str]:
        return self.config.endpoint_name, self.production

    @property
    def repository(self) -> str | None:
        """The repository of the serving image, where the account's own registry has it."""
        where = self.config.pipeline
        host, _, rest = self.config.serving_image.partition("/")
        return rest.partition("@")[0].partition(":")[0] if host == registry_host(where.account, where.region) else None


def of(
    config: Config, definition: Definition, root: Path, reads: tuple[str, ...] = (), issuer: str = GITHUB
) -> Setting:
    """`root`: the folder of the entry points. Raises DarkroomError for an issuer that is no host."""
    if not _HOST.fullmatch(issuer):
        raise DarkroomError(f"the issuer {issuer!r} is no host", "write it without https://, such as gitlab.com")
    return Setting(config, definition, packages(config, root), reads, issuer)
