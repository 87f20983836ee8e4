"""The whole configuration: all sections of pipeline.yaml."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from pipeline.config import names, sections
from pipeline.config.dataset import DatasetSection, DoctorSection
from pipeline.config.deploying import DeploySection
from pipeline.config.health import HealthSection
from pipeline.config.instances import accelerator
from pipeline.config.section import Section
from pipeline.config.serving import RAY, ServingSection
from pipeline.config.training import ModelSection, TrainingSection, TuningSection
from pipeline.dataset_source import ARCHIVES, in_s3, is_archive

TagKey = Annotated[str, Field(pattern=names.TAG_KEY)]
TagValue = Annotated[str, Field(pattern=names.TAG_VALUE)]
Machine = Annotated[str, Field(pattern=names.MACHINE)]
Usd = Annotated[float, Field(ge=0, le=10_000)]  # above it somebody wrote another unit


class Config(Section):
    """pipeline.yaml: every key may be left out; then its default holds. A section's docstring is its description."""

    pipeline: sections.PipelineSection = sections.PipelineSection()
    dataset: DatasetSection = DatasetSection()
    doctor: DoctorSection = DoctorSection()
    processing: sections.ProcessingSection = sections.ProcessingSection()
    model: ModelSection = ModelSection()
    training: TrainingSection = TrainingSection()
    health: HealthSection = HealthSection()
    tuning: TuningSection = TuningSection()
    evaluation: sections.EvaluationSection = sections.EvaluationSection()
    registry: sections.RegistrySection = sections.RegistrySection()
    deploy: DeploySection = DeploySection()
    serving: ServingSection = ServingSection()
    cache: sections.CacheSection = sections.CacheSection()
    retries: sections.RetriesSection = sections.RetriesSection()
    security: sections.SecuritySection = sections.SecuritySection()
    roles: sections.RolesSection = sections.RolesSection()
    images: sections.ImagesSection = sections.ImagesSection()
    tags: dict[TagKey, TagValue] = Field(
        default={},
        max_length=40,
        description="Tags of the pipeline and of its jobs: letters, digits, blanks and _.:/=+-@; names not with aws:.",
    )
    prices: dict[Machine, Usd] = Field(
        default={},
        description="What an hour of a machine costs you in USD, in place of the price that darkroom knows.",
    )

    @property
    def package_group(self) -> str:
        return self.registry.group or self.pipeline.name

    @property
    def endpoint_name(self) -> str:
        return self.deploy.endpoint_name or f"{self.pipeline.name[:55].rstrip('-')}-staging"

    @property
    def deploy_function(self) -> str:
        """ARN of the Lambda function behind DeployModel."""
        return self.deploy.function or self._function("darkroom-deploy")

    @property
    def invoke_function(self) -> str:
        """ARN of the Lambda function that asks the production endpoint."""
        return self.deploy.invoke_function or self._function("darkroom-invoke")

    @property
    def champion_function(self) -> str:
        """ARN of the Lambda function behind FindChampion."""
        return self.evaluation.champion_function or self._function("darkroom-champion")

    def _function(self, name: str) -> str:
        where = self.pipeline
        return f"arn:{names.partition(where.region)}:lambda:{where.region}:{where.account}:function:{name}"

    @property
    def no_champion_address(self) -> str:
        """An object that stands for the archive where nothing is approved: a job's input cannot be empty."""
        return f"{self.pipeline.address('champion', 'none')}no-approved-model"

    @property
    def serving_image(self) -> str:
        if self.deploy.image:
            return self.deploy.image
        if self.serving.server == "ray":
            host = names.registry_host(names.IMAGES_OF_AWS, self.pipeline.region)
            return f"{host}/{RAY.get(accelerator(self.deploy.instance_type), RAY['cpu'])}"
        host = names.registry_host(self.pipeline.account, self.pipeline.region)
        return f"{host}/darkroom-serve:{self.images.framework_version}"

    def role(self, step: str) -> str:
        """ARN for `step`, a key of the section roles."""
        return getattr(self.roles, step) or self.pipeline.role_arn

    @property
    def checkpoint_address(self) -> str:
        """Fixed, and no part of an execution's folder: it is a cache key, and the next execution has to find it."""
        return self.training.checkpoints.address or self.pipeline.address("checkpoints")

    @property
    def debugger_address(self) -> str:
        """Where SageMaker puts tensors, below the name of each job; fixed, for it is a cache key, too."""
        return self.pipeline.address("debugger")

    def model_address(self, key: str, digest: str) -> str:
        """What the channel `key` (weights or warm_start) holds: an address in S3 as it is given, be it an object's or a
        folder's; for a file of this machine the folder that `digest` names."""
        source = self.model.starts[key]
        return source if in_s3(source) else self.pipeline.address(key, digest)

    @property
    def dataset_address(self) -> str:
        """Default of DatasetUri; `control` overrides it with a content-addressed copy of what lies on this machine.

        An S3Prefix is a prefix of text: a folder ends in `/`, or its neighbours came along. An archive's own address
        cannot end so; PrepareData looks for the one archive among what came (beside x.zip there may be x.zip.md5).
        """
        source = self.dataset.source or ""
        if in_s3(source):
            return source if is_archive(source) else source.rstrip("/") + "/"
        name = source.replace("\\", "/").rstrip("/").rsplit("/", 1)[-1]
        ending = next((each for each in ARCHIVES if name.lower().endswith(each)), "")
        plain = "".join(c if c.isascii() and c.isalnum() else "-" for c in name[: len(name) - len(ending)]).strip("-")
        return self.pipeline.address("datasets", plain or "local")
